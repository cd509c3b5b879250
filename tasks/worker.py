"""Entry of a worker's processes: ``python -m tasks.worker --queues trials|control``."""

import argparse
import gc
import os
import sys
from multiprocessing import Value

# SIGTERM, which is what supervisors send, is to end things soon, not when a trial is done. billiard
# reads this when it is imported.
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")

from billiard import current_process
from celery import Celery, signals

from schemas.logs import configure, logger
from schemas.settings import Settings
from store import attempts, jobs, workers
from tasks import slots
from tasks.app import CONTROL, TRIALS, make_app
from tasks.context import Context, worker_id
from tasks.finish import finish
from tasks.plan import plan
from tasks.presence import Presence
from tasks.reconcile import reconcile
from tasks.trial import run_trial
from tasks.turns import is_next

_log = logger(__name__)

# Slots whose process has imported what it needs; shared between the parent and its children.
_warm = Value("i", 0)


def register(app: Celery, context: Context) -> None:
    """The tasks, thin over the functions that do the work."""

    @app.task(name="plan")
    def _plan(job_id: str) -> None:
        plan(context, job_id)

    @app.task(name="trial")
    def _trial(job_id: str, number: int, chosen: bool = False) -> None:
        if (chosen or is_next(context, job_id, number)) and run_trial(context, job_id, number):
            gc.collect()

    @app.task(name="finish")
    def _finish(job_id: str) -> None:
        if finish(context, job_id):
            gc.collect()

    @app.task(name="reconcile")
    def _reconcile() -> None:
        reconcile(context)


def run_trials(settings: Settings) -> None:
    """A worker with slots; each is a process of its own that stays warm from trial to trial."""
    count = slots.count(settings.slots, os.environ)
    slots.share_cores(count, os.environ)
    context = Context(settings)
    app = make_app(settings)
    register(app, context)
    presence = Presence(context, _described(count), lambda: _warm.value >= count)
    # Celery keeps weak references to receivers.
    signals.worker_process_init.connect(lambda **_: _warm_up(context), weak=False)
    signals.worker_ready.connect(lambda **_: presence.start(), weak=False)
    try:
        app.worker_main(
            ["worker", "--queues", TRIALS, "--concurrency", str(count), *_common(settings, TRIALS)]
        )
    finally:
        presence.stop()
        _hand_back(context)


def run_control(settings: Settings) -> None:
    """The small worker that reconciles, with the clock that tells it to; no TensorFlow here."""
    app = make_app(settings)
    register(app, Context(settings))
    beat = ["--beat", "--scheduler", "celery.beat:Scheduler"]
    app.worker_main(["worker", "--queues", CONTROL, "--pool", "solo", *beat, *_common(settings, CONTROL)])


def _common(settings: Settings, queue: str) -> list[str]:
    name = f"{queue}-{worker_id()}@%h"
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return ["--hostname", name, "--loglevel", settings.log_level, *quiet]


def _described(count: int) -> workers.Worker:
    return workers.Worker(worker_id(), count, slots.gpus(os.environ), sys.version.split()[0])


def _warm_up(context: Context) -> None:
    """Runs in each slot's process as it starts: the imports take seconds, trials should not."""
    context.forget_parent()
    slots.take_gpu(getattr(current_process(), "index", 0), os.environ)
    import tuning.finish
    import tuning.plan
    import tuning.trial  # noqa: F401

    # What was imported stays: Keras walks through all that there is before each training, for 0.3 s.
    gc.collect()
    gc.freeze()
    with _warm.get_lock():
        _warm.value += 1


def _hand_back(context: Context) -> None:
    """What still runs here goes on elsewhere at once, not when its lease has ended."""
    context.database.dispose()
    with context.database.write() as session:
        given = attempts.hand_back_all(session, context.worker)
        finishing = jobs.hand_back_all(session, context.worker)
        workers.gone(session, context.worker)
    if given or finishing:
        _log.info("handed back", trials=len(given), jobs=len(finishing))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.worker")
    parser.add_argument("--queues", choices=(TRIALS, CONTROL), required=True)
    arguments = parser.parse_args()
    settings = Settings.from_environment()
    configure(settings.log_level)
    worker_id()
    (run_trials if arguments.queues == TRIALS else run_control)(settings)


if __name__ == "__main__":
    main()
