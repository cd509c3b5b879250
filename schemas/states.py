"""The life of a job and of a trial, as enums that answer questions.

A terminal state is final, but for one thing: a job that has ended searches again when it is given a larger
budget (`store.searches.change_budget`). Every other change of state in the store is an ``UPDATE ... WHERE
state IN sources(target)``, so the two tables at the end of this file are the only place that allows a move.
"""

from enum import StrEnum
from typing import Self


class _State(StrEnum):
    """A state of a life cycle; its class's table of moves says what may follow it."""

    @property
    def is_terminal(self) -> bool:
        return not self._followers()

    def may_become(self, target: Self) -> bool:
        return target in self._followers()

    def _followers(self) -> frozenset[str]:
        # A table for each class: members of two StrEnums with the same text are equal.
        return _MOVES[type(self)][self]

    @classmethod
    def sources(cls, target: Self) -> tuple[Self, ...]:
        """The states from which ``target`` may be entered."""
        return tuple(state for state in cls if state.may_become(target))

    @classmethod
    def terminal(cls) -> tuple[Self, ...]:
        return tuple(state for state in cls if state.is_terminal)

    @classmethod
    def live(cls) -> tuple[Self, ...]:
        return tuple(state for state in cls if not state.is_terminal)


class JobState(_State):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHING = "finishing"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @classmethod
    def searching(cls) -> tuple["JobState", ...]:
        """States in which trials are made and begun."""
        return (cls.QUEUED, cls.RUNNING)


class TrialState(_State):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @classmethod
    def scored(cls) -> tuple["TrialState", ...]:
        """States whose best epoch counts as a result."""
        return (cls.COMPLETED, cls.STOPPED)


class StopReason(StrEnum):
    """Why a job made no more trials."""

    COMPLETED = "completed"
    SPACE_EXHAUSTED = "space_exhausted"
    TARGET_REACHED = "target_reached"
    BUDGET_EXHAUSTED = "budget_exhausted"
    DEADLINE = "deadline"
    PLATEAU = "plateau"
    TOO_MANY_FAILURES = "too_many_failures"
    CANCELLED = "cancelled"


_JOB_MOVES: dict[str, frozenset[str]] = {
    JobState.QUEUED: frozenset(
        {
            JobState.RUNNING,
            JobState.PAUSED,
            JobState.FINISHING,
            JobState.CANCELLING,
            JobState.FAILED,
        }
    ),
    # Succeeded at once: a learning-rate range test alone has no model to make.
    JobState.RUNNING: frozenset(
        {
            JobState.PAUSED,
            JobState.FINISHING,
            JobState.CANCELLING,
            JobState.SUCCEEDED,
            JobState.FAILED,
        }
    ),
    JobState.PAUSED: frozenset({JobState.RUNNING, JobState.CANCELLING}),
    JobState.FINISHING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
_TRIAL_MOVES: dict[str, frozenset[str]] = {
    # Completed at once: its result was taken from an equal trial.
    TrialState.PENDING: frozenset(
        {TrialState.RUNNING, TrialState.COMPLETED, TrialState.FAILED, TrialState.CANCELLED}
    ),
    TrialState.RUNNING: frozenset(
        {
            TrialState.PENDING,
            TrialState.COMPLETED,
            TrialState.STOPPED,
            TrialState.FAILED,
            TrialState.CANCELLED,
        }
    ),
    TrialState.COMPLETED: frozenset(),
    TrialState.STOPPED: frozenset(),
    TrialState.FAILED: frozenset(),
    TrialState.CANCELLED: frozenset(),
}
_MOVES: dict[type[_State], dict[str, frozenset[str]]] = {
    JobState: _JOB_MOVES,
    TrialState: _TRIAL_MOVES,
}
