"""Models of all families: pixels in, logits or probabilities out."""

from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import Any

import keras

from schemas.models import FAMILIES, Infeasible, Model
from tuning.models.materials import NORM_MOMENTUM, Materials, WeightsUnavailable
from tuning.preprocessing import Preparation, Scaling

# (the configuration, scaled pixels, materials) -> the features that the classification head is put on.
Builder = Callable[[Any, keras.KerasTensor, Materials], keras.KerasTensor]

__all__ = ["NORM_MOMENTUM", "Infeasible", "Materials", "WeightsUnavailable", "build", "exported"]


def build(
    model: Model, shape: Sequence[int], classes: int, scaling: Scaling, materials: Materials
) -> keras.Model:
    """A net from prepared pixels (batch, *shape) to logits (batch, classes).

    Logits, because the loss is more exact on them; `exported` makes what is handed out.

    Raises:
        Infeasible: nothing can be built from this configuration.
        WeightsUnavailable: it starts from weights that cannot be had here.
    """
    pixels = keras.Input(shape=tuple(shape), name="pixels")
    return keras.Model(pixels, _logits(model, pixels, classes, scaling, materials), name=model.family)


def exported(
    net: keras.Model,
    model: Model,
    preparation: Preparation,
    classes: int,
    scaling: Scaling,
    materials: Materials,
) -> keras.Model:
    """What is handed out: the trained net, from raw pixels to class probabilities (batch, classes).

    Built anew around the net's weights, with the preparation in front, in 32-bit floats, and without
    anything that is for training only.
    """
    pixels = keras.Input(shape=preparation.raw_shape, name="pixels")
    prepared = preparation.layers(pixels)
    logits = _logits(model, prepared, classes, scaling, materials)
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    made = keras.Model(pixels, probabilities, name=model.family)
    made.set_weights(net.get_weights())
    return made


def _logits(
    model: Model, pixels: keras.KerasTensor, classes: int, scaling: Scaling, materials: Materials
) -> keras.KerasTensor:
    try:
        build_features: Builder = resolve_name(FAMILIES[model.family].builder)
        features = build_features(model, scaling.layer()(pixels), materials)
        if len(features.shape) != 2:
            features = keras.layers.Flatten(name="features")(features)
        return keras.layers.Dense(classes, dtype="float32", name="logits")(features)
    except (Infeasible, WeightsUnavailable):
        raise
    except ValueError as error:
        # Keras refuses layers that do not fit with a ValueError.
        raise Infeasible(str(error).splitlines()[0]) from error
