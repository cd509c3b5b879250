"""Checkpoints: blobs of trainings that may be gone on from, and when they are no longer needed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session, aliased

from schemas.states import JobState, TrialState
from store.leases import updated
from store.tables import JobRow, TrialRow


@dataclass(frozen=True)
class Checkpoint:
    job_id: str
    number: int
    path: str


def superseded(session: Session) -> Sequence[Checkpoint]:
    """Those of jobs that have ended, and of trials whose continuation has; some at a time."""
    child = aliased(TrialRow)
    continued = (
        select(child.number)
        .where(child.job_id == TrialRow.job_id, child.parent == TrialRow.number)
        .where(child.state.in_(TrialState.terminal()))
        .exists()
    )
    ended = TrialRow.job_id.in_(select(JobRow.id).where(JobRow.state.in_(JobState.terminal())))
    rows = session.execute(
        select(TrialRow.job_id, TrialRow.number, TrialRow.checkpoint)
        .where(TrialRow.checkpoint.is_not(None), or_(ended, continued))
        .limit(100)
    )
    return [Checkpoint(job_id, number, path) for job_id, number, path in rows if path is not None]


def forget(session: Session, one: Checkpoint) -> None:
    mine = (TrialRow.job_id == one.job_id, TrialRow.number == one.number, TrialRow.checkpoint == one.path)
    nothing = {"checkpoint": None, "checkpoint_fold": None, "checkpoint_epoch": None}
    updated(session, update(TrialRow).where(*mine).values(**nothing))
