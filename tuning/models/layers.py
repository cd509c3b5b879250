"""The family `layers`: see `schemas.models.kinds` for what each layer takes."""

from collections.abc import Mapping
from typing import Any

import keras

from schemas.models.kinds import LAYERS
from schemas.models.layers import Layers, Placed
from tuning.models.materials import Materials

# Keras' classes by our own table: nothing is ever looked up by what a client has written.
CLASSES: dict[str, type[keras.layers.Layer]] = {kind: getattr(keras.layers, kind) for kind in LAYERS}

# Keras cannot add a penalty in 16 bits to a loss in 32.
_PRECISE = {"ActivityRegularization": {"dtype": "float32"}}

# (l1, l2) of the regularizers that Keras knows by name.
_PENALTIES = {"l1": (0.01, 0.0), "l2": (0.0, 0.01), "l1_l2": (0.01, 0.01)}


def build(model: Layers, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """What comes out of the last layer: features (batch, n), or a map (batch, height, width, channels).

    Raises:
        Infeasible: a layer does not fit what comes in; the text names it by its place in the list.
    """
    # Says better than Keras what is wrong, and does not begin with what no memory holds.
    model.count_parameters(tuple(pixels.shape[1:]), classes=1)
    features = pixels
    for placed in model.placed():
        features = _layer(placed)(features)
    return features


def _layer(placed: Placed) -> keras.layers.Layer:
    arguments = {
        key: _penalty(value) if key.endswith("_regularizer") else value
        for key, value in placed.layer.items()
        if key not in ("type", "name")
    }
    kind = placed.layer["type"]
    return CLASSES[kind](name=placed.name, **_PRECISE.get(kind, {}), **arguments)


def _penalty(value: str | Mapping[str, Any] | None) -> keras.regularizers.Regularizer | None:
    if value is None:
        return None
    l1, l2 = _PENALTIES[value] if isinstance(value, str) else (value["l1"], value["l2"])
    return keras.regularizers.L1L2(l1, l2) if l1 or l2 else None
