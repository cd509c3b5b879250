"""What must not be lost, is not: processes killed, the broker emptied, the whole service restarted.

Each fault is tried on one of the two databases, for it takes most of a minute; what the rows go through in
each is tried on both, in `tests/store` and `tests/tasks`.
"""

import signal
import subprocess
from typing import Any

import psutil
import pytest

from tests.conftest import wait_until
from tests.whole.conftest import SERVER, Service, states
from tuneserve import Job

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def started(service: Service, spec: dict[str, Any]) -> Job:
    """A job of which trials are training."""
    job = service.client().jobs.create(spec)
    wait_until(lambda: job.reload().progress.epochs >= 3, 60, "trials train")
    return job


def assert_as_if_nothing_had_happened(job: Job, trials: int) -> None:
    job.wait(timeout=180, progress=False)
    found = list(job.trials())
    assert (job.state, job.stop_reason) == ("succeeded", "completed")
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state for trial in found} == {"completed"}
    epochs = [len(job.trial(number).epochs) for number in range(trials)]
    assert epochs == [25] * trials, "each trial has just the epochs of its last attempt"


@on_sqlite
def test_a_killed_slot_loses_no_trial(service: Service, long_spec: dict[str, Any]) -> None:
    job = started(service, long_spec)
    service.slot_processes()[0].kill()
    wait_until(lambda: any(trial.attempt == 2 for trial in job.trials()), 60, "a second attempt")
    assert_as_if_nothing_had_happened(job, 4)


@on_postgresql
def test_a_killed_worker_loses_no_trial(service: Service, long_spec: dict[str, Any]) -> None:
    job = started(service, long_spec)
    worker = service.worker()
    doomed = [worker, *worker.children(recursive=True)]
    for process in doomed:
        process.kill()
    psutil.wait_procs(doomed, timeout=10)
    wait_until(lambda: any(trial.attempt == 2 for trial in job.trials()), 90, "a second attempt")
    assert_as_if_nothing_had_happened(job, 4)
    assert "starting it again" in service.said


@on_sqlite
def test_an_emptied_and_restarted_broker_loses_nothing(service: Service, long_spec: dict[str, Any]) -> None:
    long_spec["budget"] = {"max_trials": 6, "parallel_trials": 4}
    job = started(service, long_spec)
    with service.broker() as broker:
        broker.flushall()
    service.part("valkey").kill()
    assert_as_if_nothing_had_happened(job, 6)
    assert all(trial.attempt == 1 for trial in job.trials()), "running trials did not notice"


@on_postgresql
def test_a_stopped_service_goes_on_where_it_was(service: Service, long_spec: dict[str, Any]) -> None:
    job = started(service, long_spec)
    parts = psutil.Process(service.process.pid).children(recursive=True)
    assert service.stop(signal.SIGTERM) == 0
    assert psutil.wait_procs(parts, timeout=5)[1] == [], "nothing is left running"
    service.start()
    again = service.client().jobs.get(job.id)
    assert states(again).count("running") + states(again).count("pending") > 0
    assert_as_if_nothing_had_happened(again, 4)


@on_sqlite
def test_a_second_service_on_the_same_folder_says_that_one_is_running(service: Service) -> None:
    ended = subprocess.run(
        [SERVER, "up", "--data", service.folder, "--port", "0"],
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1
    assert "is running in" in ended.stderr
    assert service.url in ended.stderr
