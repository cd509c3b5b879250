"""Jobs that others depend on, deleted while those run."""

from typing import Any

from schemas.states import JobState
from store import jobs
from tasks.context import Context
from tasks.plan import plan
from tests.store.makers import (
    PROJECT,
    claim,
    complete,
    job_with_trials,
    new_job,
    set_state,
    state_of,
    work_of,
)

RATE = {"learning_rate": {"type": "float", "min": 0.001, "max": 1.0}, "epochs": 1}
GIVEN: dict[str, Any] = {"model": {"family": "mlp"}, "training": RATE}


def _remove(context: Context, job_id: str) -> None:
    set_state(context.database, job_id, JobState.SUCCEEDED)
    with context.database.write() as session:
        jobs.remove(session, PROJECT, job_id)


def test_a_search_goes_on_without_the_job_that_it_began_from(context: Context) -> None:
    earlier = job_with_trials(context.database, 1, **GIVEN)
    complete(context.database, claim(context.database, earlier, 0), score=0.5)
    search = {"algorithm": "tpe", "warm_start": [earlier]}
    job_id = new_job(context.database, **GIVEN, search=search, budget={"max_trials": 2, "parallel_trials": 1})
    plan(context, job_id)
    _remove(context, earlier)
    complete(context.database, claim(context.database, job_id, 0), score=0.5)
    plan(context, job_id)
    assert state_of(context.database, job_id) == JobState.RUNNING
    assert len(work_of(context.database, job_id).trials) == 2


def test_a_plan_of_a_deleted_job_is_nothing(context: Context) -> None:
    job_id = new_job(context.database, **GIVEN)
    _remove(context, job_id)
    plan(context, job_id)
