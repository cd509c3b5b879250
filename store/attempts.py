"""An attempt at a trial: taken by one worker, renewed, reported on, and completed, put back or lost.

Every write names the lease: who was presumed dead writes over nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, literal, or_, select, update
from sqlalchemy.orm import Session

from schemas.distributions import Value
from schemas.states import JobState, TrialState
from schemas.trials import FULL, Effort, Epoch
from store import curves, events, leases, trials, turns
from store.database import clock
from store.leases import Lease, LeaseLost, updated
from store.tables import TrialRow

# A trial whose worker was lost so often is not tried again: it may be what kills them.
MAX_LOSSES = 3


@dataclass(frozen=True)
class Outcome:
    """What a worker found out about a trial. ``score`` is None exactly when nothing counts."""

    state: TrialState
    score: float | None = None
    best_epoch: int | None = None
    metrics: Mapping[str, float | None] | None = None
    deviation: float | None = None
    folds: Sequence[Mapping[str, Any]] | None = None
    parameters: int | None = None
    error: Mapping[str, Any] | None = None
    weights: str | None = None
    device: str | None = None
    last_epoch: int | None = None
    checkpoint: str | None = None
    range_test: Mapping[str, Any] | None = None
    stop: str | None = None


@dataclass(frozen=True)
class Claim:
    """A trial that this worker has just taken.

    Args:
        checkpoint: blob of the state in which an earlier attempt, or its parent, has left the training.
    """

    lease: Lease
    attempt: int
    hyperparameters: Mapping[str, Value]
    effort: Effort = FULL
    checkpoint: str | None = None


def claim(session: Session, job_id: str, number: int, worker: str, seconds: float) -> Claim | None:
    """Takes a pending trial; None when somebody else has it, or it is not wanted any more."""
    trials.lock_job(session, job_id)
    taken = updated(
        session,
        update(TrialRow)
        .where(TrialRow.job_id == job_id, TrialRow.number == number)
        .where(TrialRow.state == TrialState.PENDING, TrialRow.stop.is_(None))
        .where(trials.job_state(job_id).in_(JobState.searching()))
        .values(
            {
                TrialRow.state: TrialState.RUNNING,
                TrialRow.start_time: clock(),
                **leases.claimed(worker, seconds, TrialRow),
            }
        ),
    )
    if not taken:
        return None
    trials.touch_job(session, job_id)
    events.trials(session, job_id, TrialRow.number == number)
    turns.taken(session, job_id)
    row = trials.row_of(session, job_id, number)
    curves.cut(session, job_id, number, row.checkpoint_fold or 0, row.checkpoint_epoch or 0)
    checkpoint = row.checkpoint
    if checkpoint is None and row.parent is not None:
        checkpoint = trials.row_of(session, job_id, row.parent).checkpoint
    lease = Lease(job_id, number, row.lease_epoch)
    return Claim(lease, row.attempt, row.hyperparameters, trials.effort_of(row), checkpoint)


def renew(session: Session, lease: Lease, seconds: float) -> str | None:
    """Renews the lease; says why the trial is to stop, if it is.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    leases.renew(session, lease, seconds)
    return session.scalar(select(TrialRow.stop).where(*lease.owns()))


def report(session: Session, lease: Lease, epoch: Epoch, seconds: float, device: str = "") -> str | None:
    """Writes one epoch down; like `renew` otherwise.

    Args:
        device: that the trial runs on: its seconds there count from now.
    """
    revision = trials.touch_job(session, lease.job_id)
    leases.changed(session, lease, device=device)
    assert lease.number is not None
    stop = renew(session, lease, seconds)
    curves.add(session, lease.job_id, lease.number, [epoch], revision)
    return stop


def complete(session: Session, lease: Lease, outcome: Outcome) -> str | None:
    """Ends the trial with what came out; says which checkpoint nothing names any more.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    trials.touch_job(session, lease.job_id)
    before = _checkpoint(session, lease)
    _moved(
        session,
        lease,
        None,
        state=outcome.state,
        score=outcome.score,
        best_epoch=outcome.best_epoch,
        metrics=dict(outcome.metrics or {}),
        deviation=outcome.deviation,
        folds=None if outcome.folds is None else [dict(fold) for fold in outcome.folds],
        parameters=outcome.parameters,
        error=outcome.error,
        weights=outcome.weights,
        device=func.coalesce(outcome.device, TrialRow.device),
        stop=outcome.stop,
        last_epoch=outcome.last_epoch,
        checkpoint=outcome.checkpoint,
        range_test=None if outcome.range_test is None else dict(outcome.range_test),
        checkpoint_fold=None,
        checkpoint_epoch=None,
        end_time=clock(),
        lease_expires_at=None,
    )
    return before


def put_back(session: Session, lease: Lease, checkpoint: str | None, fold: int, epoch: int) -> str | None:
    """The owner leaves a trial as it stands, for whoever goes on with it.

    Says which checkpoint nothing names any more.

    Args:
        checkpoint: blob of its state at the end of that epoch of that fold.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    trials.touch_job(session, lease.job_id)
    before = _checkpoint(session, lease)
    kept = {"checkpoint": checkpoint, "checkpoint_fold": fold, "checkpoint_epoch": epoch}
    waiting = {**_waiting(TrialRow.stop), **(kept if checkpoint else {})}
    _moved(session, lease, trials.PAUSED, **waiting)
    return before if checkpoint else None


def begin_anew(session: Session, lease: Lease, seconds: float) -> str | None:
    """Forgets what the trial has reported before: it is trained from nothing.

    Says which checkpoint nothing names any more.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    assert lease.number is not None
    trials.touch_job(session, lease.job_id)
    leases.renew(session, lease, seconds)
    before = _checkpoint(session, lease)
    nothing = {"checkpoint": None, "checkpoint_fold": None, "checkpoint_epoch": None}
    _moved(session, lease, events.BEGUN_ANEW, **nothing)
    curves.cut(session, lease.job_id, lease.number, 0, 0)
    return before


def _moved(session: Session, lease: Lease, reason: str | None, **values: Any) -> None:
    """Writes as the owner, and notes what has become of the trial; or raises `LeaseLost`."""
    if not events.moved(
        session, lease.job_id, update(TrialRow).where(*lease.owns()).values(**values), reason
    ):
        raise LeaseLost(f"{lease.job_id} {lease.number}")


def _checkpoint(session: Session, lease: Lease) -> str | None:
    return session.scalar(select(TrialRow.checkpoint).where(*lease.owns()))


def lose(session: Session, lease: Lease, code: str, message: str) -> str | None:
    """The owner cannot go on, through no fault of the trial: it waits again, up to `MAX_LOSSES`.

    Says which checkpoint nothing names any more.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    trials.touch_job(session, lease.job_id)
    losses = session.scalar(select(TrialRow.losses).where(*lease.owns()))
    if losses is not None and losses + 1 >= MAX_LOSSES:
        failed = Outcome(TrialState.FAILED, error={"code": code, "message": message})
        return complete(session, lease, failed)
    # Sent again by reconcile, which gives what is away time to come back.
    values = {**_waiting(TrialRow.stop), "sent_at": clock(), "losses": TrialRow.losses + 1}
    _moved(session, lease, code, **values)
    return None


def hand_back_all(session: Session, worker: str) -> list[tuple[str, int]]:
    """All that a worker owns that is shutting down; says which trials."""
    mine = (TrialRow.worker == worker, TrialRow.state == TrialState.RUNNING)
    keys = session.execute(select(TrialRow.job_id, TrialRow.number).where(*mine)).all()
    for job_id in sorted({job_id for job_id, _ in keys}):
        trials.touch_job(session, job_id)
        back = update(TrialRow).where(*mine, TrialRow.job_id == job_id).values(**_waiting(TrialRow.stop))
        events.moved(session, job_id, back, events.HANDED_BACK)
    return [(job_id, number) for job_id, number in keys]


def expired(session: Session) -> list[tuple[str, int]]:
    """Running trials whose worker has given no sign for a whole lease."""
    rows = session.execute(
        select(TrialRow.job_id, TrialRow.number)
        .where(TrialRow.state == TrialState.RUNNING, TrialRow.lease_expires_at < clock())
        .where(trials.looked_after())
        .limit(500)
    )
    return [(job_id, number) for job_id, number in rows]


def release(session: Session, job_id: str, number: int) -> None:
    """Takes an expired trial from its lost worker: it waits again, or has been lost too often."""
    trials.touch_job(session, job_id)
    mine = [TrialRow.job_id == job_id, TrialRow.number == number]
    lost = [*mine, TrialRow.state == TrialState.RUNNING, TrialRow.lease_expires_at < clock()]
    poison = {
        "code": "poison",
        "message": f"The worker was lost {MAX_LOSSES} times while it ran this trial.",
    }
    ended = {"end_time": clock(), "lease_expires_at": None}
    once_more = TrialRow.losses + 1
    worn = (*lost, once_more >= MAX_LOSSES, or_(TrialRow.stop.is_(None), trials.pausing()))
    # Not because it was told to pause.
    failed = {"state": TrialState.FAILED, "error": poison, "losses": once_more, "stop": None, **ended}
    events.moved(session, job_id, update(TrialRow).where(*worn).values(**failed), events.LOST)
    waiting = {"losses": once_more, **_waiting(TrialRow.stop)}
    events.moved(session, job_id, update(TrialRow).where(*lost).values(**waiting), events.LOST)


def _waiting(stop: Any) -> dict[str, Any]:
    """Values of a trial that waits again; one that was told to stop for good is cancelled instead."""
    wanted = or_(stop.is_(None), stop == trials.PAUSED)
    return {
        "state": case((wanted, literal(TrialState.PENDING)), else_=literal(TrialState.CANCELLED)),
        "stop": case((wanted, None), else_=stop),
        "lease_expires_at": None,
        "end_time": case((wanted, None), else_=clock()),
        "sent_at": 0.0,
        # Of one that ends here, the end and the start of its last attempt say how long that was.
        "start_time": case((wanted, None), else_=TrialRow.start_time),
        "used_seconds": case((wanted, trials.lasted()), else_=TrialRow.used_seconds),
    }
