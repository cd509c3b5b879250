"""How long a search may go on."""

import math
from dataclasses import dataclass
from typing import Any

from marshmallow import post_load

from schemas.fields import Between, Integer, Nested, Number, StrictSchema
from schemas.states import StopReason


@dataclass(frozen=True)
class Plateau:
    """None of the last ``trials`` was better, by more than ``min_delta``, than the best before them."""

    trials: int
    min_delta: float


class ScorePlateauSchema(StrictSchema):
    trials = Integer(
        required=True,
        validate=Between(1, 10_000),
        metadata={"description": "So many trials in a row that were no better."},
    )
    min_delta = Number(
        load_default=0.0,
        validate=Between(0, 1_000),
        metadata={"description": "What does not better the score by more than this is no better."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Plateau:
        return Plateau(**data)


@dataclass(frozen=True)
class Budget:
    max_trials: int
    parallel_trials: int
    max_seconds: float | None
    max_trial_seconds: float | None
    max_failed_trials: int | None
    max_epochs: int | None
    max_gpu_seconds: float | None
    plateau: Plateau | None

    @staticmethod
    def limits_of(reason: StopReason | None) -> tuple[str, ...]:
        """The limits by which a search may have ended for a reason."""
        return _LIMITS.get(reason, _ALL) if reason is not None else _ALL

    def allows_more_than(self, other: "Budget", reason: StopReason | None = None) -> bool:
        """Whether a search that ended by ``other``, for that reason, could go on by this one."""
        for name in self.limits_of(reason):
            mine, before = getattr(self, name), getattr(other, name)
            if name == "plateau":
                if before is not None and mine != before:
                    return True
            elif _limit(mine) > _limit(before):
                return True
        return False

    def is_spent(self, epochs: int, gpu_seconds: float) -> bool:
        """Whether so much work is all that was allowed."""
        return (self.max_epochs is not None and epochs >= self.max_epochs) or (
            self.max_gpu_seconds is not None and gpu_seconds >= self.max_gpu_seconds
        )


_ALL = ("max_trials", "max_seconds", "max_epochs", "max_gpu_seconds", "max_failed_trials", "plateau")
_LIMITS: dict[StopReason, tuple[str, ...]] = {
    StopReason.COMPLETED: ("max_trials",),
    StopReason.DEADLINE: ("max_seconds",),
    StopReason.BUDGET_EXHAUSTED: ("max_epochs", "max_gpu_seconds"),
    StopReason.TOO_MANY_FAILURES: ("max_failed_trials",),
    StopReason.PLATEAU: ("plateau",),
}


def _limit(value: float | None) -> float:
    return math.inf if value is None else value


class BudgetFields(StrictSchema):
    """What a budget is made of; loaded partially, a change of one."""

    max_trials = Integer(
        required=True,
        validate=Between(1, 10_000),
        metadata={"description": "Configurations to try, at most."},
    )
    parallel_trials = Integer(
        load_default=4,
        validate=Between(1, 256),
        metadata={"description": "Trials in flight at once, at most; slots are the other limit."},
    )
    max_seconds = Number(
        load_default=None,
        allow_none=True,
        validate=Between(1, 31_536_000),
        metadata={"description": "Deadline of the search, from when the job was made."},
    )
    max_trial_seconds = Number(
        load_default=None,
        allow_none=True,
        validate=Between(1, 31_536_000),
        metadata={"description": "A trial that takes longer fails with trial_timeout."},
    )
    max_failed_trials = Integer(
        load_default=None,
        allow_none=True,
        validate=Between(1, 10_000),
        metadata={"description": "The search ends when so many trials have failed."},
    )

    max_epochs = Integer(
        load_default=None,
        allow_none=True,
        validate=Between(1, 1_000_000_000),
        metadata={"description": "The search ends when its trials have trained so many epochs together."},
    )
    max_gpu_seconds = Number(
        load_default=None,
        allow_none=True,
        validate=Between(1, 31_536_000_000),
        metadata={"description": "The search ends when its trials have been on GPUs so long, together."},
    )
    plateau = Nested(
        ScorePlateauSchema,
        load_default=None,
        allow_none=True,
        metadata={"description": "The search ends when it has not got better for a while."},
    )


class BudgetSchema(BudgetFields):
    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Budget:
        return Budget(**data)
