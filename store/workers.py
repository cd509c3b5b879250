"""Trial workers that are alive: rows with a heartbeat."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from schemas.states import JobState, TrialState
from store.database import clock
from store.leases import updated
from store.tables import MAX_FAULTS, JobRow, TrialRow, WorkerRow

# A worker that was not seen for so long does not count, and its row is dropped.
GONE_SECONDS = 60.0


@dataclass(frozen=True)
class Worker:
    id: str
    slots: int
    accelerators: Sequence[str]
    version: str


def seen(session: Session, worker: Worker) -> None:
    """Notes that the worker is alive now."""
    row = WorkerRow(
        id=worker.id,
        slots=worker.slots,
        accelerators=list(worker.accelerators),
        version=worker.version,
        seen_at=clock(),
    )
    session.merge(row)


def gone(session: Session, worker_id: str) -> None:
    updated(session, delete(WorkerRow).where(WorkerRow.id == worker_id))


def alive(session: Session) -> list[Worker]:
    rows = session.scalars(
        select(WorkerRow).where(WorkerRow.seen_at > clock() - GONE_SECONDS).order_by(WorkerRow.id)
    )
    return [Worker(row.id, row.slots, row.accelerators, row.version) for row in rows]


def forget_gone(session: Session) -> int:
    return updated(session, delete(WorkerRow).where(WorkerRow.seen_at < clock() - GONE_SECONDS))


def queue_depth(session: Session) -> int:
    """Trials that wait for a slot."""
    waiting = select(func.count()).select_from(TrialRow).join(JobRow, JobRow.id == TrialRow.job_id)
    looked_after = (JobRow.state != JobState.PAUSED, JobRow.faults < MAX_FAULTS)
    wanted = (TrialRow.state == TrialState.PENDING, *looked_after)
    return int(session.scalar(waiting.where(*wanted)) or 0)
