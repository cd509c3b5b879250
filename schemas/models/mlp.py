"""The family `mlp`: dense layers only; also takes rows of features."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from marshmallow import validate

from schemas import tunables
from schemas.fields import String
from schemas.models import parts
from schemas.models.family import FamilySchema, Model


@dataclass(frozen=True)
class Mlp(Model):
    family: ClassVar[str] = "mlp"

    layers: int
    units: int
    activation: str
    dropout: float
    l2: float

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        total, features = 0, math.prod(shape)
        for _ in range(self.layers):
            total += parts.dense(features, self.units)
            features = self.units
        return total + parts.dense(features, classes)


class MlpSchema(FamilySchema):
    """Dense layers over flattened images, or over rows of features."""

    makes = Mlp

    family = String(required=True, validate=validate.Equal(Mlp.family))
    layers = tunables.integer(0, 32, "Hidden layers; none makes it a linear classifier.", 2)
    units = tunables.integer(1, 65_536, "Units of each hidden layer.", 128)
    activation = parts.activation()
    dropout = parts.dropout(0.0, "Share of units dropped after each hidden layer.")
    l2 = parts.l2()
