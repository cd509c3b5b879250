"""What happened to a job, in order: noted in the transaction of each change, read by streams.

The place of an event in the order is the job's revision. Whoever changes something moves the revision first,
which locks the job's row until the commit; so the order of the revisions is the order of the commits, and a
reader who has seen a revision has seen all that came before it. Epochs are noted once, as rows of their own,
and told among the events by the revision at which they were reported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select, tuple_
from sqlalchemy.orm import Session

from schemas.events import EPOCH, JOB, TRIAL, Event
from schemas.states import TrialState
from store.tables import EpochRow, EventRow, JobRow, TrialRow

# Why a trial waits again, or has ended, where nothing that it was told says so.
LOST, HANDED_BACK, EXTENDED, REUSED = "lost", "handed_back", "extended", "reused"
# It is trained from nothing once more: what it had reported is forgotten.
BEGUN_ANEW = "begun_anew"

_TOLD = (
    TrialRow.number,
    TrialRow.state,
    TrialRow.attempt,
    TrialRow.score,
    TrialRow.best_epoch,
    TrialRow.parameters,
    TrialRow.error,
    TrialRow.stop,
)


def job(session: Session, job_id: str) -> None:
    """Notes what has become of a job, whose revision was moved for it."""
    columns = (JobRow.revision, JobRow.state, JobRow.stop_reason, JobRow.error)
    row = session.execute(select(*columns).where(JobRow.id == job_id)).one()
    data = {"stop_reason": row.stop_reason, "error": row.error}
    noted = {"job_id": job_id, "revision": row.revision, "state": row.state, "data": data}
    session.execute(insert(EventRow), [noted])


def trials(session: Session, job_id: str, *which: ColumnElement[bool], reason: str | None = None) -> None:
    """Notes what has become of trials of a job, whose revision was moved for it."""
    session.flush()
    mine = select(*_TOLD).where(TrialRow.job_id == job_id, *which)
    _note(session, job_id, session.execute(mine.order_by(TrialRow.number)).all(), reason)


def moved(session: Session, job_id: str, statement: Any, reason: str | None = None) -> int:
    """Runs an UPDATE of states of a job's trials, and notes them; says how many it changed.

    Args:
        reason: of those that have not ended by what they were told.
    """
    options = {"synchronize_session": False}
    rows = session.execute(statement.returning(*_TOLD), execution_options=options).all()
    _note(session, job_id, rows, reason)
    return len(rows)


def _note(session: Session, job_id: str, rows: Sequence[Row[Any]], reason: str | None) -> None:
    if not rows:
        return
    revision = session.scalar(select(JobRow.revision).where(JobRow.id == job_id))
    place = {"job_id": job_id, "revision": revision}
    noted = [
        {**place, "number": row.number, "state": row.state, "data": _data(row, reason)}
        for row in sorted(rows, key=lambda row: int(row.number))
    ]
    session.execute(insert(EventRow), noted)


def _data(row: Row[Any], reason: str | None) -> dict[str, Any]:
    told = row.stop if TrialState(row.state).is_terminal else None
    return {
        "attempt": row.attempt,
        "score": row.score,
        "best_epoch": row.best_epoch,
        "parameters": row.parameters,
        "error": row.error,
        "reason": told or reason,
    }


@dataclass(frozen=True)
class Place:
    """How far a reader has got.

    Args:
        epoch: revision, trial, fold and epoch of the last epoch that was read.
        event: revision and id of the last event that was read.
    """

    epoch: tuple[int, int, int, int]
    event: tuple[int, int]

    @classmethod
    def after(cls, revision: int) -> "Place":
        return cls((revision + 1, -1, 0, 0), (revision + 1, -1))


def read(session: Session, job_id: str, place: Place, last: int, size: int) -> tuple[list[Event], Place]:
    """The next events, at most so many, up to a revision; and the place after them.

    Of one revision the epochs come first: a trial's last event is told after all its epochs.
    """
    told: list[Event] = []
    for key, event in merge(
        _epochs(session, job_id, place, last, size),
        _events(session, job_id, place, last, size),
        key=lambda one: (one[1].revision, one[1].kind != EPOCH),
    ):
        if len(told) == size:
            break
        told.append(event)
        place = Place(key, place.event) if event.kind == EPOCH else Place(place.epoch, key)
    return told, place


def _epochs(session: Session, job_id: str, place: Place, last: int, size: int) -> Iterator[tuple[Any, Event]]:
    order = (EpochRow.revision, EpochRow.number, EpochRow.fold, EpochRow.epoch)
    columns = (*order, EpochRow.seconds, EpochRow.learning_rate, EpochRow.metrics)
    mine = (EpochRow.job_id == job_id, EpochRow.revision <= last, tuple_(*order) > tuple_(*place.epoch))
    found = session.execute(select(*columns).where(*mine).order_by(*order).limit(size)).all()
    for revision, number, fold, epoch, seconds, learning_rate, metrics in found:
        data = {
            "trial": number,
            "fold": fold,
            "epoch": epoch,
            "seconds": seconds,
            "learning_rate": learning_rate,
            "metrics": metrics,
        }
        assert revision is not None
        yield (revision, number, fold, epoch), Event(EPOCH, revision, data)


def _events(session: Session, job_id: str, place: Place, last: int, size: int) -> Iterator[tuple[Any, Event]]:
    order = (EventRow.revision, EventRow.id)
    mine = (EventRow.job_id == job_id, EventRow.revision <= last, tuple_(*order) > tuple_(*place.event))
    # A trial's hyperparameters never change: one copy of them is enough.
    its_trial = (TrialRow.job_id == EventRow.job_id) & (TrialRow.number == EventRow.number)
    found = select(EventRow, TrialRow.hyperparameters).outerjoin(TrialRow, its_trial).where(*mine)
    for row, hyperparameters in session.execute(found.order_by(*order).limit(size)).all():
        data = {"time": row.time, "state": row.state, **row.data}
        if row.number is not None:
            data |= {"number": row.number, "hyperparameters": hyperparameters}
        kind = JOB if row.number is None else TRIAL
        yield (row.revision, row.id), Event(kind, row.revision, data)
