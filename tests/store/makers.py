"""Rows for tests: jobs and trials as the service would make them."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import update

from schemas.datasets import BUILTINS
from schemas.distributions import Value
from schemas.specs import JobSpec, load_spec
from schemas.states import JobState, TrialState
from schemas.trials import Suggestion, Trial
from store import attempts, jobs, searches, trials
from store.attempts import Claim, Outcome
from store.database import Database
from store.searches import Work
from store.tables import JobRow, TrialRow

PROJECT = "default"
DIGITS = BUILTINS["builtin:digits"]
WORKER = "worker-1"
# A lease that outlives any test, and one that is over as soon as it is given.
LONG, OVER = 3600.0, -1.0

Result = TypeVar("Result")


def new_spec(**changes: Any) -> JobSpec:
    """A checked spec with one open value; sections are replaced as a whole."""
    document = {
        "dataset": "builtin:digits",
        "model": {"family": "cnn", "filters": 4, "blocks": 1, "dense_units": 8},
        "training": {"learning_rate": {"type": "float", "min": 1e-3, "max": 1e-2}, "epochs": 2},
        "budget": {"max_trials": 10},
        **changes,
    }
    return load_spec(document)


def new_job(database: Database, project: str = PROJECT, **changes: Any) -> str:
    """A queued job; gives its id."""
    with database.write() as session:
        return jobs.create(session, project, new_spec(**changes), DIGITS, []).id


def new_trials(
    database: Database, job_id: str, count: int, values: Mapping[str, Value] | None = None
) -> None:
    """Pending trials 0 to ``count - 1``."""
    with database.write() as session:
        trials.create(session, job_id, 0, [Suggestion(values or {})] * count)


def job_with_trials(database: Database, count: int, **changes: Any) -> str:
    job_id = new_job(database, **changes)
    new_trials(database, job_id, count)
    return job_id


def running_job(database: Database, count: int = 0, **changes: Any) -> str:
    job_id = job_with_trials(database, count, **changes)
    set_state(database, job_id, JobState.RUNNING)
    return job_id


def finishing_job(database: Database, scores: Sequence[float] = (0.9,), **changes: Any) -> str:
    """A job whose search is over, with a completed trial for each score."""
    job_id = running_job(database, len(scores), **changes)
    for number, score in enumerate(scores):
        complete(database, claim(database, job_id, number), score=score)
    set_state(database, job_id, JobState.FINISHING)
    return job_id


def set_state(database: Database, job_id: str, state: JobState) -> None:
    set_job(database, job_id, state=state)


def set_job(database: Database, job_id: str, **values: Any) -> None:
    """Writes over a job's row, past all rules."""
    with database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(**values))


def set_trial(database: Database, job_id: str, number: int, **values: Any) -> None:
    """Writes over a trial's row, past all rules."""
    mine = (TrialRow.job_id == job_id, TrialRow.number == number)
    with database.write() as session:
        session.execute(update(TrialRow).where(*mine).values(**values))


def try_to_claim(
    database: Database, job_id: str, number: int, worker: str = WORKER, seconds: float = LONG
) -> Claim | None:
    with database.write() as session:
        return attempts.claim(session, job_id, number, worker, seconds)


def claim(database: Database, job_id: str, number: int, worker: str = WORKER, seconds: float = LONG) -> Claim:
    claimed = try_to_claim(database, job_id, number, worker, seconds)
    assert claimed is not None
    return claimed


def complete(
    database: Database,
    claimed: Claim,
    state: TrialState = TrialState.COMPLETED,
    score: float | None = 0.5,
    **outcome: Any,
) -> None:
    best = None if score is None else 1
    metrics = None if score is None else {"val_accuracy": score}
    found = Outcome(state, score=score, best_epoch=best, metrics=metrics, **outcome)
    with database.write() as session:
        attempts.complete(session, claimed.lease, found)


def release(database: Database, job_id: str, number: int) -> None:
    with database.write() as session:
        attempts.release(session, job_id, number)


def trial_of(database: Database, job_id: str, number: int) -> Trial:
    with database.read() as session:
        return trials.get(session, job_id, number)


def state_of(database: Database, job_id: str) -> JobState:
    with database.read() as session:
        state = jobs.state(session, job_id)
    assert state is not None
    return state


def work_of(database: Database, job_id: str) -> Work:
    with database.read() as session:
        work = searches.work(session, job_id)
    assert work is not None
    return work


def job_row(database: Database, job_id: str) -> JobRow:
    with database.read() as session:
        return session.get_one(JobRow, job_id)


def trial_row(database: Database, job_id: str, number: int) -> TrialRow:
    with database.read() as session:
        return session.get_one(TrialRow, (job_id, number))


def at_once(count: int, work: Callable[[int], Result]) -> list[Result]:
    """Runs ``work(0)`` to ``work(count - 1)`` in as many threads; raises what any of them raised."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
