"""Does a search that thinks hold others up? Plans of new jobs beside a Bayesian search over many trials.

One process plans a job with `bayesian` and 400 finished trials again and again; meanwhile another plans new
jobs on the same database, as another slot of a worker would. Prints the milliseconds of such a plan with
nobody else at work, beside a plain busy process (what sharing the cores costs), and beside the thinking.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from sqlalchemy import delete, update

from schemas.datasets import BUILTINS
from schemas.logs import configure
from schemas.settings import Settings
from schemas.specs import JobSpec, load_spec
from schemas.states import JobState, TrialState
from schemas.trials import Suggestion
from store import jobs, trials
from store.tables import TrialRow
from tasks.context import Context
from tasks.plan import plan

KNOWN, PLANS = 400, 30


def spec(algorithm: str) -> JobSpec:
    share = {"type": "float", "min": 0.0, "max": 0.9}
    model = {"family": "mlp", "units": {"type": "int", "min": 2, "max": 100}, "dropout": share}
    rate = {"type": "float", "min": 1e-5, "max": 1e-1, "sampling": "log"}
    document: dict[str, Any] = {
        "dataset": "builtin:digits",
        "model": model,
        "training": {"learning_rate": rate},
        "search": {"algorithm": algorithm},
        "budget": {"max_trials": 10_000, "parallel_trials": 2},
    }
    return load_spec(document)


def new_job(context: Context, algorithm: str) -> str:
    with context.database.write() as session:
        dataset = BUILTINS["builtin:digits"]
        return jobs.create(session, "default", spec(algorithm), dataset, []).id


def known_job(context: Context) -> str:
    """A job whose search has come far."""
    job_id, random = new_job(context, "bayesian"), Random(0)
    with context.database.write() as session:
        jobs.move(session, job_id, JobState.RUNNING)
        found = [
            Suggestion(
                {
                    "model.units": random.randint(2, 100),
                    "model.dropout": random.uniform(0.0, 0.9),
                    "training.learning_rate": 10 ** random.uniform(-5, -1),
                }
            )
            for _ in range(KNOWN)
        ]
        trials.create(session, job_id, 0, found)
        for number in range(KNOWN):
            mine = (TrialRow.job_id == job_id, TrialRow.number == number)
            ended = {"state": TrialState.COMPLETED, "score": random.random(), "best_epoch": 1}
            session.execute(update(TrialRow).where(*mine).values(**ended))
    return job_id


def settings(folder: str) -> Settings:
    return Settings(
        database_url=f"sqlite:///{Path(folder) / 'bench.db'}",
        broker_url="redis://127.0.0.1:1/0",
        data_folder=folder,
    )


def think(folder: str, job_id: str) -> None:
    """Plans for ever: each time the trials that it has made are taken back."""
    configure("ERROR")
    context = Context(settings(folder))
    while True:
        plan(context, job_id)
        with context.database.write() as session:
            session.execute(delete(TrialRow).where(TrialRow.job_id == job_id, TrialRow.number >= KNOWN))


def spin(folder: str, job_id: str) -> None:
    while True:
        pass


@contextmanager
def beside(work: Callable[[str, str], None] | None, folder: str, job_id: str) -> Iterator[None]:
    if work is None:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=work, args=(folder, job_id), daemon=True)
    process.start()
    time.sleep(20)  # TensorFlow is imported
    try:
        yield
    finally:
        process.kill()
        process.join()


def plan_milliseconds(context: Context) -> float:
    taken = []
    for _ in range(PLANS):
        job_id = new_job(context, "random")
        began = time.monotonic()
        plan(context, job_id)
        taken.append(1000 * (time.monotonic() - began))
    return median(taken)


def main() -> None:
    configure("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        context = Context(settings(folder))
        context.database.migrate()
        job_id = known_job(context)
        plan_milliseconds(context)
        for name, work in (("alone", None), ("beside a busy process", spin), ("beside the thinking", think)):
            with beside(work, folder, job_id):
                print(f"a plan of another job, {name}: median {plan_milliseconds(context):.1f} ms of {PLANS}")
        context.database.close()


if __name__ == "__main__":
    main()
