"""Jobs: their rows, their moves from state to state, and how clients see them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from schemas.datasets import Dataset
from schemas.jobs import BestTrial, Cost, Job, Progress
from schemas.pages import Page
from schemas.problems import Conflict, NotFound
from schemas.specs import JobSpec
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import INFEASIBLE, Trial
from store import curves, events, leases, trials, turns
from store.database import clock
from store.ids import new_id
from store.leases import Lease, updated
from store.pages import paged
from store.tables import MAX_FAULTS, ArtifactRow, JobRow, TrialRow


def create(
    session: Session,
    project: str,
    spec: JobSpec,
    dataset: Dataset,
    warnings: Sequence[Mapping[str, Any]],
) -> Job:
    """Inserts a queued job."""
    seconds = spec.budget.max_seconds
    row = JobRow(
        id=new_id("job"),
        project=project,
        name=spec.name,
        labels=dict(spec.labels),
        state=JobState.QUEUED,
        spec=spec.resolved,
        spec_digest=spec.digest,
        dataset=dataset.id,
        dataset_digest=dataset.digest,
        warnings=[dict(warning) for warning in warnings],
        priority=spec.priority,
        max_trials=spec.budget.max_trials,
        parallel_trials=spec.budget.parallel_trials,
        deadline=None if seconds is None else clock() + seconds,
    )
    session.add(row)
    session.flush()
    events.job(session, row.id)
    turns.join(session, row.id)
    return _job(session, row)


def get(session: Session, project: str, job_id: str) -> Job:
    """The job as clients see it.

    Raises:
        NotFound: there is none in this project.
    """
    return _job(session, _row(session, project, job_id))


def revision(session: Session, project: str, job_id: str) -> int:
    """The job's revision alone: what polling costs when nothing has changed.

    Raises:
        NotFound: there is none in this project.
    """
    found = session.scalar(select(JobRow.revision).where(JobRow.id == job_id, JobRow.project == project))
    if found is None:
        raise _not_found(job_id)
    return found


def rested() -> dict[str, Any]:
    """Values of a job that leaves its pause, if it was in one: neither budget nor progress count it."""
    rest = case((JobRow.rested_at.is_not(None), clock() - JobRow.rested_at), else_=0.0)
    return {
        "rested_at": None,
        "rested_seconds": JobRow.rested_seconds + rest,
        "deadline": JobRow.deadline + rest,
    }


@dataclass(frozen=True)
class Filters:
    state: str | None = None
    label: str | None = None
    dataset: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    q: str | None = None
    spec_digest: str | None = None
    dataset_digest: str | None = None


def page(session: Session, project: str, filters: Filters, size: int, token: str | None) -> Page[Job]:
    """A page of a project's jobs, newest first."""
    query = _filtered(select(JobRow).where(JobRow.project == project), filters)
    found = paged(session, query.order_by(JobRow.id.desc()), size, token)
    return Page([_job(session, row) for row in found.items], found.next_page_token)


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    if filters.state is not None:
        query = query.where(JobRow.state == filters.state)
    if filters.label is not None:
        key, value = filters.label.split(":", 1)
        query = query.where(JobRow.labels[key].as_string() == value)
    if filters.dataset is not None:
        query = query.where(JobRow.dataset == filters.dataset)
    if filters.spec_digest is not None:
        query = query.where(JobRow.spec_digest == filters.spec_digest)
    if filters.dataset_digest is not None:
        query = query.where(JobRow.dataset_digest == filters.dataset_digest)
    if filters.created_after is not None:
        query = query.where(JobRow.create_time > filters.created_after)
    if filters.created_before is not None:
        query = query.where(JobRow.create_time < filters.created_before)
    if filters.q is not None:
        query = query.where(JobRow.name.icontains(filters.q, autoescape=True))
    return query


def hold(session: Session, job_id: str) -> None:
    """Nobody else changes the job before this commits."""
    session.execute(select(JobRow.id).where(JobRow.id == job_id).with_for_update())


def describe(session: Session, job_id: str, spec: JobSpec) -> None:
    """Gives a job another name and other labels: those of the spec."""
    said = {"name": spec.name, "labels": dict(spec.labels), "spec": spec.resolved, "spec_digest": spec.digest}
    mine = update(JobRow).where(JobRow.id == job_id)
    updated(session, mine.values(**said, revision=JobRow.revision + 1))


def cancel(session: Session, project: str, job_id: str) -> Job:
    """Ends a job; what runs is told to stop. Idempotent.

    Raises:
        NotFound: there is none in this project.
        Conflict: it has ended in another way already.
    """
    row = _row(session, project, job_id)
    if move(session, job_id, JobState.CANCELLING, stop_reason=StopReason.CANCELLED, **rested()):
        trials.stop_all(session, job_id, trials.CANCELLED)
        settle_cancelled(session, job_id)
    elif row.state not in (JobState.CANCELLING, JobState.CANCELLED):
        raise Conflict("job_ended", f"The job is {row.state} already.")
    return get(session, project, job_id)


def blob_folder(job_id: str) -> str:
    """Where all the bytes that a job leaves lie."""
    return f"jobs/{job_id}"


def remove(session: Session, project: str, job_id: str) -> None:
    """Deletes the rows of a job that has ended.

    Raises:
        NotFound: there is none in this project.
        Conflict: `job_not_ended`.
    """
    hold(session, job_id)
    row = _row(session, project, job_id)
    if not JobState(row.state).is_terminal:
        raise Conflict("job_not_ended", f"The job is {row.state}: cancel it first.")
    mine = TrialRow.job_id == job_id
    # Of a job that failed: what runs still leaves blobs. Whoever has lost the lease takes its own away.
    owned = (TrialRow.state == TrialState.RUNNING, TrialRow.lease_expires_at >= clock())
    running = select(TrialRow.number).where(mine, *owned)
    if session.scalar(running.limit(1)) is not None:
        raise Conflict("job_not_ended", "Trials of the job are still stopping; try again in a moment.")
    session.execute(delete(JobRow).where(JobRow.id == job_id))


def settle_cancelled(session: Session, job_id: str) -> bool:
    """Makes a cancelling job cancelled once nothing of it runs any more."""
    busy = select(TrialRow.number).where(TrialRow.job_id == job_id, trials.in_flight())
    if session.scalar(busy.limit(1)) is not None:
        return False
    return move(session, job_id, JobState.CANCELLED, end_time=clock(), lease_expires_at=None)


def move(
    session: Session,
    job_id: str,
    target: JobState,
    only_from: Sequence[JobState] | None = None,
    **changes: Any,
) -> bool:
    """Moves the job to a state if it may go there from its own; says whether it did."""
    statement = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(only_from or JobState.sources(target)))
        .values(state=target, revision=JobRow.revision + 1, **changes)
    )
    if not updated(session, statement):
        return False
    events.job(session, job_id)
    return True


def state(session: Session, job_id: str) -> JobState | None:
    found = session.scalar(select(JobRow.state).where(JobRow.id == job_id))
    return None if found is None else JobState(found)


def claim_finish(session: Session, job_id: str, worker: str, seconds: float) -> Lease | None:
    """Takes the finishing of a job; None when somebody has it or it is not wanted."""
    free = or_(JobRow.lease_expires_at.is_(None), JobRow.lease_expires_at < clock())
    statement = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state == JobState.FINISHING, free)
        .values({**leases.claimed(worker, seconds, JobRow), JobRow.revision: JobRow.revision + 1})
    )
    if not updated(session, statement):
        return None
    epoch = session.scalar(select(JobRow.lease_epoch).where(JobRow.id == job_id))
    return Lease(job_id, None, int(epoch or 0))


def succeed(session: Session, lease: Lease, result: Mapping[str, Any]) -> None:
    """Ends a finishing job well.

    Raises:
        LeaseLost: the finishing is somebody else's by now, or the job was cancelled.
    """
    leases.changed(session, lease, result=dict(result))
    ended: dict[str, Any] = {"end_time": clock(), "lease_expires_at": None}
    if not move(session, lease.job_id, JobState.SUCCEEDED, **ended):
        raise leases.LeaseLost(lease.job_id)


def fail(session: Session, job_id: str, error: Mapping[str, Any], **changes: Any) -> bool:
    """Ends a job badly, if it may still end so; what runs of it is told to stop."""
    ended: dict[str, Any] = {"error": dict(error), "end_time": clock(), "lease_expires_at": None}
    failed = move(session, job_id, JobState.FAILED, **ended, **changes)
    if failed:
        trials.stop_all(session, job_id, trials.CANCELLED)
    return failed


def give_back(session: Session, lease: Lease) -> None:
    """The finishing cannot go on, through no fault of the job: it waits to be sent again.

    Raises:
        LeaseLost: the finishing is somebody else's by now.
    """
    waiting = {"lease_expires_at": None, "sent_at": clock(), "attempt": JobRow.attempt - 1}
    leases.changed(session, lease, **waiting)


def failure_causes(found: Sequence[Trial]) -> list[dict[str, Any]]:
    """The three most frequent errors of failed trials, with one message each."""
    errors = [trial.error for trial in found if trial.error]
    counts = Counter(error["code"] for error in errors).most_common(3)
    return [
        {
            "code": code,
            "count": count,
            "message": next(error["message"] for error in errors if error["code"] == code),
        }
        for code, count in counts
    ]


def in_state(session: Session, *states: JobState) -> list[str]:
    """Jobs in one of the states that reconcile has not given up on."""
    query = select(JobRow.id).where(JobRow.state.in_(states), JobRow.faults < MAX_FAULTS)
    return list(session.scalars(query.order_by(JobRow.id)))


def unfinished(session: Session, seconds: float) -> list[str]:
    """Finishing jobs that nobody owns, whose last message was sent so long ago."""
    free = or_(JobRow.lease_expires_at.is_(None), JobRow.lease_expires_at < clock())
    return list(
        session.scalars(
            select(JobRow.id)
            .where(JobRow.state == JobState.FINISHING, free, JobRow.faults < MAX_FAULTS)
            .where(JobRow.sent_at < clock() - seconds)
            .limit(500)
        )
    )


def attempts(session: Session, job_id: str) -> int:
    """How often the finishing of a job was begun."""
    return int(session.scalar(select(JobRow.attempt).where(JobRow.id == job_id)) or 0)


def sent(session: Session, job_id: str) -> None:
    """Notes that a message about the job goes out now."""
    updated(session, update(JobRow).where(JobRow.id == job_id).values(sent_at=clock()))


def hand_back_all(session: Session, worker: str) -> list[str]:
    """Finishing jobs of a worker that is shutting down."""
    mine = (JobRow.worker == worker, JobRow.state == JobState.FINISHING)
    found = list(session.scalars(select(JobRow.id).where(*mine)))
    # An attempt that was broken off on purpose is none: see `tasks.finish.MAX_ATTEMPTS`.
    waiting = {"lease_expires_at": None, "sent_at": 0.0, "attempt": JobRow.attempt - 1}
    updated(session, update(JobRow).where(*mine).values(**waiting))
    return found


def count_fault(session: Session, job_id: str) -> int:
    """Notes an error over this row; says how many there have been."""
    updated(session, update(JobRow).where(JobRow.id == job_id).values(faults=JobRow.faults + 1))
    return int(session.scalar(select(JobRow.faults).where(JobRow.id == job_id)) or 0)


def result(session: Session, project: str, job_id: str) -> dict[str, Any] | None:
    return _row(session, project, job_id).result


def _row(session: Session, project: str, job_id: str) -> JobRow:
    row = session.scalar(
        select(JobRow)
        .where(JobRow.id == job_id, JobRow.project == project)
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise _not_found(job_id)
    return row


def _not_found(job_id: str) -> NotFound:
    return NotFound("job_not_found", f"There is no job {job_id}.")


def _job(session: Session, row: JobRow) -> Job:
    found = best_trial(session, row.id, row.spec)
    return Job(
        id=row.id,
        name=row.name,
        labels=row.labels,
        state=JobState(row.state),
        stop_reason=None if row.stop_reason is None else StopReason(row.stop_reason),
        spec=row.spec,
        spec_digest=row.spec_digest,
        dataset_digest=row.dataset_digest,
        progress=_progress(session, row),
        best=None
        if found is None
        else BestTrial(found.number, found.score or 0.0, found.best_epoch or 0, found.hyperparameters),
        cost=_cost(session, row.id),
        warnings=row.warnings,
        error=row.error,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        revision=row.revision,
    )


def best_trial(session: Session, job_id: str, spec: Mapping[str, Any]) -> TrialRow | None:
    """The trial that the objective prefers to all others."""
    maximize = spec["objective"]["direction"] == "maximize"
    return session.scalar(
        select(TrialRow)
        .where(TrialRow.job_id == job_id, TrialRow.state.in_(TrialState.scored()))
        .where(TrialRow.score.is_not(None))
        .order_by(*trials.best_first(maximize))
        .limit(1)
    )


def _progress(session: Session, row: JobRow) -> Progress:
    states = select(TrialRow.state, func.count()).where(TrialRow.job_id == row.id)
    counts = {state: count for state, count in session.execute(states.group_by(TrialRow.state))}  # noqa: C416
    mine = (TrialRow.job_id == row.id, TrialRow.error["code"].as_string() == INFEASIBLE)
    infeasible = session.scalar(select(func.count()).select_from(TrialRow).where(*mine)) or 0
    taken = (TrialRow.job_id == row.id, TrialRow.reused.is_not(None))
    until = (row.end_time or datetime.now(UTC)).timestamp()
    resting = 0.0 if row.rested_at is None else until - row.rested_at
    elapsed = until - row.create_time.timestamp() - row.rested_seconds - resting
    return Progress(
        max_trials=row.max_trials,
        infeasible=infeasible,
        reused=session.scalar(select(func.count()).select_from(TrialRow).where(*taken)) or 0,
        epochs=curves.count(session, row.id),
        elapsed_seconds=max(0.0, elapsed),
        eta_seconds=_eta(row, counts, infeasible, elapsed),
        **{state.value: counts.get(state, 0) for state in TrialState},
    )


def _eta(row: JobRow, counts: Mapping[str, int], infeasible: int, elapsed: float) -> float | None:
    """Seconds left if the rest goes as fast as what has ended; None before anything has."""
    if JobState(row.state).is_terminal or row.state == JobState.PAUSED:
        return None
    ended = sum(counts.get(state, 0) for state in TrialState.terminal()) - infeasible
    if ended <= 0 or row.start_time is None:
        return None
    return max(0.0, elapsed / ended * (row.max_trials - ended))


def _cost(session: Session, job_id: str) -> Cost:
    seconds = select(func.coalesce(func.sum(trials.lasted()), 0.0)).where(TrialRow.job_id == job_id)
    size = select(func.coalesce(func.sum(ArtifactRow.bytes), 0)).where(ArtifactRow.job_id == job_id)
    return Cost(
        trial_seconds=float(session.scalar(seconds) or 0.0),
        gpu_seconds=trials.gpu_seconds(session, job_id),
        artifact_bytes=int(session.scalar(size) or 0),
    )
