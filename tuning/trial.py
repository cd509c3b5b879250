"""One trial: a configuration built, trained and scored."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from schemas.models import Infeasible
from schemas.recipe import Recipe
from schemas.specs import JobSpec
from schemas.trials import Epoch
from tuning import training
from tuning.data import Array, Arrays, DatasetUnreadable, divide
from tuning.training import Interrupted, NonFiniteObjective, Progress, Reporter, Share


@dataclass(frozen=True)
class Failure:
    """Why a trial has no score; ``code`` is one of `schemas.trials.ERROR_CODES`."""

    code: str
    message: str


@dataclass(frozen=True)
class Result:
    """What came out. ``best`` is None when no epoch counts; ``weights`` are those of its end."""

    best: Epoch | None
    weights: list[Array]
    parameters: int | None
    device: str
    failure: Failure | None = None
    interrupted: bool = False


def run(spec: JobSpec, recipe: Recipe, arrays: Arrays, reporter: Reporter, max_parameters: int) -> Result:
    """Trains one configuration; its failures are results, not exceptions.

    What the reporter raises (other than `Interrupted`) comes through.
    """
    progress = Progress()
    parameters = None
    failure, interrupted = None, False
    try:
        indices = divide(arrays.y, spec.split, spec.seed)
        share, validation = _share(arrays, indices.training), _share(arrays, indices.validation)
        model = training.compiled(recipe, share.x, len(arrays.class_names), spec.seed, max_parameters)
        parameters = int(model.count_params())
        training.train(model, recipe.training, share, validation, spec.objective, reporter, progress)
    except Interrupted:
        interrupted = True
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
    best = None if failure else progress.best
    return Result(best, progress.weights, parameters, device(), failure, interrupted)


def failure_of(error: Exception) -> Failure | None:
    """What an exception says about the configuration; None if it says nothing about it."""
    text = str(error).splitlines()[0][:500] if str(error) else type(error).__name__
    if isinstance(error, Infeasible):
        return Failure("infeasible_model", text)
    if isinstance(error, NonFiniteObjective):
        return Failure("non_finite_objective", text)
    if isinstance(error, DatasetUnreadable):
        return Failure("dataset_unreadable", text)
    if _is_out_of_memory(error):
        return Failure("out_of_memory", "The configuration needs more memory than the slot has.")
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Each backend has an exception of its own for this: TensorFlow's, PyTorch's, JAX's."""
    if isinstance(error, MemoryError):
        return True
    name, text = type(error).__name__, str(error)
    return name in ("ResourceExhaustedError", "OutOfMemoryError") or "RESOURCE_EXHAUSTED" in text


def device() -> str:
    found = training.accelerators()
    return found[0] if found else "CPU"


def save_weights(weights: list[Array], file: Path) -> None:
    """Arrays in the order of `keras.Model.get_weights`."""
    np.savez(file, *weights)


def load_weights(model: keras.Model, file: Path) -> None:
    with np.load(file, allow_pickle=False) as archive:
        model.set_weights([archive[f"arr_{index}"] for index in range(len(archive.files))])


def _share(arrays: Arrays, indices: Array) -> Share:
    return Share(arrays.x[indices], arrays.y[indices])
