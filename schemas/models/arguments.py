"""What the arguments of layers may be: fields that `schemas.models.kinds` is written in."""

from typing import Any

from marshmallow import missing, validate

from schemas import tunables
from schemas.fields import (
    Among,
    Between,
    Coded,
    Integer,
    Pattern,
    StrictSchema,
    String,
    is_object,
)
from schemas.models import parts
from schemas.pairs import Pair
from schemas.tunables import Tunable

# Windows, strides and margins: the largest that make sense on images of at most 2048 pixels.
MAX_WINDOW = 256
# Filters, units, groups.
MAX_COUNT = 65_536

ACTIVATIONS = (*parts.ACTIVATIONS, "softmax")
INITIALIZERS = parts.INITIALIZERS
# A bias has one dimension, orthogonal needs two.
BIAS_INITIALIZERS = ("zeros", "ones", *(name for name in INITIALIZERS if name != "orthogonal"))
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
PADDINGS = ("valid", "same")
REGULARIZERS = ("l1", "l2", "l1_l2")

# Names that the service gives to layers of its own, around those of the client; and operations that
# stand in front of the net too, which Keras names itself, with a number behind.
OWN_NAMES = ("pixels", "scaling", "logits", "probabilities", "resizing", "backbone", "rgb", "features")
_OWN_OPERATIONS = "(get_item|rgb_to_grayscale)_*[0-9]*"

# What a layer may be called; it becomes part of a file's structure when the model is saved.
LAYER_NAME = Pattern(
    rf"(?!({'|'.join(OWN_NAMES)}|{_OWN_OPERATIONS})$)[A-Za-z][A-Za-z0-9_-]{{0,62}}",
    "A layer's name has 1 to 63 letters, digits, _ and -, and begins with a letter; "
    f"{', '.join(OWN_NAMES)} are layers of the service itself.",
    "invalid_name",
)


class Margins(Pair):
    """One number for all edges, ``[height, width]``, or ``[[top, bottom], [left, right]]``."""

    def __init__(self, inner: Any, **kwargs: Any) -> None:
        super().__init__(inner, **kwargs)
        self.side = Pair(inner)  # type: ignore[assignment]


class PenaltySchema(StrictSchema):
    """A penalty on weights: ``l1`` times the sum of their sizes, ``l2`` times that of their squares."""

    l1 = tunables.number(0.0, 10.0, "Factor on the sum of absolute values.", 0.0)
    l2 = tunables.number(0.0, 10.0, "Factor on the sum of squares.", 0.0)


class Regularizer(Coded):
    """Keras' name of a regularizer, with its factors of 0.01, or an object with factors of its own."""

    schema = PenaltySchema

    def __init__(self, text: str) -> None:
        super().__init__(load_default=None, allow_none=True, metadata={"description": text})
        self.named = Tunable(String(validate=Among(REGULARIZERS)), load_default=None)

    def alternatives(self) -> list[Any]:
        """The field and the schema that take it, one or the other."""
        return [self.named, self.schema]

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if is_object(value) and "type" not in value:
            return self.schema().load(value)
        return self.named.deserialize(value, attr, data)

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        if is_object(value):
            return self.schema().dump(value)
        return None if value is None else self.named._serialize(value, attr, obj, **kwargs)


def count(text: str, default: Any = missing) -> Any:
    """Filters, units and the like."""
    return tunables.integer(1, MAX_COUNT, text, default)


def pair(text: str, default: Any = missing) -> Any:
    """A height and a width."""
    inner = Integer(validate=Between(1, MAX_WINDOW))
    return Pair(inner, metadata={"description": text}, **tunables.given(default))


def margins(default: int, text: str) -> Any:
    """Rows and columns at the edges of a map."""
    inner = Integer(validate=Between(0, MAX_WINDOW))
    return Margins(inner, metadata={"description": text}, **tunables.given(default))


def share(text: str) -> Any:
    """A share that leaves something over."""
    return tunables.number(0.0, 0.99, text)


def kind(name: str) -> Any:
    """The layer's type, which is Keras' name of the class."""
    return String(required=True, validate=validate.Equal(name))
