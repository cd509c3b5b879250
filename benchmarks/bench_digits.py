"""How good the demo's job is: the example on scikit-learn's digits, with five seeds.

Prints: test accuracy on the images that no trial saw, and seconds from POST to the finished model.
"""

import json
import time
from pathlib import Path
from statistics import median

from benchmarks.running import service

SPEC = Path(__file__).parents[1] / "examples" / "digits-random.json"
SEEDS = range(5)


def main() -> None:
    spec = json.loads(SPEC.read_text())
    accuracies, seconds = [], []
    with service() as running:
        for seed in SEEDS:
            began = time.monotonic()
            job = running.client.jobs.create({**spec, "seed": seed}).wait(timeout=600, progress=False)
            seconds.append(time.monotonic() - began)
            test = job.best_result().test
            assert test is not None
            accuracies.append(test["accuracy"] or 0.0)
            print(f"seed {seed}: test accuracy {accuracies[-1]:.4f}, {seconds[-1]:.0f} s")
    print(
        f"digits, random search, {spec['budget']['max_trials']} trials: test accuracy "
        f"median {median(accuracies):.4f}, lowest {min(accuracies):.4f}; median {median(seconds):.0f} s"
    )


if __name__ == "__main__":
    main()
