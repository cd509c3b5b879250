"""One trial on one slot: claim, train and report, publish, complete."""

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError

from schemas.logs import logger
from schemas.problems import Unavailable
from schemas.specs import JobSpec, load_spec
from schemas.states import TrialState
from schemas.trials import Trial
from store import attempts, jobs, searches, trials
from store.attempts import Claim, Outcome
from store.leases import LeaseLost
from store.searches import Work
from tasks import checkpoints
from tasks.context import Context
from tasks.keeper import TIMEOUT, Keeper
from tasks.reporter import Reporter

if TYPE_CHECKING:
    from tuning.checkpoints import Checkpoint
    from tuning.trial import Result

_log = logger(__name__)


def run_trial(context: Context, job_id: str, number: int) -> bool:
    """Runs a waiting trial; does nothing, and says so by False, when somebody else has it."""
    with context.database.write() as session:
        lease_seconds = context.settings.lease_seconds
        claim = attempts.claim(session, job_id, number, context.worker, lease_seconds)
        work = searches.work(session, job_id)
    if claim is None or work is None:
        return False
    _log.info("trial started", job=job_id, trial=number, attempt=claim.attempt)
    try:
        _owned(context, work, claim)
    except LeaseLost:
        _log.info("trial taken over by another worker", job=job_id, trial=number)
    else:
        context.send.plan(job_id)
    return True


def _owned(context: Context, work: Work, claim: Claim) -> None:
    spec = load_spec(work.spec)
    keeper = Keeper(
        context.settings,
        renew=lambda: _renew(context, claim),
        last_words=lambda reason: _complete(context, claim, _ended_by(reason)),
        limit_seconds=spec.budget.max_trial_seconds,
    )
    with keeper:
        try:
            outcome = _outcome(context, work, spec, claim, keeper)
        except LeaseLost:
            raise
        except Unavailable as error:
            _log.warning("trial lost to infrastructure", job=work.id, error=str(error))
            with context.database.write() as session:
                superseded = attempts.lose(session, claim.lease, error.code, error.detail)
            checkpoints.drop(context, superseded)
            return
        except OperationalError as error:
            # The database is away: the lease ends, and reconcile gives the trial to another.
            _log.warning("trial lost to infrastructure", job=work.id, error=str(error))
            return
        except Exception as error:
            _log.exception("trial failed", job=work.id, trial=claim.lease.number)
            outcome = Outcome(TrialState.FAILED, error=_error_of(error))
    if outcome is not None:
        _complete(context, claim, outcome)
        _forget_weights(context, work.id, spec)


def _renew(context: Context, claim: Claim) -> str | None:
    with context.database.write() as session:
        return attempts.renew(session, claim.lease, context.settings.lease_seconds)


def _complete(context: Context, claim: Claim, outcome: Outcome) -> None:
    lease, error = claim.lease, (outcome.error or {}).get("code")
    _log.info("trial ended", job=lease.job_id, trial=lease.number, state=outcome.state, code=error)
    with (
        checkpoints.dropped_if_lost(context, outcome.checkpoint),
        checkpoints.dropped_if_lost(context, outcome.weights),
        context.database.write() as session,
    ):
        superseded = attempts.complete(session, claim.lease, outcome)
    checkpoints.drop(context, superseded)


def _outcome(context: Context, work: Work, spec: JobSpec, claim: Claim, keeper: Keeper) -> Outcome | None:
    """Trains; None when the trial was put back for later."""
    from tuning.trial import device

    recipe = spec.recipe(claim.hyperparameters)
    last = claim.effort.until_epoch or recipe.training.epochs
    reporter = Reporter(context, claim, keeper, spec, min(last, recipe.training.epochs), device())
    result = _result(context, work, spec, claim, reporter)
    if result.failure is not None:
        error = {"code": result.failure.code, "message": result.failure.message}
        return Outcome(TrialState.FAILED, parameters=result.parameters, error=error, device=result.device)
    if result.paused and result.state is not None:
        _put_back(context, claim, result.state)
        return None
    if reporter.stopped == TIMEOUT:
        return _ended_by(TIMEOUT)
    return _ended(context, work, spec, claim, result, reporter.stopped)


def _result(context: Context, work: Work, spec: JobSpec, claim: Claim, reporter: Reporter) -> "Result":
    from tuning import range_test, trial
    from tuning.checkpoints import CheckpointMismatch

    recipe = spec.recipe(claim.hyperparameters)
    arrays = context.arrays(work)
    materials = context.materials(work.project, recipe.model.earlier_job)
    given = (spec, recipe, arrays, reporter, context.settings.max_parameters, materials)
    if claim.effort.is_range_test:
        return range_test.run(*given)
    # A part of a training may be gone on with.
    run = partial(trial.run, *given, effort=claim.effort, keep_state=not claim.effort.is_whole)
    try:
        return run(start=checkpoints.start_of(context, claim))
    except CheckpointMismatch as error:
        lease = claim.lease
        _log.warning("trained from nothing", job=lease.job_id, trial=lease.number, error=str(error))
        checkpoints.begin_anew(context, claim)
        return run()


def _put_back(context: Context, claim: Claim, state: "Checkpoint") -> None:
    path = checkpoints.put(context, claim, state)
    _log.info("trial put back", job=claim.lease.job_id, trial=claim.lease.number, epoch=state.epoch)
    with checkpoints.dropped_if_lost(context, path), context.database.write() as session:
        superseded = attempts.put_back(session, claim.lease, path, state.fold, state.epoch)
    checkpoints.drop(context, superseded)


def _ended(
    context: Context, work: Work, spec: JobSpec, claim: Claim, result: "Result", stopped: str | None
) -> Outcome:
    """What a training came to that has not failed."""
    common: dict[str, Any] = {
        "parameters": result.parameters,
        "device": result.device,
        "last_epoch": result.last_epoch,
        "stop": stopped,
    }
    if result.range_test is not None:
        return Outcome(TrialState.COMPLETED, range_test=result.range_test, **common)
    if result.best is None or stopped == trials.CANCELLED:
        return Outcome(TrialState.CANCELLED, **common)
    return Outcome(
        TrialState.STOPPED if result.interrupted else TrialState.COMPLETED,
        score=result.best.metrics[spec.objective.metric],
        best_epoch=result.best.epoch,
        metrics=result.best.metrics,
        deviation=result.best.deviation,
        folds=result.best.folds,
        weights=_publish_weights(context, work, spec, claim, result),
        # Nobody goes on with what was ended early.
        checkpoint=None if result.interrupted else checkpoints.put(context, claim, result.state),
        **common,
    )


def _ended_by(reason: str) -> Outcome:
    """What becomes of a trial that had to be ended without a result."""
    if reason == TIMEOUT:
        error = {"code": TIMEOUT, "message": "The trial took longer than max_trial_seconds."}
        return Outcome(TrialState.FAILED, error=error)
    return Outcome(TrialState.CANCELLED)


def _error_of(error: Exception) -> dict[str, str]:
    from tuning.trial import failure_of

    if (known := failure_of(error)) is not None:
        return {"code": known.code, "message": known.message}
    # The text of an unforeseen error may hold paths; it is in the log.
    return {"code": "internal", "message": f"The trial failed unexpectedly ({type(error).__name__})."}


def _publish_weights(
    context: Context,
    work: Work,
    spec: JobSpec,
    claim: Claim,
    result: "Result",
) -> str | None:
    """Stores the weights if the job's model may be made of them; says where."""
    from tuning.trial import save_weights

    metrics = result.best.metrics if result.best is not None else {}
    beaten = any(spec.objective.prefers(trial.metrics, metrics) for trial in _scored(work))
    if spec.result.refit or beaten or not result.weights:
        return None
    # Under the attempt's own name: an attempt that was presumed dead writes over nothing.
    path = f"{jobs.blob_folder(work.id)}/trials/{claim.lease.number}/{claim.attempt}/weights.npz"
    with tempfile.TemporaryDirectory(dir=context.scratch) as folder:
        file = Path(folder) / "weights.npz"
        save_weights(result.weights, file)
        context.blobs.put(path, file)
    return path


def _scored(work: Work) -> list[Trial]:
    return [trial for trial in work.trials if trial.score is not None]


def _forget_weights(context: Context, job_id: str, spec: JobSpec) -> None:
    """Deletes weights that no model will be made of any more."""
    maximize = spec.objective.direction == "maximize"
    with context.database.write() as session:
        rows = trials.superseded_weights(session, job_id, keep=1, maximize=maximize)
        paths = [row.weights for row in rows if row.weights]
        for row in rows:
            trials.forget_weights(session, job_id, row.number)
    for path in paths:
        context.blobs.delete(path)
