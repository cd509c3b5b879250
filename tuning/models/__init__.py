"""Model families: a table from the family's name to its builder."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from schemas.models import Infeasible, Model
from tuning.data import Scaling
from tuning.models import cnn

# (the configuration, scaled pixels) -> the features that the classification head is put on.
Builder = Callable[[Any, keras.KerasTensor], keras.KerasTensor]

BUILDERS: dict[str, Builder] = {"cnn": cnn.build}

__all__ = ["BUILDERS", "Infeasible", "build", "with_probabilities"]


def build(
    model: Model, shape: Sequence[int], classes: int, scaling: Scaling, max_parameters: int
) -> keras.Model:
    """A model from raw pixels (batch, *shape) to logits (batch, classes).

    Logits, because the loss is more exact on them; `with_probabilities` makes what is handed out.

    Raises:
        Infeasible: nothing can be built from this configuration, or it is too large.
    """
    parameters = model.count_parameters(shape, classes)
    if parameters > max_parameters:
        raise Infeasible(f"the model has {parameters:,} parameters; {max_parameters:,} are allowed")
    pixels = keras.Input(shape=tuple(shape), name="pixels")
    scaled = keras.layers.Rescaling(1.0 / scaling.scale, -scaling.offset / scaling.scale, name="scaling")(
        pixels
    )
    features = BUILDERS[model.family](model, scaled)
    logits = keras.layers.Dense(classes, name="logits")(features)
    return keras.Model(pixels, logits, name=model.family)


def with_probabilities(trained: keras.Model) -> keras.Model:
    """The same model, from raw pixels to class probabilities (batch, classes)."""
    probabilities = keras.layers.Softmax(name="probabilities")(trained.output)
    return keras.Model(trained.input, probabilities, name=trained.name)
