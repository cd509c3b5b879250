"""A height and a width, given as one number for both or as a list of two."""

from typing import Any

from marshmallow import ValidationError, fields

from schemas.fields import Coded, List, Sized
from schemas.problems import fault
from schemas.tunables import Tunable


class Pair(Coded):
    """One number for both sides, or ``[height, width]``; each of these may be left open.

    ``"kernel_size": {"type": "choice", "values": [3, 5]}`` is one hyperparameter,
    ``model.layers.0.kernel_size``; the sides of a list are hyperparameters of their own,
    ``model.layers.0.kernel_size.1``.
    """

    def __init__(self, inner: fields.Field[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.both = Tunable(inner, load_default=self.load_default)
        self.side = Tunable(inner)

    def alternatives(self) -> list[Any]:
        """The fields that take it, one or the other."""
        return [self.both, List(self.side, validate=Sized(equal=2))]

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self.both._bind_to_schema(field_name, parent)
        self.side._bind_to_schema(field_name, parent)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return self.both.deserialize(value, attr, data)
        if len(value) != 2:
            raise fault("invalid_value", "Must be one number, or two: [height, width].")
        sides, errors = [], {}
        for index, side in enumerate(value):
            try:
                sides.append(self.side.deserialize(side))
            except ValidationError as error:
                errors[index] = error.messages
        if errors:
            raise ValidationError(errors)
        return sides

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self.side._serialize(side, attr, obj) for side in value]
        return self.both._serialize(value, attr, obj, **kwargs)


def both(value: Any) -> tuple[int, int]:
    """(height, width) of a pair in which nothing is open."""
    if isinstance(value, (list, tuple)):
        height, width = value
        return int(height), int(width)
    return int(value), int(value)
