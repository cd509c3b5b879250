"""Searches as a whole: every algorithm through a lost worker, and a search that is steered while it runs."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import fresh_database, wait_until
from tests.whole.conftest import Service, running, states
from tuneserve import Job

Json = dict[str, Any]

EPOCHS = 4
TRIALS = 6
SEARCHES: Mapping[str, Json] = {
    "random": {"stopping": {"rule": "median"}},
    "grid": {"order": "outside_in"},
    "bayesian": {},
    "tpe": {"enqueue": [{"training.learning_rate": 0.02}]},
    "cmaes": {},
    "hyperband": {"factor": 2},
    "coarse_to_fine": {"coarse": {"data": 0.5}},
    "lr_range_test": {"steps": 60, "then": {"algorithm": "tpe", "stopping": {"rule": "asha"}}},
}


def _spec(algorithm: str) -> Json:
    """Trials of a second or so; on just as many points as a grid may have."""
    return {
        "dataset": "builtin:digits",
        "model": {"family": "mlp", "units": {"type": "int", "min": 8, "max": 48, "step": 20}},
        "training": {
            "learning_rate": {"type": "float", "min": 1e-3, "max": 1e-1, "sampling": "log"},
            "epochs": EPOCHS,
            "batch_size": 64,
        },
        "search": {"algorithm": algorithm, **SEARCHES[algorithm]},
        "budget": {"max_trials": TRIALS, "parallel_trials": 2},
        "result": {"refit": False},
    }


@pytest.fixture
def service_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Starts a service on the kind of database that is asked for."""
    opened: list[Any] = []

    def start(kind: str, **surroundings: str) -> Service:
        database = fresh_database(request, kind, tmp_path)
        opened.append(database)
        service = running(tmp_path, database.__enter__(), surroundings)
        opened.append(service)
        return service.__enter__()

    yield start
    for one in reversed(opened):
        one.__exit__(None, None, None)


def test_every_algorithm_comes_through_the_loss_of_the_worker(service_on: Any) -> None:
    """All at once: they share two slots, so the fault falls into the middle of each of them."""
    service = service_on("sqlite")
    client = service.client()
    jobs = {name: client.jobs.create(_spec(name)) for name in SEARCHES}
    wait_until(
        lambda: all(job.reload().progress.completed + job.progress.stopped for job in jobs.values()),
        180,
        "every job has a trial",
    )
    assert not any(job.is_terminal for job in jobs.values())
    _kill_worker_at_work(service, list(jobs.values()))
    for name, job in jobs.items():
        job.wait(timeout=240, progress=False)
        _assert_whole(name, job)
    attempts = [trial.attempt for job in jobs.values() for trial in job.trials()]
    assert max(attempts) >= 2, "trials were running when the worker was lost"


def _kill_worker_at_work(service: Service, jobs: list[Job]) -> None:
    """Takes the worker away while it trains; a slot that was between two trials does not count."""
    for _ in range(5):
        wait_until(lambda: any(job.reload().progress.running for job in jobs), 60, "a trial runs")
        _kill_worker(service)
        if any(job.reload().progress.running for job in jobs):
            return
    raise AssertionError("no trial was running when the worker was lost")


def _kill_worker(service: Service) -> None:
    worker = service.worker()
    doomed = [worker, *worker.children(recursive=True)]
    for process in doomed:
        process.kill()
    psutil.wait_procs(doomed, timeout=10)


def _assert_whole(name: str, job: Job) -> None:
    """Not a trial lost, none repeated, and the epochs that were trained are those that were planned."""
    found = [trial_of(job, number) for number in range(TRIALS)]
    assert (name, job.state, job.stop_reason, job.error) == (name, "succeeded", "completed", None)
    assert len(list(job.trials())) == TRIALS
    ends = [(trial["state"], trial["error"]) for trial in found]
    assert {state for state, _ in ends} <= {"completed", "stopped"}, (name, ends)
    told = Counter(json.dumps([trial["hyperparameters"], trial["effort"]]) for trial in found)
    assert max(told.values()) == 1, name
    anew = [json.dumps(trial["hyperparameters"]) for trial in found if trial["effort"]["parent"] is None]
    if name != "lr_range_test":
        assert len(set(anew)) == len(anew), "no configuration is begun twice"
    for trial in found:
        assert [epoch["epoch"] for epoch in trial["epochs"]] == _planned(found, trial), (name, trial)
    assert job.progress.epochs == sum(len(trial["epochs"]) for trial in found)


def _planned(found: list[Json], trial: Json) -> list[int]:
    """The epochs that a trial was to train, up to where a stopping rule has ended it."""
    effort = trial["effort"]
    if effort["stage"] == {"name": "range_test"}:
        return [1]
    last = effort["until_epoch"] or EPOCHS
    if trial["state"] == "stopped":
        assert trial["stop_reason"] in ("median", "asha")
        last = trial["last_epoch"]
    first = 0 if effort["parent"] is None else found[effort["parent"]]["last_epoch"]
    return list(range(first + 1, last + 1))


def trial_of(job: Job, number: int) -> Json:
    """A trial as the service answers it."""
    return job._client.get(f"/v1/jobs/{job.id}/trials/{number}")


def test_a_search_is_steered_while_it_runs(service_on: Any, long_spec: Json) -> None:
    """Paused, resumed, one trial cancelled, extended after its end, cloned, and a clone cancelled."""
    client = service_on("postgresql").client()
    long_spec |= {"budget": {"max_trials": 3, "parallel_trials": 2}, "result": {"refit": False}}
    job = client.jobs.create(long_spec)
    wait_until(lambda: job.reload().progress.epochs >= 4, 90, "trials train")

    assert client.post(f"/v1/jobs/{job.id}:pause")["state"] == "paused"
    wait_until(lambda: job.reload().progress.running == 0, 30, "what runs is put back")
    held = [trial_of(job, number) for number in range(2)]
    assert {trial["state"] for trial in held} == {"pending"}
    assert all(0 < len(trial["epochs"]) < 25 for trial in held)
    time.sleep(2)
    assert job.reload().progress.epochs == sum(len(trial["epochs"]) for trial in held), "it rests"

    assert client.post(f"/v1/jobs/{job.id}:resume")["state"] == "running"
    wait_until(lambda: len(trial_of(job, 0)["epochs"]) > len(held[0]["epochs"]), 60, "it goes on")
    ended = client.post(f"/v1/jobs/{job.id}/trials/1:cancel")
    assert ended["stop_reason"] == "cancelled"
    job.wait(timeout=180, progress=False)
    assert (job.state, states(job)) == ("succeeded", ["completed", "cancelled", "completed"])
    first = trial_of(job, 0)
    assert first["attempt"] == 2
    assert [epoch["epoch"] for epoch in first["epochs"]] == list(range(1, 26))
    assert first["epochs"][: len(held[0]["epochs"])] == held[0]["epochs"], "no epoch was trained again"
    scores = [epoch["metrics"]["val_accuracy"] for epoch in first["epochs"]]
    assert first["score"] == max(scores)

    known = [trial_of(job, number) for number in range(3)]
    more = client.request("PATCH", f"/v1/jobs/{job.id}", json={"budget": {"max_trials": 4}}).json()
    assert (more["state"], more["progress"]["max_trials"]) == ("running", 4)
    job.reload().wait(timeout=120, progress=False)
    assert (job.state, states(job)) == ("succeeded", ["completed", "cancelled", "completed", "completed"])
    assert [trial_of(job, number) for number in range(3)] == known
    best = client.get(f"/v1/jobs/{job.id}/best")
    assert best["score"] == max(trial_of(job, number)["score"] or 0.0 for number in (0, 2, 3))
    assert best["test"] is not None

    again = client.jobs.get(client.post(f"/v1/jobs/{job.id}:clone", json={"search": {"reuse": True}})["id"])
    again.wait(timeout=120, progress=False)
    taken = [trial_of(again, number)["reused"] for number in range(4)]
    assert taken == [{"job": job.id, "trial": 0}, None, *({"job": job.id, "trial": n} for n in (2, 3))]
    assert (again.progress.epochs, trial_of(again, 0)["score"]) == (25, first["score"]), "one was trained"

    changes = {"name": "again", "search": {"algorithm": "tpe"}, "training": {"epochs": 100}}
    clone = client.jobs.get(client.post(f"/v1/jobs/{job.id}:clone", json=changes)["id"])
    assert clone.id != job.id
    wait_until(lambda: clone.reload().progress.running == 2, 60, "the clone runs")
    clone.cancel()
    wait_until(lambda: clone.reload().is_terminal, 30, "it ends")
    assert (clone.state, set(states(clone))) == ("cancelled", {"cancelled"})


def test_a_small_space_is_used_up_and_what_cannot_be_built_is_avoided(service_on: Any) -> None:
    """A net of more than 39 units is too large for this service: half of the second job's space."""
    client = service_on("sqlite", TUNESERVE_MAX_PARAMETERS="3000").client()
    small = _spec("bayesian")
    small["model"]["units"] = {"type": "int", "min": 8, "max": 13, "step": 5}
    small["model"]["layers"] = {"type": "int", "min": 1, "max": 3}
    small["training"] |= {"learning_rate": {"type": "choice", "values": [0.01, 0.003]}, "epochs": 1}
    small["budget"] = {"max_trials": 30, "parallel_trials": 4}
    narrow = _spec("tpe")
    narrow["model"]["units"] = {"type": "int", "min": 1, "max": 79}
    narrow["training"]["epochs"] = 1
    narrow["budget"] = {"max_trials": 24, "parallel_trials": 2}
    used_up, avoiding = client.jobs.create(small), client.jobs.create(narrow)
    used_up.wait(timeout=180, progress=False)
    assert (used_up.stop_reason, states(used_up)) == ("space_exhausted", ["completed"] * 12)
    avoiding.wait(timeout=180, progress=False)
    codes = [trial.error and trial.error.code for trial in avoiding.trials()]
    assert codes.count(None) == 24, "what cannot be built costs no budget"
    assert set(codes) == {None, "infeasible_model"}
    later = codes[12:]
    assert later.count("infeasible_model") <= len(later) / 4
