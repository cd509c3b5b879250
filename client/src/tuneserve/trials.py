"""Trials: one configuration each, trained and scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from tuneserve.records import Document, Record

ENDED_STATES = frozenset({"completed", "stopped", "failed", "cancelled"})
"""A trial in one of these is final."""

OPEN_STATES = frozenset({"pending", "running"})
"""A trial in one of these will train, or does."""


@dataclass(frozen=True, kw_only=True)
class Epoch(Record):
    """One epoch of training, counted from 1; a metric that was not finite is None.

    ``fold`` counts from 1 as well; it is always 1 without cross-validation.
    """

    epoch: int
    fold: int = 1
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
class Fold(Record):
    """What a cross-validated trial came to on one fold, at that fold's best epoch."""

    fold: int
    score: float | None = None
    best_epoch: int | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial(Record):
    """One trial; `number` counts from 0 within the job, `score` is its objective.

    Cross-validated, `score` is the mean of its folds, and `deviation` the standard deviation of their scores.
    """

    number: int
    state: str = "pending"
    attempt: int = 1
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    best_epoch: int | None = None
    epochs: tuple[Epoch, ...] = ()
    deviation: float | None = None
    folds: tuple[Fold, ...] = ()
    parameters: int | None = None
    error: TrialProblem | None = None
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def is_ended(self) -> bool:
        """Whether it will not go on; a state that this version does not know has ended with its end time."""
        return self.state in ENDED_STATES or (self.state not in OPEN_STATES and self.end_time is not None)

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a trial with its epochs and its error."""
        epochs = [Epoch.parse(epoch) for epoch in document.get("epochs") or ()]
        error = TrialProblem.parse(document["error"]) if document.get("error") else None
        folds = [Fold.parse(fold) for fold in document.get("folds") or ()]
        return super().parse({**document, "epochs": epochs, "folds": folds, "error": error})
