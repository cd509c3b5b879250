"""The family `striped`: each row of the image is averaged, then dense layers. It knows no Keras."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from marshmallow import validate

from schemas.fields import String
from schemas.models import Family, FamilySchema, Infeasible, Model
from schemas.models.parts import dense
from schemas.tunables import integer


@dataclass(frozen=True)
class Striped(Model):
    family: ClassVar[str] = "striped"

    units: int

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        if len(shape) != 3:
            raise Infeasible("the family striped takes images, not rows of features")
        return dense(shape[0] * shape[2], self.units) + dense(self.units, classes)


class StripedSchema(FamilySchema):
    """Means of the rows of an image, then one hidden layer."""

    makes = Striped

    family = String(required=True, validate=validate.Equal(Striped.family))
    units = integer(1, 64, "Units of the hidden layer.", 8)


FAMILY = Family(StripedSchema, "striped.builder:build")
NO_FAMILY = StripedSchema
