"""The search of a job: what planning has to know, how it is paused, resumed, ended and extended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from schemas.budget import Budget, BudgetSchema
from schemas.problems import Conflict
from schemas.specs import JobSpec
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Trial
from store import curves, jobs, trials, turns
from store.database import clock, seconds_between
from store.leases import updated
from store.tables import MAX_FAULTS, JobRow, TrialRow

SEARCHING = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class Work:
    """What the plan and the finish need to know of a job."""

    id: str
    project: str
    state: JobState
    stop_reason: StopReason | None
    spec: Mapping[str, Any]
    spec_digest: str
    dataset: str
    dataset_digest: str
    deadline_passed: bool
    trials: Sequence[Trial]
    spent: "Spent"

    @property
    def in_flight(self) -> int:
        waiting = (TrialState.PENDING, TrialState.RUNNING)
        return sum(trial.state in waiting for trial in self.trials)


def work(session: Session, job_id: str) -> Work | None:
    row = session.get(JobRow, job_id)
    if row is None:
        return None
    return Work(
        id=row.id,
        project=row.project,
        state=JobState(row.state),
        stop_reason=None if row.stop_reason is None else StopReason(row.stop_reason),
        spec=row.spec,
        spec_digest=row.spec_digest,
        dataset=row.dataset,
        dataset_digest=row.dataset_digest,
        deadline_passed=_deadline_passed(session, row),
        trials=trials.every(session, job_id),
        spent=spent(session, job_id),
    )


@dataclass(frozen=True)
class Spent:
    """What the trials of a job have cost so far."""

    epochs: int = 0
    gpu_seconds: float = 0.0


def spent(session: Session, job_id: str) -> Spent:
    lasted = seconds_between(TrialRow.start_time, func.coalesce(TrialRow.end_time, clock()))
    on_gpu = (TrialRow.job_id == job_id, TrialRow.device.like("GPU%"))
    # One that was put back waits on no device.
    begun = TrialRow.state != TrialState.PENDING
    seconds = session.scalar(select(func.coalesce(func.sum(lasted), 0.0)).where(*on_gpu, begun))
    return Spent(curves.count(session, job_id), float(seconds or 0.0))


def is_spent(session: Session, job_id: str) -> bool:
    """Whether the trials of a job have cost all that its budget allows, by now."""
    row = session.get_one(JobRow, job_id, populate_existing=True)
    budget = _budget(row)
    if budget.max_epochs is None and budget.max_gpu_seconds is None:
        return False
    now = spent(session, job_id)
    return budget.is_spent(now.epochs, now.gpu_seconds)


def unchanged(session: Session, known: Work) -> bool:
    """Whether a job still is as it was read; if so, nobody else plans it before this commits."""
    locked = select(JobRow.state, JobRow.stop_reason, JobRow.spec_digest).where(JobRow.id == known.id)
    row = session.execute(locked.with_for_update()).one_or_none()
    if row is None or tuple(row) != (known.state, known.stop_reason, known.spec_digest):
        return False
    now = trials.every(session, known.id)
    return [(trial.number, trial.state) for trial in now] == [
        (trial.number, trial.state) for trial in known.trials
    ]


def _deadline_passed(session: Session, row: JobRow) -> bool:
    # SQLite answers with 0 or 1.
    return row.deadline is not None and bool(session.scalar(select(clock() > row.deadline)))


def past_deadline(session: Session) -> list[str]:
    """Searching jobs whose time is over."""
    searching = JobRow.state.in_(SEARCHING)
    late = (JobRow.deadline < clock(), JobRow.stop_reason.is_(None), JobRow.faults < MAX_FAULTS)
    return list(session.scalars(select(JobRow.id).where(searching, *late)))


def end(session: Session, job_id: str, reason: StopReason) -> None:
    """No more trials: waiting ones are dropped, running ones stop with what they have."""
    statement = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.stop_reason.is_(None))
        .values(stop_reason=reason, revision=JobRow.revision + 1)
    )
    if updated(session, statement):
        trials.stop_all(session, job_id, reason)


def unplanned(session: Session, seconds: float) -> list[str]:
    """Searching jobs with room for trials, whose last plan was sent so long ago."""
    busy = (
        select(func.count())
        .select_from(TrialRow)
        .where(TrialRow.job_id == JobRow.id, trials.in_flight())
        .scalar_subquery()
    )
    return list(
        session.scalars(
            select(JobRow.id)
            .where(JobRow.state.in_(SEARCHING))
            .where(JobRow.sent_at < clock() - seconds, busy < JobRow.parallel_trials)
            .where(JobRow.faults < MAX_FAULTS)
            .order_by(JobRow.sent_at)
            .limit(500)
        )
    )


def pause(session: Session, job_id: str) -> None:
    """No trial begins any more; running ones give back what they have at their next epoch's end. Idempotent.

    Raises:
        Conflict: the job has ended, or makes its model already.
    """
    if jobs.move(session, job_id, JobState.PAUSED, rested_at=clock()):
        trials.tell_to_pause(session, job_id)
    elif (now := jobs.state(session, job_id)) != JobState.PAUSED:
        raise Conflict("job_not_searching", f"The job is {now}: only a search can be paused.")


def resume(session: Session, job_id: str) -> None:
    """Goes on with a paused search; reconcile sends its trials. Idempotent.

    Raises:
        Conflict: the job is neither paused nor searching.
    """
    rest = clock() - JobRow.rested_at
    begun = func.coalesce(JobRow.start_time, clock())
    woken = {"rested_at": None, "deadline": JobRow.deadline + rest, "start_time": begun}
    if jobs.move(session, job_id, JobState.RUNNING, only_from=(JobState.PAUSED,), **woken):
        turns.rejoin(session, job_id)
        trials.tell_to_go_on(session, job_id)
    elif (now := jobs.state(session, job_id)) not in SEARCHING:
        raise Conflict("job_not_paused", f"The job is {now}: there is nothing to resume.")


def change_budget(session: Session, job_id: str, spec: JobSpec) -> None:
    """Gives the search another budget; one that has ended goes on if it is allowed more now.

    Args:
        spec: the job's, with the new budget.

    Raises:
        Conflict: the job has ended, and the new budget allows no more than the old one; or it makes its
            model at this moment.
    """
    row = session.get_one(JobRow, job_id, populate_existing=True, with_for_update=True)
    now, before = JobState(row.state), _budget(row)
    if now in (JobState.FINISHING, JobState.CANCELLING):
        raise Conflict("job_ending", f"The job is {now}; it can be given more once it has ended.")
    if now.is_terminal and not spec.budget.allows_more_than(before):
        raise Conflict("job_ended", f"The job is {now}: only a larger budget makes it go on.")
    row.deadline = _moved(session, row, before.max_seconds, spec.budget.max_seconds)
    row.spec, row.spec_digest = spec.resolved, spec.digest
    row.max_trials, row.parallel_trials = spec.budget.max_trials, spec.budget.parallel_trials
    row.revision += 1
    if now.is_terminal:
        _reopen(row)
    session.flush()
    if now.is_terminal:
        turns.rejoin(session, job_id)


def _budget(row: JobRow) -> Budget:
    budget: Budget = BudgetSchema().load(row.spec["budget"])
    return budget


def _moved(session: Session, row: JobRow, before: float | None, now: float | None) -> float | None:
    """The deadline, counted from when the job was made, without the time for which it has rested."""
    if now is None:
        return None
    rested = 0.0
    if row.end_time is not None:
        rested = float(session.scalar(select(clock())) or 0.0) - row.end_time.timestamp()
    if row.deadline is None or before is None:
        return row.create_time.timestamp() + now + rested
    return row.deadline + (now - before) + rested


def _reopen(row: JobRow) -> None:
    """A job that has ended searches again, with all that it knows."""
    row.state = JobState.RUNNING
    row.stop_reason, row.error, row.end_time = None, None, None
    row.attempt, row.sent_at = 0, 0.0
