"""The step of a job's search: what to try next, or what it ends with."""

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy.orm import Session

from schemas.knowledge import known_from
from schemas.logs import logger
from schemas.problems import Invalid
from schemas.specs import JobSpec, load_spec
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Known, Suggestion
from store import jobs, reuse, searches, trials
from store.database import clock
from store.searches import Work
from tasks.context import Context

_log = logger(__name__)

# Ends by which trials in flight are cut short; after the others they run to their own end.
_CUTTING = (
    StopReason.TARGET_REACHED,
    StopReason.TOO_MANY_FAILURES,
    StopReason.DEADLINE,
    StopReason.BUDGET_EXHAUSTED,
)


def plan(context: Context, job_id: str) -> None:
    """Safe to run twice at once: whoever comes second sees that things have moved, and looks again."""
    while not _step(context, job_id):
        _log.info("looking again", job=job_id)


def _step(context: Context, job_id: str) -> bool:
    """One step; says whether that is all for now."""
    from tuning.plan import Plan
    from tuning.plan import plan as next_step

    with context.database.read() as session:
        work = searches.work(session, job_id)
        if work is None or work.state not in JobState.searching():
            return True
        try:
            spec = load_spec(work.spec)
        except Invalid as error:
            # Of an earlier version, say, that this one does not take any more.
            _log.error("job with an unreadable spec", job=job_id, error=str(error))
            text = f"This version cannot read the job's spec: {error.detail}"
            return _fail(context, job_id, "invalid_spec", text)
        earlier = _earlier(session, work, spec)
    # The suggestions are made outside the transaction: some oracles think for seconds.
    reason = work.stop_reason or (StopReason.DEADLINE if work.deadline_passed else None)
    try:
        step = (
            Plan(stop_reason=reason)
            if reason
            else next_step(spec, work.trials, earlier, is_spent=work.is_spent)
        )
    except Exception as error:
        # The same trials would lead to the same error for ever.
        _log.exception("search failed", job=job_id)
        text = f"The search algorithm failed ({type(error).__name__})."
        return _fail(context, job_id, "search_failed", text)
    return _carry_out(context, work, spec, step.suggestions, step.stop_reason)


def _earlier(session: Session, work: Work, spec: JobSpec) -> list[Known]:
    """What the jobs of a warm start know; one that is gone by now, or cannot be read, knows nothing."""
    known: list[Known] = []
    for job_id in spec.search.warm_start:
        other = searches.work(session, job_id)
        if other is not None and other.project == work.project:
            with suppress(Invalid):
                known += known_from(spec, load_spec(other.spec), other.trials).known
    return known


def _carry_out(
    context: Context,
    work: Work,
    spec: JobSpec,
    suggestions: Sequence[Suggestion],
    reason: StopReason | None,
) -> bool:
    to_send: list[int] = []
    finishing = False
    with context.database.write() as session:
        if not searches.unchanged(session, work):
            return False
        if suggestions:
            to_send = _start(session, work, spec, suggestions)
        elif reason is not None:
            finishing = _end(session, work, reason)
        jobs.sent(session, work.id)
    for number in to_send:
        context.send.trial(work.id, number, time_limit(context, spec))
    if finishing:
        context.send.finish(work.id)
    # Trials that were taken from the cache have ended: there is room for more.
    return len(to_send) == len(suggestions)


def _start(session: Session, work: Work, spec: JobSpec, suggestions: Sequence[Suggestion]) -> list[int]:
    """Makes the trials; says which of them have to be trained."""
    from tuning.versions import engine

    if work.state == JobState.QUEUED:
        jobs.move(session, work.id, JobState.RUNNING, start_time=clock())
    first = len(work.trials)
    keys = [_cache_key(spec, work, one, engine()) for one in suggestions]
    trials.create(session, work.id, first, suggestions, keys)
    found = {
        number: reuse.find(session, work.project, key)
        for number, key in enumerate(keys, start=first)
        if spec.search.reuse and key is not None
    }
    for number, source in found.items():
        if source is not None:
            reuse.take(session, work.id, number, source)
    return [number for number in range(first, first + len(suggestions)) if found.get(number) is None]


def _cache_key(spec: JobSpec, work: Work, one: Suggestion, engine: str) -> str | None:
    """None where the configuration does not say all: another job's model may be another one tomorrow."""
    if not one.effort.is_full or spec.earlier_jobs:
        return None
    return spec.cache_key(one.values, work.dataset_digest, engine)


def _end(session: Session, work: Work, reason: StopReason) -> bool:
    """Ends the search; says whether the job is to be finished now."""
    if reason in _CUTTING:
        searches.end(session, work.id, reason)
    if trials.count_in_flight(session, work.id):
        # The last of them plans again.
        return False
    if any(trial.state in TrialState.scored() and trial.score is not None for trial in work.trials):
        return jobs.move(session, work.id, JobState.FINISHING, stop_reason=reason)
    if any(trial.range_test for trial in work.trials):
        jobs.move(session, work.id, JobState.SUCCEEDED, stop_reason=reason, end_time=clock())
        return False
    jobs.fail(session, work.id, _nothing_scored(work), stop_reason=reason)
    return False


def _fail(context: Context, job_id: str, code: str, detail: str) -> bool:
    problem = {"code": code, "title": "The search cannot go on", "detail": detail, "trials": []}
    with context.database.write() as session:
        jobs.fail(session, job_id, problem)
    return True


def _nothing_scored(work: Work) -> dict[str, object]:
    causes = jobs.failure_causes(work.trials)
    if not causes:
        detail = "The search ended before any trial had finished an epoch."
        return {"code": "no_completed_trial", "title": "No result", "detail": detail, "trials": []}
    detail = f"All {len(work.trials)} trials failed; most often with {causes[0]['code']}."
    title = "All trials failed"
    return {"code": "all_trials_failed", "title": title, "detail": detail, "trials": causes}


def time_limit(context: Context, spec: JobSpec) -> float | None:
    """When Celery kills a trial's process: long after its keeper should have seen to it."""
    return kill_after(context, spec.budget.max_trial_seconds)


def kill_after(context: Context, limit: float | None) -> float | None:
    """The same, of what a budget allows a trial."""
    return None if limit is None else limit + 2 * context.settings.stop_seconds + 60
