"""The family `efficientnet`: Keras Tuner's `HyperEfficientNet`, with its names, values and defaults.

Keras Tuner always starts from ImageNet's weights; here ``weights`` says so, and none is the default, since
they are a download.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from marshmallow import validate

from schemas import tunables
from schemas.fields import String
from schemas.models import parts
from schemas.models.family import FamilySchema, Infeasible, Model, images

POOLINGS = ("avg", "max")
WEIGHTS = ("none", "imagenet")

# The smallest image that `keras.applications` takes.
SMALLEST = 32


class Version(NamedTuple):
    """One of Tan & Le 2019.

    ``side`` of the images in pixels that it was made for; ``parameters`` without the classification head at
    three channels, and what each channel adds; ``features`` given out. Measured in `keras.applications`.
    """

    side: int
    parameters: int
    parameters_per_channel: int
    features: int


VERSIONS = {
    "B0": Version(224, 4_049_571, 290, 1280),
    "B1": Version(240, 6_575_239, 290, 1280),
    "B2": Version(260, 7_768_569, 290, 1408),
    "B3": Version(300, 10_783_535, 362, 1536),
    "B4": Version(380, 17_673_823, 434, 1792),
    "B5": Version(456, 28_513_527, 434, 2048),
    "B6": Version(528, 40_960_143, 506, 2304),
    "B7": Version(600, 64_097_687, 578, 2560),
}


@dataclass(frozen=True)
class EfficientNet(Model):
    """Inverted residual blocks with squeeze and excitation; the versions grow in depth, width and image size.

    It expects pixels that are scaled to [0, 1].
    """

    family: ClassVar[str] = "efficientnet"

    version: str
    pooling: str
    top_dropout_rate: float
    weights: str
    resize: bool

    @property
    def side(self) -> int:
        """Side of the images that this version was made for."""
        return VERSIONS[self.version].side

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        version = VERSIONS[self.version]
        more = self.channels(shape) - 3
        body = version.parameters + more * version.parameters_per_channel
        return body + parts.dense(version.features, classes)

    def channels(self, shape: Sequence[int]) -> int:
        """Channels that the net gets, for images of ``shape``.

        Raises:
            Infeasible: the images are too small, or ImageNet's weights do not fit them.
        """
        height, width, channels = images(shape, self.family)
        if not self.resize and min(height, width) < SMALLEST:
            raise Infeasible(
                f"efficientnet takes images of {SMALLEST} x {SMALLEST} and more, not {height} x {width}: "
                f"with resize they become {self.side} x {self.side}"
            )
        if self.weights == "none":
            return channels
        if channels not in (1, 3):
            raise Infeasible(f"ImageNet's weights are for images of 1 or 3 channels, these have {channels}")
        return 3


class EfficientNetSchema(FamilySchema):
    """Keras Tuner's HyperEfficientNet: EfficientNet B0 to B7, from scratch or from ImageNet's weights."""

    makes = EfficientNet

    family = String(required=True, validate=validate.Equal(EfficientNet.family))
    version = tunables.name(
        tuple(VERSIONS), "Size of the net: B0 has 4 million parameters, B7 64 million.", "B0"
    )
    pooling = tunables.name(
        POOLINGS, "What becomes of the last map: the mean or the maximum of each channel.", "avg"
    )
    top_dropout_rate = parts.dropout(0.2, "Share of the features dropped before the classification head.")
    weights = tunables.name(WEIGHTS, "imagenet: starts from weights that were trained on ImageNet.", "none")
    resize = tunables.flag(
        "Resizes images to the side that the version was made for (B0: 224, B7: 600); "
        f"otherwise they need at least {SMALLEST} x {SMALLEST} pixels.",
        True,
    )
