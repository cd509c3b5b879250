"""Trials: made by the plan, owned by one worker at a time, completed once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, or_, select, update
from sqlalchemy.orm import Session

from schemas.distributions import Value
from schemas.pages import Page
from schemas.problems import Conflict, NotFound
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import FULL, Effort, Epoch, Suggestion, Trial
from store import curves, leases, turns
from store.database import clock, seconds_between
from store.leases import Lease, updated
from store.pages import paged
from store.tables import MAX_FAULTS, JobRow, TrialRow

# A trial whose worker was lost so often is not tried again: it may be what kills them.
MAX_LOSSES = 3
CANCELLED = "cancelled"
PAUSED = "paused"


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


def create(
    session: Session, job_id: str, first: int, found: Sequence[Suggestion], keys: Sequence[str | None] = ()
) -> None:
    """Inserts trials numbered from ``first``.

    Args:
        keys: of the cache, of each.

    Raises:
        sqlalchemy.exc.IntegrityError: another plan was faster.
    """
    session.add_all(
        TrialRow(
            job_id=job_id,
            number=first + index,
            state=TrialState.PENDING,
            hyperparameters=dict(one.values),
            until_epoch=one.effort.until_epoch,
            data_share=one.effort.data_share,
            parent=one.effort.parent,
            stage=None if one.effort.stage is None else dict(one.effort.stage),
            cache_key=keys[index] if keys else None,
        )
        for index, one in enumerate(found)
    )
    session.flush()
    turns.limit_credit(session, job_id)


def _effort(row: TrialRow) -> Effort:
    return Effort(row.until_epoch, row.data_share, row.parent, row.stage)


def claim(session: Session, job_id: str, number: int, worker: str, seconds: float) -> Claim | None:
    """Takes a pending trial; None when somebody else has it, or it is not wanted any more."""
    _lock_job(session, job_id)
    taken = updated(
        session,
        update(TrialRow)
        .where(TrialRow.job_id == job_id, TrialRow.number == number)
        .where(TrialRow.state == TrialState.PENDING, TrialRow.stop.is_(None))
        .where(_job_state(job_id).in_(JobState.searching()))
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
    touch_job(session, job_id)
    turns.taken(session, job_id)
    row = _row(session, job_id, number)
    curves.cut(session, job_id, number, row.checkpoint_fold or 0, row.checkpoint_epoch or 0)
    checkpoint = row.checkpoint
    if checkpoint is None and row.parent is not None:
        checkpoint = _row(session, job_id, row.parent).checkpoint
    lease = Lease(job_id, number, row.lease_epoch)
    return Claim(lease, row.attempt, row.hyperparameters, _effort(row), checkpoint)


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
    touch_job(session, lease.job_id)
    leases.changed(session, lease, device=device)
    assert lease.number is not None
    stop = renew(session, lease, seconds)
    curves.add(session, lease.job_id, lease.number, [epoch])
    return stop


def complete(session: Session, lease: Lease, outcome: Outcome) -> str | None:
    """Ends the trial with what came out; says which checkpoint nothing names any more.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    touch_job(session, lease.job_id)
    before = _checkpoint(session, lease)
    leases.changed(
        session,
        lease,
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
    touch_job(session, lease.job_id)
    before = _checkpoint(session, lease)
    kept = {"checkpoint": checkpoint, "checkpoint_fold": fold, "checkpoint_epoch": epoch}
    leases.changed(session, lease, **_waiting(TrialRow.stop), **(kept if checkpoint else {}))
    return before if checkpoint else None


def begin_anew(session: Session, lease: Lease, seconds: float) -> str | None:
    """Forgets what the trial has reported before: it is trained from nothing.

    Says which checkpoint nothing names any more.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    assert lease.number is not None
    leases.renew(session, lease, seconds)
    before = _checkpoint(session, lease)
    leases.changed(session, lease, checkpoint=None, checkpoint_fold=None, checkpoint_epoch=None)
    curves.cut(session, lease.job_id, lease.number, 0, 0)
    return before


def _checkpoint(session: Session, lease: Lease) -> str | None:
    return session.scalar(select(TrialRow.checkpoint).where(*lease.owns()))


def lose(session: Session, lease: Lease, code: str, message: str) -> str | None:
    """The owner cannot go on, through no fault of the trial: it waits again, up to `MAX_LOSSES`.

    Says which checkpoint nothing names any more.

    Raises:
        LeaseLost: the trial is somebody else's by now.
    """
    touch_job(session, lease.job_id)
    losses = session.scalar(select(TrialRow.losses).where(*lease.owns()))
    if losses is not None and losses + 1 >= MAX_LOSSES:
        failed = Outcome(TrialState.FAILED, error={"code": code, "message": message})
        return complete(session, lease, failed)
    # Sent again by reconcile, which gives what is away time to come back.
    values = {**_waiting(TrialRow.stop), "sent_at": clock(), "losses": TrialRow.losses + 1}
    leases.changed(session, lease, **values)
    return None


def hand_back_all(session: Session, worker: str) -> list[tuple[str, int]]:
    """All that a worker owns that is shutting down; says which trials."""
    mine = (TrialRow.worker == worker, TrialRow.state == TrialState.RUNNING)
    keys = session.execute(select(TrialRow.job_id, TrialRow.number).where(*mine)).all()
    for job_id in sorted({job_id for job_id, _ in keys}):
        touch_job(session, job_id)
    updated(session, update(TrialRow).where(*mine).values(**_waiting(TrialRow.stop)))
    return [(job_id, number) for job_id, number in keys]


def expired(session: Session) -> list[tuple[str, int]]:
    """Running trials whose worker has given no sign for a whole lease."""
    rows = session.execute(
        select(TrialRow.job_id, TrialRow.number)
        .where(TrialRow.state == TrialState.RUNNING, TrialRow.lease_expires_at < clock())
        .where(_looked_after())
        .limit(500)
    )
    return [(job_id, number) for job_id, number in rows]


def release(session: Session, job_id: str, number: int) -> None:
    """Takes an expired trial from its lost worker: it waits again, or has been lost too often."""
    touch_job(session, job_id)
    mine = [TrialRow.job_id == job_id, TrialRow.number == number]
    lost = [*mine, TrialRow.state == TrialState.RUNNING, TrialRow.lease_expires_at < clock()]
    poison = {
        "code": "poison",
        "message": f"The worker was lost {MAX_LOSSES} times while it ran this trial.",
    }
    ended = {"end_time": clock(), "lease_expires_at": None}
    updated(
        session,
        update(TrialRow)
        .where(*lost, TrialRow.losses + 1 >= MAX_LOSSES, or_(TrialRow.stop.is_(None), _pausing()))
        .values(state=TrialState.FAILED, error=poison, losses=TrialRow.losses + 1, **ended),
    )
    updated(
        session,
        update(TrialRow).where(*lost).values(losses=TrialRow.losses + 1, **_waiting(TrialRow.stop)),
    )


def _waiting(stop: Any) -> dict[str, Any]:
    """Values of a trial that waits again; one that was told to stop for good is cancelled instead."""
    wanted = or_(stop.is_(None), stop == PAUSED)
    return {
        "state": case((wanted, literal(TrialState.PENDING)), else_=literal(TrialState.CANCELLED)),
        "stop": case((wanted, None), else_=stop),
        "lease_expires_at": None,
        "end_time": case((wanted, None), else_=clock()),
        "sent_at": 0.0,
        # Of one that ends here, the end and the start of its last attempt say how long that was.
        "start_time": case((wanted, None), else_=TrialRow.start_time),
        "used_seconds": case((wanted, lasted()), else_=TrialRow.used_seconds),
    }


def lasted() -> ColumnElement[float]:
    """Seconds that a trial has had a slot, in all its attempts, up to now."""
    last = seconds_between(TrialRow.start_time, func.coalesce(TrialRow.end_time, clock()))
    return TrialRow.used_seconds + func.coalesce(last, 0.0)


def gpu_seconds(session: Session, job_id: str) -> float:
    """What the trials of a job have cost on GPUs."""
    on_gpu = (TrialRow.job_id == job_id, TrialRow.device.like("GPU%"))
    return float(session.scalar(select(func.coalesce(func.sum(lasted()), 0.0)).where(*on_gpu)) or 0.0)


def is_waiting(session: Session, job_id: str, number: int) -> bool:
    """Whether a trial waits for a slot."""
    row = session.get(TrialRow, (job_id, number), populate_existing=True)
    return row is not None and row.state == TrialState.PENDING


def revive(session: Session, job_id: str) -> None:
    """Trials that were dropped because their job ended, not because somebody cancelled them, wait again."""
    dropped = (
        TrialRow.job_id == job_id,
        TrialRow.state == TrialState.CANCELLED,
        TrialRow.stop.in_([reason for reason in StopReason if reason != StopReason.CANCELLED]),
    )
    waiting = {"state": TrialState.PENDING, "stop": None, "end_time": None, "sent_at": 0.0}
    used = {"used_seconds": lasted(), "start_time": None}
    updated(session, update(TrialRow).where(*dropped).values(**waiting, **used))


def stop_all(session: Session, job_id: str, reason: str) -> None:
    """Tells every trial of a job to stop: waiting ones at once, running ones by a flag."""
    mine = TrialRow.job_id == job_id
    updated(
        session,
        update(TrialRow)
        .where(mine, TrialRow.state == TrialState.PENDING)
        .values(state=TrialState.CANCELLED, stop=reason, end_time=clock()),
    )
    running = (mine, TrialRow.state == TrialState.RUNNING, or_(TrialRow.stop.is_(None), _pausing()))
    updated(session, update(TrialRow).where(*running).values(stop=reason))


def tell_to_pause(session: Session, job_id: str) -> None:
    """Running trials are to leave what they have at the end of their epoch."""
    mine = (TrialRow.job_id == job_id, TrialRow.state == TrialState.RUNNING, TrialRow.stop.is_(None))
    updated(session, update(TrialRow).where(*mine).values(stop=PAUSED))


def tell_to_go_on(session: Session, job_id: str) -> None:
    """Takes that back; those that wait are due to be sent."""
    mine = TrialRow.job_id == job_id
    updated(session, update(TrialRow).where(mine, _pausing()).values(stop=None))
    updated(session, update(TrialRow).where(mine, TrialRow.state == TrialState.PENDING).values(sent_at=0.0))


def _pausing() -> ColumnElement[bool]:
    return TrialRow.stop == PAUSED


def cancel(session: Session, job_id: str, number: int) -> Trial:
    """Ends one trial; idempotent.

    Raises:
        NotFound: no such trial.
        Conflict: it has ended in another way already.
    """
    _lock_job(session, job_id)
    row = _row(session, job_id, number)
    if TrialState(row.state).is_terminal and row.state != TrialState.CANCELLED:
        raise Conflict("trial_ended", f"Trial {number} is {row.state} already.")
    free = or_(TrialRow.stop.is_(None), _pausing())
    mine = [TrialRow.job_id == job_id, TrialRow.number == number, free]
    dropped = {"state": TrialState.CANCELLED, "stop": CANCELLED, "end_time": clock()}
    waiting = update(TrialRow).where(*mine, TrialRow.state == TrialState.PENDING).values(**dropped)
    running = update(TrialRow).where(*mine, TrialRow.state == TrialState.RUNNING).values(stop=CANCELLED)
    if updated(session, waiting) + updated(session, running):
        touch_job(session, job_id)
    session.expire_all()
    return get(session, job_id, number)


def late(session: Session, seconds: float) -> list[tuple[str, int]]:
    """Waiting trials whose message went out so long ago that it must have been lost."""
    rows = session.execute(
        select(TrialRow.job_id, TrialRow.number)
        .where(TrialRow.state == TrialState.PENDING, TrialRow.sent_at < clock() - seconds)
        .where(_looked_after(), ~_of_paused_jobs())
        .order_by(TrialRow.sent_at)
        .limit(500)
    )
    return [(job_id, number) for job_id, number in rows]


def sent(session: Session, job_id: str, numbers: Iterable[int]) -> None:
    """Notes that a message goes out now."""
    updated(
        session,
        update(TrialRow)
        .where(TrialRow.job_id == job_id, TrialRow.number.in_(list(numbers)))
        .values(sent_at=clock()),
    )


def weights_path(session: Session, job_id: str, number: int) -> str | None:
    return _row(session, job_id, number).weights


def superseded_weights(session: Session, job_id: str, keep: int, maximize: bool) -> list[TrialRow]:
    """Trials with stored weights that are not among the ``keep`` best."""
    stored = select(TrialRow).where(TrialRow.job_id == job_id, TrialRow.weights.is_not(None))
    ranked = stored.order_by(*best_first(maximize))
    return list(session.scalars(ranked))[keep:]


def best_first(maximize: bool) -> list[Any]:
    """The order of `Objective.prefers`: by score, then by validation loss; of equal ones the first."""
    loss = func.coalesce(TrialRow.metrics["val_loss"].as_float(), 1e300)
    return [TrialRow.score.desc() if maximize else TrialRow.score.asc(), loss, TrialRow.number]


def forget_weights(session: Session, job_id: str, number: int) -> None:
    mine = (TrialRow.job_id == job_id, TrialRow.number == number)
    updated(session, update(TrialRow).where(*mine).values(weights=None))


def get(session: Session, job_id: str, number: int) -> Trial:
    """A trial with its epochs.

    Raises:
        NotFound: no such trial.
    """
    trial = _trial(_row(session, job_id, number))
    return replace(trial, epochs=curves.of(session, job_id, [number])[number])


def every(session: Session, job_id: str) -> list[Trial]:
    """All trials of a job by number, without their epochs."""
    rows = session.scalars(select(TrialRow).where(TrialRow.job_id == job_id).order_by(TrialRow.number))
    return [_trial(row) for row in rows]


def page(
    session: Session, job_id: str, size: int, token: str | None, state: str | None, order_by: str
) -> Page[Trial]:
    """A page of trials: by number, by score (best first) or by duration (longest first)."""
    query = select(TrialRow).where(TrialRow.job_id == job_id)
    if state is not None:
        query = query.where(TrialRow.state == state)
    found = paged(session, _ordered(query, session, job_id, order_by), size, token)
    found_curves = curves.of(session, job_id, [row.number for row in found.items])
    listed = [replace(_trial(row), epochs=found_curves[row.number]) for row in found.items]
    return Page(listed, found.next_page_token)


def _ordered(query: Select[Any], session: Session, job_id: str, order_by: str) -> Select[Any]:
    if order_by == "score":
        spec = session.scalar(select(JobRow.spec).where(JobRow.id == job_id)) or {}
        sign = -1.0 if spec["objective"]["direction"] == "maximize" else 1.0
        # Keysets need a value to compare: trials without a score come after all others.
        loss = func.coalesce(TrialRow.metrics["val_loss"].as_float(), 1e300)
        return query.order_by(func.coalesce(TrialRow.score * sign, 1e300), loss, TrialRow.number)
    if order_by == "duration":
        seconds = seconds_between(TrialRow.start_time, TrialRow.end_time)
        return query.order_by(func.coalesce(seconds * -1.0, 1e300), TrialRow.number)
    return query.order_by(TrialRow.number)


@dataclass(frozen=True)
class Kin:
    """What another trial is to a trial."""

    parent: int | None
    has_ended: bool


def family(session: Session, job_id: str) -> dict[int, Kin]:
    """Every trial of a job that trains a model, with the one that it goes on from."""
    rows = session.scalars(select(TrialRow).where(TrialRow.job_id == job_id))
    return {
        row.number: Kin(row.parent, TrialState(row.state).is_terminal)
        for row in rows
        if not _effort(row).is_range_test
    }


def touch_job(session: Session, job_id: str) -> None:
    """Moves the job's revision, for something that clients can see changes.

    Before the trial's own row is written: whoever locks rows of both tables locks the job's first, or two
    of them could wait for each other for ever (PostgreSQL).
    """
    updated(session, update(JobRow).where(JobRow.id == job_id).values(revision=JobRow.revision + 1))


def _lock_job(session: Session, job_id: str) -> None:
    """As `touch_job` does, for what may turn out to change nothing."""
    session.execute(select(JobRow.id).where(JobRow.id == job_id).with_for_update())


def count_in_flight(session: Session, job_id: str) -> int:
    query = select(func.count()).select_from(TrialRow).where(TrialRow.job_id == job_id, in_flight())
    return int(session.scalar(query) or 0)


def in_flight() -> ColumnElement[bool]:
    return or_(TrialRow.state == TrialState.PENDING, TrialRow.state == TrialState.RUNNING)


def _looked_after() -> ColumnElement[bool]:
    """Whether reconcile has not given up on the trial's job."""
    return TrialRow.job_id.in_(select(JobRow.id).where(JobRow.faults < MAX_FAULTS))


def _of_paused_jobs() -> ColumnElement[bool]:
    return TrialRow.job_id.in_(select(JobRow.id).where(JobRow.state == JobState.PAUSED))


def _job_state(job_id: str) -> Any:
    return select(JobRow.state).where(JobRow.id == job_id).scalar_subquery()


def _row(session: Session, job_id: str, number: int) -> TrialRow:
    row = session.get(TrialRow, (job_id, number), populate_existing=True)
    if row is None:
        raise NotFound("trial_not_found", f"Job {job_id} has no trial {number}.")
    return row


def _trial(row: TrialRow) -> Trial:
    return Trial(
        number=row.number,
        state=TrialState(row.state),
        attempt=row.attempt,
        hyperparameters=row.hyperparameters,
        score=row.score,
        best_epoch=row.best_epoch,
        metrics=row.metrics,
        deviation=row.deviation,
        folds=row.folds,
        parameters=row.parameters,
        error=row.error,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        effort=_effort(row),
        stop_reason=row.stop,
        last_epoch=row.last_epoch,
        reused=row.reused,
        range_test=row.range_test,
    )
