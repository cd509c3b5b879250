"""The trials of a job as a table: all of them, however many, a few at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from schemas.states import TrialState
from schemas.trial_tables import Columns
from schemas.trials import Trial
from store import trials
from store.database import seconds_between
from store.tables import JobRow, TrialRow

# Trials that are in memory at once.
PIECE = 200

# All that the table shows: neither curves nor folds.
_COLUMNS = (
    TrialRow.number,
    TrialRow.state,
    TrialRow.attempt,
    TrialRow.hyperparameters,
    TrialRow.score,
    TrialRow.deviation,
    TrialRow.best_epoch,
    TrialRow.metrics,
    TrialRow.parameters,
    TrialRow.error,
    TrialRow.create_time,
    TrialRow.start_time,
    TrialRow.end_time,
)


@dataclass(frozen=True)
class Outline:
    """Which trials a table has, in order, and which columns."""

    numbers: Sequence[int]
    columns: Columns


def outline(session: Session, job_id: str, state: str | None, order_by: str) -> Outline:
    """Looks at every trial once; ``state`` and ``order_by`` are those of `store.trials.page`."""
    query = select(*_COLUMNS).where(TrialRow.job_id == job_id)
    if state is not None:
        query = query.where(TrialRow.state == state)
    ordered = query.order_by(*_order(session, job_id, order_by))
    numbers: list[int] = []
    columns = Columns.of(_noted(_streamed(session, ordered), numbers))
    return Outline(numbers, columns)


def _noted(found: Iterator[Trial], numbers: list[int]) -> Iterator[Trial]:
    for trial in found:
        numbers.append(trial.number)
        yield trial


def some(session: Session, job_id: str, numbers: Sequence[int]) -> list[Trial]:
    """The trials with these numbers, in the order of the numbers."""
    query = select(*_COLUMNS).where(TrialRow.job_id == job_id, TrialRow.number.in_(numbers))
    found = {trial.number: trial for trial in _streamed(session, query)}
    return [found[number] for number in numbers if number in found]


def _streamed(session: Session, query: Select[Any]) -> Iterator[Trial]:
    for row in session.execute(query.execution_options(yield_per=PIECE)):
        yield _trial(row)


def _order(session: Session, job_id: str, order_by: str) -> list[Any]:
    if order_by == "score":
        spec = session.scalar(select(JobRow.spec).where(JobRow.id == job_id)) or {}
        maximize = spec["objective"]["direction"] == "maximize"
        return [TrialRow.score.is_(None), *trials.best_first(maximize)]
    if order_by == "duration":
        seconds = seconds_between(TrialRow.start_time, TrialRow.end_time)
        return [seconds.is_(None), seconds.desc(), TrialRow.number]
    return [TrialRow.number]


def _trial(row: Row[Any]) -> Trial:
    given = dict(row._mapping)
    return Trial(**{**given, "state": TrialState(given["state"])})
