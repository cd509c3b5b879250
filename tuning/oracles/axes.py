"""The space as axes of numbers in [0, 1], for the algorithms that learn.

A range is an axis by its own sampling, so that equal distances matter equally: a learning rate sampled by
`log` has its magnitudes evenly along the axis. Of what has steps each value has a part of the axis to itself,
all of them equally long, and stands in the middle of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.distributions import (
    Choice,
    Distribution,
    FloatRange,
    IntRange,
    Range,
    Value,
    same,
    tidy,
)
from schemas.spaces import Space

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One open value. ``count`` values in parts of equal length; None where they are not."""

    name: str
    distribution: Distribution

    @cached_property
    def is_ordered(self) -> bool:
        """Whether near on the axis means alike."""
        return isinstance(self.distribution, Range) or _is_ordered_choice(self.distribution)

    @cached_property
    def count(self) -> int | None:
        given = self.distribution
        if isinstance(given, Range) and given.step is None and (self._is_float or given.sampling != "linear"):
            return None
        return given.count()

    @property
    def _is_float(self) -> bool:
        return isinstance(self.distribution, FloatRange)

    @cached_property
    def _listed(self) -> list[Value]:
        return self.distribution.grid_values()

    @cached_property
    def _ends(self) -> Range:
        """The range, that of integers wider by a half at both ends: each of them is in the middle of its part."""
        given = self.distribution
        assert isinstance(given, Range)
        if self._is_float:
            return given
        return FloatRange(None, None, given.min - 0.5, given.max + 0.5, None, given.sampling)

    def share(self, value: Value) -> float:
        """Where a value is; one from outside the range at its end."""
        if self.count is None:
            assert not isinstance(value, str)
            return _share(self._ends, min(max(value, self._ends.min), self._ends.max))
        return (self._index(value) + 0.5) / self.count

    def _index(self, value: Value) -> int:
        given = self.distribution
        if isinstance(given, IntRange) and given.step is None:
            return int(min(max(int(value), given.min), given.max) - given.min)
        if isinstance(given, Range):
            assert not isinstance(value, str)
            return min(range(len(self._listed)), key=lambda index: abs(self._listed[index] - value))  # type: ignore[operator]
        return next((index for index, own in enumerate(self._listed) if same(own, value)), 0)

    def value(self, share: float) -> Value:
        """The value that is nearest to a place on the axis."""
        given = self.distribution
        if self.count is not None:
            index = min(int(share * self.count), self.count - 1)
            return int(given.min) + index if _is_plain_int(given) else self._listed[index]  # type: ignore[attr-defined]
        assert isinstance(given, Range)
        found = min(max(self._ends.at(min(max(share, 0.0), 1.0)), given.min), given.max)
        return tidy_within(found, given) if self._is_float else min(max(round(found), int(given.min)), int(given.max))

    def snapped(self, shares: Floats) -> Floats:
        """The places of the values that are nearest to ``shares``."""
        if self.count is not None:
            parts: Floats = (np.minimum(np.floor(shares * self.count), self.count - 1) + 0.5) / self.count
            return parts
        if self._is_float:
            return shares
        return np.array([self.share(self.value(one)) for one in shares])


def tidy_within(value: float, given: Range) -> float:
    return min(max(tidy(value), given.min), given.max)


def _is_plain_int(given: Any) -> bool:
    return isinstance(given, IntRange) and given.step is None


def _is_ordered_choice(given: Distribution) -> bool:
    """Of a choice only numbers have an order, unless it says that they have none."""
    if not isinstance(given, Choice) or isinstance(given.values[0], (str, bool)):
        return False
    return given.ordered is not False


def _share(given: Range, value: float) -> float:
    """The inverse of ``Range.at``."""
    if given.max == given.min:
        return 0.5
    if given.sampling == "linear":
        return (value - given.min) / (given.max - given.min)
    whole = math.log(given.max / given.min)
    if given.sampling == "log":
        return math.log(value / given.min) / whole
    return 1 - math.log((given.max + given.min - value) / given.min) / whole


class Axes:
    """All axes of a space, parents before children.

    A configuration is a row of one number for each axis; what does not exist in it is in the middle.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.axes = [Axis(one.name, one.distribution) for one in space]

    def __len__(self) -> int:
        return len(self.axes)

    def rows(self, configurations: Sequence[Mapping[str, Value]]) -> Floats:
        """Shape (configurations, axes)."""
        rows = [
            [axis.share(values[axis.name]) if axis.name in values else 0.5 for axis in self.axes]
            for values in configurations
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.axes))

    def values(self, row: Floats) -> dict[str, Value]:
        """The configuration that is nearest to a row: what is active in it."""
        every = {axis.name: axis.value(float(share)) for axis, share in zip(self.axes, row, strict=True)}
        return self.space.active(every)

    def snapped(self, rows: Floats) -> Floats:
        """The rows of the configurations that are nearest."""
        moved = np.column_stack([axis.snapped(rows[:, i]) for i, axis in enumerate(self.axes)])
        for index, one in enumerate(self.space):
            if one.conditions:
                moved[~self._active(moved, index), index] = 0.5
        return moved

    def _active(self, rows: Floats, index: int) -> Any:
        """Which rows have the value at ``index``; a parent that does not exist takes its children along."""
        places = {axis.name: i for i, axis in enumerate(self.axes)}
        active = np.ones(len(rows), dtype=bool)
        for condition in self.space.hyperparameters[index].conditions:
            parent = places[condition.parent]
            axis = self.axes[parent]
            known = {share: condition.asks_for(axis.value(share)) for share in np.unique(rows[:, parent]).tolist()}
            active &= np.array([known[share] for share in rows[:, parent].tolist()], dtype=bool)
            active &= self._active(rows, parent)
        return active
