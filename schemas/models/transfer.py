"""The family `transfer`: a net that has learned something else, with a new head, trained in two phases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import validate, validates_schema

from schemas import tunables
from schemas.distributions import Distribution
from schemas.fields import Pattern, String
from schemas.models import parts
from schemas.models.backbones import BACKBONES, Backbone
from schemas.models.family import FamilySchema, Infeasible, Model, Phase, images
from schemas.problems import fault

# The backbone that is the best model of an earlier job.
JOB = "job"
WEIGHTS = ("imagenet", "none")
POOLINGS = ("avg", "max")


@dataclass(frozen=True)
class Transfer(Model):
    """A backbone, pooling over its map, perhaps a hidden layer, dropout, and the head.

    Args:
        earlier_parameters: of the earlier job's net without its classification head, where it is known.
        earlier_features: how many features that head was put on. Neither is part of the spec.
    """

    family: ClassVar[str] = "transfer"

    backbone: str
    job: str | None
    weights: str
    pooling: str
    dense_units: int
    activation: str
    dropout: float
    frozen_epochs: int
    unfreeze: float
    fine_tune_learning_rate: float
    earlier_parameters: int | None = None
    earlier_features: int | None = None

    @property
    def earlier_job(self) -> str | None:
        return self.job if self.backbone == JOB else None

    @property
    def is_pretrained(self) -> bool:
        """Whether the backbone has learned something already."""
        return self.backbone == JOB or self.weights == "imagenet"

    def phases(self, epochs: int, learning_rate: float) -> list[Phase]:
        """The head alone on a frozen backbone, then both at a small rate; ``epochs`` is for both together."""
        frozen = min(self.frozen_epochs, epochs)
        phases = (
            Phase(frozen, learning_rate, 0.0),
            Phase(epochs - frozen, self.fine_tune_learning_rate, self.unfreeze),
        )
        return [phase for phase in phases if phase.epochs]

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        """As `Model.count_parameters`; of an earlier job's net only what is known of it."""
        if self.backbone == JOB:
            total, features = self.earlier_parameters or 0, self.earlier_features or 0
        else:
            backbone = BACKBONES[self.backbone]
            total, features = self._of_backbone(backbone, shape), backbone.features
        if self.dense_units:
            total += parts.dense(features, self.dense_units)
            features = self.dense_units
        return total + parts.dense(features, classes)

    def _of_backbone(self, backbone: Backbone, shape: Sequence[int]) -> int:
        height, width, channels = images(shape, self.family)
        if min(height, width) < backbone.smallest:
            raise Infeasible(
                f"{self.backbone} takes images of {backbone.smallest} x {backbone.smallest} and more, "
                f"these are {height} x {width}: `preprocessing.image_size` makes them larger"
            )
        if self.weights == "none":
            return backbone.count_parameters(channels)
        if channels not in (1, 3):
            raise Infeasible(
                f"weights from ImageNet are for 3 channels, these images have {channels}: "
                "`preprocessing.color` can make them rgb, and `weights: none` takes any"
            )
        return backbone.count_parameters(3)


def may_be_job(backbone: Any) -> bool:
    """Whether a backbone, fixed or left open, may be an earlier job's model."""
    return backbone.contains(JOB) if isinstance(backbone, Distribution) else bool(backbone == JOB)


class TransferSchema(FamilySchema):
    """A net that has learned from ImageNet or in an earlier job, with a new head."""

    makes = Transfer
    # Without a job, `job` is no backbone.
    rules: ClassVar[dict[str, Any]] = {
        "if": {"properties": {"job": {"type": "string"}}, "required": ["job"]},
        "else": {
            "properties": {
                "backbone": {
                    "anyOf": [
                        {"enum": list(BACKBONES)},
                        {"type": "object", "properties": {"values": {"items": {"enum": [*BACKBONES]}}}},
                    ]
                }
            }
        },
    }

    family = String(required=True, validate=validate.Equal(Transfer.family))
    backbone = tunables.name(
        (*BACKBONES, JOB),
        "A net of `keras.applications`, or `job` for the best model of an earlier job.",
        "mobilenet_v2",
    )
    job = String(
        load_default=None,
        allow_none=True,
        validate=Pattern(r"job_[a-z0-9]{1,64}", "An id job_..."),
        metadata={"description": "The earlier job, if the backbone is `job`: it has to have succeeded."},
    )
    weights = tunables.name(
        WEIGHTS,
        "What a backbone of `keras.applications` starts from; none starts at random. "
        "Those of ImageNet expect `preprocessing.scaling: unit`.",
        "imagenet",
    )
    pooling = tunables.name(POOLINGS, "What becomes of the backbone's last map.", "avg")
    dense_units = tunables.integer(0, 65_536, "Units of a hidden layer before the head; 0 leaves it out.", 0)
    activation = parts.activation(text="Activation of the hidden layer.")
    dropout = parts.dropout(0.2, "Share of features dropped before the head.")
    frozen_epochs = tunables.integer(
        0, 10_000, "How many of the epochs, the first ones, train the head alone; the rest fine-tune.", 5
    )
    unfreeze = tunables.number(
        0.0, 1.0, "Share of the backbone's layers, counted from its output, that fine-tuning trains.", 1.0
    )
    fine_tune_learning_rate = tunables.number(
        0.0,
        100.0,
        "Learning rate of fine-tuning: small, so that what was learned stays.",
        1e-4,
        open_min=True,
    )

    @validates_schema
    def names_its_job(self, data: dict[str, Any], **_: Any) -> None:
        if may_be_job(data["backbone"]) and data["job"] is None:
            raise fault("missing_field", "The backbone `job` needs the id of an earlier job.", "job")
