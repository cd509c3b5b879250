"""Trials: made by the plan, told to stop, listed; what one attempt does to one is in `store.attempts`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.orm import Session

from schemas.pages import Page
from schemas.problems import Conflict, NotFound
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Effort, Suggestion, Trial
from store import curves, events, turns
from store.database import clock, seconds_between
from store.leases import updated
from store.pages import paged
from store.tables import MAX_FAULTS, JobRow, TrialRow

CANCELLED = "cancelled"
PAUSED = "paused"


def create(
    session: Session, job_id: str, first: int, found: Sequence[Suggestion], keys: Sequence[str | None] = ()
) -> None:
    """Inserts trials numbered from ``first``; moves the job's revision.

    Args:
        keys: of the cache, of each.

    Raises:
        sqlalchemy.exc.IntegrityError: another plan was faster.
    """
    touch_job(session, job_id)
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
    events.trials(session, job_id, TrialRow.number >= first)
    turns.limit_credit(session, job_id)


def effort_of(row: TrialRow) -> Effort:
    return Effort(row.until_epoch, row.data_share, row.parent, row.stage)


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
    again = update(TrialRow).where(*dropped).values(**waiting, **used)
    events.moved(session, job_id, again, events.EXTENDED)


def stop_all(session: Session, job_id: str, reason: str) -> None:
    """Tells every trial of a job to stop: waiting ones at once, running ones by a flag."""
    mine = TrialRow.job_id == job_id
    dropped = {"state": TrialState.CANCELLED, "stop": reason, "end_time": clock()}
    waiting = (mine, TrialRow.state == TrialState.PENDING)
    events.moved(session, job_id, update(TrialRow).where(*waiting).values(**dropped))
    running = (mine, TrialRow.state == TrialState.RUNNING, or_(TrialRow.stop.is_(None), pausing()))
    updated(session, update(TrialRow).where(*running).values(stop=reason))


def tell_to_pause(session: Session, job_id: str) -> None:
    """Running trials are to leave what they have at the end of their epoch."""
    mine = (TrialRow.job_id == job_id, TrialRow.state == TrialState.RUNNING, TrialRow.stop.is_(None))
    updated(session, update(TrialRow).where(*mine).values(stop=PAUSED))


def tell_to_go_on(session: Session, job_id: str) -> None:
    """Takes that back; those that wait are due to be sent."""
    mine = TrialRow.job_id == job_id
    updated(session, update(TrialRow).where(mine, pausing()).values(stop=None))
    updated(session, update(TrialRow).where(mine, TrialRow.state == TrialState.PENDING).values(sent_at=0.0))


def pausing() -> ColumnElement[bool]:
    return TrialRow.stop == PAUSED


def cancel(session: Session, job_id: str, number: int) -> Trial:
    """Ends one trial; idempotent.

    Raises:
        NotFound: no such trial.
        Conflict: it has ended in another way already.
    """
    lock_job(session, job_id)
    row = row_of(session, job_id, number)
    if TrialState(row.state).is_terminal and row.state != TrialState.CANCELLED:
        raise Conflict("trial_ended", f"Trial {number} is {row.state} already.")
    mine = [TrialRow.job_id == job_id, TrialRow.number == number]
    if not TrialState(row.state).is_terminal and row.stop in (None, PAUSED):
        touch_job(session, job_id)
        dropped = {"state": TrialState.CANCELLED, "stop": CANCELLED, "end_time": clock()}
        waiting = update(TrialRow).where(*mine, TrialRow.state == TrialState.PENDING)
        events.moved(session, job_id, waiting.values(**dropped))
        running = update(TrialRow).where(*mine, TrialRow.state == TrialState.RUNNING)
        updated(session, running.values(stop=CANCELLED))
    session.expire_all()
    return get(session, job_id, number)


def late(session: Session, seconds: float) -> list[tuple[str, int]]:
    """Waiting trials whose message went out so long ago that it must have been lost."""
    rows = session.execute(
        select(TrialRow.job_id, TrialRow.number)
        .where(TrialRow.state == TrialState.PENDING, TrialRow.sent_at < clock() - seconds)
        .where(looked_after(), ~_of_paused_jobs())
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
    return row_of(session, job_id, number).weights


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
    trial = _trial(row_of(session, job_id, number))
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
        if not effort_of(row).is_range_test
    }


def touch_job(session: Session, job_id: str) -> int:
    """Moves the job's revision, for something that clients can see changes; says what it is now.

    Before the trial's own row is written: whoever locks rows of both tables locks the job's first, or two
    of them could wait for each other for ever (PostgreSQL).
    """
    moved = update(JobRow).where(JobRow.id == job_id).values(revision=JobRow.revision + 1)
    options = {"synchronize_session": False}
    return int(session.scalar(moved.returning(JobRow.revision), execution_options=options) or 0)


def lock_job(session: Session, job_id: str) -> None:
    """As `touch_job` does, for what may turn out to change nothing."""
    session.execute(select(JobRow.id).where(JobRow.id == job_id).with_for_update())


def count_in_flight(session: Session, job_id: str) -> int:
    query = select(func.count()).select_from(TrialRow).where(TrialRow.job_id == job_id, in_flight())
    return int(session.scalar(query) or 0)


def in_flight() -> ColumnElement[bool]:
    return or_(TrialRow.state == TrialState.PENDING, TrialRow.state == TrialState.RUNNING)


def looked_after() -> ColumnElement[bool]:
    """Whether reconcile has not given up on the trial's job."""
    return TrialRow.job_id.in_(select(JobRow.id).where(JobRow.faults < MAX_FAULTS))


def _of_paused_jobs() -> ColumnElement[bool]:
    return TrialRow.job_id.in_(select(JobRow.id).where(JobRow.state == JobState.PAUSED))


def job_state(job_id: str) -> Any:
    return select(JobRow.state).where(JobRow.id == job_id).scalar_subquery()


def row_of(session: Session, job_id: str, number: int) -> TrialRow:
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
        effort=effort_of(row),
        stop_reason=row.stop,
        last_epoch=row.last_epoch,
        reused=row.reused,
        range_test=row.range_test,
    )
