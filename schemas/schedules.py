"""Schedules: how the learning rate moves during training, around ``training.learning_rate``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from marshmallow import ValidationError, validate, validates_schema

from schemas import tunables
from schemas.distributions import Distribution
from schemas.fields import Among, Between, Coded, Number, StrictSchema, String, is_object
from schemas.problems import fault
from schemas.tunables import DISTRIBUTIONS, Tunable

# The name of a schedule's type when it is left open: the other fields hang on it.
TYPE = "training.schedule.type"

MODES = ("triangular", "triangular2", "exp_range")


@dataclass(frozen=True)
class Schedule:
    type: ClassVar[str]


@dataclass(frozen=True)
class Constant(Schedule):
    type = "constant"


@dataclass(frozen=True)
class Step(Schedule):
    """Every so many epochs the rate is multiplied by ``factor``."""

    type = "step"
    every: int
    factor: float


@dataclass(frozen=True)
class Exponential(Schedule):
    """After each epoch the rate is multiplied by ``rate``."""

    type = "exponential"
    rate: float


@dataclass(frozen=True)
class Cosine(Schedule):
    """From 0 up to the rate in ``warm_up`` epochs, then down half a cosine to ``floor`` times the rate."""

    type = "cosine"
    warm_up: float
    floor: float


@dataclass(frozen=True)
class Cyclical(Schedule):
    """Up and down between two rates (Smith 2017); ``step_size`` is half a cycle, in epochs."""

    type = "cyclical"
    low: float | None
    high: float | None
    step_size: float
    mode: str
    gamma: float

    def ends(self, learning_rate: float) -> tuple[float, float]:
        """The lowest and the highest rate."""
        low = learning_rate / 10 if self.low is None else self.low
        return low, learning_rate if self.high is None else self.high


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Once up to the rate, then down to nearly nothing (Smith and Topin 2018)."""

    type = "one_cycle"
    peak_at: float
    start: float
    end: float


@dataclass(frozen=True)
class Plateau(Schedule):
    """After ``patience`` epochs in which the validation loss has not fallen: times ``factor``."""

    type = "plateau"
    patience: int
    factor: float


class ScheduleSchema(StrictSchema):
    """What all schedules share; ``type`` tells them apart."""

    makes: ClassVar[type[Schedule]]


def _rate(text: str) -> Any:
    return tunables.number(0.0, 100.0, text, None, open_min=True)


def _share(default: float, text: str, *, open_min: bool = False) -> Any:
    limits = Between(0.0, 1.0, open_min=open_min)
    return Tunable(Number(validate=limits), load_default=default, metadata={"description": text})


class ConstantSchema(ScheduleSchema):
    """The same rate in every epoch."""

    makes = Constant
    type = String(required=True, validate=validate.Equal(Constant.type))


class StepSchema(ScheduleSchema):
    """Times `factor` every so many epochs."""

    makes = Step
    type = String(required=True, validate=validate.Equal(Step.type))
    every = tunables.integer(1, 10_000, "Epochs between two changes.", 10)
    factor = _share(0.1, "What the rate is multiplied by.", open_min=True)


class ExponentialSchema(ScheduleSchema):
    """Times `rate` after every epoch."""

    makes = Exponential
    type = String(required=True, validate=validate.Equal(Exponential.type))
    rate = _share(0.95, "What the rate is multiplied by after each epoch.", open_min=True)


class CosineSchema(ScheduleSchema):
    """Up in a warm-up, then down along half a cosine."""

    makes = Cosine
    type = String(required=True, validate=validate.Equal(Cosine.type))
    warm_up = tunables.number(0.0, 10_000, "Epochs in which the rate rises from 0.", 0.0)
    floor = _share(0.0, "Where it ends, as a share of the learning rate.")


class CyclicalSchema(ScheduleSchema):
    """Up and down between two rates."""

    makes = Cyclical
    type = String(required=True, validate=validate.Equal(Cyclical.type))
    low = _rate("The lowest rate; null for a tenth of the learning rate.")
    high = _rate("The highest rate; null for the learning rate.")
    step_size = tunables.number(0.0, 10_000, "Half a cycle, in epochs.", 2.0, open_min=True)
    mode = tunables.name(
        MODES, "triangular2 halves each cycle; exp_range shrinks it by gamma every step.", "triangular"
    )
    gamma = _share(0.9999, "Of exp_range: what the height is multiplied by at every step.", open_min=True)

    @validates_schema
    def rises(self, data: dict[str, Any], **_: Any) -> None:
        low, high = data["low"], data["high"]
        if isinstance(low, float) and isinstance(high, float) and low > high:
            raise fault("invalid_range", "low must not be above high.", "low")


class OneCycleSchema(ScheduleSchema):
    """One rise to the learning rate and one fall."""

    makes = OneCycle
    type = String(required=True, validate=validate.Equal(OneCycle.type))
    peak_at = _share(0.3, "When the learning rate is reached, as a share of the epochs.")
    start = _share(0.04, "Where it begins, as a share of the learning rate.")
    end = _share(0.0001, "Where it ends, as a share of the learning rate.")


class PlateauSchema(ScheduleSchema):
    """Times `factor` when the validation loss stops falling."""

    makes = Plateau
    type = String(required=True, validate=validate.Equal(Plateau.type))
    patience = tunables.integer(1, 10_000, "Epochs without a lower validation loss.", 3)
    factor = _share(0.1, "What the rate is multiplied by.", open_min=True)


SCHEDULES: dict[str, type[ScheduleSchema]] = {
    schema.makes.type: schema
    for schema in (
        ConstantSchema,
        StepSchema,
        ExponentialSchema,
        CosineSchema,
        CyclicalSchema,
        OneCycleSchema,
        PlateauSchema,
    )
}


def schedule_of(section: Mapping[str, Any]) -> Schedule:
    """The schedule of a section in which nothing is open."""
    schema = SCHEDULES[section["type"]]
    own = [name for name in schema().load_fields if name != "type"]
    return schema.makes(**{name: section[name] for name in own})


class ScheduleField(Coded):
    """One of the schedules. ``type`` may be left open as well: the fields of all that it may be are then
    allowed, and exist only where the type has them.
    """

    def alternatives(self) -> list[Any]:
        """The schemas that take it, one or the other."""
        return [*SCHEDULES.values(), OpenScheduleSchema]

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not is_object(value):
            raise fault("invalid_type", 'Must be an object, such as {"type": "cosine"}.')
        if "type" not in value:
            raise fault("missing_field", f"A schedule needs a type: {', '.join(SCHEDULES)}.", "type")
        if isinstance(value["type"], str) and value["type"] in DISTRIBUTIONS:
            text = "A schedule is a structure: leave its type open, or its fields."
            raise fault("value_not_allowed", text, "type")
        kind = self._type(value["type"])
        if isinstance(kind, Distribution):
            return self._open(value, kind)
        return SCHEDULES[kind]().load(value)

    def _type(self, value: Any) -> Any:
        try:
            return _OPEN_TYPE.deserialize(value)
        except ValidationError as error:
            raise ValidationError({"type": error.messages}) from None

    def _open(self, value: Mapping[str, Any], kind: Distribution) -> dict[str, Any]:
        schema = union(kind)
        loaded = schema().load({name: given for name, given in value.items() if name != "type"})
        names = [str(one) for one in kind.grid_values()]
        for name, given in loaded.items():
            owners = [one for one in names if name in SCHEDULES[one]().load_fields]
            if isinstance(given, Distribution) and len(owners) < len(names):
                loaded[name] = replace(given, when={TYPE: owners, **(given.when or {})})
        return {"type": kind, **loaded}

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        kind = value["type"]
        if not isinstance(kind, Distribution):
            return SCHEDULES[kind]().dump(value)
        return {"type": _OPEN_TYPE._serialize(kind, attr, obj), **union(kind)().dump(value)}


def union(kind: Distribution) -> type[StrictSchema]:
    """The fields of all schedules that an open type may be, without ``type``."""
    return _union([str(name) for name in kind.grid_values()])


def _union(names: Iterable[str]) -> type[StrictSchema]:
    declared = (SCHEDULES[name]._declared_fields.items() for name in names)
    own = {name: field for fields in declared for name, field in fields if name != "type"}
    return type("AnyScheduleSchema", (StrictSchema,), own)


_OPEN_TYPE = Tunable(String(validate=Among(SCHEDULES)))


class OpenScheduleSchema(_union(SCHEDULES)):  # type: ignore[misc]
    """Some schedules, of which the search chooses: its ``type`` is a choice."""

    type = Tunable(String(validate=Among(SCHEDULES)), required=True, must_be_open=True)
