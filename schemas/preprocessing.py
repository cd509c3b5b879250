"""What is done to every image, in training and in the model that is handed out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas import tunables
from schemas.fields import Between, Integer, StrictSchema
from schemas.models.family import Infeasible
from schemas.pairs import Pair, both

SCALINGS = ("unit", "standardize", "none")
COLORS = ("keep", "grayscale", "rgb")

MAX_SIDE = 2048
# Images that are resized are kept as such in memory, in 32-bit floats.
MAX_PREPARED_BYTES = 4 * 2**30
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Preprocessing:
    scaling: str
    image_size: Any
    color: str

    def prepared(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of an input as the net gets it, for raw inputs of ``shape``.

        Raises:
            Infeasible: rows of features have no size and no colours; or the channels are no colours.
        """
        if len(shape) != 3:
            if self.image_size is not None or self.color != "keep":
                raise Infeasible("rows of features have no image_size and no color")
            return tuple(shape)
        height, width = shape[:2] if self.image_size is None else both(self.image_size)
        return height, width, self._channels(shape[2])

    def fits(self, images: int, shape: Sequence[int]) -> None:
        """Raises Infeasible where so many inputs of ``shape`` take too much memory when they are prepared."""
        prepared = self.prepared(shape)
        size = images * math.prod(prepared) * _FLOAT_BYTES
        if prepared != tuple(shape) and size > MAX_PREPARED_BYTES:
            raise Infeasible(
                f"{images:,} images of {' x '.join(map(str, prepared))} take {size / 2**30:.1f} GiB, "
                f"at most {MAX_PREPARED_BYTES / 2**30:.0f} are kept: make `preprocessing.image_size` smaller"
            )

    def _channels(self, channels: int) -> int:
        if self.color == "keep":
            return channels
        if channels not in (1, 3, 4):
            raise Infeasible(f"images of {channels} channels have no color to change")
        return 1 if self.color == "grayscale" else 3


class PreprocessingSchema(StrictSchema):
    scaling = tunables.name(
        SCALINGS,
        "unit: the training share's pixel range to [0, 1]; standardize: its mean "
        "to 0 and deviation to 1; none: pixels as they are.",
        "unit",
    )
    image_size = Pair(
        Integer(validate=Between(1, MAX_SIDE)),
        load_default=None,
        allow_none=True,
        metadata={"description": "Side in pixels, or [height, width]; null keeps the images' own."},
    )
    color = tunables.name(COLORS, "rgb: three channels; grayscale: one; keep: those that there are.", "keep")
