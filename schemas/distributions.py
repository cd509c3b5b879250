"""What a search may choose from: ranges and choices, and how many values they have."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

Value = float | int | str | bool

SAMPLINGS = ("linear", "log", "reverse_log")

# What a grid takes from a range without a step: the middles of ten equally likely parts, as Keras
# Tuner's grid does.
UNSTEPPED_GRID_VALUES = 10


@dataclass(frozen=True)
class Distribution(ABC):
    """The values that a search may choose from; ``when`` maps a parent's name to its values."""

    type: ClassVar[str]
    default: Value | None
    when: Mapping[str, Sequence[Value]] | None
    # What the field is when its condition does not hold: the field's own default.
    otherwise: Any = field(default=None, kw_only=True, compare=False)

    @abstractmethod
    def count(self) -> int | None:
        """How many values there are; None if there is no end to them."""

    def grid_count(self) -> int:
        """How many values a grid takes."""
        return self.count() or UNSTEPPED_GRID_VALUES

    @abstractmethod
    def grid_values(self) -> list[Value]:
        """The values that a grid takes, ascending or as listed."""

    def values_to_ends(self) -> list[Value]:
        """As many, both ends of a range among them: what a walk from the ends takes."""
        return self.grid_values()

    @abstractmethod
    def contains(self, value: Value) -> bool:
        """Whether it is one of the values."""

    def own(self, value: Value) -> Value:
        """One of the values in the type that the search draws it in: JSON does not tell 1 from 1.0."""
        return value


@dataclass(frozen=True)
class Range(Distribution):
    """Numbers from ``min`` to ``max``, both included; with ``step``, only those on the steps."""

    min: float
    max: float
    step: float | None
    sampling: str

    def at(self, share: float) -> float:
        """The number at a share in [0, 1] of the range, by the sampling."""
        if self.sampling == "linear":
            return self.min + share * (self.max - self.min)
        if self.sampling == "log":
            return float(self.min * math.pow(self.max / self.min, share))
        return float(self.max + self.min - self.min * math.pow(self.max / self.min, 1 - share))

    def steps(self) -> int:
        """How many values lie on the steps. With `log` a step is a factor, as in Keras Tuner."""
        assert self.step is not None
        if self.sampling == "linear":
            return int((self.max - self.min) / self.step + 1e-9) + 1
        return int(math.log(self.max / self.min, self.step) + 1e-8) + 1

    def on_step(self, index: int) -> float:
        assert self.step is not None
        if self.sampling == "linear":
            return self.min + index * self.step
        grown = self.min * math.pow(self.step, index)
        return grown if self.sampling == "log" else self.max - (grown - self.min)

    def contains(self, value: Value) -> bool:
        if isinstance(value, (str, bool)) or not self.min <= value <= self.max:
            return False
        return self.step is None or value == self.nearest(value)

    def nearest(self, value: float) -> float:
        """The value on a step that is nearest to ``value``."""
        assert self.step is not None
        if self.sampling == "linear":
            index = (value - self.min) / self.step
        else:
            grown = value if self.sampling == "log" else self.min + (self.max - value)
            index = math.log(grown / self.min, self.step)
        return tidy(self.on_step(min(max(round(index), 0), self.steps() - 1)))


@dataclass(frozen=True)
class FloatRange(Range):
    type = "float"

    def own(self, value: Value) -> Value:
        return float(value)

    def count(self) -> int | None:
        return None if self.step is None else self.steps()

    def grid_values(self) -> list[Value]:
        if self.step is None:
            middles = ((i + 0.5) / UNSTEPPED_GRID_VALUES for i in range(UNSTEPPED_GRID_VALUES))
            return [tidy(self.at(share)) for share in middles]
        return [tidy(self.on_step(index)) for index in range(self.steps())]

    def values_to_ends(self) -> list[Value]:
        if self.step is not None:
            return self.grid_values()
        last = UNSTEPPED_GRID_VALUES - 1
        return [tidy(self.at(index / last)) for index in range(last + 1)]


@dataclass(frozen=True)
class IntRange(Range):
    type = "int"

    def own(self, value: Value) -> Value:
        return int(value)

    def contains(self, value: Value) -> bool:
        return super().contains(value) and float(value).is_integer()

    def count(self) -> int | None:
        if self.step is None:
            return int(self.max) - int(self.min) + 1
        return self.steps()

    def grid_values(self) -> list[Value]:
        if self.step is None:
            return list(range(int(self.min), int(self.max) + 1))
        return sorted({round(self.on_step(index)) for index in range(self.steps())})


@dataclass(frozen=True)
class Choice(Distribution):
    type = "choice"
    values: Sequence[Value]
    ordered: bool | None

    def count(self) -> int | None:
        return len(self.values)

    def grid_values(self) -> list[Value]:
        return list(self.values)

    def contains(self, value: Value) -> bool:
        return any(same(value, own) for own in self.values)

    def own(self, value: Value) -> Value:
        return next(own for own in self.values if same(value, own))


@dataclass(frozen=True)
class BooleanChoice(Distribution):
    type = "boolean"

    def count(self) -> int | None:
        return 2

    def grid_values(self) -> list[Value]:
        return [False, True]

    def contains(self, value: Value) -> bool:
        return isinstance(value, bool)


def lowest(value: Any) -> Any:
    """A value that is fixed, or the lowest that it may have."""
    return min(_extremes(value)) if isinstance(value, Distribution) else value


def highest(value: Any) -> Any:
    """A value that is fixed, or the highest that it may have."""
    return max(_extremes(value)) if isinstance(value, Distribution) else value


def _extremes(given: Distribution) -> list[Any]:
    return [given.min, given.max] if isinstance(given, Range) else list(given.grid_values())


def same(one: Value, other: Value) -> bool:
    """Equal as JSON values: 1 is 1.0, and neither is true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def tidy(value: float) -> float:
    """Twelve significant digits: 0.3 + 3 x 0.1 is to be 0.6, not 0.6000000000000001."""
    return float(f"{value:.12g}")
