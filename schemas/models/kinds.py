"""The layers that the family `layers` knows: Keras' own names, arguments and defaults.

A layer that is not in `LAYERS` does not exist for a client. Every argument may be left open. What each layer
does to a shape is in `schemas.models.flow`.
"""

from typing import Any

from schemas import tunables
from schemas.fields import Between, Except, Integer, List, Sized, StrictSchema, String
from schemas.models.arguments import (
    ACTIVATIONS,
    BIAS_INITIALIZERS,
    INITIALIZERS,
    INTERPOLATIONS,
    LAYER_NAME,
    MAX_COUNT,
    PADDINGS,
    Regularizer,
    count,
    kind,
    margins,
    pair,
    share,
)
from schemas.problems import Message
from schemas.tunables import Tunable

# What tutorials give the first layer.
_ADDED_BY_US = ("input_shape", "batch_input_shape", "batch_shape", "input_dim")


class LayerSchema(StrictSchema):
    """A layer: its type, a name if it has one, and Keras' arguments."""

    type = String(required=True)
    name = String(
        load_default=None,
        allow_none=True,
        validate=LAYER_NAME,
        metadata={
            "description": "The layer's name; inside a repeat the repetition's number is put behind it."
        },
    )

    def handle_error(self, error: Any, data: Any, **kwargs: Any) -> None:
        super().handle_error(error, data, **kwargs)
        if isinstance(error.messages, dict):
            for key in error.messages.keys() & set(_ADDED_BY_US):
                text = f"Unknown field. The service adds the input itself: leave {key} out."
                error.messages[key] = [Message("unknown_field", text)]


class _Activated(LayerSchema):
    activation = tunables.name(ACTIVATIONS, "Activation of the output; null for none.", None)
    use_bias = tunables.flag("Whether a bias is added.", True)
    bias_initializer = tunables.name(BIAS_INITIALIZERS, "How the bias begins.", "zeros")
    bias_regularizer = Regularizer("Penalty on the bias.")


class _Kernel(_Activated):
    kernel_initializer = tunables.name(INITIALIZERS, "How the kernel begins.", "glorot_uniform")
    kernel_regularizer = Regularizer("Penalty on the kernel.")


class _Depthwise(_Activated):
    depth_multiplier = count("Outputs for each channel of the input.", 1)
    depthwise_initializer = tunables.name(INITIALIZERS, "How the depthwise kernel begins.", "glorot_uniform")
    depthwise_regularizer = Regularizer("Penalty on the depthwise kernel.")


class _Window(LayerSchema):
    kernel_size = pair("Side of the kernel in pixels, or [height, width].")
    strides = pair("Pixels from one place of the kernel to the next, or [down, across].", 1)
    padding = tunables.name(PADDINGS, "same pads the map so that no place is lost; valid does not.", "valid")
    dilation_rate = pair("Pixels from one value of the kernel to the next.", 1)


class _Pooling(LayerSchema):
    pool_size = pair("Side of the window in pixels, or [height, width].", 2)
    strides = pair("Pixels from one window to the next; null for the window's own size.", None)
    padding = tunables.name(PADDINGS, "same pads the map so that no place is lost; valid does not.", "valid")


class _GlobalPooling(LayerSchema):
    keepdims = tunables.flag("Whether a map of 1 x 1 comes out instead of a row.", False)


class _Rate(LayerSchema):
    rate = share("Share of the values that are dropped in training.")


class _Scaled(LayerSchema):
    epsilon = tunables.number(1e-12, 1.0, "Added to the variance, against a division by zero.", 1e-3)
    center = tunables.flag("Whether a shift is learned.", True)
    scale = tunables.flag("Whether a scale is learned.", True)


class Conv2DSchema(_Window, _Kernel):
    """A convolution over maps."""

    type = kind("Conv2D")
    filters = count("Kernels: the channels of the output.")
    groups = count("Groups of channels that are convolved apart.", 1)


class SeparableConv2DSchema(_Window, _Depthwise):
    """A convolution of each channel apart, then one over the channels of each pixel."""

    type = kind("SeparableConv2D")
    filters = count("The channels of the output.")
    pointwise_initializer = tunables.name(INITIALIZERS, "How the pointwise kernel begins.", "glorot_uniform")
    pointwise_regularizer = Regularizer("Penalty on the pointwise kernel.")


class DepthwiseConv2DSchema(_Window, _Depthwise):
    """A convolution of each channel apart."""

    type = kind("DepthwiseConv2D")


class Conv2DTransposeSchema(_Window, _Kernel):
    """A convolution the other way round: it makes maps larger."""

    type = kind("Conv2DTranspose")
    filters = count("Kernels: the channels of the output.")


class MaxPooling2DSchema(_Pooling):
    """The largest value of each window."""

    type = kind("MaxPooling2D")


class AveragePooling2DSchema(_Pooling):
    """The mean of each window."""

    type = kind("AveragePooling2D")


class GlobalAveragePooling2DSchema(_GlobalPooling):
    """The mean of each channel: a map becomes a row."""

    type = kind("GlobalAveragePooling2D")


class GlobalMaxPooling2DSchema(_GlobalPooling):
    """The largest value of each channel: a map becomes a row."""

    type = kind("GlobalMaxPooling2D")


class DenseSchema(_Kernel):
    """Every unit sees every feature; on a map, the channels of one pixel."""

    type = kind("Dense")
    units = count("Units: the features of the output.")


class FlattenSchema(LayerSchema):
    """A map becomes a row."""

    type = kind("Flatten")


class ReshapeSchema(LayerSchema):
    """The same values in another shape."""

    type = kind("Reshape")
    target_shape = List(
        Tunable(Integer(validate=[Between(-1, 2**24), Except(0)])),
        required=True,
        validate=Sized(min=1, max=3),
        metadata={"description": "One to three sides, without the batch; -1 for what is left, once."},
    )


class DropoutSchema(_Rate):
    """Drops values in training (Srivastava et al. 2014)."""

    type = kind("Dropout")


class SpatialDropout2DSchema(_Rate):
    """Drops whole channels of a map in training (Tompson et al. 2014)."""

    type = kind("SpatialDropout2D")


class GaussianDropoutSchema(_Rate):
    """Multiplies by noise around 1 in training; its variance is rate / (1 - rate)."""

    type = kind("GaussianDropout")


class AlphaDropoutSchema(_Rate):
    """Dropout that keeps mean and variance; goes with selu (Klambauer et al. 2017)."""

    type = kind("AlphaDropout")


class GaussianNoiseSchema(LayerSchema):
    """Adds noise around 0 in training."""

    type = kind("GaussianNoise")
    stddev = tunables.number(0.0, 1.0, "Standard deviation of the noise.")


class BatchNormalizationSchema(_Scaled):
    """Mean 0 and variance 1 over the batch, for each channel (Ioffe and Szegedy 2015)."""

    type = kind("BatchNormalization")
    momentum = tunables.number(
        0.0, 1.0, "What is kept of the moving mean and variance in each step; 0.9 suits small data.", 0.99
    )


class LayerNormalizationSchema(_Scaled):
    """Mean 0 and variance 1 over the last axis (Ba et al. 2016)."""

    type = kind("LayerNormalization")


class GroupNormalizationSchema(_Scaled):
    """Mean 0 and variance 1 over groups of channels (Wu and He 2018)."""

    type = kind("GroupNormalization")
    groups = tunables.tunable(
        Integer(validate=[Between(-1, MAX_COUNT), Except(0)]),
        "Groups, which must divide the channels; -1 makes each channel a group.",
        32,
    )


class ActivationSchema(LayerSchema):
    """An activation by its name."""

    type = kind("Activation")
    activation = tunables.name(ACTIVATIONS, "The activation.")


class ReLUSchema(LayerSchema):
    """Zero for what is negative, within limits."""

    type = kind("ReLU")
    max_value = tunables.number(0.0, 1e6, "The most that comes out; null for no limit.", None)
    negative_slope = tunables.number(0.0, 1e3, "Slope below the threshold.", 0.0)
    threshold = tunables.number(0.0, 1e6, "Where the activation begins.", 0.0)


class LeakyReLUSchema(LayerSchema):
    """A small slope for what is negative (Maas et al. 2013)."""

    type = kind("LeakyReLU")
    negative_slope = tunables.number(0.0, 1e3, "Slope below zero.", 0.3)


class ELUSchema(LayerSchema):
    """An exponential for what is negative (Clevert et al. 2016)."""

    type = kind("ELU")
    alpha = tunables.number(0.0, 1e3, "What it falls to, as a negative number.", 1.0)


class PReLUSchema(LayerSchema):
    """A slope for what is negative that is learned (He et al. 2015)."""

    type = kind("PReLU")
    shared_axes = List(
        Tunable(Integer(validate=Between(1, 3))),
        load_default=None,
        allow_none=True,
        validate=Sized(min=1, max=3),
        metadata={"description": "Axes along which slopes are shared: [1, 2] for one slope a channel."},
    )
    alpha_regularizer = Regularizer("Penalty on the slopes.")


class SoftmaxSchema(LayerSchema):
    """Shares over the last axis that sum to one."""

    type = kind("Softmax")


class ZeroPadding2DSchema(LayerSchema):
    """Zeros around a map."""

    type = kind("ZeroPadding2D")
    padding = margins(1, "Pixels at every edge, [height, width], or [[top, bottom], [left, right]].")


class Cropping2DSchema(LayerSchema):
    """Cuts the edges of a map off."""

    type = kind("Cropping2D")
    cropping = margins(0, "Pixels off every edge, [height, width], or [[top, bottom], [left, right]].")


class UpSampling2DSchema(LayerSchema):
    """A larger map by repeating or interpolating pixels."""

    type = kind("UpSampling2D")
    size = pair("Factor on both sides, or [height, width].", 2)
    interpolation = tunables.name(INTERPOLATIONS, "What comes between the pixels.", "nearest")


class ActivityRegularizationSchema(LayerSchema):
    """A penalty on what passes through."""

    type = kind("ActivityRegularization")
    l1 = tunables.number(0.0, 10.0, "Factor on the sum of absolute values.", 0.0)
    l2 = tunables.number(0.0, 10.0, "Factor on the sum of squares.", 0.0)


class RescalingSchema(LayerSchema):
    """``x * scale + offset``."""

    type = kind("Rescaling")
    scale = tunables.number(-1e6, 1e6, "Factor on every value.")
    offset = tunables.number(-1e6, 1e6, "Added to every value.", 0.0)


LAYERS: dict[str, type[LayerSchema]] = {
    schema.__name__.removesuffix("Schema"): schema
    for schema in (
        Conv2DSchema,
        SeparableConv2DSchema,
        DepthwiseConv2DSchema,
        Conv2DTransposeSchema,
        MaxPooling2DSchema,
        AveragePooling2DSchema,
        GlobalAveragePooling2DSchema,
        GlobalMaxPooling2DSchema,
        DenseSchema,
        FlattenSchema,
        ReshapeSchema,
        DropoutSchema,
        SpatialDropout2DSchema,
        GaussianDropoutSchema,
        AlphaDropoutSchema,
        GaussianNoiseSchema,
        BatchNormalizationSchema,
        LayerNormalizationSchema,
        GroupNormalizationSchema,
        ActivationSchema,
        ReLUSchema,
        LeakyReLUSchema,
        ELUSchema,
        PReLUSchema,
        SoftmaxSchema,
        ZeroPadding2DSchema,
        Cropping2DSchema,
        UpSampling2DSchema,
        ActivityRegularizationSchema,
        RescalingSchema,
    )
}
