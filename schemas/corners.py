"""The corners of a space: the configurations among which the smallest and the largest model are."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from random import Random
from typing import Any

from schemas.distributions import Distribution, FloatRange, Range, Value
from schemas.recipe import filled, leaves
from schemas.spaces import Space

# So many corners of a space are all counted; of more, those that one value after the other leads to.
_ALL_CORNERS = 256
# Values between the ends of a range or of a choice of numbers that are tried as well: some sizes turn on
# the way.
_TURNS = 10
# So many configurations are counted on the way to one end of a space: tenths of a second.
_MAX_COUNTS = 2_000
# Corners drawn at random, where those at the ends cannot be built.
_DRAWN = 200

Corner = Mapping[str, Value]
# Of sections with nothing open: their size, or None if there is no such model.
Count = Callable[[Mapping[str, Any]], int | None]


def counted(space: Space, sections: Mapping[str, Any], count: Count) -> list[int]:
    """What some configurations count, the smallest and the largest among them; what has no size is left out.

    All corners of a small space. Of a large one, from the lowest corner downwards and from the highest
    upwards, one value after the other: exact where values move the count each in its own direction.

    Args:
        sections: those of a loaded spec that decide about the size.
        count: is given the same sections again and again, filled in another way.
    """
    filling = _Filling(space, sections)
    ends = filling.ends

    def at(corner: Corner) -> int | None:
        return count(filling.at(corner))

    if prod(map(len, ends.values())) <= _ALL_CORNERS:
        corners = (dict(zip(ends, values, strict=True)) for values in product(*ends.values()))
        return [found for found in map(at, corners) if found is not None]
    low = {name: values[0] for name, values in ends.items()}
    high = {name: values[-1] for name, values in ends.items()}
    found = [*_descent(low, ends, at, 1), *_descent(high, ends, at, -1)]
    return found or _from_anywhere(ends, at)


def _from_anywhere(ends: Mapping[str, Sequence[Value]], at: Callable[[Corner], int | None]) -> list[int]:
    """Where neither end leads to a model: from the first that chance finds."""
    random = Random(0)
    for _ in range(_DRAWN):
        corner = {name: random.choice(values) for name, values in ends.items()}
        if at(corner) is not None:
            return [*_descent(corner, ends, at, 1), *_descent(corner, ends, at, -1)]
    return []


def _descent(
    corner: Corner, ends: Mapping[str, Sequence[Value]], at: Callable[[Corner], int | None], sign: int
) -> list[int]:
    """Counts on the way from a corner to one that has fewer (``sign`` 1) or more (-1) parameters."""
    best = at(corner)
    seen = [best]
    for name, values in ends.items():
        for value in values:
            if value == corner[name]:
                continue
            found = at({**corner, name: value})
            seen.append(found)
            if found is not None and (best is None or sign * found < sign * best):
                best, corner = found, {**corner, name: value}
    return [found for found in seen if found is not None]


class _Filling:
    """Sections whose open values are filled in place: hundreds of corners differ in one value each."""

    def __init__(self, space: Space, sections: Mapping[str, Any]) -> None:
        opened = {name: one for name, one in leaves(sections) if isinstance(one, Distribution)}
        self._otherwise = {name: one.otherwise for name, one in opened.items()}
        self._filled = {name: filled(section, {}, name) for name, section in sections.items()}
        self._places = {name: _place(self._filled, name) for name in opened}
        self._conditional = [one for one in space if one.conditions]
        self.ends = _ends_of(space, opened)

    def at(self, corner: Corner) -> Mapping[str, Any]:
        existing = dict(corner)
        for one in self._conditional:
            if one.name in existing and not one.is_active(existing):
                del existing[one.name]
        for name, (holder, key) in self._places.items():
            holder[key] = existing[name] if name in existing else self._otherwise[name]
        return self._filled


def _place(document: Any, name: str) -> tuple[Any, Any]:
    """The object or list in which the value of that name stands, and its key there."""
    *path, last = name.split(".")
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document, int(last) if isinstance(document, list) else last


def _ends_of(space: Space, opened: Mapping[str, Distribution]) -> dict[str, list[Value]]:
    """The values to try, of what stands in the sections and of all on which their existence hangs."""
    asked: dict[str, list[Value]] = {}
    wanted = set(opened)
    # Children come after their parents in a space.
    for one in reversed(list(space)):
        for condition in one.conditions if one.name in wanted else ():
            wanted.add(condition.parent)
            asked.setdefault(condition.parent, []).extend(condition.values)
    kept = [one for one in space if one.name in wanted]
    most = max(2, _MAX_COUNTS // max(1, len(kept)))
    return {
        one.name: list(dict.fromkeys([*_ends(one.distribution, most), *asked.get(one.name, ())]))
        for one in kept
    }


def _ends(given: Distribution, most: int) -> list[Value]:
    """The values that may change the size of a model, ascending: both ends, some between them, every name."""
    if isinstance(given, FloatRange):
        return [given.min]
    if isinstance(given, Range):
        low, high = int(given.min), int(given.max)
        return _some(range(low, high + 1), most) if high - low <= _TURNS else [low, high]
    values = given.grid_values()
    if isinstance(values[0], (str, bool)):
        return values
    # A choice of real numbers is a rate or a share: no size.
    return values[:1] if isinstance(values[0], float) else _some(sorted(values, key=float), most)


def _some(values: Sequence[Value], most: int) -> list[Value]:
    """Both ends, and at even distances those between them."""
    count = min(len(values), _TURNS + 2, most)
    return list(dict.fromkeys(values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)))
