"""The family `mlp`: see `schemas.models.mlp` for what each field means."""

import keras
from keras import layers

from schemas.models.mlp import Mlp
from tuning.models.materials import Materials, penalty


def build(model: Mlp, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, units); those of the input when there is no hidden layer."""
    features = layers.Flatten(name="flatten")(pixels)
    for index in range(model.layers):
        features = layers.Dense(
            model.units,
            activation=model.activation,
            kernel_regularizer=penalty(model.l2),
            name=f"dense_{index}",
        )(features)
        features = layers.Dropout(model.dropout, name=f"dropout_{index}")(features)
    return features
