"""The search of a job: what planning has to know, how it is paused, resumed, ended and extended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from schemas.budget import Budget, BudgetSchema
from schemas.problems import Conflict
from schemas.specs import JobSpec
from schemas.states import JobState, StopReason
from schemas.trials import Trial
from store import curves, events, jobs, trials, turns
from store.database import clock
from store.leases import updated
from store.tables import MAX_FAULTS, JobRow, TrialRow


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
    is_spent: bool
    trials: Sequence[Trial]


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
        is_spent=is_spent(session, job_id),
        trials=trials.every(session, job_id),
    )


def is_spent(session: Session, job_id: str) -> bool:
    """Whether the trials of a job have cost all that its budget allows, by now."""
    row = session.get_one(JobRow, job_id, populate_existing=True)
    try:
        budget = _budget(row)
    except (KeyError, ValidationError):
        # Of an older release: whoever loads the whole spec says so.
        return False
    if budget.max_epochs is None and budget.max_gpu_seconds is None:
        return False
    return budget.is_spent(curves.count(session, job_id), trials.gpu_seconds(session, job_id))


def max_trial_seconds(session: Session, job_id: str) -> float | None:
    """How long a trial of the job may take."""
    return session.scalar(
        select(JobRow.spec["budget"]["max_trial_seconds"].as_float()).where(JobRow.id == job_id)
    )


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
    searching = JobRow.state.in_(JobState.searching())
    late = (JobRow.deadline < clock(), JobRow.stop_reason.is_(None), JobRow.faults < MAX_FAULTS)
    return list(session.scalars(select(JobRow.id).where(searching, *late)))


def end(session: Session, job_id: str, reason: StopReason) -> None:
    """No more trials: waiting ones are dropped, running ones stop with what they have."""
    mine = [JobRow.id == job_id, JobRow.stop_reason.is_(None)]
    if reason == StopReason.DEADLINE:
        # It may have been moved since it was looked at.
        mine.append(JobRow.deadline < clock())
    ended = update(JobRow).where(*mine).values(stop_reason=reason, revision=JobRow.revision + 1)
    if updated(session, ended):
        events.job(session, job_id)
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
            .where(JobRow.state.in_(JobState.searching()))
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
    woken = {**jobs.rested(), "start_time": func.coalesce(JobRow.start_time, clock()), "faults": 0}
    if jobs.move(session, job_id, JobState.RUNNING, only_from=(JobState.PAUSED,), **woken):
        turns.join(session, job_id)
        trials.tell_to_go_on(session, job_id)
    elif (now := jobs.state(session, job_id)) not in JobState.searching():
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
    if now in (JobState.FINISHING, JobState.CANCELLING) or (not now.is_terminal and row.stop_reason):
        raise Conflict("job_ending", "The search is ending; it can be given more once the job has ended.")
    if now.is_terminal:
        _check_extension(row, before, spec.budget)
        row.rested_seconds += _seconds_since(session, row.end_time)
    seconds = spec.budget.max_seconds
    row.deadline = None if seconds is None else row.create_time.timestamp() + seconds + row.rested_seconds
    row.spec, row.spec_digest = spec.resolved, spec.digest
    row.max_trials, row.parallel_trials = spec.budget.max_trials, spec.budget.parallel_trials
    row.revision += 1
    if now.is_terminal:
        _reopen(row)
        session.flush()
        events.job(session, job_id)
        trials.revive(session, job_id)
        turns.join(session, job_id)
    session.flush()


def _budget(row: JobRow) -> Budget:
    budget: Budget = BudgetSchema().load(row.spec["budget"])
    return budget


def _check_extension(row: JobRow, before: Budget, now: Budget) -> None:
    reason = None if row.stop_reason is None else StopReason(row.stop_reason)
    if reason in (StopReason.SPACE_EXHAUSTED, StopReason.TARGET_REACHED):
        text = f"The job ended with {reason}: no budget makes it go on."
        raise Conflict("job_ended", text)
    if not now.allows_more_than(before, reason):
        limits = " or ".join(Budget.limits_of(reason))
        text = f"The job is {row.state} ({reason}): it goes on if it is given more of {limits}."
        raise Conflict("job_ended", text)


def _seconds_since(session: Session, moment: datetime | None) -> float:
    now = float(session.scalar(select(clock())) or 0.0)
    return 0.0 if moment is None else max(0.0, now - moment.timestamp())


def _reopen(row: JobRow) -> None:
    """A job that has ended searches again, with all that it knows."""
    row.state = JobState.RUNNING
    row.stop_reason, row.error, row.end_time = None, None, None
    row.attempt, row.faults, row.sent_at = 0, 0, 0.0
