"""One trial on one slot: claim, train and report, publish, complete."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from schemas.logs import logger
from schemas.problems import Unavailable
from schemas.specs import JobSpec, load_spec
from schemas.states import TrialState
from schemas.trials import Epoch, Trial
from store import jobs, trials
from store.jobs import Work
from store.leases import LeaseLost
from store.trials import Claim, Outcome
from tasks.context import Context
from tasks.keeper import TIMEOUT, Keeper, Stopped

if TYPE_CHECKING:
    from tuning.trial import Result

_log = logger(__name__)


def run_trial(context: Context, job_id: str, number: int) -> bool:
    """Runs a waiting trial; does nothing, and says so by False, when somebody else has it."""
    with context.database.write() as session:
        lease_seconds = context.settings.lease_seconds
        claim = trials.claim(session, job_id, number, context.worker, lease_seconds)
        work = jobs.work(session, job_id)
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
                trials.lose(session, claim.lease, error.code, error.detail)
            return
        except OperationalError as error:
            # The database is away: the lease ends, and reconcile gives the trial to another.
            _log.warning("trial lost to infrastructure", job=work.id, error=str(error))
            return
        except Exception as error:
            _log.exception("trial failed", job=work.id, trial=claim.lease.number)
            outcome = Outcome(TrialState.FAILED, error=_error_of(error))
    _complete(context, claim, outcome)
    _forget_weights(context, work.id, spec)


def _renew(context: Context, claim: Claim) -> str | None:
    with context.database.write() as session:
        return trials.renew(session, claim.lease, context.settings.lease_seconds)


def _complete(context: Context, claim: Claim, outcome: Outcome) -> None:
    lease, error = claim.lease, (outcome.error or {}).get("code")
    _log.info("trial ended", job=lease.job_id, trial=lease.number, state=outcome.state, code=error)
    with context.database.write() as session:
        trials.complete(session, claim.lease, outcome)


def _outcome(context: Context, work: Work, spec: JobSpec, claim: Claim, keeper: Keeper) -> Outcome:
    from tuning import trial

    reporter = _Reporter(context, claim, keeper)
    recipe = spec.recipe(claim.hyperparameters)
    arrays = context.arrays(work)
    materials = context.materials(work.project, recipe.model.earlier_job)
    result = trial.run(spec, recipe, arrays, reporter, context.settings.max_parameters, materials)
    if result.failure is not None:
        error = {"code": result.failure.code, "message": result.failure.message}
        return Outcome(TrialState.FAILED, parameters=result.parameters, error=error, device=result.device)
    if reporter.stopped == TIMEOUT:
        return _ended_by(TIMEOUT)
    if result.best is None or reporter.stopped == trials.CANCELLED:
        return Outcome(TrialState.CANCELLED, parameters=result.parameters, device=result.device)
    score = result.best.metrics[spec.objective.metric]
    return Outcome(
        TrialState.STOPPED if result.interrupted else TrialState.COMPLETED,
        score=score,
        best_epoch=result.best.epoch,
        metrics=result.best.metrics,
        deviation=result.best.deviation,
        folds=result.best.folds,
        parameters=result.parameters,
        device=result.device,
        weights=_publish_weights(context, work, spec, claim, result),
    )


@dataclass
class _Reporter:
    """Writes every epoch down; turns what the keeper says into the training's own words."""

    context: Context
    claim: Claim
    keeper: Keeper
    stopped: str | None = None

    def epoch(self, epoch: Epoch) -> None:
        seconds = self.context.settings.lease_seconds
        with self.context.database.write() as session:
            self.keeper.told(trials.report(session, self.claim.lease, epoch, seconds))

    def check(self) -> None:
        from tuning.training import Interrupted

        try:
            self.keeper.check()
        except Stopped as stop:
            self.stopped = stop.reason
            raise Interrupted from stop


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
    path = f"jobs/{work.id}/trials/{claim.lease.number}/{claim.attempt}/weights.npz"
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
