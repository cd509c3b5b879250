"""The family `cnn`: blocks of convolutions and pooling, then dense layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from marshmallow import validate

from schemas import tunables
from schemas.fields import String
from schemas.models import parts
from schemas.models.family import FamilySchema, Infeasible, Model, images

POOLINGS = ("max", "average", "stride")
ATTENTIONS = ("none", "squeeze_excite", "self")
HEADS = ("flatten", "global_average", "global_max")

# Squeeze and excitation narrows the channels by this factor (Hu et al. 2018, section 6.1).
SQUEEZE = 16
# Channels of one head of self-attention.
HEAD_CHANNELS = 32


@dataclass(frozen=True)
class Cnn(Model):
    """``filters * filter_growth ** b`` filters in block ``b`` (from 0); each block halves the map."""

    family: ClassVar[str] = "cnn"

    blocks: int
    convs_per_block: int
    filters: int
    filter_growth: int
    kernel_size: int
    activation: str
    pooling: str
    batch_norm: bool
    residual: bool
    attention: str
    head: str
    dense_layers: int
    dense_units: int
    conv_dropout: float
    dropout: float
    l2: float
    initializer: str

    def filters_of(self, block: int) -> int:
        return int(self.filters * self.filter_growth**block)

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        height, width, channels = images(shape, self.family)
        total = 0
        for block in range(self.blocks):
            filters = self.filters_of(block)
            total += self._block(channels, filters)
            height, width, channels = self._halved(height), self._halved(width), filters
            if not height or not width:
                raise Infeasible(self._no_room(block, shape))
        if self.attention == "self":
            if height * width > parts.MAX_PLACES:
                raise Infeasible(
                    f"self-attention looks at every pair of places of a {height} x {width} map; "
                    f"there may be {parts.MAX_PLACES:,} at most"
                )
            total += self_attention(channels)
        features = channels if self.head != "flatten" else height * width * channels
        for units in self.hidden:
            total += parts.dense(features, units)
            features = units
        return total + parts.dense(features, classes)

    @property
    def hidden(self) -> list[int]:
        """Units of the hidden dense layers."""
        return [self.dense_units] * self.dense_layers if self.dense_units else []

    def _block(self, channels: int, filters: int) -> int:
        total = parts.convolution(1, channels, filters) if self.residual and channels != filters else 0
        for _ in range(self.convs_per_block):
            total += parts.convolution(self.kernel_size, channels, filters)
            total += parts.normalization(filters) if self.batch_norm else 0
            channels = filters
        if self.attention == "squeeze_excite":
            squeezed = max(1, filters // SQUEEZE)
            total += parts.dense(filters, squeezed) + parts.dense(squeezed, filters)
        return total

    def _halved(self, side: int) -> int:
        """A strided convolution pads an odd side, pooling drops its last row."""
        return (side + 1) // 2 if self.pooling == "stride" else side // 2

    def _no_room(self, block: int, shape: Sequence[int]) -> str:
        sides = [shape[0], shape[1]]
        for _ in range(block):
            sides = [self._halved(side) for side in sides]
        return (
            f"block {block + 1} of {self.blocks} cannot halve a map of {sides[0]} x {sides[1]}: "
            f"an image of {shape[0]} x {shape[1]} has room for {block} blocks"
        )


def self_attention(channels: int) -> int:
    """Parameters of the attention over the last map: normalisation, three projections in, one out."""
    inner = heads_of(channels) * HEAD_CHANNELS
    return 2 * channels + 3 * parts.dense(channels, inner) + parts.dense(inner, channels)


def heads_of(channels: int) -> int:
    return max(1, channels // HEAD_CHANNELS)


class CnnSchema(FamilySchema):
    """Blocks of convolution and pooling, then dense layers; residual and attention on request."""

    makes = Cnn

    family = String(required=True, validate=validate.Equal(Cnn.family))
    blocks = tunables.integer(1, 10, "Blocks of convolutions; each halves the map.", 2)
    convs_per_block = tunables.integer(1, 8, "Convolutions in each block.", 1)
    filters = tunables.integer(1, 4096, "Filters of the first block's convolutions.", 32)
    filter_growth = tunables.integer(
        1, 4, "Factor on the filters from block to block; 1 keeps them, 2 doubles.", 2
    )
    kernel_size = tunables.integer(1, 15, "Side of the convolution kernels, in pixels.", 3)
    activation = parts.activation(text="Activation of convolutions and hidden dense layers.")
    pooling = tunables.name(
        POOLINGS, "How a block halves the map: 2x2 pooling, or a stride of 2 in its last convolution.", "max"
    )
    batch_norm = tunables.flag("Batch normalisation between convolution and activation.", False)
    residual = tunables.flag("A shortcut around the convolutions of each block.", False)
    attention = tunables.name(
        ATTENTIONS,
        "squeeze_excite: weighs the channels of each block; self: between all places of the last map.",
        "none",
    )
    head = tunables.name(HEADS, "What becomes of the last map before the dense layers.", "flatten")
    dense_layers = tunables.integer(0, 8, "Hidden dense layers.", 1)
    dense_units = tunables.integer(0, 65_536, "Units of each hidden dense layer; 0 leaves them out.", 128)
    conv_dropout = parts.dropout(0.0, "Share of the map's values dropped after each block.")
    dropout = parts.dropout(0.5, "Share of units dropped after each hidden dense layer.")
    l2 = parts.l2()
    initializer = tunables.name(
        parts.INITIALIZERS, "How the kernels of convolutions and dense layers begin.", "glorot_uniform"
    )
