"""The best trial: so far, in the job's document, and in full, as `GET /best` has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tuneserve.records import Document, Record


@dataclass(frozen=True, kw_only=True)
class BestTrial(Record):
    """The best trial so far; `score` is its objective, `epoch` (from 1) where it was reached."""

    trial: int
    score: float | None = None
    epoch: int | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelFacts(Record):
    """The finished model: its `parameters`, the `bytes` of its file, and what one prediction takes.

    `prediction_seconds` is the median for one image, on the worker that made the model.
    """

    parameters: int | None = None
    bytes: int | None = None
    prediction_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Best(BestTrial):
    """The best trial with what the finished model scores.

    `validation` and `test` hold metrics by name, `test` on the share of the data that no trial
    saw; `verified` is what the published file scored when it was loaded again; `refit` says
    whether the model was trained once more on training and validation data together.
    `model` is None before the job has finished.
    """

    job: str = ""
    validation: Mapping[str, float | None] = field(default_factory=dict)
    test: Mapping[str, float | None] = field(default_factory=dict)
    verified: Mapping[str, float | None] = field(default_factory=dict)
    refit: bool = False
    artifacts: tuple[str, ...] = ()
    reproducibility: Mapping[str, Any] = field(default_factory=dict)
    model: ModelFacts | None = None

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a best trial with the facts about its model."""
        model = ModelFacts.parse(document["model"]) if document.get("model") else None
        return super().parse({**document, "model": model})
