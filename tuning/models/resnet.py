"""The family `resnet`: see `schemas.models.resnet` for what each field means."""

from typing import Any

import keras
from keras import layers
from keras_tuner import HyperParameters
from keras_tuner.applications import HyperResNet

from schemas.models.family import Model, images
from schemas.models.resnet import ResNet
from tuning.models.materials import NORM_MOMENTUM, Materials


def build(model: ResNet, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, 2048).

    Raises:
        Infeasible: the pixels are no images.
    """
    images(pixels.shape[1:], model.family)
    net = HyperResNet(include_top=False, input_tensor=pixels).build(fixed(model))
    return normalising_quickly(_without_lambdas(net) if model.version == "next" else net).output


def fixed(model: Model) -> HyperParameters:
    """The values of a configuration, as hyperparameters among which there is nothing left to choose."""
    values = HyperParameters()
    for name, value in vars(model).items():
        values.Fixed(name, value)
    return values


def normalising_quickly(net: keras.Model) -> keras.Model:
    """The net itself, with the momentum of its batch normalisations fit for small data sets."""
    for layer in net.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = NORM_MOMENTUM
    return net


def _without_lambdas(net: keras.Model) -> keras.Model:
    """The same net on the same input, from layers that Keras loads without running code from the file.

    Keras Tuner writes a convolution in groups as a depthwise one, and then adds up its maps (batch, height,
    width, groups, c, c) along the first c in a `Lambda`.
    """
    return keras.models.clone_model(
        net, input_tensors=net.inputs, clone_function=_cloned, call_function=_called
    )


def _cloned(layer: Any) -> Any:
    return layer if isinstance(layer, layers.Lambda) else type(layer).from_config(layer.get_config())


def _called(layer: Any, *inputs: Any, **options: Any) -> Any:
    return keras.ops.sum(inputs[0], axis=4) if isinstance(layer, layers.Lambda) else layer(*inputs, **options)
