"""A spec's space as Keras Tuner's hyperparameters."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

import keras_tuner
from keras_tuner.src.engine.conditions import Parent

from schemas.distributions import BooleanChoice, Choice, FloatRange, IntRange, Range, Value
from schemas.spaces import Condition, Hyperparameter, Space


def hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    """The space with its conditions, parents before children."""
    return _collected(space, _declare)


def grid_hyperparameters(space: Space, outside_in: bool = False) -> keras_tuner.HyperParameters:
    """The same, each as a choice of just the values that a grid takes, in the order in which it takes them.

    Keras Tuner's own grid over ranges takes a default that is no grid value as one more, and ten
    samples in no order of a range without a step; here the values are those that the size of the
    grid was told from.
    """
    return _collected(space, partial(_declare_grid, outside_in=outside_in))


def _collected(space: Space, declare: Any) -> keras_tuner.HyperParameters:
    collected = keras_tuner.HyperParameters()
    lines: dict[str, tuple[Condition, ...]] = {}
    for one in space:
        # A value whose parent does not exist does not either.
        above = [condition for own in one.conditions for condition in lines[own.parent]]
        lines[one.name] = tuple(dict.fromkeys([*above, *one.conditions]))
        # Not by `conditional_scope`, which looks a second parent up under the conditions of the first.
        collected._conditions = [Parent(asked.parent, list(asked.values)) for asked in lines[one.name]]
        declare(collected, one)
    collected._conditions = []
    return collected


def _declare(collected: keras_tuner.HyperParameters, one: Hyperparameter) -> None:
    given = one.distribution
    if isinstance(given, Choice):
        _declare_choice(collected, one.name, list(given.values), given.default, given.ordered)
    elif isinstance(given, BooleanChoice):
        collected.Boolean(one.name, default=bool(given.default))
    elif isinstance(given, IntRange):
        collected.Int(one.name, **_bounds(given, int))
    elif isinstance(given, FloatRange) and given.step is not None:
        # Keras Tuner counts steps without tolerance: of 0.3 to 0.7 by 0.1 it never draws 0.7. And its
        # values carry the rounding errors of their sums, which no condition would recognise.
        collected.Choice(one.name, given.grid_values(), default=given.default)
    elif isinstance(given, FloatRange):
        collected.Float(one.name, **_bounds(given, float))


def _bounds(given: Range, kind: type) -> dict[str, Any]:
    return {
        "min_value": kind(given.min),
        "max_value": kind(given.max),
        "step": None if given.step is None else kind(given.step),
        "sampling": given.sampling,
        "default": given.default,
    }


def _declare_grid(collected: keras_tuner.HyperParameters, one: Hyperparameter, outside_in: bool) -> None:
    values = one.distribution.values_to_ends() if outside_in else one.distribution.grid_values()
    if outside_in and not isinstance(values[0], (str, bool)):
        values = from_both_ends(values)
    default = one.distribution.default
    if default is not None and default in values:
        # The default is tried first.
        values = [default, *(value for value in values if value != default)]
    _declare_choice(collected, one.name, values, values[0], ordered=None)


def from_both_ends(values: Sequence[Value]) -> list[Value]:
    """The largest, the smallest, the second largest, and so on to the middle."""
    falling = sorted(values, key=float, reverse=True)
    rising = falling[::-1]
    turns = chain.from_iterable(zip(falling, rising, strict=True))
    return list(dict.fromkeys(turns))


def _declare_choice(
    collected: keras_tuner.HyperParameters,
    name: str,
    values: list[Value],
    default: Value | None,
    ordered: bool | None,
) -> None:
    if isinstance(values[0], bool):
        # Keras Tuner's Choice turns booleans into 0 and 1.
        collected.Boolean(name, default=bool(default))
    else:
        # It knows an order of numbers only.
        ordered = False if isinstance(values[0], str) else ordered
        collected.Choice(name, values, ordered=ordered, default=default)
