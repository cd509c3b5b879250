"""The family `resnet`: Keras Tuner's `HyperResNet`, with its names, values and defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import validate

from schemas import tunables
from schemas.fields import Integer, String
from schemas.models import parts
from schemas.models.family import FamilySchema, Model, images
from schemas.problems import Message
from schemas.tunables import Tunable

VERSIONS = ("v1", "v2", "next")
POOLINGS = ("avg", "max")
CONV3_DEPTHS = (4, 8)
CONV4_DEPTHS = (6, 23, 36)

# Depth of the first and of the last stack, and filters of the first convolution, in every version.
_ENDS_DEPTH = 3
_STEM = 64
# Channels of the last map, in every version.
_FEATURES = 2048
# Groups of the grouped convolutions in `next`.
_GROUPS = 32


@dataclass(frozen=True)
class ResNet(Model):
    """Four stacks of residual blocks; ``conv3_depth`` and ``conv4_depth`` blocks in the middle two.

    ``v1`` is He et al. 2015, ``v2`` He et al. 2016 (normalisation before convolution), ``next`` Xie et al.
    2017 (grouped convolutions). There is no image that is too small for it.
    """

    family: ClassVar[str] = "resnet"

    version: str
    conv3_depth: int
    conv4_depth: int
    pooling: str

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        _, _, channels = images(shape, self.family)
        first, widen, block = _VERSIONS[self.version]
        depths = (_ENDS_DEPTH, self.conv3_depth, self.conv4_depth, _ENDS_DEPTH)
        total, inputs = _stem(self.version, channels), _STEM
        for filters, depth in zip(first, depths, strict=True):
            outputs = widen * filters
            total += block(inputs, filters, True) + (depth - 1) * block(outputs, filters, False)
            inputs = outputs
        return total + parts.dense(_FEATURES, classes)


def _stem(version: str, channels: int) -> int:
    """The first convolution, and the one normalisation that is in no block."""
    convolution = 7 * 7 * channels * _STEM + (0 if version == "next" else _STEM)
    return convolution + parts.normalization(_FEATURES if version == "v2" else _STEM)


def _block_v1(inputs: int, filters: int, shortcut: bool) -> int:
    outputs = 4 * filters
    total = parts.convolution(1, inputs, filters) + parts.normalization(filters)
    total += parts.convolution(3, filters, filters) + parts.normalization(filters)
    total += parts.convolution(1, filters, outputs) + parts.normalization(outputs)
    if shortcut:
        total += parts.convolution(1, inputs, outputs) + parts.normalization(outputs)
    return total


def _block_v2(inputs: int, filters: int, shortcut: bool) -> int:
    outputs = 4 * filters
    total = parts.normalization(inputs)
    total += inputs * filters + parts.normalization(filters)
    total += 3 * 3 * filters * filters + parts.normalization(filters)
    total += parts.convolution(1, filters, outputs)
    return total + (parts.convolution(1, inputs, outputs) if shortcut else 0)


def _block_next(inputs: int, filters: int, shortcut: bool) -> int:
    outputs = 2 * filters
    total = inputs * filters + parts.normalization(filters)
    total += 3 * 3 * filters * (filters // _GROUPS) + parts.normalization(filters)
    total += filters * outputs + parts.normalization(outputs)
    return total + (inputs * outputs + parts.normalization(outputs) if shortcut else 0)


# Filters of the four stacks; a block gives out so many times its filters; parameters of a block.
_VERSIONS = {
    "v1": ((64, 128, 256, 512), 4, _block_v1),
    "v2": ((64, 128, 256, 512), 4, _block_v2),
    "next": ((64, 256, 512, 1024), 2, _block_next),
}


class _OneOf(Tunable):
    """One of some whole numbers. No range of them: it would have the numbers in between."""

    def types(self) -> tuple[str, ...]:
        return ("choice",)


class _AmongNumbers(validate.OneOf):
    def _format_error(self, value: Any) -> str:
        return Message("value_not_allowed", f"Must be one of: {', '.join(map(str, self.choices))}.")


def one_of(among: tuple[int, ...], default: int, text: str) -> Any:
    """A whole number among a few, that may be left open."""
    return _OneOf(
        Integer(validate=_AmongNumbers(among)), load_default=default, metadata={"description": text}
    )


class ResNetSchema(FamilySchema):
    """Keras Tuner's HyperResNet: residual nets of 50 to 152 layers, and more."""

    makes = ResNet

    family = String(required=True, validate=validate.Equal(ResNet.family))
    version = tunables.name(
        VERSIONS,
        "v1: normalises after convolution; v2: before; next: convolutions in groups (ResNeXt).",
        "v2",
    )
    conv3_depth = one_of(CONV3_DEPTHS, 4, "Residual blocks in the second stack of four.")
    conv4_depth = one_of(CONV4_DEPTHS, 6, "Residual blocks in the third stack of four.")
    pooling = tunables.name(
        POOLINGS, "What becomes of the last map: the mean or the maximum of each channel.", "avg"
    )
