"""Jobs that others depend on, deleted while those run."""

from pathlib import Path
from typing import Any

import pytest

from schemas.states import JobState
from store import jobs
from tasks import trial
from tasks.context import Context
from tasks.plan import plan
from tests.store.makers import (
    PROJECT,
    claim,
    complete,
    job_with_trials,
    new_job,
    release,
    running_job,
    set_state,
    set_trial,
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


def test_weights_of_a_trial_that_was_given_up_for_lost_are_not_left(
    sqlite_context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = sqlite_context
    job_id = running_job(context.database, 1, **GIVEN, result={"refit": False})
    set_trial(context.database, job_id, 0, hyperparameters={"training.learning_rate": 0.01})
    publish = trial._publish_weights

    def publish_too_late(*arguments: Any) -> Any:
        path = publish(*arguments)
        set_trial(context.database, job_id, 0, lease_expires_at=1.0)
        release(context.database, job_id, 0)
        _remove(context, job_id)
        return path

    monkeypatch.setattr(trial, "_publish_weights", publish_too_late)
    trial.run_trial(context, job_id, 0)
    folder = Path(context.settings.storage_url.removeprefix("file://")) / "jobs"
    assert folder.exists()
    assert [file for file in folder.rglob("*") if file.is_file()] == []
