"""A height and a width: one number for both, or two."""

from typing import Any

import pytest

from schemas.distributions import Choice, IntRange
from schemas.fields import Between, Integer, StrictSchema
from schemas.pairs import Pair, both
from tests.schemas.faults import faults

OPEN = {"type": "int", "min": 1, "max": 9}


class Sided(StrictSchema):
    size = Pair(Integer(validate=Between(1, 99)), load_default=7)
    free = Pair(Integer(validate=Between(1, 99)), load_default=None, allow_none=True)


def test_one_number_stays_one_and_two_stay_two() -> None:
    assert Sided().load({})["size"] == 7
    assert Sided().load({"size": 5})["size"] == 5
    assert Sided().load({"size": [5, 6]})["size"] == [5, 6]
    assert Sided().load({"size": [5.0, 6]})["size"] == [5, 6]
    assert Sided().load({"free": None})["free"] is None


def test_both_sides_may_be_open_together_or_each() -> None:
    together = Sided().load({"size": OPEN})["size"]
    assert isinstance(together, IntRange)
    assert together.otherwise == 7
    first, second = Sided().load({"size": [3, {"type": "choice", "values": [1, 2]}]})["size"]
    assert first == 3
    assert isinstance(second, Choice)
    assert second.grid_values() == [1, 2]


@pytest.mark.parametrize("size", [5, [5, 6], OPEN, [5, OPEN], [OPEN, OPEN]])
def test_what_is_written_out_loads_to_the_same(size: Any) -> None:
    loaded = Sided().load({"size": size})
    assert Sided().load(Sided().dump(loaded)) == loaded


def test_both_gives_height_and_width() -> None:
    assert both(3) == (3, 3)
    assert both([3, 4]) == (3, 4)
    assert both((3, 4)) == (3, 4)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, [("/size", "value_out_of_range")]),
        ("5", [("/size", "invalid_type")]),
        (True, [("/size", "invalid_type")]),
        (None, [("/size", "invalid_type")]),
        ([], [("/size", "invalid_value")]),
        ([5], [("/size", "invalid_value")]),
        ([5, 6, 7], [("/size", "invalid_value")]),
        ([0, 100], [("/size/0", "value_out_of_range"), ("/size/1", "value_out_of_range")]),
        ([5, [6]], [("/size/1", "invalid_type")]),
        ([5, None], [("/size/1", "invalid_type")]),
        ([5, {"type": "int", "min": 0, "max": 9}], [("/size/1/min", "value_out_of_range")]),
        ({"type": "int", "min": 5, "max": 5}, [("/size/max", "invalid_range")]),
        ({"type": "boolean"}, [("/size/type", "value_not_allowed")]),
        ({"height": 5, "width": 6}, [("/size/type", "missing_field")]),
        # A choice of pairs is a choice of structures.
        ({"type": "choice", "values": [[3, 3], [5, 5]]}, None),
    ],
)
def test_what_is_no_pair_is_refused_at_its_place(size: Any, expected: list[tuple[str, str]] | None) -> None:
    found = faults(Sided, {"size": size})
    if expected is None:
        assert {pointer.startswith("/size/values") for pointer, _ in found} == {True}
    else:
        assert sorted(found) == expected
