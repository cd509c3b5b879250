"""Training of one net: its phases and epochs, in one go or from where another training stands."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from schemas.models import Phase
from schemas.objective import Objective
from schemas.recipe import Recipe
from schemas.schedules import Plateau
from tuning.checkpoints import Checkpoint, CheckpointMismatch, Start
from tuning.devices import compiles, for_prediction
from tuning.mixing import Mixing
from tuning.models.transfer import thaw
from tuning.optimizers import image_weights, loss, optimizer
from tuning.schedules import Replayed, learning_rate
from tuning.trainees import Share, Trainee, evaluate, predict, trainee
from tuning.watching import (
    Interrupted,
    LowestLoss,
    NonFiniteObjective,
    Paused,
    Progress,
    Reporter,
    Silence,
    Watcher,
    best_of,
    metric_names,
)

__all__ = [
    "Interrupted",
    "NonFiniteObjective",
    "Paused",
    "Progress",
    "Reporter",
    "Share",
    "Silence",
    "Trainee",
    "checkpoint",
    "evaluate",
    "fit",
    "metric_names",
    "phases",
    "predict",
    "prepare",
    "steps_of",
    "train",
    "train_blindly",
    "trainee",
]

# From so many epochs at the end of a refit its weights are chosen.
LAST_EPOCHS = 4


def train(
    trained: Trainee,
    share: Share,
    validation: Share,
    objective: Objective,
    reporter: Reporter,
    progress: Progress,
    fold: int = 1,
    *,
    until: int | None = None,
    start: Start | None = None,
) -> None:
    """Trains for the epochs asked for, scoring each on the validation share.

    Args:
        until: the last epoch, if that is earlier than the recipe's; schedules and phases are those of all
            epochs nevertheless.
        start: of this fold, to go on from.

    Raises:
        Infeasible: the training as asked for cannot be.
        CheckpointMismatch: the start is of another configuration.
        NonFiniteObjective: and whatever the reporter raises.
    """
    epochs = trained.recipe.training.epochs
    done = 0 if start is None else start.checkpoint.epoch
    if start is not None:
        _take_up(trained, objective, progress, fold, start)
    for phase, first in phases(trained.recipe):
        last = first + phase.epochs
        begin, end = max(first, done), min(last, until or epochs)
        if begin >= end:
            continue
        prepare(trained, phase, share)
        watcher = Watcher(trained, validation, objective, reporter, progress, fold, may_stop=last == epochs)
        if start is not None and begin > first and not _goes_on(trained, share, watcher, first, start):
            continue
        fit(trained, begin, end, share, [watcher])


def _take_up(trained: Trainee, objective: Objective, progress: Progress, fold: int, start: Start) -> None:
    made = start.checkpoint
    made.restore(trained.model)
    progress.best = best_of(objective, start.reached(fold))
    if progress.best is not None:
        if made.best is None:
            raise CheckpointMismatch("the checkpoint is without the best epoch's weights")
        progress.weights = list(made.best)
    # The order of the images goes by this: not that of the first epochs once more.
    keras.utils.set_random_seed((trained.seed + made.epoch) % 2**32)


def _goes_on(trained: Trainee, share: Share, watcher: Watcher, first: int, start: Start) -> bool:
    """Whether there is anything left to train in a phase that began after ``first`` epochs.

    What stopped early has ended, and being resumed changes nothing about that. A trial that goes on
    from a parent was asked for because of it: it has one more epoch at least.
    """
    made = start.checkpoint
    has_ended = watcher.replay(trained.model, [one for one in start.line() if one.epoch > first])
    made.restore_optimizer(trained.model, steps_of(trained, share))
    return not (has_ended and any(one.epoch == made.epoch for one in start.reached(made.fold)))


def checkpoint(trained: Trainee, share: Share, progress: Progress, fold: int) -> Checkpoint | None:
    """Where a training stands that has ended or was interrupted; None if that is within an epoch."""
    if progress.last is None or not progress.is_whole:
        return None
    steps = steps_of(trained, share)
    return Checkpoint.of(trained.model, fold, progress.last, steps, progress.weights or None)


def train_blindly(
    trained: Trainee, epochs: int, share: Share, reporter: Reporter, rates: Sequence[float] = ()
) -> int:
    """Trains for so many epochs with nothing held out to score on; says which epoch's weights were kept.

    At a constant learning rate the last epoch may be an unlucky one. Of the last `LAST_EPOCHS`, the one with
    the lowest loss on the images that were trained on is kept. `benchmarks/bench_refit.py` holds that
    against the last epoch: on two data sets with four configurations each it was never worse.

    Args:
        rates: those that the trial's epochs had, for a schedule that followed the validation loss.

    Raises:
        NonFiniteObjective: the loss of none of those epochs is finite.
    """
    chooser = LowestLoss(trained, reporter, share, epochs - LAST_EPOCHS)
    callbacks: list[keras.callbacks.Callback] = [chooser]
    if isinstance(trained.recipe.training.schedule, Plateau):
        callbacks.append(Replayed(list(rates)))
    for phase, first in phases(trained.recipe):
        last = min(first + phase.epochs, epochs)
        if first < last:
            prepare(trained, phase, share)
            fit(trained, first, last, share, callbacks)
    if not math.isfinite(chooser.loss):
        raise NonFiniteObjective(
            "The refit diverged; with `refit: false` the best trial's own weights are kept."
        )
    trained.net.set_weights(chooser.weights)
    return chooser.epoch


def phases(recipe: Recipe) -> Iterator[tuple[Phase, int]]:
    """Each phase with the number of epochs before it."""
    first = 0
    for phase in recipe.model.phases(recipe.training.epochs, recipe.training.learning_rate):
        yield phase, first
        first += phase.epochs


def steps_of(trained: Trainee, share: Share) -> int:
    """Steps of the optimizer in an epoch."""
    return math.ceil(len(share.x) / _batch(trained, share))


def _batch(trained: Trainee, share: Share) -> int:
    return min(trained.recipe.training.batch_size, len(share.x))


def prepare(trained: Trainee, phase: Phase, share: Share, rate: Any = None) -> None:
    """Compiles the model for a phase, with an optimizer of its own.

    Args:
        rate: what the optimizer is given in place of the recipe's schedule.
    """
    training, mixes = trained.recipe.training, trained.recipe.augmentation.mixes
    if phase.unfrozen is not None:
        thaw(trained.net, phase.unfrozen)
    if rate is None:
        steps = steps_of(trained, share)
        rate = learning_rate(training.schedule, phase.learning_rate, phase.epochs, steps)
    accuracy = keras.metrics.CategoricalAccuracy if mixes else keras.metrics.SparseCategoricalAccuracy
    trained.model.compile(
        optimizer=optimizer(training, rate),
        loss=loss(training, trained.classes, mixes),
        metrics=[accuracy(name="accuracy")],
        jit_compile="auto" if compiles() else False,
    )
    for_prediction(trained.net)


def fit(
    trained: Trainee, first: int, last: int, share: Share, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Epochs ``first`` (from 0) to ``last`` of a training for which the model was prepared."""
    trained.model.fit(
        **_fed(trained, share, first),
        initial_epoch=first,
        epochs=last,
        callbacks=list(callbacks),
        verbose=0,
    )


def _fed(trained: Trainee, share: Share, first: int) -> dict[str, Any]:
    """The arguments of `fit` that say what is trained on."""
    recipe, batch = trained.recipe, _batch(trained, share)
    weights = image_weights(recipe.training, share.y, trained.classes)
    if not recipe.augmentation.mixes:
        return {"x": share.x, "y": share.y, "sample_weight": weights, "batch_size": batch}
    mixing = recipe.augmentation
    mixed = Mixing(
        share.x,
        share.y,
        classes=trained.classes,
        batch_size=batch,
        seed=trained.seed,
        mixup=mixing.mixup,
        cutmix=mixing.cutmix,
        weights=weights,
        epoch=first,
    )
    return {"x": mixed, "shuffle": False}
