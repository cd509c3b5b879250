"""Trials: one configuration each, trained and scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from tuneserve.records import Document, Record


@dataclass(frozen=True, kw_only=True)
class Epoch(Record):
    """One epoch of training, counted from 1; a metric that was not finite is None."""

    epoch: int
    seconds: float | None = None
    learning_rate: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialProblem(Record):
    """Why a trial failed; `code` is stable, `traceback` is for callers that may read it."""

    code: str = "internal"
    message: str | None = None
    traceback: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trial(Record):
    """One trial; `number` counts from 0 within the job, `score` is its objective."""

    number: int
    state: str = "pending"
    attempt: int = 1
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    best_epoch: int | None = None
    epochs: tuple[Epoch, ...] = ()
    folds: Any = None
    parameters: int | None = None
    error: TrialProblem | None = None
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a trial with its epochs and its error."""
        epochs = [Epoch.parse(epoch) for epoch in document.get("epochs") or ()]
        error = TrialProblem.parse(document["error"]) if document.get("error") else None
        return super().parse({**document, "epochs": epochs, "error": error})
