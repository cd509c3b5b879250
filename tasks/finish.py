"""The end of a job: the model is made, verified and published, then the job has succeeded."""

import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError

from schemas.artifacts import Artifact
from schemas.logs import logger
from schemas.problems import Unavailable
from schemas.specs import load_spec
from schemas.states import JobState
from schemas.trials import Epoch, Trial
from store import artifacts, curves, jobs, leases, searches, trials
from store.blobs import sha256_of
from store.leases import Lease, LeaseLost
from store.searches import Work
from tasks.context import Context
from tasks.keeper import Keeper, Stopped

if TYPE_CHECKING:
    from tuning.finish import Finished

_log = logger(__name__)

# Finishing that was begun so often has taken its workers down with it.
MAX_ATTEMPTS = 3


def finish(context: Context, job_id: str) -> bool:
    """Finishes a job; does nothing, and says so by False, when somebody else does."""
    with context.database.write() as session:
        lease = jobs.claim_finish(session, job_id, context.worker, context.settings.lease_seconds)
        work = searches.work(session, job_id)
        if lease is not None and jobs.attempts(session, job_id) > MAX_ATTEMPTS:
            error = _error("poison", f"Finishing took its worker down {MAX_ATTEMPTS} times.")
            jobs.fail(session, job_id, error)
            return False
    if lease is None or work is None:
        return False
    try:
        _owned(context, work, lease)
    except LeaseLost:
        _log.info("finishing taken over, or cancelled", job=job_id)
    return True


def _owned(context: Context, work: Work, lease: Lease) -> None:
    from tuning.training import Interrupted
    from tuning.trial import failure_of

    keeper = Keeper(
        context.settings,
        renew=lambda: _renew(context, lease),
        last_words=lambda reason: _settle(context, work.id),
    )
    with keeper, tempfile.TemporaryDirectory(dir=context.scratch) as folder:
        try:
            _make(context, work, lease, keeper, Path(folder))
        except LeaseLost:
            raise
        except (Unavailable, OperationalError) as error:
            # Nothing was published; reconcile sends it again.
            _log.warning("finishing lost to infrastructure", job=work.id, error=str(error))
            with context.database.write() as session:
                jobs.give_back(session, lease)
        except Interrupted:
            _settle(context, work.id)
        except Exception as error:
            _log.exception("finishing failed", job=work.id)
            known = failure_of(error)
            code = known.code if known else "finish_failed"
            detail = known.message if known else f"The model was not made ({type(error).__name__})."
            with context.database.write() as session:
                leases.renew(session, lease, context.settings.lease_seconds)
                jobs.fail(session, work.id, _error(code, detail))


def _make(context: Context, work: Work, lease: Lease, keeper: Keeper, folder: Path) -> None:
    from tuning.finish import finish as make

    spec = load_spec(work.spec)
    best = _best(context, work)
    done = make(
        spec,
        work.trials,
        best,
        context.arrays(work),
        _fetched_weights(context, work.id, best, folder),
        work.dataset_digest,
        folder,
        _Reporter(keeper),
        context.materials(work.project, spec.recipe(best.hyperparameters).model.earlier_job),
    )
    prefix = f"{jobs.blob_folder(work.id)}/result/{lease.epoch}"
    published = [_publish(context, prefix, file) for file in done.files]
    try:
        with context.database.write() as session:
            # First: a job that was cancelled may be deleted by now, and its files would be nobody's.
            leases.renew(session, lease, context.settings.lease_seconds)
            superseded = artifacts.publish(session, work.id, published)
            jobs.succeed(session, lease, _result(best, done))
    except LeaseLost:
        for one in published:
            with suppress(Unavailable):
                context.blobs.delete(one.path)
        raise
    for path in superseded:
        context.blobs.delete(path)


def _best(context: Context, work: Work) -> Trial:
    with context.database.read() as session:
        row = jobs.best_trial(session, work.id, work.spec)
        assert row is not None, "a job without a scored trial does not get here"
        best = trials.get(session, work.id, row.number)
        # With its epochs, and those of what it has gone on from: a refit may have to follow their rates.
        earlier = curves.before(session, work.id, best.effort.parent)
        line = {(one.fold, one.epoch): one for one in [*earlier, *(best.epochs or ())]}
        return replace(best, epochs=[line[place] for place in sorted(line)])


def _fetched_weights(context: Context, job_id: str, best: Trial, folder: Path) -> Path | None:
    with context.database.read() as session:
        path = trials.weights_path(session, job_id, best.number)
    if path is None:
        return None
    file = folder / "weights.npz"
    context.blobs.fetch(path, file)
    return file


def _publish(context: Context, prefix: str, file: Path) -> Artifact:
    from tuning.finish import MEDIA_TYPES

    path = f"{prefix}/{file.name}"
    context.blobs.put(path, file)
    return Artifact(file.name, path, file.stat().st_size, sha256_of(file), MEDIA_TYPES[file.name])


def _result(best: Trial, done: "Finished") -> dict[str, Any]:
    return {
        "trial": best.number,
        "test": done.test,
        "verified": done.verified,
        "model": asdict(done.model),
        "refit": done.refit,
        "backbone": asdict(done.backbone),
        "reproducibility": done.reproducibility,
    }


@dataclass
class _Reporter:
    keeper: Keeper

    def epoch(self, epoch: Epoch) -> None:
        """A refit has no epochs to compare."""

    def check(self) -> None:
        from tuning.training import Interrupted

        try:
            self.keeper.check()
        except Stopped as stop:
            raise Interrupted from stop


def _renew(context: Context, lease: Lease) -> str | None:
    with context.database.write() as session:
        leases.renew(session, lease, context.settings.lease_seconds)
        state = jobs.state(session, lease.job_id)
    return trials.CANCELLED if state == JobState.CANCELLING else None


def _settle(context: Context, job_id: str) -> None:
    with context.database.write() as session:
        jobs.settle_cancelled(session, job_id)


def _error(code: str, detail: str) -> dict[str, Any]:
    return {"code": code, "title": "The job could not be finished", "detail": detail, "trials": []}
