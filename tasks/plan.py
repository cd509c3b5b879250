"""The step of a job's search: what to try next, or what it ends with."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from schemas.distributions import Value
from schemas.logs import logger
from schemas.problems import Invalid
from schemas.specs import JobSpec, load_spec
from schemas.states import JobState, StopReason, TrialState
from store import jobs, trials
from store.database import clock
from store.jobs import Work
from tasks.context import Context

_log = logger(__name__)

SEARCHING = (JobState.QUEUED, JobState.RUNNING)
# Ends by which trials in flight are cut short; after the others they run to their own end.
_CUTTING = (StopReason.TARGET_REACHED, StopReason.TOO_MANY_FAILURES, StopReason.DEADLINE)


def plan(context: Context, job_id: str) -> None:
    """Safe to run twice at once: whoever comes second sees that things have moved, and looks again."""
    while not _step(context, job_id):
        _log.info("another plan was faster", job=job_id)


def _step(context: Context, job_id: str) -> bool:
    from tuning.plan import plan as next_step

    with context.database.read() as session:
        work = jobs.work(session, job_id)
    if work is None or work.state not in SEARCHING:
        return True
    try:
        spec = load_spec(work.spec)
    except Invalid as error:
        # Of an earlier version, say, that this one does not take any more.
        _log.error("job with an unreadable spec", job=job_id, error=str(error))
        _fail(context, job_id, "invalid_spec", f"This version cannot read the job's spec: {error.detail}")
        return True
    # The suggestions are made outside the transaction: some oracles think for seconds.
    reason = work.stop_reason or (StopReason.DEADLINE if work.deadline_passed else None)
    try:
        step = None if reason is not None else next_step(spec, work.trials)
    except Exception as error:
        # The same trials would lead to the same error for ever.
        _log.exception("search failed", job=job_id)
        _fail(context, job_id, "search_failed", f"The search algorithm failed ({type(error).__name__}).")
        return True
    with context.database.write() as session:
        finishing = False
        if not jobs.unchanged(session, work):
            return False
        if step is not None and step.suggestions:
            _start(session, work, step.suggestions)
        elif reason := reason or (step.stop_reason if step else None):
            finishing = _end(session, work, reason)
        jobs.sent(session, job_id)
    if step is not None and step.suggestions:
        _send_trials(context, spec, work, len(step.suggestions))
    if finishing:
        context.send.finish(job_id)
    return True


def _start(session: Session, work: Work, suggestions: Sequence[dict[str, Value]]) -> None:
    if work.state == JobState.QUEUED:
        jobs.move(session, work.id, JobState.RUNNING, start_time=clock())
    trials.create(session, work.id, len(work.trials), suggestions)
    trials.touch_job(session, work.id)


def _end(session: Session, work: Work, reason: StopReason) -> bool:
    """Ends the search; says whether the job is to be finished now."""
    if reason in _CUTTING:
        jobs.end_search(session, work.id, reason)
    if trials.count_in_flight(session, work.id):
        # The last of them plans again.
        return False
    if any(trial.state in TrialState.scored() for trial in work.trials):
        return jobs.move(session, work.id, JobState.FINISHING, stop_reason=reason)
    jobs.fail(session, work.id, _nothing_scored(work), stop_reason=reason)
    return False


def _fail(context: Context, job_id: str, code: str, detail: str) -> None:
    problem = {"code": code, "title": "The search cannot go on", "detail": detail, "trials": []}
    with context.database.write() as session:
        jobs.fail(session, job_id, problem)


def _nothing_scored(work: Work) -> dict[str, object]:
    causes = jobs.failure_causes(work.trials)
    if not causes:
        detail = "The search ended before any trial had finished an epoch."
        return {"code": "no_completed_trial", "title": "No result", "detail": detail, "trials": []}
    detail = f"All {len(work.trials)} trials failed; most often with {causes[0]['code']}."
    title = "All trials failed"
    return {"code": "all_trials_failed", "title": title, "detail": detail, "trials": causes}


def _send_trials(context: Context, spec: JobSpec, work: Work, count: int) -> None:
    for number in range(len(work.trials), len(work.trials) + count):
        context.send.trial(work.id, number, time_limit(context, spec))


def time_limit(context: Context, spec: JobSpec) -> float | None:
    """When Celery kills a trial's process: long after its keeper should have seen to it."""
    limit = spec.budget.max_trial_seconds
    return None if limit is None else limit + 2 * context.settings.stop_seconds + 60
