"""The family `cnn`: see `schemas.models.cnn` for what each field means."""

import keras
from keras import layers

from schemas.models.cnn import HEAD_CHANNELS, SQUEEZE, Cnn, heads_of
from tuning.models.materials import NORM_MOMENTUM, Materials, penalty

_POOLS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
_HEADS = {
    "flatten": layers.Flatten,
    "global_average": layers.GlobalAveragePooling2D,
    "global_max": layers.GlobalMaxPooling2D,
}


def build(model: Cnn, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, dense_units), or the last map's when there is no hidden layer."""
    features = pixels
    for block in range(model.blocks):
        features = _block(model, block, features)
    if model.attention == "self":
        features = _self_attention(features)
    features = _HEADS[model.head](name=model.head)(features)
    for index, units in enumerate(model.hidden):
        features = layers.Dense(units, activation=model.activation, name=f"dense_{index}", **_kernel(model))(
            features
        )
        features = layers.Dropout(model.dropout, name=f"dropout_{index}")(features)
    return features if model.hidden else layers.Dropout(model.dropout, name="dropout")(features)


def _block(model: Cnn, block: int, entered: keras.KerasTensor) -> keras.KerasTensor:
    features = entered
    for conv in range(model.convs_per_block):
        features = _convolution(model, block, conv, features)
    if model.attention == "squeeze_excite":
        features = _squeeze_excite(model, block, features)
    if model.residual:
        features = _shortcut(model, block, entered, features)
    if model.pooling != "stride":
        features = _POOLS[model.pooling](2, name=f"pool_{block}")(features)
    if model.conv_dropout:
        features = layers.Dropout(model.conv_dropout, name=f"conv_dropout_{block}")(features)
    return features


def _convolution(model: Cnn, block: int, conv: int, features: keras.KerasTensor) -> keras.KerasTensor:
    place = f"{block}_{conv}"
    features = layers.Conv2D(
        model.filters_of(block),
        model.kernel_size,
        strides=_stride(model, conv),
        padding="same",
        name=f"conv_{place}",
        **_kernel(model),
    )(features)
    if model.batch_norm:
        features = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"norm_{place}")(features)
    return layers.Activation(model.activation, name=f"activation_{place}")(features)


def _stride(model: Cnn, conv: int) -> int:
    return 2 if model.pooling == "stride" and conv == model.convs_per_block - 1 else 1


def _shortcut(
    model: Cnn, block: int, entered: keras.KerasTensor, features: keras.KerasTensor
) -> keras.KerasTensor:
    """What entered the block, brought to the shape of what leaves it, is added (He et al. 2016)."""
    stride = 2 if model.pooling == "stride" else 1
    if entered.shape[-1] != features.shape[-1]:
        entered = layers.Conv2D(
            features.shape[-1], 1, strides=stride, padding="same", name=f"shortcut_{block}", **_kernel(model)
        )(entered)
    elif stride > 1:
        thinned = layers.AveragePooling2D(1, strides=stride, padding="same", name=f"shortcut_{block}")
        entered = thinned(entered)
    return layers.Add(name=f"add_{block}")([entered, features])


def _squeeze_excite(model: Cnn, block: int, features: keras.KerasTensor) -> keras.KerasTensor:
    """Weighs each channel by what the whole map says (Hu et al. 2018)."""
    channels = features.shape[-1]
    weights = layers.GlobalAveragePooling2D(keepdims=True, name=f"squeeze_{block}")(features)
    weights = layers.Dense(max(1, channels // SQUEEZE), activation="relu", name=f"narrow_{block}")(weights)
    weights = layers.Dense(channels, activation="sigmoid", name=f"excite_{block}")(weights)
    return layers.Multiply(name=f"weigh_{block}")([features, weights])


def _self_attention(features: keras.KerasTensor) -> keras.KerasTensor:
    """Every place of the last map looks at every other (Vaswani et al. 2017); added to the map."""
    height, width, channels = features.shape[1:]
    places = layers.Reshape((height * width, channels), name="places")(features)
    seen = layers.LayerNormalization(name="attention_norm")(places)
    seen = layers.MultiHeadAttention(heads_of(channels), HEAD_CHANNELS, name="attention")(seen, seen)
    places = layers.Add(name="attention_add")([places, seen])
    return layers.Reshape((height, width, channels), name="map")(places)


def _kernel(model: Cnn) -> dict[str, object]:
    return {"kernel_initializer": model.initializer, "kernel_regularizer": penalty(model.l2)}
