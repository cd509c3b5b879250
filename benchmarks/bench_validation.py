"""How long a spec takes to be checked and priced; the targets: 50 open values in 20 ms, any grid in 50 ms.

Prints, for each spec: its open values, its size, and the median milliseconds of `load_spec` and `estimate`
in this process, and of `POST /v1/jobs:validate` on a service of its own.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.running import Running, service
from schemas.datasets import BUILTINS
from schemas.estimates import estimate
from schemas.specs import load_spec

DATASET = "builtin:digits"
NO_LIMIT = 10**9


def of_many_kinds() -> dict[str, Any]:
    """50 open values: those of 15 layers, some with conditions, and eight of the training."""
    layers = [_conv(index) for index in range(6)] + [{"type": "Flatten"}] + [_dense() for _ in range(9)]
    training = {
        "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
        "momentum": _real(0.5, 0.99, when={"training.optimizer": ["sgd", "rmsprop"]}),
        "nesterov": {"type": "boolean", "when": {"training.optimizer": ["sgd"]}},
        "learning_rate": _real(1e-5, 1e-1, sampling="log"),
        "batch_size": {"type": "choice", "values": [16, 32, 64]},
        "epochs": {"type": "int", "min": 5, "max": 50},
        "weight_decay": _real(1e-6, 1e-2, sampling="log"),
        "label_smoothing": _real(0.0, 0.2),
    }
    return _spec({"family": "layers", "layers": layers}, training)


def _conv(index: int) -> dict[str, Any]:
    return {
        "type": "Conv2D",
        "filters": {"type": "int", "min": 8, "max": 64, "step": 8},
        "kernel_size": {"type": "choice", "values": [3, 5]},
        "padding": "same",
        "activation": {"type": "choice", "values": ["relu", "elu", "tanh"]},
        "use_bias": {"type": "boolean", "when": {f"model.layers.{index}.activation": ["relu"]}},
    }


def _dense() -> dict[str, Any]:
    units = {"type": "int", "min": 16, "max": 256, "sampling": "log"}
    return {"type": "Dense", "units": units, "activation": {"type": "choice", "values": ["relu", "gelu"]}}


def _real(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"type": "float", "min": low, "max": high, **more}


def of_a_large_grid() -> dict[str, Any]:
    """10^12 configurations."""
    filters, units, batch = ({"type": "int", "min": 1, "max": 1000} for _ in range(3))
    rate = _real(1e-4, 0.0999 + 1e-4, step=1e-4)
    training = {"batch_size": batch, "learning_rate": rate}
    return _spec({"family": "cnn", "filters": filters, "dense_units": units}, training)


def _spec(model: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    budget = {"max_trials": 100}
    return {"dataset": DATASET, "model": model, "training": training, "budget": budget}


def milliseconds(work: Callable[[], Any], count: int) -> float:
    """The median of so many runs, after one that does not count."""
    work()
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


def row(name: str, document: dict[str, Any], running: Running, count: int) -> str:
    def checked() -> None:
        estimate(load_spec(document), BUILTINS[DATASET], NO_LIMIT)

    space = load_spec(document).space
    size = space.size()
    here = milliseconds(checked, count)
    there = milliseconds(lambda: running.client.jobs.validate(document), count)
    return f"{name:<12} {len(space):>4} {size or 'endless':>14} {here:>10.1f} {there:>10.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="checks of each spec")
    count = parser.parse_args().count
    with service() as running:
        print(f"{'spec':<12} {'open':>4} {'size':>14} {'here, ms':>10} {'HTTP, ms':>10}")
        print(row("many kinds", of_many_kinds(), running, count))
        print(row("large grid", of_a_large_grid(), running, count))


if __name__ == "__main__":
    main()
