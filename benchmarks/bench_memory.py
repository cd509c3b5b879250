"""Does a slot's memory level off? 200 trials of mixed sizes on one slot, through the service as delivered.

Prints the resident megabytes of the slot's process after every 20th trial, which process it is, and the
largest of each half. TensorFlow keeps some megabytes of every net that it has traced; the slot is replaced
after `TUNESERVE_SLOT_TRIALS` tasks, and when it holds more than `TUNESERVE_SLOT_MEMORY_MB`.
"""

import time

import psutil

from benchmarks.running import Running, service

TRIALS, STEP = 200, 20


def spec() -> dict[str, object]:
    return {
        "dataset": "builtin:digits",
        "model": {
            "family": "cnn",
            "blocks": {"type": "int", "min": 1, "max": 2},
            "filters": {"type": "choice", "values": [4, 8, 16, 32]},
            "dense_units": {"type": "int", "min": 8, "max": 128},
        },
        "training": {
            "epochs": 1,
            "batch_size": {"type": "choice", "values": [64, 128, 256]},
            "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
        },
        "search": {"algorithm": "random"},
        "budget": {"max_trials": TRIALS, "parallel_trials": 2},
        "result": {"refit": False},
    }


def slot(running: Running) -> psutil.Process:
    """The process of the only slot: the child of the worker of the queue `trials`."""
    parents = [one for one in running.process.children() if one.cmdline()[-1] == "trials"]
    return parents[0].children()[0]


def main() -> None:
    sizes: list[float] = []
    with service("--slots", "1") as running:
        job = running.client.jobs.create(spec())
        processes = {slot(running).pid}
        while not job.reload().is_terminal:
            ended = job.progress.completed
            if ended >= STEP * (len(sizes) + 1):
                process = slot(running)
                processes.add(process.pid)
                sizes.append(process.memory_info().rss / 2**20)
                print(f"{ended:4} trials: {sizes[-1]:.0f} MB, process {len(processes)}", flush=True)
            time.sleep(0.2)
    half = len(sizes) // 2
    print(f"largest in the first half: {max(sizes[:half]):.0f} MB; in the second: {max(sizes[half:]):.0f} MB")


if __name__ == "__main__":
    main()
