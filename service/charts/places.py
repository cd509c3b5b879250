"""Where a value stands on the axis of its hyperparameter."""

import math

from schemas.distributions import BooleanChoice, Choice, Distribution, FloatRange, Range, Value, same, tidy
from service.charts.frame import text


def place(distribution: Distribution, value: Value) -> float:
    """In [0, 1]; the inverse of `Range.at`, so by the sampling. Choices are evenly spread, as listed."""
    if not isinstance(distribution, Range):
        return _share(_index(distribution, value), len(choices(distribution)))
    assert not isinstance(value, str)
    low, high = distribution.min, distribution.max
    if low == high:
        return 0.5
    if distribution.sampling == "linear":
        share = (value - low) / (high - low)
    elif distribution.sampling == "log":
        share = math.log(value / low) / math.log(high / low)
    else:
        share = 1 - math.log((high + low - value) / low) / math.log(high / low)
    # What was drawn at an end may lie beyond it by a rounding.
    return min(max(share, 0.0), 1.0)


def choices(distribution: Distribution) -> list[Value]:
    assert isinstance(distribution, Choice | BooleanChoice)
    return distribution.grid_values()


def ticks(distribution: Distribution) -> list[tuple[float, str]]:
    """(place, label) of a few values of an axis."""
    if isinstance(distribution, Range):
        return [(place(distribution, value), _label(value)) for value in _marked(distribution)]
    names = [text(value) for value in choices(distribution)]
    # More than these would be written over each other.
    every = math.ceil(len(names) / 9)
    return [(_share(index, len(names)), name) for index, name in enumerate(names) if index % every == 0]


def _index(distribution: Distribution, value: Value) -> int:
    found = [index for index, own in enumerate(choices(distribution)) if same(own, value)]
    return found[0] if found else 0


def _share(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 0.5


def _marked(given: Range) -> list[float]:
    """The ends, and what is between them: powers of ten on a logarithmic axis."""
    if given.min == given.max:
        return [given.min]
    if given.sampling == "log" and given.max / given.min >= 100:
        powers = range(math.ceil(math.log10(given.min)), math.floor(math.log10(given.max)) + 1)
        between = [10.0**power for power in powers]
        return [given.min, *(one for one in between if _is_apart(given, one)), given.max]
    middles = [given.at(share) for share in (0.25, 0.5, 0.75)]
    if not isinstance(given, FloatRange):
        middles = sorted({round(one) for one in middles} - {given.min, given.max})
    return [given.min, *(tidy(one) for one in middles if _is_apart(given, one)), given.max]


def _is_apart(given: Range, value: float) -> bool:
    return 0.08 < place(given, value) < 0.92


def _label(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.2g}"
