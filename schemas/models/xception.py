"""The family `xception`: Keras Tuner's `HyperXception`, with its names and defaults.

Left out is its dense part: layers of as many units as there are classes, which a family does not know. Its
``dropout_rate`` is there, on the features that the classification head is put on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from marshmallow import validate

from schemas import tunables
from schemas.fields import String
from schemas.models import parts
from schemas.models.family import FamilySchema, Model, images
from schemas.models.resnet import one_of

ACTIVATIONS = ("relu", "selu")
POOLINGS = ("avg", "flatten", "max")
FILTERS = (32, 64, 128)
KERNEL_SIZES = (3, 5)
STRIDES = (1, 2)


@dataclass(frozen=True)
class Xception(Model):
    """One convolution, then residual blocks of separable convolutions (Chollet 2017).

    The last block halves the map and doubles its channels. ``relu`` nets normalise after each convolution,
    ``selu`` nets do not. There is no image that is too small.
    """

    family: ClassVar[str] = "xception"

    activation: str
    conv2d_num_filters: int
    kernel_size: int
    initial_strides: int
    sep_num_filters: int
    num_residual_blocks: int
    pooling: str
    dropout_rate: float

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        height, width, channels = images(shape, self.family)
        first, middle = self.conv2d_num_filters, self.sep_num_filters
        total = self.kernel_size**2 * channels * first + self._after(first)
        total += self._residual(first, middle, first != middle)
        total += (self.num_residual_blocks - 1) * self._residual(middle, middle, False)
        total += self._residual(middle, 2 * middle, True)
        places = self._last(height) * self._last(width) if self.pooling == "flatten" else 1
        return total + parts.dense(places * 2 * middle, classes)

    def _residual(self, inputs: int, filters: int, shortcut: bool) -> int:
        total = self._separable(inputs, filters) + self._separable(filters, filters)
        return total + (parts.convolution(1, inputs, filters) if shortcut else 0)

    def _separable(self, inputs: int, filters: int) -> int:
        """One kernel for each channel, then a mix of the channels."""
        return 3 * 3 * inputs + inputs * filters + self._after(filters)

    def _after(self, filters: int) -> int:
        """What follows a kernel: a normalisation, or a bias."""
        return parts.normalization(filters) if self.activation == "relu" else filters

    def _last(self, side: int) -> int:
        """Side of the last map; what does not divide is padded."""
        return math.ceil(math.ceil(side / self.initial_strides) / 2)


class XceptionSchema(FamilySchema):
    """Keras Tuner's HyperXception: residual blocks of separable convolutions."""

    makes = Xception

    family = String(required=True, validate=validate.Equal(Xception.family))
    activation = tunables.name(
        ACTIVATIONS, "relu: with batch normalisation; selu: without, it normalises itself.", "relu"
    )
    conv2d_num_filters = one_of(FILTERS, 64, "Filters of the first convolution.")
    kernel_size = one_of(KERNEL_SIZES, 3, "Side of the first convolution's kernel, in pixels.")
    initial_strides = one_of(
        STRIDES, 2, "Stride of the first convolution: 2 as in Keras Tuner, 1 keeps the size of small images."
    )
    sep_num_filters = tunables.integer(
        1, 2048, "Filters of the separable convolutions; the last block has twice as many.", 256
    )
    num_residual_blocks = tunables.integer(1, 16, "Residual blocks before the last one.", 4)
    pooling = tunables.name(
        POOLINGS, "What becomes of the last map: the mean or maximum of each channel, or all of it.", "avg"
    )
    dropout_rate = parts.dropout(0.5, "Share of the features dropped before the classification head.")
