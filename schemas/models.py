"""Model families: what of each may be fixed or left open, and what a configuration costs.

A family's schema and its frozen value stand together; its builder is `tuning/models/<family>.py`.
The input, the preprocessing and the classification head are added by the service in every family.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import ValidationError, validate
from marshmallow_oneofschema.one_of_schema import OneOfSchema

from schemas.distributions import Tunable
from schemas.fields import Among, Between, Boolean, Integer, Number, StrictSchema, String, is_object
from schemas.problems import fault

ACTIVATIONS = (
    "relu",
    "elu",
    "gelu",
    "leaky_relu",
    "mish",
    "selu",
    "silu",
    "softplus",
    "softsign",
    "tanh",
    "sigmoid",
)


class Infeasible(ValueError):
    """A configuration that no model can be built from; the oracle is told, nothing has crashed."""


@dataclass(frozen=True)
class Cnn:
    """A plain convolutional net: blocks of convolution and pooling, then dense layers.

    ``filters * filter_growth ** b`` filters in block ``b`` (from 0), each block halves the map.
    """

    family: ClassVar[str] = "cnn"
    # Fields whose ends do not bound the number of parameters: deeper blocks have more filters, but
    # leave a smaller map to the dense layer.
    turning: ClassVar[tuple[str, ...]] = ("blocks",)

    blocks: int
    filters: int
    filter_growth: int
    kernel_size: int
    activation: str
    batch_norm: bool
    dense_units: int
    dropout: float
    l2: float

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        """Parameters (trained or not) of the net for images of ``shape`` (height, width, channels).

        Raises:
            Infeasible: the data are no images, or a block would pool a map that has no two pixels in a
                row left.
        """
        if len(shape) != 3:
            raise Infeasible("the family cnn takes images, not rows of features")
        height, width, channels = shape
        total = 0
        for block in range(self.blocks):
            filters = self.filters * self.filter_growth**block
            total += (self.kernel_size**2 * channels + 1) * filters
            total += 4 * filters if self.batch_norm else 0
            height, width, channels = height // 2, width // 2, filters
            if not height or not width:
                raise Infeasible(
                    f"block {block + 1} of {self.blocks} cannot halve a map of "
                    f"{max(height, 1)} x {max(width, 1)}: an image of {shape[0]} x {shape[1]} "
                    f"has room for {block} blocks"
                )
        features = height * width * channels
        if self.dense_units:
            total += (features + 1) * self.dense_units
            features = self.dense_units
        return total + (features + 1) * classes


class CnnSchema(StrictSchema):
    """Blocks of convolution and pooling, then dense layers."""

    makes: ClassVar[type[Cnn]] = Cnn

    family = String(required=True, validate=validate.Equal(Cnn.family))
    blocks = Tunable(
        Integer(validate=Between(1, 10)),
        load_default=2,
        metadata={"description": "Blocks of convolution, activation and 2x2 pooling."},
    )
    filters = Tunable(
        Integer(validate=Between(1, 4096)),
        load_default=32,
        metadata={"description": "Filters of the first block's convolution."},
    )
    filter_growth = Tunable(
        Integer(validate=Between(1, 4)),
        load_default=2,
        metadata={"description": "Factor on the filters from block to block; 1 keeps them."},
    )
    kernel_size = Tunable(
        Integer(validate=Between(1, 15)),
        load_default=3,
        metadata={"description": "Side of the convolution kernels, in pixels."},
    )
    activation = Tunable(
        String(validate=Among(ACTIVATIONS)),
        load_default="relu",
        metadata={"description": "Activation of convolutions and hidden dense layers."},
    )
    batch_norm = Tunable(
        Boolean(),
        load_default=False,
        metadata={"description": "Batch normalisation between convolution and activation."},
    )
    dense_units = Tunable(
        Integer(validate=Between(0, 65536)),
        load_default=128,
        metadata={"description": "Units of the hidden dense layer; 0 leaves it out."},
    )
    dropout = Tunable(
        Number(validate=Between(0.0, 0.99)),
        load_default=0.5,
        metadata={"description": "Share of units dropped before the classification head."},
    )
    l2 = Tunable(
        Number(validate=Between(0.0, 10.0)),
        load_default=0.0,
        metadata={"description": "L2 penalty on the kernels of convolutions and dense layers."},
    )


Model = Cnn

FAMILIES: dict[str, type[CnnSchema]] = {schema.makes.family: schema for schema in (CnnSchema,)}


class ModelSchema(OneOfSchema):
    """One of the families, told apart by ``family``."""

    type_field = "family"
    type_field_remove = False
    type_schemas = FAMILIES

    def get_obj_type(self, obj: Any) -> str:
        return str(obj["family"])

    def _load(self, data: Any, **kwargs: Any) -> Any:
        if not is_object(data):
            raise fault("invalid_type", "Must be an object.")
        if "family" not in data:
            raise fault("missing_field", "Missing data for required field.", "family")
        family = data["family"]
        if not isinstance(family, str):
            raise fault("invalid_type", "Not a valid string.", "family")
        try:
            Among(FAMILIES)(family)
        except ValidationError as error:
            raise ValidationError({"family": error.messages}) from None
        return super()._load(data, **kwargs)  # type: ignore[no-untyped-call]
