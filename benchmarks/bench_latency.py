"""How soon a job is taken and begun, and how small the API stays.

Prints: seconds from POST to the begin of the first epoch on a warm, idle service; milliseconds of a POST
while trials run on all slots; megabytes of the API's process, and whether TensorFlow is in it.
"""

import time
from statistics import median
from typing import Any

from benchmarks.running import Running, service

JOBS, POSTS = 5, 50


def spec(**training: Any) -> dict[str, Any]:
    return {
        "dataset": "builtin:digits",
        "model": {"family": "cnn", "filters": {"type": "choice", "values": [16, 32]}},
        "training": {
            "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
            **training,
        },
        "budget": {"max_trials": 8},
    }


def first_epoch_seconds(running: Running) -> float:
    """From before the POST to the begin of the first epoch: when epochs are seen, less their time."""
    began = time.monotonic()
    job = running.client.jobs.create({**spec(epochs=3), "budget": {"max_trials": 1}})
    while not (seen := [epoch for trial in job.trials() for epoch in trial.epochs]):
        time.sleep(0.02)
    elapsed = time.monotonic() - began
    job.wait(timeout=120, progress=False)
    return elapsed - sum(epoch.seconds or 0.0 for epoch in seen)


def post_seconds(running: Running) -> list[float]:
    """Of POSTs while all slots are busy with another job."""
    busy = running.client.jobs.create(spec(epochs=5000))
    slots = running.client.get("/v1/info")["slots"]
    while busy.reload().progress.running < slots:
        time.sleep(0.1)
    taken, posted = [], []
    for _ in range(POSTS):
        began = time.monotonic()
        posted.append(running.client.jobs.create(spec(epochs=1)))
        taken.append(time.monotonic() - began)
    for job in [busy, *posted]:
        job.cancel()
    return taken


def main() -> None:
    with service() as running:
        begins = [first_epoch_seconds(running) for _ in range(JOBS)]
        print(f"POST to first epoch, warm and idle: median {median(begins):.2f} s of {JOBS} jobs")
        taken = sorted(post_seconds(running))
        print(f"POST /v1/jobs, all slots busy: median {1000 * median(taken):.1f} ms of {POSTS}")
        for process in running.api_processes():
            size = process.memory_info().rss / 2**20
            files = " ".join(mapped.path for mapped in process.memory_maps())
            print(f"API process: {size:.0f} MB resident, TensorFlow in it: {'tensorflow' in files}")


if __name__ == "__main__":
    main()
