"""The family `efficientnet`: see `schemas.models.efficientnet` for what each field means."""

import keras
import numpy as np
from keras import layers

from schemas.models.efficientnet import SMALLEST, EfficientNet
from tuning.models.materials import Materials
from tuning.models.pretrained import pretrained
from tuning.models.resnet import normalising_quickly

_POOLS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}

# Of ImageNet's red, green and blue, for pixels in [0, 1].
_DEVIATIONS = np.array([0.229, 0.224, 0.225])


def build(model: EfficientNet, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, 1280) of B0, up to 2560 of B7.

    Raises:
        Infeasible: the images are too small, or ImageNet's weights do not fit them.
        WeightsUnavailable: ImageNet's weights cannot be had here.
    """
    net = _application(model)(include_top=False, weights=None, input_tensor=_prepared(model, pixels))
    if model.weights == "imagenet":
        _copy(_imagenet(model, materials), net)
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


def _copy(source: keras.Model, net: keras.Model) -> None:
    """Gives the net the weights from ImageNet, and the scale of pixels that goes with them.

    The numbers in Keras' files want a further division by the root of the deviations. Keras adds a layer for
    it where it has found the file itself, and none for a file that it is told of. Here the division goes into
    the variances, so that the net is the same wherever its weights came from.
    """
    net.set_weights(source.get_weights())
    (normalization,) = (layer for layer in net.layers if isinstance(layer, layers.Normalization))
    mean, variance, count = normalization.get_weights()
    normalization.set_weights([mean, variance * _DEVIATIONS, count])
    # It computes with copies of its weights.
    normalization.finalize_state()
