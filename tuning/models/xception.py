"""The family `xception`: see `schemas.models.xception` for what each field means."""

import keras
from keras import layers
from keras_tuner.applications import HyperXception

from schemas.models.family import images
from schemas.models.xception import Xception
from tuning.models.materials import Materials
from tuning.models.resnet import fixed, normalising_quickly


def build(model: Xception, pixels: keras.KerasTensor, materials: Materials) -> keras.KerasTensor:
    """Features (batch, 2 * sep_num_filters); as many for each place of the last map when it is flattened.

    Raises:
        Infeasible: the pixels are no images.
    """
    images(pixels.shape[1:], model.family)
    net = HyperXception(include_top=False, input_tensor=pixels).build(fixed(model))
    return layers.Dropout(model.dropout_rate, name="top_dropout")(normalising_quickly(net).output)
