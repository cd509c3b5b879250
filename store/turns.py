"""Whose trial is next: stride scheduling over jobs (Waldspurger and Weihl 1995).

Each trial that a job starts moves its ``turn`` on by a stride, the shorter the higher its priority; the job
that is furthest behind is next. So jobs share the slots whatever they have in the queue, and a job with ten
thousand trials does not keep one with five waiting.
"""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from schemas.states import JobState, TrialState
from store.leases import updated
from store.tables import MAX_FAULTS, JobRow, TrialRow

_SEARCHING = (JobState.QUEUED, JobState.RUNNING)
# A job of priority 6 has twice the turns of one of priority 5.
_EVEN = 5


def next_trial(session: Session) -> tuple[str, int] | None:
    """The waiting trial that a free slot should take."""
    found = session.execute(
        select(TrialRow.job_id, TrialRow.number)
        .join(JobRow, JobRow.id == TrialRow.job_id)
        .where(TrialRow.state == TrialState.PENDING, TrialRow.stop.is_(None))
        .where(JobRow.state.in_(_SEARCHING), JobRow.faults < MAX_FAULTS)
        .order_by(JobRow.turn, JobRow.id, TrialRow.number)
        .limit(1)
    ).one_or_none()
    return None if found is None else (found.job_id, found.number)


def taken(session: Session, job_id: str) -> None:
    """A trial of the job has got a slot."""
    priority = session.scalar(select(JobRow.priority).where(JobRow.id == job_id))
    stride = 2.0 ** (_EVEN - int(priority or 0))
    updated(session, update(JobRow).where(JobRow.id == job_id).values(turn=JobRow.turn + stride))


def rejoin(session: Session, job_id: str) -> None:
    """A job that comes (back) to the search neither is owed anything for the time before, nor owes it."""
    others = (JobRow.state.in_(_SEARCHING), JobRow.id != job_id)
    least = session.scalar(select(func.min(JobRow.turn)).where(*others))
    if least is not None:
        updated(session, update(JobRow).where(JobRow.id == job_id).values(turn=least))
