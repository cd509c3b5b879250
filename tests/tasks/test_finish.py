"""The end of a job: the model is made, verified and published once."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from schemas.jobs import Job
from schemas.problems import Unavailable
from schemas.states import JobState
from store import artifacts, jobs
from store.blobs import sha256_of
from store.leases import Lease, LeaseLost
from tasks import finish as module
from tasks.context import Context
from tasks.finish import MAX_ATTEMPTS, finish
from tests.store.makers import (
    LONG,
    OVER,
    PROJECT,
    finishing_job,
    job_row,
    new_job,
    running_job,
    set_job,
    set_state,
    state_of,
    work_of,
)

ARTIFACTS = ["model.keras", "reproduce.json", "trials.csv"]


def _job(context: Context, job_id: str) -> Job:
    with context.database.read() as session:
        return jobs.get(session, PROJECT, job_id)


def _names(context: Context, job_id: str) -> list[str]:
    with context.database.read() as session:
        return artifacts.names(session, job_id)


def _claim(context: Context, job_id: str, worker: str, seconds: float) -> Lease:
    with context.database.write() as session:
        lease = jobs.claim_finish(session, job_id, worker, seconds)
    assert lease is not None
    return lease


def test_a_job_ends_with_a_verified_model(context: Context, tmp_path: Any) -> None:
    job_id = finishing_job(context.database, [0.2, 0.8, 0.5])
    finish(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)
    with context.database.read() as session:
        result = jobs.result(session, PROJECT, job_id)
        found = [artifacts.get(session, job_id, name) for name in ARTIFACTS]
    assert result is not None
    assert (result["trial"], result["refit"]) == (1, True)
    assert result["verified"] == {"accuracy": result["test"]["accuracy"], "difference": 0.0}
    model = next(artifact for artifact in found if artifact.name == "model.keras")
    assert (result["model"]["bytes"], result["model"]["parameters"] > 0) == (model.bytes, True)
    assert 0 < result["model"]["prediction_seconds"] < 1
    assert result["reproducibility"]["dataset_digest"] == "builtin:digits:scikit-learn-1"
    for artifact in found:
        context.blobs.fetch(artifact.path, tmp_path / artifact.name)
        assert sha256_of(tmp_path / artifact.name) == artifact.sha256
        assert (tmp_path / artifact.name).stat().st_size == artifact.bytes
    assert json.loads((tmp_path / "reproduce.json").read_text())["trial"] == 1
    assert job.cost.artifact_bytes == sum(artifact.bytes for artifact in found)


def test_a_finished_job_is_not_finished_again(context: Context) -> None:
    job_id = finishing_job(context.database)
    for state in JobState:
        if state != JobState.FINISHING:
            set_state(context.database, job_id, state)
            finish(context, job_id)
            assert state_of(context.database, job_id) == state
    finish(context, "job_none")
    assert _names(context, job_id) == []


def test_finishing_that_somebody_does_is_left_alone(context: Context) -> None:
    job_id = finishing_job(context.database)
    _claim(context, job_id, "another", LONG)
    finish(context, job_id)
    assert job_row(context.database, job_id).worker == "another"
    assert state_of(context.database, job_id) == JobState.FINISHING


def test_finishing_that_takes_its_workers_down_is_given_up(context: Context) -> None:
    job_id = finishing_job(context.database)
    for _ in range(MAX_ATTEMPTS):
        _claim(context, job_id, "dies", OVER)
    finish(context, job_id)
    job = _job(context, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "poison"


def test_a_data_set_that_is_gone_is_not_waited_for(context: Context) -> None:
    job_id = finishing_job(context.database)
    set_job(context.database, job_id, dataset="ds_gone", dataset_digest="sha256:gone")
    finish(context, job_id)
    job = _job(context, job_id)
    assert (job.state, (job.error or {}).get("code")) == (JobState.FAILED, "dataset_unreadable")


def test_a_storage_that_is_away_for_long_does_not_fail_the_job(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: str, target: Path) -> None:
        raise Unavailable("storage_unavailable", "away")

    monkeypatch.setattr(context.blobs, "fetch", away)
    job_id = finishing_job(context.database)
    set_job(context.database, job_id, dataset="ds_away", dataset_digest="sha256:away")
    for _ in range(MAX_ATTEMPTS + 2):
        finish(context, job_id)
        set_job(context.database, job_id, lease_expires_at=0.0)
    assert state_of(context.database, job_id) == JobState.FINISHING


def test_a_worker_that_shuts_down_again_and_again_is_no_poison(context: Context) -> None:
    job_id = finishing_job(context.database)
    for _ in range(MAX_ATTEMPTS + 1):
        _claim(context, job_id, "restarted", LONG)
        with context.database.write() as session:
            jobs.hand_back_all(session, "restarted")
    with context.database.write() as session:
        assert jobs.claim_finish(session, job_id, "w", LONG) is not None
        assert jobs.attempts(session, job_id) <= MAX_ATTEMPTS


def test_a_worker_presumed_dead_cannot_fail_its_successors_work(context: Context) -> None:
    job_id = finishing_job(context.database)
    first = _claim(context, job_id, "first", OVER)
    _claim(context, job_id, "second", LONG)
    # A model that no longer can be built: making it is an error at once.
    work = work_of(context.database, job_id)
    spoilt = {**work.spec, "model": {**work.spec["model"], "blocks": 9}}
    set_job(context.database, job_id, spec=spoilt)
    with suppress(LeaseLost):
        module._owned(context, work_of(context.database, job_id), first)
    assert state_of(context.database, job_id) == JobState.FINISHING
    assert job_row(context.database, job_id).worker == "second"


def test_an_error_fails_the_job_with_a_code_and_no_paths(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = finishing_job(context.database, model={"family": "cnn", "blocks": 9})
    finish(context, job_id)
    job = _job(context, job_id)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "infeasible_model"
    assert str(context.settings.data_folder) not in json.dumps(job.error)
    assert _names(context, job_id) == []


def test_nothing_is_left_in_the_scratch_folder(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = finishing_job(context.database)
    finish(context, job_id)
    assert _names(context, job_id) == ARTIFACTS
    assert list(context.scratch.iterdir()) == []


@pytest.mark.parametrize("make", [new_job, running_job])
def test_a_job_that_still_searches_is_not_finished(context: Context, make: Any) -> None:
    job_id = make(context.database)
    finish(context, job_id)
    assert job_row(context.database, job_id).attempt == 0


def test_a_model_that_starts_from_a_deleted_job_is_a_clear_failure(sqlite_context: Context) -> None:
    context = sqlite_context
    earlier = new_job(context.database)
    model = {"family": "transfer", "backbone": "job", "job": earlier}
    job_id = finishing_job(context.database, model=model)
    set_state(context.database, earlier, JobState.SUCCEEDED)
    with context.database.write() as session:
        jobs.remove(session, PROJECT, earlier)
    finish(context, job_id)
    job = _job(context, job_id)
    assert (job.state, (job.error or {}).get("code")) == (JobState.FAILED, "weights_unavailable")


def test_a_job_deleted_before_its_message_comes_is_nothing_to_finish(context: Context) -> None:
    job_id = finishing_job(context.database)
    set_state(context.database, job_id, JobState.CANCELLED)
    with context.database.write() as session:
        jobs.remove(session, PROJECT, job_id)
    assert finish(context, job_id) is False


def test_a_job_deleted_while_it_is_finished_leaves_nothing(
    sqlite_context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = sqlite_context
    job_id = finishing_job(context.database, [0.2])
    publish = module._publish

    def publish_of_a_deleted_job(*arguments: Any) -> Any:
        with context.database.write() as session:
            if jobs.state(session, job_id) == JobState.FINISHING:
                jobs.cancel(session, PROJECT, job_id)
                jobs.remove(session, PROJECT, job_id)
        return publish(*arguments)

    monkeypatch.setattr(module, "_publish", publish_of_a_deleted_job)
    finish(context, job_id)
    folder = Path(context.settings.storage_url.removeprefix("file://")) / "jobs"
    assert [file for file in folder.rglob("*") if file.is_file()] == []
