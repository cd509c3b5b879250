"""What must not be lost, is not: processes killed, the broker emptied, the whole service restarted."""

import signal
import subprocess
from typing import Any

import psutil

from tests.conftest import wait_until
from tests.whole.conftest import SERVER, Service
from tuneserve import Job

# Enough for the search to be going on whatever has been broken before, and whoever is starting again.
TRIALS = 14


def test_a_job_comes_through_the_loss_of_every_part(service: Service, long_spec: dict[str, Any]) -> None:
    """One part after the other, in one search: each start of a service costs as long as a search."""
    long_spec["budget"] = {"max_trials": TRIALS, "parallel_trials": 4}
    job = service.client().jobs.create(long_spec)
    for lose in (a_slot, the_worker, the_broker, the_service):
        await_training(job)
        lose(service, job)
        job = service.client().jobs.get(job.id)
        assert not job.is_terminal, f"{lose.__name__} was lost too late to tell"
    assert_as_if_nothing_had_happened(job)


def a_slot(service: Service, job: Job) -> None:
    service.slot_processes()[0].kill()
    wait_until(lambda: attempts(job) > 0, 60, "a second attempt")


def the_worker(service: Service, job: Job) -> None:
    before = attempts(job)
    worker = service.worker()
    doomed = [worker, *worker.children(recursive=True)]
    for process in doomed:
        process.kill()
    psutil.wait_procs(doomed, timeout=10)
    wait_until(lambda: attempts(job) > before, 90, "another attempt")
    assert "starting it again" in service.said


def the_broker(service: Service, job: Job) -> None:
    running = {trial.number: trial.attempt for trial in job.trials(state="running")}
    with service.broker() as broker:
        broker.flushall()
    service.part("valkey").kill()
    wait_until(lambda: all(job.trial(number).state == "completed" for number in running), 90, "these end")
    again = {number: job.trial(number).attempt for number in running}
    assert again == running, "running trials did not notice"


def the_service(service: Service, job: Job) -> None:
    assert service.process is not None
    parts = psutil.Process(service.process.pid).children(recursive=True)
    assert service.stop(signal.SIGTERM) == 0
    assert psutil.wait_procs(parts, timeout=5)[1] == [], "nothing is left running"
    service.start()


def await_training(job: Job) -> None:
    """Waits until epochs are trained by what is there now."""
    before = job.reload().progress.epochs
    wait_until(lambda: job.reload().progress.epochs >= before + 3, 60, "trials train")


def attempts(job: Job) -> int:
    """How often a trial was begun once more."""
    return sum(trial.attempt - 1 for trial in job.trials() if trial.attempt)


def assert_as_if_nothing_had_happened(job: Job) -> None:
    job.wait(timeout=180, progress=False)
    found = list(job.trials())
    assert (job.state, job.stop_reason) == ("succeeded", "completed")
    assert [trial.number for trial in found] == list(range(TRIALS))
    assert {trial.state for trial in found} == {"completed"}
    epochs = [len(job.trial(number).epochs) for number in range(TRIALS)]
    assert epochs == [25] * TRIALS, "each trial has just the epochs of its last attempt"


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
