"""Whether a search fits the space that it is to search: what its own fields cannot say."""

from collections.abc import Mapping
from typing import Any

from schemas.distributions import Distribution, FloatRange, Range
from schemas.fields import nearest
from schemas.problems import fault
from schemas.search import (
    MAX_GRID_SIZE,
    CmaesSearch,
    CoarseToFineSearch,
    GridSearch,
    HyperbandSearch,
    RangeTest,
    Search,
)
from schemas.spaces import Space

LEARNING_RATE = "training.learning_rate"


def check_search(search: Search, space: Space, training: Mapping[str, Any], *path: str) -> None:
    """Refuses a search that the space leaves nothing to do for.

    Raises:
        ValidationError: below ``path``, the place of the search.
    """
    if isinstance(search, RangeTest):
        if search.then is not None:
            if not isinstance(training["learning_rate"], FloatRange):
                text = "To go on inside the range that is found, leave the rate open as a float range."
                raise fault("value_not_allowed", text, "training", "learning_rate")
            check_search(search.then, space, training, *path, "then")
        return
    _check_algorithm(search, space, training, (*path, "algorithm"))
    for index, values in enumerate(search.enqueue):
        _check_enqueued(values, space, (*path, "enqueue", index))


def _check_algorithm(
    search: Search, space: Space, training: Mapping[str, Any], place: tuple[str, ...]
) -> None:
    if isinstance(search, GridSearch) and (size := space.grid_size()) > MAX_GRID_SIZE:
        text = f"The grid has {size:,} configurations; at most {MAX_GRID_SIZE:,} can be searched."
        raise fault("search_space_too_large", text, *place)
    if isinstance(search, CmaesSearch) and not any(isinstance(one.distribution, Range) for one in space):
        text = "CMA-ES searches numbers, and no range of numbers is open; tpe and random take choices."
        raise fault("value_not_allowed", text, *place)
    if isinstance(search, CoarseToFineSearch) and not len(space):
        raise fault("value_not_allowed", "Nothing is open, so there is nothing to narrow.", *place)
    if isinstance(search, HyperbandSearch) and isinstance(training["epochs"], Distribution):
        text = "Hyperband chooses the epochs itself: give the most that a trial may train."
        raise fault("value_not_allowed", text, "training", "epochs")


def _check_enqueued(values: Mapping[str, Any], space: Space, place: tuple[str | int, ...]) -> None:
    """Each value is one of an open one's, and all of them can be in one configuration."""
    known = {one.name: one for one in space}
    for name, value in values.items():
        if name not in known:
            text = f"No open value has this name.{nearest(name, list(known))}"
            raise fault("unknown_field", text, *place, name)
        if not known[name].distribution.contains(value):
            raise fault("value_out_of_range", "Not a value that the search may choose.", *place, name)
        for condition in known[name].conditions:
            if condition.parent in values and not condition.asks_for(values[condition.parent]):
                text = f"It does not exist when {condition.parent} is {values[condition.parent]!r}."
                raise fault("invalid_condition", text, *place, name)
