"""The family `vit`: see `schemas.models.vit` for what each field means.

A vision transformer (Dosovitskiy et al. 2021) from Keras' own layers only. The mean over all patches stands
in the place of a class token (Beyer et al. 2022, "Better plain ViT baselines for ImageNet-1k").
"""

import keras
from keras import layers

from schemas.models.vit import EXPANSION, Vit
from tuning.models.materials import Materials


def build(model: Vit, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, width).

    Raises:
        Infeasible: the image cannot be cut into such patches.
    """
    features = _embedded(model, _patches(model, pixels))
    for block in range(model.depth):
        features = _attention(model, block, features)
        features = _dense(model, block, features)
    features = layers.LayerNormalization(name="norm")(features)
    return layers.GlobalAveragePooling1D(name="mean")(features)


def _patches(model: Vit, pixels: keras.KerasTensor) -> keras.KerasTensor:
    """The image's patches (batch, n, patch_size * patch_size * channels), row by row."""
    rows, columns = model.grid(pixels.shape[1:])
    _, height, width, channels = pixels.shape
    size = model.patch_size
    pixels = _padded(pixels, rows * size - height, columns * size - width)
    cut = layers.Reshape((rows, size, columns, size, channels), name="cut")(pixels)
    cut = layers.Permute((1, 3, 2, 4, 5), name="patch_by_patch")(cut)
    return layers.Reshape((rows * columns, size * size * channels), name="patches")(cut)


def _padded(pixels: keras.KerasTensor, down: int, across: int) -> keras.KerasTensor:
    """The image in the middle of one that has so many rows and columns more."""
    if not down and not across:
        return pixels
    around = [(more // 2, more - more // 2) for more in (down, across)]
    return layers.ZeroPadding2D(around, name="padding")(pixels)


def _embedded(model: Vit, patches: keras.KerasTensor) -> keras.KerasTensor:
    """Every patch as ``width`` channels, its position added.

    A bias over position and channel is just what a learned position embedding is.
    """
    embedding = layers.EinsumDense(
        "bnp,pd->bnd",
        output_shape=(patches.shape[1], model.width),
        bias_axes="nd",
        bias_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="embedding",
    )
    return layers.Dropout(model.dropout, name="embedding_dropout")(embedding(patches))


def _attention(model: Vit, block: int, entered: keras.KerasTensor) -> keras.KerasTensor:
    features = layers.LayerNormalization(name=f"attention_norm_{block}")(entered)
    attention = layers.MultiHeadAttention(
        model.heads, model.head_width, dropout=model.dropout, name=f"attention_{block}"
    )
    return layers.Add(name=f"attention_add_{block}")([entered, attention(features, features)])


def _dense(model: Vit, block: int, entered: keras.KerasTensor) -> keras.KerasTensor:
    features = layers.LayerNormalization(name=f"dense_norm_{block}")(entered)
    features = layers.Dense(EXPANSION * model.width, activation="gelu", name=f"widen_{block}")(features)
    features = layers.Dropout(model.dropout, name=f"widen_dropout_{block}")(features)
    features = layers.Dense(model.width, name=f"narrow_{block}")(features)
    features = layers.Dropout(model.dropout, name=f"narrow_dropout_{block}")(features)
    return layers.Add(name=f"dense_add_{block}")([entered, features])
