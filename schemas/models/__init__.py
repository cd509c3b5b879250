"""The table of model families, and the section of the spec that chooses among them.

A family's schema, its frozen value and its count of parameters are in `schemas/models/<family>.py`, its
builder is in `tuning/models/<family>.py`. The input, the preprocessing and the classification head are added
by the service in every family. An operator adds families by the entry point group `tuneserve.models`, whose
entries name a `Family` each.
"""

from importlib import metadata

from schemas.models.cnn import CnnSchema
from schemas.models.efficientnet import EfficientNetSchema
from schemas.models.family import Family, FamilySchema, Infeasible, Model, Phase
from schemas.models.layers import LayersSchema
from schemas.models.mlp import MlpSchema
from schemas.models.resnet import ResNetSchema
from schemas.models.transfer import TransferSchema
from schemas.models.vit import VitSchema
from schemas.models.xception import XceptionSchema
from schemas.variants import VariantSchema

__all__ = ["FAMILIES", "GROUP", "Family", "FamilySchema", "Infeasible", "Model", "ModelSchema", "Phase"]

GROUP = "tuneserve.models"

_OURS = (
    Family(CnnSchema, "tuning.models.cnn:build"),
    Family(LayersSchema, "tuning.models.layers:build"),
    Family(ResNetSchema, "tuning.models.resnet:build"),
    Family(XceptionSchema, "tuning.models.xception:build"),
    Family(EfficientNetSchema, "tuning.models.efficientnet:build"),
    Family(TransferSchema, "tuning.models.transfer:build"),
    Family(VitSchema, "tuning.models.vit:build"),
    Family(MlpSchema, "tuning.models.mlp:build"),
)


def _families() -> dict[str, Family]:
    families = {family.name: family for family in _OURS}
    for entry in metadata.entry_points(group=GROUP):
        family = entry.load()
        if not isinstance(family, Family):
            raise TypeError(f"entry point {entry.name} of {GROUP} is no schemas.models.Family")
        if family.name in families:
            raise ValueError(f"entry point {entry.name} of {GROUP}: there is a family {family.name} already")
        families[family.name] = family
    return families


FAMILIES = _families()


class ModelSchema(VariantSchema):
    """One of the families, told apart by ``family``."""

    type_field = "family"
    type_schemas = {name: family.schema for name, family in FAMILIES.items()}
