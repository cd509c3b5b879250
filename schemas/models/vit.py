"""The family `vit`: a small vision transformer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from marshmallow import validate

from schemas import tunables
from schemas.fields import String
from schemas.models import parts
from schemas.models.family import FamilySchema, Infeasible, Model, images

# Units of the hidden layer in each block, for every channel (Dosovitskiy et al. 2021, table 1).
EXPANSION = 4


@dataclass(frozen=True)
class Vit(Model):
    """Patches of the image become ``width`` channels each; ``depth`` blocks of attention follow."""

    family: ClassVar[str] = "vit"

    patch_size: int
    width: int
    depth: int
    heads: int
    dropout: float

    @property
    def head_width(self) -> int:
        """Channels of each head of attention."""
        return max(1, self.width // self.heads)

    def grid(self, shape: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of patches; the last ones may reach beyond the image.

        Raises:
            Infeasible: the image cannot be cut into such patches.
        """
        height, width, _ = images(shape, self.family)
        size = self.patch_size
        if size > min(height, width):
            raise Infeasible(f"a patch_size of {size} is larger than an image of {height} x {width}")
        rows, columns = -(-height // size), -(-width // size)
        if rows * columns > parts.MAX_PLACES:
            raise Infeasible(
                f"a patch_size of {size} cuts an image of {height} x {width} into {rows * columns:,} "
                f"patches; attention looks at every pair of them: {parts.MAX_PLACES:,} at most"
            )
        return rows, columns

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        rows, columns = self.grid(shape)
        patches = self.patch_size**2 * shape[2] * self.width + rows * columns * self.width
        return patches + self.depth * self._block() + 2 * self.width + parts.dense(self.width, classes)

    def _block(self) -> int:
        inner = self.heads * self.head_width
        attention = 3 * parts.dense(self.width, inner) + parts.dense(inner, self.width)
        hidden = EXPANSION * self.width
        norms = 2 * 2 * self.width
        return norms + attention + parts.dense(self.width, hidden) + parts.dense(hidden, self.width)


class VitSchema(FamilySchema):
    """A small vision transformer: attention between the patches of an image."""

    makes = Vit

    family = String(required=True, validate=validate.Equal(Vit.family))
    patch_size = tunables.integer(1, 64, "Side of the square patches, in pixels.", 4)
    width = tunables.integer(8, 1024, "Channels of each patch.", 64)
    depth = tunables.integer(1, 24, "Blocks of attention and dense layers.", 4)
    heads = tunables.integer(1, 16, "Heads of attention; the width is divided among them.", 4)
    dropout = parts.dropout(0.1, "Share of values dropped in attention and after each dense layer.")
