"""Who owns a trial, or the finishing of a job: a lease that has to be renewed.

A claim is one UPDATE that takes the row from its waiting state and moves its ``lease_epoch`` on. Every
later write of the owner names that epoch; a worker that was presumed dead, and whose work another has
taken up, changes no row any more, and learns of it by `LeaseLost`.

The scheme is the fencing token of Kleppmann, "How to do distributed locking" (2016).
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from store.database import clock
from store.tables import JobRow, TrialRow


class LeaseLost(Exception):
    """Somebody else owns it now: leave quietly."""


@dataclass(frozen=True)
class Lease:
    """The right to write about one trial (``number`` given) or one job's finishing."""

    job_id: str
    number: int | None
    epoch: int

    @property
    def row(self) -> type[TrialRow] | type[JobRow]:
        return JobRow if self.number is None else TrialRow

    def owns(self) -> list[Any]:
        """The conditions under which the owner may write."""
        if self.number is None:
            return [JobRow.id == self.job_id, JobRow.lease_epoch == self.epoch, *_held(JobRow)]
        return [
            TrialRow.job_id == self.job_id,
            TrialRow.number == self.number,
            TrialRow.lease_epoch == self.epoch,
            *_held(TrialRow),
        ]


def _held(row: type[TrialRow] | type[JobRow]) -> list[Any]:
    return [row.lease_expires_at.is_not(None)]


def claimed(worker: str, seconds: float, row: type[TrialRow] | type[JobRow]) -> dict[Any, Any]:
    """The values of a claiming UPDATE."""
    return {
        row.worker: worker,
        row.attempt: row.attempt + 1,
        row.lease_epoch: row.lease_epoch + 1,
        row.lease_expires_at: clock() + seconds,
    }


def renew(session: Session, lease: Lease, seconds: float) -> None:
    """Holds the lease for so long from now.

    Raises:
        LeaseLost: it is somebody else's, or nobody's, by now.
    """
    changed(session, lease, lease_expires_at=clock() + seconds)


def changed(session: Session, lease: Lease, **values: Any) -> None:
    """Writes as the owner, or raises `LeaseLost`."""
    if updated(session, update(lease.row).where(*lease.owns()).values(**values)) != 1:
        raise LeaseLost(f"{lease.job_id} {lease.number}")


def updated(session: Session, statement: Any) -> int:
    """How many rows an UPDATE or DELETE changed."""
    result = session.execute(statement, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)
    return result.rowcount
