"""Imported by workers only."""

import keras

from striped.family import Striped
from tuning.models import Materials


def build(model: Striped, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    rows = keras.ops.mean(pixels, axis=2)
    features = keras.layers.Flatten()(rows)
    return keras.layers.Dense(model.units, activation="relu")(features)
