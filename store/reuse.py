"""The trial cache: results of finished trials, for equal ones of other jobs.

Two trials with the same key (`JobSpec.cache_key`) would come to the same scores. Only within a project.
"""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from schemas.states import TrialState
from store import curves, events, trials
from store.database import clock
from store.tables import JobRow, TrialRow


def find(session: Session, project: str, key: str) -> TrialRow | None:
    """A completed trial with the key that was trained, not itself taken from another; the oldest."""
    return session.scalar(
        select(TrialRow)
        .join(JobRow, JobRow.id == TrialRow.job_id)
        .where(TrialRow.cache_key == key, TrialRow.state == TrialState.COMPLETED)
        .where(TrialRow.reused.is_(None), TrialRow.score.is_not(None), JobRow.project == project)
        .order_by(TrialRow.job_id, TrialRow.number)
        .limit(1)
    )


def take(session: Session, job_id: str, number: int, source: TrialRow) -> None:
    """Completes a waiting trial with the result of another, its epochs included."""
    copied = ("score", "deviation", "best_epoch", "last_epoch", "folds", "metrics", "parameters", "device")
    mine = (TrialRow.job_id == job_id, TrialRow.number == number, TrialRow.state == TrialState.PENDING)
    ended = {"state": TrialState.COMPLETED, "start_time": clock(), "end_time": clock()}
    reused = {"job": source.job_id, "trial": source.number}
    values = {name: getattr(source, name) for name in copied}
    revision = trials.touch_job(session, job_id)
    taken = update(TrialRow).where(*mine).values(**ended, **values, reused=reused)
    if events.moved(session, job_id, taken, events.REUSED):
        epochs = curves.of(session, source.job_id, [source.number])[source.number]
        curves.add(session, job_id, number, epochs, revision)
