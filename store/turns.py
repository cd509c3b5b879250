"""Whose trial is next: stride scheduling over jobs (Waldspurger and Weihl 1995).

Each trial that a job starts moves its ``turn`` on by a stride, the shorter the higher its priority; the job
that is furthest behind is next. So jobs share the slots whatever they have in the queue, and a job with ten
thousand trials does not keep one with five waiting.
"""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from schemas.states import JobState, TrialState
from store.leases import updated
from store.tables import MAX_FAULTS, JobRow, TrialRow

# A job of priority 6 has twice the turns of one of priority 5.
_EVEN = 5
# So many turns of an even job may be made up for by one that had nothing waiting for a while.
_CREDIT = 4.0


def next_trial(session: Session) -> tuple[str, int] | None:
    """The waiting trial that a free slot should take."""
    found = session.execute(
        select(TrialRow.job_id, TrialRow.number)
        .join(JobRow, JobRow.id == TrialRow.job_id)
        .where(*_waiting())
        .order_by(JobRow.turn, JobRow.id, TrialRow.number)
        .limit(1)
    ).one_or_none()
    return None if found is None else (found.job_id, found.number)


def taken(session: Session, job_id: str) -> None:
    """A trial of the job has got a slot."""
    priority = session.scalar(select(JobRow.priority).where(JobRow.id == job_id))
    stride = 2.0 ** (_EVEN - int(priority or 0))
    updated(session, update(JobRow).where(JobRow.id == job_id).values(turn=JobRow.turn + stride))


def join(session: Session, job_id: str) -> None:
    """A job that comes (back) to the search neither is owed anything for the time before, nor owes it."""
    if (now := _turn_of_others(session, job_id)) is not None:
        updated(session, update(JobRow).where(JobRow.id == job_id).values(turn=now))


def limit_credit(session: Session, job_id: str) -> None:
    """A job that had nothing waiting for a while does not get all the turns that it has missed."""
    if (now := _turn_of_others(session, job_id)) is not None:
        mine = (JobRow.id == job_id, JobRow.turn < now - _CREDIT)
        updated(session, update(JobRow).where(*mine).values(turn=now - _CREDIT))


def _turn_of_others(session: Session, job_id: str) -> float | None:
    """Where the others are: those with waiting trials, or else the one that is furthest ahead."""
    waiting = select(func.min(JobRow.turn)).join(TrialRow, TrialRow.job_id == JobRow.id)
    least = session.scalar(waiting.where(*_waiting(), JobRow.id != job_id))
    if least is not None:
        return float(least)
    searching = (JobRow.state.in_(JobState.searching()), JobRow.faults < MAX_FAULTS)
    most = session.scalar(select(func.max(JobRow.turn)).where(*searching, JobRow.id != job_id))
    return None if most is None else float(most)


def _waiting() -> list[Any]:
    """Trials that may begin."""
    wanted = [TrialRow.state == TrialState.PENDING, TrialRow.stop.is_(None)]
    return [*wanted, JobRow.state.in_(JobState.searching()), JobRow.faults < MAX_FAULTS]
