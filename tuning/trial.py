"""One trial: a configuration built, trained and scored, once or once for each fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev
from typing import Any

import keras
import numpy as np

from schemas.models import Infeasible
from schemas.recipe import Recipe
from schemas.specs import JobSpec
from schemas.trials import Epoch
from tuning import training
from tuning.data import Array, Arrays, DatasetUnavailable, DatasetUnreadable, Indices, divide
from tuning.devices import accelerators
from tuning.metrics import mean_of
from tuning.models import Materials, WeightsUnavailable
from tuning.preprocessing import Preparation
from tuning.training import Interrupted, NonFiniteObjective, Progress, Reporter, Share


@dataclass(frozen=True)
class Failure:
    """Why a trial has no score; ``code`` is one of `schemas.trials.ERROR_CODES`."""

    code: str
    message: str


@dataclass(frozen=True)
class Best:
    """What a trial is worth: its best epoch, or the means of its folds' best epochs."""

    epoch: int
    metrics: Mapping[str, float | None]
    deviation: float | None = None
    folds: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Result:
    """What came out. ``best`` is None when no epoch counts; ``weights`` are those of its end.

    A cross-validated trial has no weights: each of its nets knows another part of the images.
    """

    best: Best | None
    weights: list[Array]
    parameters: int | None
    device: str
    failure: Failure | None = None
    interrupted: bool = False


@dataclass
class _Run:
    """What a trial has come to so far."""

    ended: list[Epoch] = field(default_factory=list)  # the best epochs of the folds that are done
    progress: Progress = field(default_factory=Progress)
    parameters: int | None = None


def run(
    spec: JobSpec,
    recipe: Recipe,
    arrays: Arrays,
    reporter: Reporter,
    max_parameters: int,
    materials: Materials | None = None,
) -> Result:
    """Trains one configuration; its failures are results, not exceptions.

    What the reporter raises (other than `Interrupted`) comes through.
    """
    so_far = _Run()
    failure, interrupted = None, False
    try:
        for fold, indices in enumerate(divide(arrays.y, spec.split, spec.seed), start=1):
            _fold(
                so_far,
                spec,
                recipe,
                arrays,
                indices,
                fold,
                reporter,
                max_parameters,
                materials or Materials(),
            )
    except Interrupted:
        interrupted = True
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
    best = None if failure else _best(spec, so_far)
    weights = [] if spec.split.folds > 1 else so_far.progress.weights
    return Result(best, weights, so_far.parameters, device(), failure, interrupted)


def _fold(
    so_far: _Run,
    spec: JobSpec,
    recipe: Recipe,
    arrays: Arrays,
    indices: Indices,
    fold: int,
    reporter: Reporter,
    max_parameters: int,
    materials: Materials,
) -> None:
    preparation = Preparation.of(recipe.preprocessing, arrays.x.shape[1:])
    classes = len(arrays.class_names)
    _check_size(recipe.model.count_parameters(preparation.shape, classes), max_parameters)
    share = share_of(arrays, indices.training, preparation)
    validation = share_of(arrays, indices.validation, preparation)
    trained = training.trainee(recipe, share.x, classes, spec.seed, materials)
    so_far.parameters = int(trained.net.count_params())
    _check_size(so_far.parameters, max_parameters)
    so_far.progress = Progress()
    training.train(trained, share, validation, spec.objective, reporter, so_far.progress, fold)
    if so_far.progress.best is not None:
        so_far.ended.append(so_far.progress.best)


def _check_size(parameters: int, limit: int) -> None:
    if parameters > limit:
        raise Infeasible(f"the model has {parameters:,} parameters; {limit:,} are allowed")


def _best(spec: JobSpec, so_far: _Run) -> Best | None:
    """Of the folds that are done; of the one that was interrupted if there is none."""
    found = so_far.ended or [epoch for epoch in [so_far.progress.best] if epoch is not None]
    if not found or spec.split.folds == 1:
        return Best(found[0].epoch, found[0].metrics) if found else None
    metric = spec.objective.metric
    folds = [
        {
            "fold": one.fold,
            "score": one.metrics[metric],
            "best_epoch": one.epoch,
            "metrics": dict(one.metrics),
        }
        for one in found
    ]
    scores = [float(one.metrics[metric] or 0.0) for one in found]
    epoch = max(1, round(float(np.mean([one.epoch for one in found]))))
    deviation = stdev(scores) if len(scores) > 1 else None
    return Best(epoch, mean_of([one.metrics for one in found]), deviation, folds)


def share_of(arrays: Arrays, indices: Array, preparation: Preparation) -> Share:
    """Some of the images, prepared."""
    return Share(preparation.apply(arrays.x[indices]), arrays.y[indices])


def failure_of(error: Exception) -> Failure | None:
    """What an exception says about the configuration; None if it says nothing about it."""
    text = str(error).splitlines()[0][:500] if str(error) else type(error).__name__
    if isinstance(error, Infeasible):
        return Failure("infeasible_model", text)
    if isinstance(error, NonFiniteObjective):
        return Failure("non_finite_objective", text)
    if isinstance(error, DatasetUnreadable):
        return Failure("dataset_unreadable", text)
    if isinstance(error, DatasetUnavailable):
        return Failure("dataset_unavailable", text)
    if isinstance(error, WeightsUnavailable):
        return Failure("weights_unavailable", text)
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
    found = accelerators()
    return found[0] if found else "CPU"


def save_weights(weights: list[Array], file: Path) -> None:
    """Arrays in the order of `keras.Model.get_weights`."""
    np.savez(file, *weights)


def load_weights(model: keras.Model, file: Path) -> None:
    with np.load(file, allow_pickle=False) as archive:
        model.set_weights([archive[f"arr_{index}"] for index in range(len(archive.files))])
