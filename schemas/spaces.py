"""The space that the open values of a spec span, and the conditions under which they exist."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

from schemas.distributions import UNSTEPPED_GRID_VALUES, Distribution, Value, same
from schemas.fields import nearest
from schemas.problems import fault

# Sets of values that may be ruled out together, beyond which a space is not counted: a second or so.
_MAX_WAYS = 20_000


@dataclass(frozen=True)
class Condition:
    """Holds when the parent exists and has one of ``values``."""

    parent: str
    values: tuple[Value, ...]

    def holds(self, values: Mapping[str, Value]) -> bool:
        return self.parent in values and self.asks_for(values[self.parent])

    def asks_for(self, value: Any) -> bool:
        return any(same(value, own) for own in self.values)


@dataclass(frozen=True)
class Hyperparameter:
    """One open value; its name is its path in the spec, such as ``training.learning_rate``."""

    name: str
    distribution: Distribution
    conditions: tuple[Condition, ...]

    def is_active(self, values: Mapping[str, Value]) -> bool:
        return all(condition.holds(values) for condition in self.conditions)


@dataclass(frozen=True)
class Space:
    """The open values of a spec, parents before children."""

    hyperparameters: tuple[Hyperparameter, ...]

    def __iter__(self) -> Iterator[Hyperparameter]:
        return iter(self.hyperparameters)

    def __len__(self) -> int:
        return len(self.hyperparameters)

    def active(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Those of ``values`` whose conditions hold, in the space's order."""
        kept: dict[str, Value] = {}
        for one in self:
            if one.name in values and one.is_active(kept):
                kept[one.name] = values[one.name]
        return kept

    def size(self) -> int | None:
        """How many configurations there are; None when a continuous value is open."""
        if any(one.distribution.count() is None for one in self):
            return None
        return self._combinations(lambda distribution: distribution.count() or 0)

    def grid_size(self) -> int:
        """How many configurations a grid search makes."""
        return self._combinations(lambda distribution: distribution.grid_count())

    def _combinations(self, count: Any) -> int:
        """Exact, without listing them: only values that conditions ask about are told apart."""
        return math.prod(_count(family, count) for family in self._families())

    def _families(self) -> list[tuple[Hyperparameter, ...]]:
        """Hyperparameters that no condition ties together, apart: their counts multiply."""
        families: list[list[Hyperparameter]] = []
        for one in self:
            parents = {condition.parent for condition in one.conditions}
            tied = [family for family in families if any(other.name in parents for other in family)]
            families = [family for family in families if family not in tied]
            families.append([*(other for family in tied for other in family), one])
        place = {one.name: index for index, one in enumerate(self)}
        return [tuple(sorted(family, key=lambda one: place[one.name])) for family in families]

    @classmethod
    def of(cls, found: Iterable[tuple[str, Distribution]], fixed: Mapping[str, Value]) -> Self:
        """The space of the distributions found in a spec, whose other values are ``fixed``.

        Raises:
            ValidationError: `invalid_condition`, at the place of the condition.
        """
        distributions = dict(found)
        kept = {
            name: conditions
            for name, distribution in distributions.items()
            if (conditions := _conditions(name, distribution, distributions, fixed)) is not None
        }
        ordered = _parents_first(_without_orphans(kept))
        return cls(tuple(Hyperparameter(name, distributions[name], kept[name]) for name in ordered))


def _without_orphans(conditions: Mapping[str, tuple[Condition, ...]]) -> Mapping[str, tuple[Condition, ...]]:
    """Without the children of what a fixed value has ruled out for good, and theirs."""
    kept = {
        name: asked for name, asked in conditions.items() if all(one.parent in conditions for one in asked)
    }
    return kept if len(kept) == len(conditions) else _without_orphans(kept)


def _count(family: tuple[Hyperparameter, ...], count: Any) -> int:
    """Configurations of hyperparameters that conditions tie together.

    Goes through them once, parents first, and keeps for each set of later ones that are ruled out by now in
    how many ways that can come about.
    """
    ways: Counter[frozenset[str]] = Counter({frozenset(): 1})
    for one in _children_early(family):
        children = [
            (child.name, condition)
            for child in family
            for condition in child.conditions
            if condition.parent == one.name
        ]
        cases = _classes(one.distribution, [condition for _, condition in children], count)
        following: Counter[frozenset[str]] = Counter()
        for ruled_out, times in ways.items():
            rest = ruled_out - {one.name}
            for value, size in [(_NOTHING, 1)] if one.name in ruled_out else cases:
                lost = {child for child, condition in children if not condition.asks_for(value)}
                following[rest | lost] += times * size
        ways = following
        if len(ways) > _MAX_WAYS:
            text = "The conditions tie too many values together for the space to be counted."
            raise fault("invalid_condition", text, *one.name.split("."))
    return sum(ways.values())


def _children_early(family: tuple[Hyperparameter, ...]) -> Iterator[Hyperparameter]:
    """Each child as soon as its parents are there: fewer are ruled out and waiting at a time."""
    waiting, known = list(family), set[str]()
    while waiting:
        ready = [one for one in waiting if all(asked.parent in known for asked in one.conditions)]
        chosen = next((one for one in ready if one.conditions), ready[0])
        waiting.remove(chosen)
        known.add(chosen.name)
        yield chosen


_NOTHING = object()


def _classes(distribution: Distribution, asked: list[Condition], count: Any) -> list[tuple[Any, int]]:
    """(a value, how many behave like it) for each way in which conditions see the values."""
    size = count(distribution)
    own = distribution.grid_values() if size <= 10 * UNSTEPPED_GRID_VALUES else None
    named = {value for condition in asked for value in condition.values}
    seen = [value for value in named if (value in own if own else distribution.contains(value))]
    groups: dict[tuple[bool, ...], list[Any]] = {}
    for value in seen:
        groups.setdefault(tuple(condition.asks_for(value) for condition in asked), []).append(value)
    cases = [(members[0], len(members)) for members in groups.values()]
    return [*cases, (_NOTHING, size - len(seen))] if size > len(seen) else cases


def _conditions(
    name: str,
    distribution: Distribution,
    distributions: Mapping[str, Distribution],
    fixed: Mapping[str, Value],
) -> tuple[Condition, ...] | None:
    """The conditions on open parents; None when a fixed parent rules the value out for good."""
    conditions = []
    for parent, values in (distribution.when or {}).items():
        path = (*name.split("."), "when", parent)
        if parent in distributions:
            strange = [value for value in values if not distributions[parent].contains(value)]
            if strange:
                raise fault("invalid_condition", f"{parent} is never {strange[0]!r}.", *path)
            own = tuple(distributions[parent].own(value) for value in values)
            conditions.append(Condition(parent, own))
        elif parent not in fixed:
            hint = nearest(parent, [*distributions, *fixed])
            raise fault("invalid_condition", f"There is no value named {parent}.{hint}", *path)
        elif not any(same(fixed[parent], value) for value in values):
            return None
    return tuple(conditions)


def _parents_first(conditions: Mapping[str, tuple[Condition, ...]]) -> list[str]:
    """The names, parents before children, otherwise in the spec's order."""
    ordered: list[str] = []
    waiting = list(conditions)
    while waiting:
        ready = [name for name in waiting if all(one.parent in ordered for one in conditions[name])]
        if not ready:
            path = (*waiting[0].split("."), "when")
            raise fault("invalid_condition", f"Conditions in a circle: {', '.join(waiting)}.", *path)
        ordered.extend(ready[:1])
        waiting.remove(ready[0])
    return ordered


def points(space: Space) -> Iterator[dict[str, Value]]:
    """Every configuration of a space's grid, once; the last hyperparameter moves fastest."""

    def extend(known: list[dict[str, Value]], one: Hyperparameter) -> list[dict[str, Value]]:
        extended: list[dict[str, Value]] = []
        for values in known:
            if one.is_active(values):
                extended += [{**values, one.name: value} for value in one.distribution.grid_values()]
            else:
                extended.append(values)
        return extended

    yield from reduce(extend, space.hyperparameters, [dict[str, Value]()])
