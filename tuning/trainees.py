"""Trainees: nets that are to be trained, what they are trained on, and what they predict."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import keras

from schemas.metrics import ALWAYS
from schemas.recipe import Recipe
from tuning import models
from tuning.augmentation import augmented
from tuning.data import Array
from tuning.devices import accelerators, for_prediction
from tuning.metrics import measured
from tuning.models import Materials
from tuning.preprocessing import Scaling

# Images predicted at once when nothing has to be learned from them.
EVALUATION_BATCH = 1024


@dataclass(frozen=True)
class Share:
    """Prepared inputs (N, H, W, C) or (N, F), and their labels (N,)."""

    x: Array
    y: Array


@dataclass(frozen=True)
class Trainee:
    """A net, from prepared inputs to logits, and the model that is trained: the net behind augmentation."""

    recipe: Recipe
    net: keras.Model
    model: keras.Model
    scaling: Scaling
    classes: int
    seed: int


def trainee(recipe: Recipe, x: Array, classes: int, seed: int, materials: Materials) -> Trainee:
    """A fresh net for inputs like ``x``, from which its scaling is learned.

    Raises:
        Infeasible: nothing can be built from this configuration.
        WeightsUnavailable: it starts from weights that cannot be had here.
    """
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(seed)
    recipe.augmentation.fits(x.shape[1:])
    scaling = Scaling.learn(recipe.preprocessing, x)
    with _precision(recipe.training.mixed_precision):
        net = models.build(recipe.model, x.shape[1:], classes, scaling, materials)
        model = augmented(net, recipe.augmentation, scaling)
    return Trainee(recipe, net, model, scaling, classes, seed)


@contextmanager
def _precision(mixed: bool) -> Iterator[None]:
    """16-bit floats where they are fast: halves on GPUs, with a scaled loss; bfloat16 elsewhere."""
    before = keras.config.dtype_policy()
    if mixed:
        keras.config.set_dtype_policy("mixed_float16" if accelerators() else "mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def evaluate(model: keras.Model, share: Share, names: Sequence[str] = ALWAYS) -> dict[str, float | None]:
    """The named metrics of a model that gives probabilities; one that is not finite is None."""
    return measured(predict(model, share.x), share.y, names)


def predict(model: keras.Model, x: Array) -> Array:
    """Predictions (N, classes) for inputs (N, ...)."""
    for_prediction(model)
    predictions: Array = model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)
    return predictions
