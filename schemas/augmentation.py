"""What is done to the images in training only, anew in every epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas import tunables
from schemas.fields import StrictSchema
from schemas.models.family import Infeasible

FLIPS = ("none", "horizontal", "vertical", "horizontal_and_vertical")

# Fields that are layers in front of the net; the others mix two images and their labels.
LAYERS = (
    "flip",
    "rotation",
    "zoom",
    "translation",
    "crop",
    "brightness",
    "contrast",
    "color_jitter",
    "noise",
    "erasing",
)
MIXES = ("mixup", "cutmix")

# What makes sense without height, width and colours.
_FOR_ROWS = ("noise", "mixup")


@dataclass(frozen=True)
class Augmentation:
    """`AugmentationSchema` says what each field means; without arguments, all is off."""

    flip: str = "none"
    rotation: float = 0.0
    zoom: float = 0.0
    translation: float = 0.0
    crop: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    color_jitter: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def is_active(self) -> bool:
        """Whether there is a layer to put in front of the net."""
        return bool(self._used(LAYERS))

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, and their labels with them."""
        return bool(self._used(MIXES))

    def fits(self, shape: Sequence[int]) -> None:
        """Does nothing if prepared inputs of ``shape`` can be augmented so.

        Args:
            shape: (height, width, channels) or (features,).

        Raises:
            Infeasible: they cannot; the text names the fields to turn off.
        """
        used = self._used(LAYERS + MIXES)
        if len(shape) != 3:
            wrong = [name for name in used if name not in _FOR_ROWS]
            if wrong:
                raise Infeasible(f"rows of features take noise and mixup only, not {', '.join(wrong)}")
        elif self.color_jitter and shape[2] != 3:
            raise Infeasible(f"color_jitter needs images of 3 channels, and these have {shape[2]}")

    def _used(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if getattr(self, name) not in ("none", 0)]


def _share(high: float, text: str) -> Any:
    return tunables.number(0.0, high, text, 0.0)


class AugmentationSchema(StrictSchema):
    """Every field is off unless it is given."""

    flip = tunables.name(FLIPS, "Each direction on its own turns over every second image.", "none")
    rotation = _share(0.5, "Largest angle to either side, as a share of a full turn.")
    zoom = _share(0.9, "Largest change of scale: 0.2 shows 0.8 to 1.2 of each side.")
    translation = _share(0.9, "Largest shift in each direction, as a share of height and width.")
    crop = _share(0.9, "Share of each side cut away; the rest, from a random place, fills the image.")
    brightness = _share(1.0, "Most that is added to or taken from all pixels, as a share of their range.")
    contrast = _share(1.0, "Largest change of the distance to the image's mean: 0.2 is 0.8 to 1.2 of it.")
    noise = _share(
        1.0,
        "Deviation of Gaussian noise on every pixel, as a share of the pixels' range; for rows of features, "
        "of what `preprocessing.scaling` divides each feature by, or of its range if it is `none`.",
    )
    color_jitter = _share(1.0, "Brightness, contrast, saturation and (by a quarter) hue at once; 3 channels.")
    erasing = _share(1.0, "Share of the images in which a rectangle of 2 to 33 % of the area is made grey.")
    mixup = _share(10.0, "alpha of mixup: two images are blended by a share from Beta(alpha, alpha).")
    cutmix = _share(
        10.0, "alpha of cutmix: a box of another image is pasted, its share from Beta(alpha, alpha)."
    )
