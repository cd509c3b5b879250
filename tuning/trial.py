"""One trial: a configuration built, trained and scored, once or once for each fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import stdev
from typing import Any

import keras
import numpy as np

from schemas.models import Infeasible
from schemas.recipe import Recipe
from schemas.specs import JobSpec
from schemas.trials import FULL, Effort, Epoch
from tuning import training
from tuning.checkpoints import Checkpoint, CheckpointMismatch, Start
from tuning.data import Array, Arrays, DatasetUnavailable, DatasetUnreadable, Indices, divide
from tuning.devices import accelerators
from tuning.metrics import mean_of
from tuning.models import Materials, WeightsUnavailable
from tuning.preprocessing import Preparation
from tuning.training import Interrupted, NonFiniteObjective, Paused, Progress, Reporter, Share, Trainee
from tuning.watching import best_of


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

    Args:
        paused: it is to go on from ``state``; also ``interrupted``.
        state: where it stands, if that was asked for or it was paused.
        last_epoch: that was really trained, in the last fold that was begun.
        range_test: of `tuning.range_test.run` alone.
    """

    best: Best | None
    weights: list[Array]
    parameters: int | None
    device: str
    failure: Failure | None = None
    interrupted: bool = False
    paused: bool = False
    state: Checkpoint | None = None
    last_epoch: int | None = None
    range_test: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Prepared:
    """A net, and the two shares of the images that it is trained and scored on."""

    trained: Trainee
    share: Share
    validation: Share


@dataclass(frozen=True)
class Assignment:
    """One configuration of a spec, and all that is needed to build it."""

    spec: JobSpec
    recipe: Recipe
    arrays: Arrays
    max_parameters: int
    materials: Materials

    def prepare(self, indices: Indices, data_share: float = 1.0) -> Prepared:
        """A fresh net, and its shares.

        The scaling is learned from the whole training share even if less of it is trained on: a trial that
        goes on with more images has the same.
        """
        preparation = Preparation.of(self.recipe.preprocessing, self.arrays.x.shape[1:])
        classes = len(self.arrays.class_names)
        _check_size(self.recipe.model.count_parameters(preparation.shape, classes), self.max_parameters)
        whole = share_of(self.arrays, indices.training, preparation)
        validation = share_of(self.arrays, indices.validation, preparation)
        trained = training.trainee(self.recipe, whole.x, classes, self.spec.seed, self.materials)
        return Prepared(trained, part_of(whole, data_share, self.spec.seed), validation)

    def count(self, trained: Trainee) -> int:
        """Parameters of the net that was built."""
        return int(trained.net.count_params())


@dataclass
class _Run:
    """What a trial has come to so far."""

    ended: list[Epoch] = field(default_factory=list)  # the best epochs of the folds that are done
    progress: Progress = field(default_factory=Progress)
    parameters: int | None = None
    prepared: Prepared | None = None
    fold: int = 1


def run(
    spec: JobSpec,
    recipe: Recipe,
    arrays: Arrays,
    reporter: Reporter,
    max_parameters: int,
    materials: Materials | None = None,
    *,
    effort: Effort = FULL,
    start: Start | None = None,
    keep_state: bool = False,
) -> Result:
    """Trains one configuration; its failures are results, not exceptions.

    What the reporter raises (other than `Interrupted`) comes through.

    Args:
        effort: its ``until_epoch`` and ``data_share``.
        start: where to go on from: the trial's own checkpoint where it was paused, or its parent's
            (without folds).
        keep_state: the result has the state at its end, without the best epoch's weights, for a trial
            that goes on from this one. Without folds only.

    Raises:
        CheckpointMismatch: the start is not of this configuration; nothing was reported yet.
    """
    given = Assignment(spec, recipe, arrays, max_parameters, materials or Materials())
    until = min(effort.until_epoch or recipe.training.epochs, recipe.training.epochs)
    so_far = _Run()
    failure, raised = None, None
    try:
        for fold, indices in enumerate(divide(arrays.y, spec.split, spec.seed), start=1):
            so_far.fold = fold
            if start is not None and fold < start.checkpoint.fold:
                so_far.ended.append(_reported(spec, start, fold))
            else:
                _fold(so_far, given, indices, fold, reporter, until, effort.data_share, start)
    except Interrupted as interruption:
        raised = interruption
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
    if isinstance(raised, Paused) and (so_far.fold, so_far.progress.last) == (spec.split.folds, until):
        # Nothing is left to go on with.
        raised = None
        _end_fold(so_far)
    paused = isinstance(raised, Paused)
    state = None
    if failure is None and (paused or (keep_state and spec.split.folds == 1)):
        state = _state(so_far, start, with_best=paused)
    return Result(
        best=None if failure else _best(spec, so_far),
        weights=[] if spec.split.folds > 1 else so_far.progress.weights,
        parameters=so_far.parameters,
        device=device(),
        failure=failure,
        interrupted=raised is not None,
        paused=paused,
        state=state,
        last_epoch=so_far.progress.last,
    )


def _reported(spec: JobSpec, start: Start, fold: int) -> Epoch:
    """The best epoch of a fold that was done before the trial was paused."""
    best = best_of(spec.objective, start.reached(fold))
    if best is None:
        raise CheckpointMismatch(f"nothing is known of fold {fold}, which the checkpoint says is done")
    return best


def _fold(
    so_far: _Run,
    given: Assignment,
    indices: Indices,
    fold: int,
    reporter: Reporter,
    until: int,
    data_share: float,
    start: Start | None,
) -> None:
    prepared = given.prepare(indices, data_share)
    trained, share, validation = prepared.trained, prepared.share, prepared.validation
    so_far.parameters = given.count(trained)
    _check_size(so_far.parameters, given.max_parameters)
    so_far.prepared, so_far.progress = prepared, Progress()
    here = start if start is not None and start.checkpoint.fold == fold else None
    if here is not None and any(one.epoch == here.checkpoint.epoch for one in here.reached(fold)):
        so_far.progress.last = here.checkpoint.epoch
    objective, progress = given.spec.objective, so_far.progress
    training.train(trained, share, validation, objective, reporter, progress, fold, until=until, start=here)
    _end_fold(so_far)


def _end_fold(so_far: _Run) -> None:
    if so_far.progress.best is not None:
        so_far.ended.append(so_far.progress.best)


def _state(so_far: _Run, start: Start | None, *, with_best: bool) -> Checkpoint | None:
    """The state at the end of the last whole epoch; None if the training has gone on from there."""
    if so_far.prepared is None:
        return None
    trained, share = so_far.prepared.trained, so_far.prepared.share
    made = training.checkpoint(trained, share, so_far.progress, so_far.fold)
    if made is None and start is not None and so_far.progress.last == start.checkpoint.epoch:
        # Resumed, and nothing was left to train.
        made = start.checkpoint
    return made if made is None or with_best else replace(made, best=None)


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


def part_of(share: Share, size: float, seed: int) -> Share:
    """A part of each class at random, of one image at least, in the order that they have.

    The same for the same seed; a larger part has all of a smaller one's images.
    """
    if size >= 1.0:
        return share
    rng = np.random.default_rng(seed)
    groups = [rng.permutation(np.flatnonzero(share.y == label)) for label in np.unique(share.y)]
    kept = np.sort(np.concatenate([group[: max(1, round(size * len(group)))] for group in groups]))
    return Share(share.x[kept], share.y[kept])


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
