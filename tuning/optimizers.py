"""Optimizers and losses, from a training section in which nothing is open."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import losses, ops

from schemas.training import WITH_MOMENTUM, Training
from tuning.data import Array

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


def optimizer(training: Training, learning_rate: Any) -> keras.optimizers.Optimizer:
    """Args: learning_rate: a number, or what `tuning.schedules.learning_rate` made of it."""
    options: dict[str, Any] = {"clipnorm": training.clipnorm}
    if training.optimizer in WITH_MOMENTUM:
        options["momentum"] = training.momentum
    if training.optimizer == "sgd":
        options["nesterov"] = training.nesterov
    if training.weight_decay is not None:
        options["weight_decay"] = training.weight_decay
    return _OPTIMIZERS[training.optimizer](learning_rate=learning_rate, **options)


# (labels (batch, classes), logits (batch, classes)) -> losses (batch,)
_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "categorical_crossentropy": lambda y, z: losses.categorical_crossentropy(y, z, from_logits=True),
    "categorical_focal_crossentropy": lambda y, z: losses.categorical_focal_crossentropy(
        y, z, from_logits=True
    ),
    "categorical_hinge": lambda y, z: losses.categorical_hinge(y, ops.softmax(z)),
    "mean_squared_error": lambda y, z: losses.mean_squared_error(y, ops.softmax(z)),
}
_LOSSES["sparse_categorical_crossentropy"] = _LOSSES["categorical_crossentropy"]
_CROSSENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy")


def loss(training: Training, classes: int, mixed_labels: bool) -> losses.Loss:
    """A loss on logits (batch, classes).

    Its labels are class indexes (batch,), or shares of classes (batch, classes) where images are mixed.
    """
    if training.loss in _CROSSENTROPIES and not training.label_smoothing and not mixed_labels:
        return losses.SparseCategoricalCrossentropy(from_logits=True)
    return _ClassLoss(training.loss, classes, training.label_smoothing, mixed_labels)


class _ClassLoss(losses.Loss):  # type: ignore[misc]
    def __init__(self, name: str, classes: int, smoothing: float, mixed: bool) -> None:
        super().__init__(name=name)
        self.function = _LOSSES[name]
        self.classes, self.smoothing, self.mixed = classes, smoothing, mixed

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels = y_true if self.mixed else ops.one_hot(ops.reshape(y_true, (-1,)), self.classes)
        labels = ops.cast(labels, y_pred.dtype)
        return self.function(labels * (1 - self.smoothing) + self.smoothing / self.classes, y_pred)


def image_weights(training: Training, y: Array, classes: int) -> Array | None:
    """What each image (N,) counts in the loss; None if all count the same.

    Balanced: N / (classes * images of its class), as scikit-learn has it.
    """
    if training.class_weight == "none":
        return None
    counts = np.bincount(y, minlength=classes)
    weights: Array = (len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[y].astype(np.float32)
    return weights
