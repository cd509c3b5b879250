"""The family `cnn`: see `schemas.models.Cnn` for what each field means."""

import keras
from keras import layers

from schemas.models import Cnn

# Keras' default of 0.99 needs hundreds of steps before the moving statistics mean anything: a data set
# of a thousand images has 40 steps an epoch, and is scored by noise for its first epochs.
NORM_MOMENTUM = 0.9


def build(model: Cnn, pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Features (batch, dense_units), or the flattened map when there is no hidden layer."""
    features = pixels
    for block in range(model.blocks):
        features = _block(model, block, features)
    features = layers.Flatten(name="flatten")(features)
    if model.dense_units:
        features = layers.Dense(
            model.dense_units,
            activation=model.activation,
            kernel_regularizer=_penalty(model),
            name="dense",
        )(features)
    return layers.Dropout(model.dropout, name="dropout")(features)


def _block(model: Cnn, block: int, features: keras.KerasTensor) -> keras.KerasTensor:
    features = layers.Conv2D(
        model.filters * model.filter_growth**block,
        model.kernel_size,
        padding="same",
        kernel_regularizer=_penalty(model),
        name=f"conv_{block}",
    )(features)
    if model.batch_norm:
        features = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"norm_{block}")(features)
    features = layers.Activation(model.activation, name=f"activation_{block}")(features)
    return layers.MaxPooling2D(name=f"pool_{block}")(features)


def _penalty(model: Cnn) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(model.l2) if model.l2 else None
