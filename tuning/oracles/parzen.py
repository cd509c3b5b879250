"""Densities over axes (Parzen 1962), as Optuna's TPE estimates them: a kernel around every configuration.

One more kernel is as wide as the space. A kernel is a product over the axes: of normal distributions cut off
at the ends, of their mass within a value's part where there are steps, and of shares where there is no order.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tuning.oracles.axes import Axis, Floats

Places = NDArray[np.int_]

# Kernels may get narrower with their number, to this share of the axis ("magic clipping", Watanabe 2023).
_NARROWER, _NARROWEST = 1.5, 0.02
# Where a mass is too small for a number, the kernel as wide as the space counts alone.
_LEAST = 1e-300


class Density:
    """Of ``rows``; where one has NaN, for what does not exist in it, its kernel is as wide as the axis."""

    def __init__(self, axes: Sequence[Axis], rows: Floats, weights: Floats) -> None:
        every = np.vstack([rows, np.full((1, len(axes)), np.nan)])
        shares = np.append(weights, 1.0)
        self._shares = shares / shares.sum()
        self._factors = [_factor(axis, every[:, column]) for column, axis in enumerate(axes)]

    def drawn(self, random: np.random.Generator, count: int) -> Floats:
        """Rows by the density."""
        kernels = random.choice(len(self._shares), size=count, p=self._shares)
        return np.column_stack([factor.drawn(random, kernels) for factor in self._factors])

    def log(self, rows: Floats) -> Floats:
        """The logarithm of the density at rows; NaN stands for all that might be there."""
        terms = np.tile(np.log(self._shares), (len(rows), 1))
        for column, factor in enumerate(self._factors):
            exists = ~np.isnan(rows[:, column])
            terms[exists] += factor.log(rows[exists, column])
        highest = terms.max(axis=1)
        summed: Floats = np.log(np.exp(terms - highest[:, None]).sum(axis=1)) + highest
        return summed


class _Factor(Protocol):
    def drawn(self, random: np.random.Generator, kernels: Places) -> Floats: ...

    def log(self, places: Floats) -> Any:
        """Shape (places, kernels)."""


def _factor(axis: Axis, places: Floats) -> _Factor:
    if axis.count is None:
        return _Normal(places)
    return _Stepped(places, axis.count) if axis.is_ordered else _Unordered(places, axis.count)


class _Normal:
    """Of an axis with an order and no steps."""

    def __init__(self, places: Floats) -> None:
        known = ~np.isnan(places)
        self._middles = np.where(known, places, 0.5)
        self._widths = np.ones(len(places))
        self._widths[known] = _widths(places[known])
        self._below = ndtr(-self._middles / self._widths)
        self._mass = ndtr((1 - self._middles) / self._widths) - self._below

    def drawn(self, random: np.random.Generator, kernels: Places) -> Floats:
        share = self._below[kernels] + random.random(len(kernels)) * self._mass[kernels]
        places: Floats = np.clip(self._middles[kernels] + self._widths[kernels] * ndtri(share), 0.0, 1.0)
        return places

    def log(self, places: Floats) -> Any:
        apart = (places[:, None] - self._middles) / self._widths
        return -0.5 * apart**2 - self._log_scale

    @cached_property
    def _log_scale(self) -> Floats:
        scale: Floats = np.log(np.sqrt(2 * np.pi) * self._widths * self._mass)
        return scale


class _Stepped(_Normal):
    """Of values with an order, each in the middle of its part."""

    def __init__(self, places: Floats, count: int) -> None:
        super().__init__(places)
        self._count = count

    def drawn(self, random: np.random.Generator, kernels: Places) -> Floats:
        return _middle(super().drawn(random, kernels), self._count)

    def log(self, places: Floats) -> Any:
        asked, which = np.unique(places, return_inverse=True)
        part = 0.5 / self._count
        upper = ndtr((asked[:, None] + part - self._middles) / self._widths)
        lower = ndtr((asked[:, None] - part - self._middles) / self._widths)
        return np.log(np.maximum((upper - lower) / self._mass, _LEAST))[which]


class _Unordered:
    """Of values without an order: a kernel has its own value and a little of all."""

    def __init__(self, places: Floats, count: int) -> None:
        self._count = count
        known = np.flatnonzero(~np.isnan(places))
        shares = np.full((len(places), count), 1 / (len(known) + 1))
        shares[known, _index(places[known], count)] += 1
        self._shares = shares / shares.sum(axis=1, keepdims=True)

    def drawn(self, random: np.random.Generator, kernels: Places) -> Floats:
        heaped = np.cumsum(self._shares[kernels], axis=1)
        index = (heaped < random.random(len(kernels))[:, None]).sum(axis=1)
        return _middle(index / self._count, self._count)

    def log(self, places: Floats) -> Any:
        return np.log(self._shares.T[_index(places, self._count)])


def _widths(places: Floats) -> Floats:
    """As far as the farther neighbour; at the ends, where the only one is."""
    order = np.argsort(places, kind="stable")
    gaps = np.diff(np.concatenate([[0.0], places[order], [1.0]]))
    widths = np.maximum(gaps[:-1], gaps[1:])
    if len(places) > 1:
        widths[0], widths[-1] = gaps[1], gaps[-2]
    found = np.empty(len(places))
    found[order] = np.clip(widths, max((len(places) + 2) ** -_NARROWER, _NARROWEST), 1.0)
    return found


def _index(places: Floats, count: int) -> Places:
    index: Places = np.minimum(places * count, count - 1).astype(int)
    return index


def _middle(places: Floats, count: int) -> Floats:
    middles: Floats = (_index(places, count) + 0.5) / count
    return middles
