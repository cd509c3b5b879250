"""Checkpoints on their way between a training and the storage."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.logs import logger
from schemas.problems import Unavailable
from store import attempts, curves, jobs
from store.attempts import Claim
from store.leases import LeaseLost
from tasks.context import Context

if TYPE_CHECKING:
    from tuning.checkpoints import Checkpoint, Start

_log = logger(__name__)


def put(context: Context, claim: Claim, state: "Checkpoint | None") -> str | None:
    """Stores where a training stands; says where.

    Raises:
        Unavailable: the storage does not answer.
    """
    if state is None:
        return None
    lease = claim.lease
    # Under the attempt's own name: an attempt that was presumed dead writes over nothing.
    path = f"{jobs.blob_folder(lease.job_id)}/trials/{lease.number}/{claim.attempt}/checkpoint.npz"
    with tempfile.TemporaryDirectory(dir=context.scratch) as folder:
        file = Path(folder) / "checkpoint.npz"
        state.save(file)
        context.blobs.put(path, file)
    return path


def start_of(context: Context, claim: Claim) -> "Start | None":
    """Where a claimed trial goes on from: its own state, its parent's, or nowhere.

    A state that is gone, or cannot be read, only costs time: the trial is then trained from nothing.

    Raises:
        Unavailable: the storage does not answer.
    """
    from tuning.checkpoints import Checkpoint, CheckpointMismatch, Start

    if claim.checkpoint is None:
        return None
    lease = claim.lease
    assert lease.number is not None
    with tempfile.TemporaryDirectory(dir=context.scratch) as folder:
        file = Path(folder) / "checkpoint.npz"
        try:
            context.blobs.fetch(claim.checkpoint, file)
            state = Checkpoint.load(file)
        except (Unavailable, CheckpointMismatch) as error:
            if isinstance(error, Unavailable) and not isinstance(error.__cause__, FileNotFoundError):
                raise
            _log.warning("trained from nothing", job=lease.job_id, trial=lease.number, error=str(error))
            begin_anew(context, claim)
            return None
    with context.database.read() as session:
        earlier = curves.before(session, lease.job_id, claim.effort.parent)
        own = curves.of(session, lease.job_id, [lease.number])[lease.number]
    return Start(state, earlier, own)


def begin_anew(context: Context, claim: Claim) -> None:
    """Forgets what was reported before: the trial is trained from nothing.

    Raises:
        LeaseLost: it is somebody else's by now.
    """
    with context.database.write() as session:
        superseded = attempts.begin_anew(session, claim.lease, context.settings.lease_seconds)
    drop(context, superseded)


@contextmanager
def dropped_if_lost(context: Context, path: str | None) -> Iterator[None]:
    """What was stored for a trial that turns out to be somebody else's is deleted again."""
    try:
        yield
    except LeaseLost:
        drop(context, path)
        raise


def drop(context: Context, path: str | None) -> None:
    """Deletes a state that nothing names; a storage that is away keeps it."""
    if path is not None:
        with suppress(Unavailable):
            context.blobs.delete(path)
