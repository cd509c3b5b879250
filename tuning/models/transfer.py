"""The family `transfer`: see `schemas.models.transfer` for what each field means."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
from keras import layers

from schemas.models.backbones import BACKBONES
from schemas.models.family import Infeasible
from schemas.models.transfer import JOB, Transfer
from tuning.models.materials import NORM_MOMENTUM, Materials, WeightsUnavailable
from tuning.models.pretrained import pretrained

BACKBONE = "backbone"

_POOLS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}

# ImageNet's means and deviations of red, green and blue: in [0, 1] as the authors of Torch's nets had them,
# in [0, 255] as those of Caffe's, who also had blue first.
_MEANS = (0.485, 0.456, 0.406)
_DEVIATIONS = (0.229, 0.224, 0.225)
_CAFFE_MEANS = (103.939, 116.779, 123.68)
# (scale, offset) that bring pixels in [0, 1] to a backbone's convention.
_CONVENTIONS: dict[str, tuple[Any, Any]] = {
    "tf": (2.0, -1.0),
    "torch": (
        [1 / deviation for deviation in _DEVIATIONS],
        [-mean / deviation for mean, deviation in zip(_MEANS, _DEVIATIONS, strict=True)],
    ),
    "caffe": (255.0, [-mean for mean in _CAFFE_MEANS]),
    "raw": (255.0, 0.0),
}


def build(model: Transfer, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, dense_units), or the backbone's when there is no hidden layer.

    Raises:
        Infeasible: these images do not suit the backbone.
        WeightsUnavailable: what the backbone is to start from cannot be had here.
    """
    if model.backbone == JOB:
        features = _earlier(pixels, materials)
    else:
        features = _application(model, pixels, materials)
    if len(features.shape) == 4:
        features = _POOLS[model.pooling](name="pooling")(features)
    if model.dense_units:
        features = layers.Dense(model.dense_units, activation=model.activation, name="dense")(features)
    return layers.Dropout(model.dropout, name="dropout")(features)


def thaw(net: keras.Model, share: float) -> None:
    """Lets the last ``share`` of the backbone's layers learn, and no others of the backbone.

    Counted are layers with weights. Batch normalisation that was trained before never learns again: its
    statistics are part of what the other layers have learned, and a small data set's would replace them
    (https://keras.io/guides/transfer_learning). The net has to be compiled again by the caller.
    """
    backbone = net.get_layer(BACKBONE)
    backbone.trainable = share > 0
    learners = [layer for layer in _leaves(backbone) if layer.weights]
    frozen = len(learners) - round(share * len(learners))
    for index, layer in enumerate(learners):
        layer.trainable = index >= frozen and not (backbone.is_pretrained and _is_norm(layer))


def _leaves(net: keras.Model) -> Iterator[layers.Layer]:
    """The layers from input to output, also those of nets inside the net."""
    for layer in net.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _is_norm(layer: layers.Layer) -> bool:
    return isinstance(layer, layers.BatchNormalization)


def _as_one_layer(
    inputs: keras.KerasTensor, outputs: keras.KerasTensor, *, is_pretrained: bool
) -> keras.Model:
    """The net between two tensors, which `thaw` can find and treat as what it is."""
    backbone = keras.Model(inputs, outputs, name=BACKBONE)
    backbone.is_pretrained = is_pretrained
    return backbone


def _application(model: Transfer, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """The last map (batch, height, width, features) of a net of `keras.applications`."""
    backbone = BACKBONES[model.backbone]
    # Raises Infeasible, before anything is downloaded in vain.
    model.count_parameters(pixels.shape[1:], 1)
    if model.is_pretrained and pixels.shape[-1] == 1:
        pixels = layers.Concatenate(name="backbone_rgb")([pixels] * 3)
    shape = tuple(pixels.shape[1:])

    def make(weights: str | None) -> keras.Model:
        return getattr(keras.applications, backbone.application)(
            weights=weights, include_top=False, input_shape=shape
        )

    if model.is_pretrained:
        net, convention = pretrained(backbone.application, materials, make), backbone.convention
    else:
        net, convention = make(None), "raw" if backbone.convention == "raw" else "tf"
        _hasten_norms(net)
    made = _as_one_layer(net.input, net.output, is_pretrained=model.is_pretrained)
    return made(_converted(pixels, convention))


def _hasten_norms(net: keras.Model) -> None:
    for layer in _leaves(net):
        if _is_norm(layer):
            layer.momentum = NORM_MOMENTUM


def _converted(pixels: keras.KerasTensor, convention: str) -> keras.KerasTensor:
    """Pixels in [0, 1] as the backbone's authors had them."""
    if convention == "caffe":
        pixels = keras.ops.flip(pixels, axis=-1)
    scale, offset = _CONVENTIONS[convention]
    return layers.Rescaling(scale, offset, name="backbone_input")(pixels)


def _earlier(pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """What the best model of an earlier job puts its classification head on."""
    inputs, outputs = _ends(_read(materials.earlier_model))
    made = _as_one_layer(inputs, outputs, is_pretrained=True)
    return made(_fitted(pixels, tuple(inputs.shape[1:])))


def _read(file: Path | None) -> keras.Model:
    if file is None:
        raise WeightsUnavailable("The earlier job has no model to start from.")
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, LookupError, BadZipFile) as error:
        raise WeightsUnavailable(
            f"The earlier job's model cannot be read ({type(error).__name__})."
        ) from error


def _ends(net: keras.Model) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Where the scaled pixels enter a net that this service has handed out, and where its head begins."""
    try:
        return net.get_layer("scaling").output, net.get_layer("logits").input
    except ValueError as error:
        raise WeightsUnavailable("The earlier job's model is not one that this service has made.") from error


def _fitted(pixels: keras.KerasTensor, shape: tuple[int, ...]) -> keras.KerasTensor:
    """Scaled pixels in the size and the colours that the earlier model learned from.

    Raises:
        Infeasible: nothing makes these inputs into such.
    """
    given = tuple(pixels.shape[1:])
    if given == shape:
        return pixels
    if len(given) != 3 or len(shape) != 3:
        raise Infeasible(f"the earlier job's model takes inputs {_words(shape)}, these are {_words(given)}")
    if given[:2] != shape[:2]:
        pixels = layers.Resizing(*shape[:2], name="backbone_resizing")(pixels)
    if given[2] == shape[2]:
        return pixels
    if (given[2], shape[2]) == (1, 3):
        return layers.Concatenate(name="backbone_rgb")([pixels] * 3)
    if (given[2], shape[2]) == (3, 1):
        return keras.ops.image.rgb_to_grayscale(pixels)
    raise Infeasible(f"the earlier job's model takes images of {shape[2]} channels, these have {given[2]}")


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
