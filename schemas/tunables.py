"""Values left open: a distribution in the place of a value.

``Tunable(inner)`` is the field of every value that a search may choose. It takes either a fixed value
or a distribution, and holds a distribution's bounds and values to the limits of the fixed value.
The functions below it make such fields in one line.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, missing, post_load

from schemas.distributions import (
    SAMPLINGS,
    BooleanChoice,
    Choice,
    Distribution,
    FloatRange,
    IntRange,
    Range,
    Value,
)
from schemas.fields import (
    Among,
    Between,
    Boolean,
    Coded,
    Dict,
    Integer,
    List,
    Number,
    Sized,
    StrictSchema,
    String,
    is_object,
    is_plain,
)
from schemas.problems import Message, fault

# Real numbers on more steps than this are meant to be continuous.
MAX_STEPS = 10_000
# What JSON's readers agree on (RFC 7493).
_LARGEST_INTEGER = 2**53 - 1


class Scalar(Coded):
    """Any JSON scalar; what it may be is said by the field that the distribution stands for."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, (str, bool, int, float)):
            raise fault("invalid_type", "Must be a number, a string or a boolean.")
        if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            raise fault("value_out_of_range", "Larger than any value here.")
        if isinstance(value, str) and not is_plain(value):
            raise fault("invalid_value", "NUL and surrogates are not text.")
        return value


class DistributionSchema(StrictSchema):
    """What all distributions share."""

    makes: ClassVar[type[Distribution]]

    type = String(required=True)
    default = Scalar(load_default=None, allow_none=True)
    when = Dict(
        keys=String(),
        values=List(Scalar(), validate=Sized(min=1, max=256)),
        load_default=None,
        allow_none=True,
        metadata={"description": "Exists only when each parent named here has one of the values."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Distribution:
        data.pop("type")
        return self.makes(**data)


class _RangeSchema(DistributionSchema):
    sampling = String(load_default="linear", validate=Among(SAMPLINGS))


class FloatRangeSchema(_RangeSchema):
    makes = FloatRange
    min = Number(required=True)
    max = Number(required=True)
    step = Number(load_default=None, allow_none=True)


class IntRangeSchema(_RangeSchema):
    makes = IntRange
    min = Integer(required=True)
    max = Integer(required=True)
    step = Integer(load_default=None, allow_none=True, validate=Between(None, _LARGEST_INTEGER))


class ChoiceSchema(DistributionSchema):
    makes = Choice
    values = List(Scalar(), required=True, validate=Sized(max=256))
    ordered = Boolean(load_default=None, allow_none=True)


class BooleanChoiceSchema(DistributionSchema):
    makes = BooleanChoice


DISTRIBUTIONS: dict[str, type[DistributionSchema]] = {
    schema.makes.type: schema
    for schema in (FloatRangeSchema, IntRangeSchema, ChoiceSchema, BooleanChoiceSchema)
}


class Tunable(Coded):
    """A value, or the distribution of values that a search is to choose from.

    Args:
        must_be_open: takes a distribution only.
    """

    def __init__(self, inner: fields.Field[Any], *, must_be_open: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner
        self.must_be_open = must_be_open

    def _bind_to_schema(self, field_name: str, parent: Any) -> None:
        super()._bind_to_schema(field_name, parent)
        self.inner._bind_to_schema(field_name, parent)

    def types(self) -> tuple[str, ...]:
        """The distributions that fit the inner field."""
        if isinstance(self.inner, fields.Boolean):
            return ("boolean", "choice")
        if isinstance(self.inner, fields.Integer):
            return ("int", "choice")
        return ("float", "int", "choice") if isinstance(self.inner, fields.Float) else ("choice",)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, Distribution):
            return value
        if not is_object(value) and not self.must_be_open:
            return self.inner.deserialize(value, attr, data)
        given = self._held_to_inner(self._distribution(value))
        return replace(given, otherwise=self._otherwise(given))

    def _otherwise(self, given: Distribution) -> Any:
        default = self.load_default
        if default is not missing:
            return default() if callable(default) else default
        if given.default is not None:
            return given.default
        return given.min if isinstance(given, Range) else given.grid_values()[0]

    def _distribution(self, value: Mapping[str, Any]) -> Distribution:
        kind = value.get("type")
        if kind not in self.types():
            allowed = ", ".join(self.types())
            if "type" not in value:
                raise fault("missing_field", f"A distribution needs a type: {allowed}.", "type")
            text = f"A distribution of this value is one of: {allowed}."
            raise fault("value_not_allowed", text, "type")
        loaded: Distribution = DISTRIBUTIONS[str(kind)]().load(value)
        return loaded

    def _held_to_inner(self, given: Distribution) -> Distribution:
        """The distribution with every value in the inner field's own type, or all that is wrong."""
        errors: dict[str, Any] = {}
        changes: dict[str, Any] = {}
        if isinstance(given, Range) and given.sampling != "linear" and given.min <= 0:
            text = f"min must be greater than 0 with {given.sampling} sampling."
            raise ValidationError({"min": [Message("invalid_range", text)]})
        for name in ("min", "max", "default"):
            if getattr(given, name, None) is not None:
                self._hold(getattr(given, name), errors, changes, name)
        if isinstance(given, Choice):
            if len({_kind(value) for value in given.values}) > 1:
                raise fault("invalid_range", "The values of a choice must be of one kind.", "values")
            held = [self._held_value(value, index, errors) for index, value in enumerate(given.values)]
            changes["values"] = tuple(held)
        made = replace(given, **changes)
        if not errors:
            _check_relations(made, errors)
        if errors:
            raise ValidationError(errors)
        return made

    def _hold(self, value: Any, errors: dict[str, Any], changes: dict[str, Any], name: str) -> None:
        try:
            changes[name] = self.inner.deserialize(value)
        except ValidationError as error:
            errors[name] = error.messages

    def _held_value(self, value: Any, index: int, errors: dict[str, Any]) -> Any:
        try:
            return self.inner.deserialize(value)
        except ValidationError as error:
            errors.setdefault("values", {})[index] = error.messages
            return value

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        if isinstance(value, Distribution):
            return DISTRIBUTIONS[value.type]().dump(value)
        return self.inner._serialize(value, attr, obj, **kwargs)


def _kind(value: Value) -> str:
    """JSON's kind of a value: it has one for all numbers."""
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(type(value))


def _check_relations(given: Distribution, errors: dict[str, Any]) -> None:
    """What must hold between the parts of one distribution."""

    def wrong(name: str, text: str) -> None:
        errors[name] = [Message("invalid_range", text)]

    if isinstance(given, Range):
        _check_range(given, wrong)
    if isinstance(given, Choice):
        if len(given.values) < 2:
            wrong("values", "A choice needs at least two values.")
        elif len({(type(value), value) for value in given.values}) < len(given.values):
            wrong("values", "The values of a choice must differ.")
    if not errors and given.default is not None and not given.contains(given.default):
        wrong("default", "The default must be one of the values.")


def _check_range(given: Range, wrong: Any) -> None:
    if given.min >= given.max:
        wrong("max", "max must be greater than min.")
    elif given.sampling != "linear" and not math.isfinite(given.max / given.min):
        wrong("min", "min is too close to 0.")
    elif given.step is not None:
        _check_step(given, given.step, wrong)


def _check_step(given: Range, step: float, wrong: Any) -> None:
    if given.sampling == "linear" and step <= 0:
        wrong("step", "step must be greater than 0.")
    elif given.sampling != "linear" and step <= 1:
        wrong("step", f"step must be greater than 1: with {given.sampling} sampling it is a factor.")
    elif isinstance(given, FloatRange) and _steps(given, step) > MAX_STEPS:
        wrong("step", f"step must leave at most {MAX_STEPS:,} values; leave it out for any value.")
    elif given.steps() < 2:
        wrong("step", "step must leave at least two values between min and max.")


def _steps(given: Range, step: float) -> float:
    """How many steps fit in, as a number that may be infinite."""
    if given.sampling == "linear":
        return (given.max - given.min) / step if step > 1e-300 else math.inf
    return math.log(given.max / given.min) / math.log(step)


def tunable(inner: Any, text: str, default: Any = missing) -> Any:
    """Any field; without a default it is required."""
    return Tunable(inner, metadata={"description": text}, **given(default))


def integer(low: int, high: int, text: str, default: Any = missing) -> Any:
    """A whole number."""
    return tunable(Integer(validate=Between(low, high)), text, default)


def number(low: float, high: float, text: str, default: Any = missing, *, open_min: bool = False) -> Any:
    """A real number; ``open_min`` leaves the lower end out."""
    return tunable(Number(validate=Between(low, high, open_min=open_min)), text, default)


def name(among: Iterable[str], text: str, default: Any = missing) -> Any:
    """One of some names."""
    return tunable(String(validate=Among(among)), text, default)


def flag(text: str, default: Any = missing) -> Any:
    """Yes or no."""
    return tunable(Boolean(), text, default)


def given(default: Any) -> dict[str, Any]:
    """The arguments of a field that say whether it has to be there; None as a default may be said as well."""
    if default is missing:
        return {"required": True}
    return {"load_default": default, "allow_none": default is None}
