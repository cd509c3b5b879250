"""What a layer costs and what it makes of a shape, without Keras.

`EFFECTS` has a function for each type of layer: (the layer's arguments, the shape of one input) ->
(parameters, the shape of one output). Shapes are without the batch: (height, width, channels) of a map,
(features,) of a row. They raise `Infeasible` where Keras refuses the layer; the rules are those of Keras 3.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.models.family import Infeasible
from schemas.pairs import both

Layer = Mapping[str, Any]
Shape = tuple[int, ...]
Effect = Callable[[Layer, Shape], tuple[int, Shape]]


def kept(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    return 0, shape


def map_kept(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    return 0, _map(shape)


def convolution(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    height, width, channels = _map(shape)
    filters, groups = layer["filters"], layer["groups"]
    if filters % groups or channels % groups:
        raise Infeasible(f"{groups} groups do not divide {channels} channels and {filters} filters")
    _refuse_stride_with_dilation(layer)
    sides = _slid(layer, (height, width))
    return _kernel(layer) * channels // groups * filters + _bias(layer, filters), (*sides, filters)


def depthwise_convolution(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    height, width, channels = _map(shape)
    made = channels * layer["depth_multiplier"]
    return _kernel(layer) * made + _bias(layer, made), (*_slid(layer, (height, width)), made)


def separable_convolution(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    height, width, channels = _map(shape)
    made, filters = channels * layer["depth_multiplier"], layer["filters"]
    parameters = _kernel(layer) * made + made * filters + _bias(layer, filters)
    return parameters, (*_slid(layer, (height, width)), filters)


def transposed_convolution(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    """Each place of the map becomes a stride's width of places, the last as wide as the kernel."""
    height, width, channels = _map(shape)
    _refuse_stride_with_dilation(layer)
    sides = (height, width)
    strides = both(layer["strides"])
    if layer["padding"] == "same":
        grown = [side * stride for side, stride in zip(sides, strides, strict=True)]
    else:
        spans = _spans(layer)
        grown = [
            (side - 1) * stride + max(span, stride)
            for side, stride, span in zip(sides, strides, spans, strict=True)
        ]
    filters = layer["filters"]
    return _kernel(layer) * channels * filters + _bias(layer, filters), (*grown, filters)


def pooling(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    height, width, channels = _map(shape)
    window = both(layer["pool_size"])
    strides = window if layer["strides"] is None else both(layer["strides"])
    return 0, (*_windows((height, width), window, strides, layer["padding"]), channels)


def global_pooling(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    channels = _map(shape)[-1]
    return 0, (1, 1, channels) if layer["keepdims"] else (channels,)


def dense(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    """Over the last axis, so that every place of a map gets the same dense layer."""
    units = layer["units"]
    return shape[-1] * units + _bias(layer, units), (*shape[:-1], units)


def flattening(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    return 0, (math.prod(shape),)


def reshaping(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    target, values = tuple(layer["target_shape"]), math.prod(shape)
    known = math.prod(side for side in target if side != -1)
    if target.count(-1) > 1 or not known:
        raise Infeasible("only one side of target_shape may be -1, and none 0")
    if values % known or (-1 not in target and values != known):
        raise Infeasible(f"{values} values ({_text(shape)}) cannot become {_text(target)}")
    return 0, tuple(values // known if side == -1 else side for side in target)


def batch_normalization(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    """A moving mean and variance for each channel, and what it learns."""
    return 2 * shape[-1] + _learned(layer, shape), shape


def layer_normalization(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    return _learned(layer, shape), shape


def group_normalization(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    groups, channels = layer["groups"], shape[-1]
    # A range from -1 on holds 0 too.
    if groups != -1 and (not groups or channels % groups):
        raise Infeasible(f"{groups} groups do not divide {channels} channels")
    return _learned(layer, shape), shape


def parametric_relu(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    """A slope for every value, but one for all places along a shared axis."""
    shared = layer["shared_axes"] or ()
    if any(axis > len(shape) for axis in shared):
        raise Infeasible(f"shared_axes {list(shared)} are not all axes of {_text(shape)}")
    return math.prod(1 if axis in shared else side for axis, side in enumerate(shape, 1)), shape


def padding(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    (top, bottom), (left, right) = edges(layer["padding"])
    height, width, channels = _map(shape)
    return 0, (height + top + bottom, width + left + right, channels)


def cropping(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    (top, bottom), (left, right) = edges(layer["cropping"])
    height, width, channels = _map(shape)
    if top + bottom >= height or left + right >= width:
        raise Infeasible(f"nothing is left of {height} x {width} pixels")
    return 0, (height - top - bottom, width - left - right, channels)


def up_sampling(layer: Layer, shape: Shape) -> tuple[int, Shape]:
    height, width, channels = _map(shape)
    down, across = both(layer["size"])
    return 0, (height * down, width * across, channels)


def edges(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) of one number, ``[height, width]`` or both pairs in full."""
    if isinstance(value, (list, tuple)):
        height, width = value
        return both(height), both(width)
    return both(value), both(value)


def _map(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise Infeasible(f"takes a map of height, width and channels, and gets {_text(shape)}")
    return shape


def _kernel(layer: Layer) -> int:
    return math.prod(both(layer["kernel_size"]))


def _bias(layer: Layer, size: int) -> int:
    return size if layer["use_bias"] else 0


def _learned(layer: Layer, shape: Shape) -> int:
    """Parameters of a normalisation's scale and shift."""
    return shape[-1] * sum((layer["center"], layer["scale"]))


def _refuse_stride_with_dilation(layer: Layer) -> None:
    if max(both(layer["strides"])) > 1 and max(both(layer["dilation_rate"])) > 1:
        raise Infeasible("strides and dilation_rate cannot both be more than 1")


def _spans(layer: Layer) -> list[int]:
    """Pixels from the first to the last that a kernel looks at."""
    sides, gaps = both(layer["kernel_size"]), both(layer["dilation_rate"])
    return [gap * (side - 1) + 1 for side, gap in zip(sides, gaps, strict=True)]


def _slid(layer: Layer, sides: Shape) -> list[int]:
    return _windows(sides, _spans(layer), both(layer["strides"]), layer["padding"])


def _windows(sides: Shape, window: Sequence[int], strides: Shape, padding: str) -> list[int]:
    """How many places a window takes along each side."""
    if padding == "same":
        return [-(-side // stride) for side, stride in zip(sides, strides, strict=True)]
    if any(side < span for side, span in zip(sides, window, strict=True)):
        raise Infeasible(f"a window of {_text(window)} does not fit in {_text(sides)} pixels")
    return [(side - span) // stride + 1 for side, span, stride in zip(sides, window, strides, strict=True)]


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) + (" values" if len(shape) == 1 else "")


EFFECTS: dict[str, Effect] = {
    "Conv2D": convolution,
    "SeparableConv2D": separable_convolution,
    "DepthwiseConv2D": depthwise_convolution,
    "Conv2DTranspose": transposed_convolution,
    "MaxPooling2D": pooling,
    "AveragePooling2D": pooling,
    "GlobalAveragePooling2D": global_pooling,
    "GlobalMaxPooling2D": global_pooling,
    "Dense": dense,
    "Flatten": flattening,
    "Reshape": reshaping,
    "Dropout": kept,
    "SpatialDropout2D": map_kept,
    "GaussianDropout": kept,
    "AlphaDropout": kept,
    "GaussianNoise": kept,
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "GroupNormalization": group_normalization,
    "Activation": kept,
    "ReLU": kept,
    "LeakyReLU": kept,
    "ELU": kept,
    "PReLU": parametric_relu,
    "Softmax": kept,
    "ZeroPadding2D": padding,
    "Cropping2D": cropping,
    "UpSampling2D": up_sampling,
    "ActivityRegularization": kept,
    "Rescaling": kept,
}
