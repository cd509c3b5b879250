"""Training of one model: optimizer, loss, epochs, the best epoch's weights, and ways to stop."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np

from schemas.models import Infeasible
from schemas.recipe import EarlyStopping, Recipe, Training
from schemas.search import Objective
from schemas.trials import Epoch
from tuning import models
from tuning.data import Array, Scaling

# Images predicted at once when nothing has to be learned from them.
EVALUATION_BATCH = 1024
# From so many epochs at the end of a refit its weights are chosen.
LAST_EPOCHS = 4


class NonFiniteObjective(RuntimeError):
    """The loss or the objective became NaN or infinite."""


class Interrupted(Exception):
    """Somebody wants this training to end now; the best epoch so far is kept."""


class Reporter(Protocol):
    """Where a training tells how it goes; either may raise to end it."""

    def epoch(self, epoch: Epoch) -> None: ...
    def check(self) -> None: ...


class Silence:
    """A reporter for trainings that nobody follows."""

    def epoch(self, epoch: Epoch) -> None:
        pass

    def check(self) -> None:
        pass


_OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "sgd": keras.optimizers.SGD,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "nadam": keras.optimizers.Nadam,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "lion": keras.optimizers.Lion,
}
_WITH_MOMENTUM = ("sgd", "rmsprop")


def optimizer(training: Training) -> keras.optimizers.Optimizer:
    momentum = {"momentum": training.momentum} if training.optimizer in _WITH_MOMENTUM else {}
    return _OPTIMIZERS[training.optimizer](learning_rate=training.learning_rate, **momentum)


@dataclass(frozen=True)
class Share:
    """Images (N, H, W, C) and their labels (N,)."""

    x: Array
    y: Array


@dataclass
class Progress:
    """What a training has come to; kept from outside, so that an interruption loses nothing."""

    best: Epoch | None = None
    weights: list[Array] = field(default_factory=list)


def compiled(recipe: Recipe, training_x: Array, classes: int, seed: int, max_parameters: int) -> keras.Model:
    """A fresh model, ready to be trained.

    Raises:
        Infeasible: nothing can be built from this configuration.
    """
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(seed)
    scaling = Scaling.learn(recipe.preprocessing, training_x)
    shape = training_x.shape[1:]
    try:
        model = models.build(recipe.model, shape, classes, scaling, max_parameters)
    except ValueError as error:
        # Keras refuses layers that do not fit with a ValueError.
        raise Infeasible(str(error).splitlines()[0]) from error
    model.compile(
        optimizer=optimizer(recipe.training),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # TensorFlow's XLA makes small convolutional nets about twice as slow on CPUs.
        jit_compile="auto" if accelerators() or keras.backend.backend() != "tensorflow" else False,
    )
    return model


def train(
    model: keras.Model,
    training: Training,
    share: Share,
    validation: Share,
    objective: Objective,
    reporter: Reporter,
    progress: Progress,
) -> None:
    """Trains for the epochs asked for, scoring each on the validation share.

    Raises:
        NonFiniteObjective: and whatever the reporter raises.
    """
    watcher = _Watcher(objective, reporter, progress)
    model.fit(
        share.x,
        share.y,
        batch_size=min(training.batch_size, len(share.x)),
        epochs=training.epochs,
        validation_data=(validation.x, validation.y),
        validation_batch_size=EVALUATION_BATCH,
        callbacks=[watcher, *_early_stopping(training.early_stopping)],
        verbose=0,
    )


def train_blindly(
    model: keras.Model, training: Training, epochs: int, share: Share, reporter: Reporter
) -> int:
    """Trains for so many epochs with nothing held out to score on; says which epoch's weights were kept.

    At a constant learning rate the last epoch may be an unlucky one. Of the last `LAST_EPOCHS`, the one with
    the lowest loss on the images that were trained on is kept. `benchmarks/bench_refit.py` holds that
    against the last epoch: on two data sets with four configurations each it was never worse.
    """
    chooser = _LowestLoss(reporter, share, epochs)
    model.fit(
        share.x,
        share.y,
        batch_size=min(training.batch_size, len(share.x)),
        epochs=epochs,
        callbacks=[chooser],
        verbose=0,
    )
    model.set_weights(chooser.weights)
    return chooser.epoch


def evaluate(model: keras.Model, share: Share) -> dict[str, float | None]:
    """Accuracy and cross-entropy of a model that gives probabilities, over (N,) labels.

    A cross-entropy that is not finite is None.
    """
    probabilities = predict(model, share.x)
    likelihood = np.clip(probabilities[np.arange(len(share.y)), share.y], 1e-7, 1.0)
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == share.y)),
        "loss": finite(float(-np.log(likelihood).mean())),
    }


def predict(model: keras.Model, x: Array) -> Array:
    """Predictions (N, classes) for images (N, H, W, C)."""
    predictions: Array = model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)
    return predictions


def accelerators() -> list[str]:
    """GPUs that the backend sees in this process."""
    names: list[str] = [str(name) for name in keras.distribution.list_devices()]
    return [name.upper() for name in names if "cpu" not in name.lower()]


class _Interrupter(keras.callbacks.Callback):  # type: ignore[misc]
    """Asks after every step whether to go on: Keras' own flag is looked at once an epoch."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter = reporter

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.reporter.check()


class _LowestLoss(_Interrupter):
    """Keeps the weights of that of the last epochs which has the lowest loss on ``share``."""

    def __init__(self, reporter: Reporter, share: Share, epochs: int) -> None:
        super().__init__(reporter)
        self.share = share
        self.first = epochs - LAST_EPOCHS
        self.loss = math.inf
        self.epoch = 0
        self.weights: list[Array] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch < self.first:
            return
        share = self.share
        found = self.model.evaluate(
            share.x, share.y, batch_size=EVALUATION_BATCH, verbose=0, return_dict=True
        )
        if not self.weights or found["loss"] < self.loss:
            self.loss, self.epoch, self.weights = found["loss"], epoch + 1, self.model.get_weights()


class _Watcher(_Interrupter):
    """Reports every epoch, and keeps the weights of the best."""

    def __init__(self, objective: Objective, reporter: Reporter, progress: Progress) -> None:
        super().__init__(reporter)
        self.objective = objective
        self.progress = progress
        self.began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        seen = Epoch(
            epoch=epoch + 1,
            seconds=time.monotonic() - self.began,
            learning_rate=float(self.model.optimizer.learning_rate),
            metrics={name: finite(value) for name, value in values.items()},
        )
        if self._is_best(seen):
            self.progress.best = seen
            self.progress.weights = self.model.get_weights()
        self.reporter.epoch(seen)
        for name in ("loss", self.objective.metric):
            if seen.metrics.get(name) is None:
                raise NonFiniteObjective(f"{name} is {values.get(name)} in epoch {epoch + 1}")

    def _is_best(self, seen: Epoch) -> bool:
        best = self.progress.best
        return self.objective.prefers(seen.metrics, {} if best is None else best.metrics)


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _early_stopping(given: EarlyStopping | None) -> list[keras.callbacks.Callback]:
    if given is None:
        return []
    return [
        keras.callbacks.EarlyStopping(
            monitor=given.monitor,
            mode="min" if given.monitor.endswith("loss") else "max",
            patience=given.patience,
            min_delta=given.min_delta,
        )
    ]
