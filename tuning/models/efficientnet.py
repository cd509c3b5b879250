"""The family `efficientnet`: see `schemas.models.efficientnet` for what each field means."""

import keras
from keras import layers

from schemas.models.efficientnet import SMALLEST, EfficientNet
from tuning.models.materials import Materials
from tuning.models.pretrained import finalize, pretrained
from tuning.models.resnet import normalising_quickly

_POOLS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


def build(model: EfficientNet, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, 1280) of B0, up to 2560 of B7.

    Raises:
        Infeasible: the images are too small, or ImageNet's weights do not fit them.
        WeightsUnavailable: ImageNet's weights cannot be had here.
    """
    net = _application(model)(include_top=False, weights=None, input_tensor=_prepared(model, pixels))
    if model.weights == "imagenet":
        net.set_weights(_imagenet(model, materials).get_weights())
        finalize(net)
    else:
        normalising_quickly(net)
    features = _POOLS[model.pooling](name=f"{model.pooling}_pool")(net.output)
    return layers.Dropout(model.top_dropout_rate, name="top_dropout")(features)


def _application(model: EfficientNet) -> type[keras.Model]:
    return getattr(keras.applications, _name(model))  # type: ignore[no-any-return]


def _name(model: EfficientNet) -> str:
    return f"EfficientNet{model.version}"


def _prepared(model: EfficientNet, pixels: keras.KerasTensor) -> keras.KerasTensor:
    """What the applications take: pixels in [0, 255], of the version's own size."""
    channels = model.channels(pixels.shape[1:])
    if channels != pixels.shape[-1]:
        pixels = layers.Concatenate(name="three_channels")([pixels] * channels)
    if model.resize:
        pixels = layers.Resizing(model.side, model.side, name="native_size")(pixels)
    return layers.Rescaling(255.0, name="bytes")(pixels)


def _imagenet(model: EfficientNet, materials: Materials) -> keras.Model:
    application, shape = _application(model), (SMALLEST, SMALLEST, 3)
    return pretrained(
        _name(model),
        materials,
        lambda weights: application(include_top=False, weights=weights, input_shape=shape),
    )
