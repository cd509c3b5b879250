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
    tidy,
)
from schemas.spaces import Space

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


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
        """The range, that of integers wider by a half at both ends: each is in the middle of its part."""
        given = self.distribution
        assert isinstance(given, Range)
        if self._is_float:
            return given
        return FloatRange(None, None, given.min - 0.5, given.max + 0.5, None, given.sampling)

    def share(self, value: Value) -> float:
        """Where a value is; one from outside the range at its end."""
        return float(self.shares([value])[0])

    def shares(self, values: Sequence[Value]) -> Floats:
        if self.count is None:
            ends = self._ends
            return _shares(ends, np.clip(np.array(values, dtype=np.float64), ends.min, ends.max))
        places: Floats = (np.array([self.index(value) for value in values]) + 0.5) / self.count
        return places

    def index(self, value: Value) -> int:
        """Which of its ``count`` values one is."""
        given = self.distribution
        if isinstance(given, IntRange) and given.step is None:
            return int(min(max(int(value), given.min), given.max) - given.min)
        found = self._indices.get((isinstance(value, bool), value))
        return self._nearest(value) if found is None else found

    @cached_property
    def _indices(self) -> dict[tuple[bool, Value], int]:
        # To Python True is 1.
        return {(isinstance(value, bool), value): index for index, value in enumerate(self._listed)}

    def _nearest(self, value: Value) -> int:
        """Of a value that the space, which has become narrower, does not have."""
        if isinstance(value, str) or isinstance(self._listed[0], str):
            return 0
        apart = [abs(float(own) - value) for own in self._listed]
        return apart.index(min(apart))

    def value(self, share: float) -> Value:
        """The value that is nearest to a place on the axis."""
        given = self.distribution
        if self.count is not None:
            index = min(int(share * self.count), self.count - 1)
            plain = isinstance(given, IntRange) and given.step is None
            return int(given.min) + index if isinstance(given, Range) and plain else self._listed[index]
        assert isinstance(given, Range)
        found = min(max(self._ends.at(min(max(share, 0.0), 1.0)), given.min), given.max)
        return min(max(tidy(found), given.min), given.max) if self._is_float else round(found)

    def snapped(self, shares: Floats) -> Floats:
        """The places of the values that are nearest to ``shares``."""
        if self.count is not None:
            parts: Floats = (np.minimum(np.floor(shares * self.count), self.count - 1) + 0.5) / self.count
            return parts
        if self._is_float:
            return shares
        return self.shares([self.value(one) for one in shares.tolist()])


def _is_ordered_choice(given: Distribution) -> bool:
    """Of a choice only numbers have an order, unless it says that they have none."""
    if not isinstance(given, Choice) or isinstance(given.values[0], (str, bool)):
        return False
    return given.ordered is not False


def _shares(given: Range, values: Floats) -> Floats:
    """The inverse of ``Range.at``."""
    if given.max == given.min:
        return np.full(len(values), 0.5)
    shares: Floats
    if given.sampling == "linear":
        shares = (values - given.min) / (given.max - given.min)
    elif given.sampling == "log":
        shares = np.log(values / given.min) / math.log(given.max / given.min)
    else:
        grown = given.max + given.min - values
        shares = 1 - np.log(grown / given.min) / math.log(given.max / given.min)
    return shares


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
        rows = np.full((len(configurations), len(self.axes)), 0.5)
        for column, axis in enumerate(self.axes):
            here = [index for index, values in enumerate(configurations) if axis.name in values]
            if here:
                rows[here, column] = axis.shares([configurations[index][axis.name] for index in here])
        return rows

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
            places_there, which = np.unique(rows[:, parent], return_inverse=True)
            asked = [condition.asks_for(axis.value(share)) for share in places_there.tolist()]
            active &= np.array(asked, dtype=bool)[which]
            active &= self._active(rows, parent)
        return active
