"""Charts of a search: what they are made of, and how clients see the list of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.distributions import Value
from schemas.fields import AnswerSchema, List, Nested, String
from schemas.objective import Objective
from schemas.spaces import Space
from schemas.states import TrialState
from schemas.trials import RANGE_TEST


@dataclass(frozen=True)
class Tried:
    """What charts need of a trial.

    Args:
        loss: the validation loss at the best epoch: decides between equal scores.
        worker: that had it last; it may run several trials at once.
        parent: the trial that it goes on from, with its weights and epoch.
    """

    number: int
    state: TrialState
    hyperparameters: Mapping[str, Value]
    score: float | None = None
    loss: float | None = None
    best_epoch: int | None = None
    last_epoch: int | None = None
    parent: int | None = None
    stage: Mapping[str, Any] | None = None
    reused: Mapping[str, Any] | None = None
    error: str | None = None
    worker: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def is_range_test(self) -> bool:
        return (self.stage or {}).get("name") == RANGE_TEST

    @property
    def counts(self) -> bool:
        """Whether it has ended with a score."""
        return self.score is not None and self.state in TrialState.scored()

    @property
    def earlier(self) -> int | None:
        """The trial of the same configuration that it was promoted from."""
        return self.parent if self.parent is not None else (self.stage or {}).get("promoted_from")


@dataclass(frozen=True)
class Point:
    """The objective's metric after an epoch, counted from 1: the mean of the folds that have come so far."""

    epoch: int
    value: float | None
    folds: int = 1


@dataclass(frozen=True)
class Rows:
    """A job as charts see it.

    Args:
        trials: all of them, by number.
        now: where what still runs ends in a picture.
        points: by trial, of those that a chart asked for.
    """

    objective: Objective
    space: Space
    trials: Sequence[Tried]
    now: datetime
    points: Mapping[int, Sequence[Point]] = field(default_factory=dict)

    @property
    def scored(self) -> list[Tried]:
        return [trial for trial in self.trials if trial.counts]

    def best_first(self, found: Sequence[Tried]) -> list[Tried]:
        """In the order of `Objective.prefers`; those without a score come last."""
        sign = -1.0 if self.objective.direction == "maximize" else 1.0

        def place(trial: Tried) -> tuple[bool, float, float, int]:
            loss = float("inf") if trial.loss is None else trial.loss
            return trial.score is None, sign * (trial.score or 0.0), loss, trial.number

        return sorted(found, key=place)

    @property
    def configurations(self) -> list[Tried]:
        """The trials with a score, of each configuration only the one that was trained longest."""
        promoted = {trial.earlier for trial in self.scored}
        return [trial for trial in self.scored if trial.number not in promoted]


@dataclass(frozen=True)
class ChartInfo:
    name: str
    title: str
    description: str


class ChartInfoSchema(AnswerSchema):
    name = String(required=True)
    title = String(required=True)
    description = String(required=True)


class ChartListSchema(AnswerSchema):
    items = List(Nested(ChartInfoSchema), required=True)
