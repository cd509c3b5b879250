"""Values left open: what a distribution may say, when it exists, and how many configurations there are."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from schemas.distributions import BooleanChoice, Choice, Distribution, FloatRange, IntRange, Value, tidy
from schemas.fields import Among, Between, Boolean, Integer, Number, StrictSchema, String
from schemas.problems import error_items
from schemas.spaces import Space, points
from schemas.tunables import Tunable

When = Mapping[str, Sequence[Value]]


class Section(StrictSchema):
    rate = Tunable(Number(validate=Between(0.0, 100.0)))
    filters = Tunable(Integer(validate=Between(1, 4096)))
    optimizer = Tunable(String(validate=Among(["sgd", "adam", "lion"])))
    norm = Tunable(Boolean())


def loaded(name: str, value: Any) -> Any:
    return Section().load({name: value})[name]


def refused(name: str, value: Any) -> dict[str, str]:
    """Pointer (below the value) to code of what is wrong with it."""
    with pytest.raises(ValidationError) as caught:
        Section().load({name: value})
    items = error_items(caught.value.messages)
    return {item.pointer.removeprefix(f"/{name}"): item.code for item in items}


def floats(low: float, high: float, **given: Any) -> dict[str, Any]:
    return {"type": "float", "min": low, "max": high, **given}


def ints(low: int, high: int, **given: Any) -> dict[str, Any]:
    return {"type": "int", "min": low, "max": high, **given}


def choice(*values: Value, **given: Any) -> dict[str, Any]:
    return {"type": "choice", "values": list(values), **given}


def open_choice(*values: Value, when: When | None = None) -> Choice:
    return Choice(default=None, when=when, values=values, ordered=None)


def open_ints(low: int, high: int, step: int | None = None, when: When | None = None) -> IntRange:
    return IntRange(default=None, when=when, min=low, max=high, step=step, sampling="linear")


def condition_fault(opened: Mapping[str, Distribution], fixed: Mapping[str, Value] | None = None) -> str:
    """Where the conditions of a space are wrong."""
    with pytest.raises(ValidationError) as caught:
        Space.of(opened.items(), fixed or {})
    item = next(error_items(caught.value.messages))
    assert item.code == "invalid_condition"
    return item.pointer


# A fixed value or a distribution


@pytest.mark.parametrize(
    ("name", "value"), [("rate", 0.5), ("filters", 32), ("optimizer", "sgd"), ("norm", True)]
)
def test_a_fixed_value_is_loaded_as_itself(name: str, value: Any) -> None:
    assert loaded(name, value) == value


@pytest.mark.parametrize(
    ("name", "value", "made"),
    [
        ("rate", floats(0.1, 0.5), FloatRange),
        ("rate", ints(1, 5), IntRange),
        ("rate", choice(0.1, 1), Choice),
        ("filters", ints(1, 5), IntRange),
        ("filters", choice(16, 32), Choice),
        ("optimizer", choice("sgd", "adam"), Choice),
        ("norm", {"type": "boolean"}, BooleanChoice),
        ("norm", choice(True, False), Choice),
    ],
)
def test_each_value_takes_the_distributions_that_fit_it(
    name: str, value: Any, made: type[Distribution]
) -> None:
    assert isinstance(loaded(name, value), made)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filters", floats(1.0, 5.0)),
        ("filters", {"type": "boolean"}),
        ("optimizer", ints(1, 5)),
        ("norm", ints(0, 1)),
        ("rate", {"type": "lambda"}),
        ("rate", {"type": ["float"]}),
        ("rate", {"type": None}),
    ],
)
def test_other_distributions_are_refused_at_their_type(name: str, value: Any) -> None:
    assert refused(name, value) == {"/type": "value_not_allowed"}


def test_a_distribution_needs_a_type() -> None:
    assert refused("rate", {"min": 0, "max": 1}) == {"/type": "missing_field"}


def test_bounds_are_held_to_the_limits_of_the_fixed_value() -> None:
    assert refused("rate", floats(-1, 101)) == {"/min": "value_out_of_range", "/max": "value_out_of_range"}
    assert refused("filters", ints(0, 10**9)) == {"/min": "value_out_of_range", "/max": "value_out_of_range"}


def test_listed_values_are_held_to_the_limits_at_their_places() -> None:
    found = refused("optimizer", choice("sgd", "os.system", "adam", "eval"))
    assert found == {"/values/1": "value_not_allowed", "/values/3": "value_not_allowed"}


@pytest.mark.parametrize(
    "value", [floats(0, 1, default=101), choice(1, 2, default=-1), ints(1, 2, default="1")]
)
def test_the_default_is_held_to_the_limits(value: Any) -> None:
    assert "/default" in refused("rate", value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (floats(1, 1), "/max"),
        (floats(2, 1), "/max"),
        (floats(0, 1, step=0), "/step"),
        (floats(0, 1, step=-0.1), "/step"),
        (floats(0, 1, step=2), "/step"),
        (floats(0, 1, sampling="log"), "/min"),
        (floats(0, 1, sampling="reverse_log"), "/min"),
        (floats(1, 100, sampling="log", step=1), "/step"),
        (floats(1, 100, sampling="log", step=0.5), "/step"),
        (ints(5, 5), "/max"),
        (ints(1, 5, step=0), "/step"),
        (ints(1, 5, step=-1), "/step"),
        (choice(), "/values"),
        (choice(1), "/values"),
        (choice(1, 1), "/values"),
        (choice(1, 1.0), "/values"),
        (floats(0, 1, default=2), "/default"),
        (choice(1, 2, default=3), "/default"),
    ],
)
def test_a_range_without_sense_is_refused_at_its_place(value: Any, place: str) -> None:
    assert refused("rate", value) == {place: "invalid_range"}


@pytest.mark.parametrize(
    ("name", "values"),
    [("rate", [1, "a"]), ("rate", [0.5, True]), ("optimizer", ["sgd", 1]), ("norm", [True, 1])],
)
def test_values_of_mixed_kinds_are_refused(name: str, values: list[Value]) -> None:
    assert "invalid_range" in refused(name, choice(*values)).values()


@pytest.mark.parametrize("step", [5e-324, 1e-307])
def test_a_step_too_small_to_count_is_refused(step: float) -> None:
    assert refused("rate", floats(0, 100, step=step)) == {"/step": "invalid_range"}


@pytest.mark.parametrize("sampling", ["log", "reverse_log"])
def test_a_range_over_all_floats_is_refused_or_stays_finite(sampling: str) -> None:
    with suppress(ValidationError):
        found = loaded("rate", floats(5e-324, 100, sampling=sampling))
        assert [value for value in found.grid_values() if not math.isfinite(value)] == []
    with suppress(ValidationError):
        assert loaded("rate", floats(5e-324, 100, sampling=sampling, step=2)).count() < 10**5


def test_unknown_fields_of_a_distribution_are_refused_by_name() -> None:
    assert refused("rate", floats(0, 1, stepp=0.1)) == {"/stepp": "unknown_field"}
    assert refused("norm", {"type": "boolean", "values": [True, False]}) == {"/values": "unknown_field"}


@pytest.mark.parametrize(
    "value", [floats(0, 1, step="0.1"), floats("0", 1), ints(1, 2.5), floats(0, 1, sampling=1)]
)
def test_a_distribution_is_as_strict_as_the_rest(value: Any) -> None:
    assert set(refused("rate", value).values()) == {"invalid_type"}


def test_a_choice_has_at_most_256_values() -> None:
    assert refused("filters", choice(*range(1, 258))) == {"/values": "invalid_value"}
    assert loaded("filters", choice(*range(1, 257))).count() == 256


@pytest.mark.parametrize(
    "when", [{"filters": []}, {"filters": "8"}, {"filters": [[1]]}, {"filters": [None]}, [], "x"]
)
def test_a_condition_lists_plain_values(when: Any) -> None:
    assert set(refused("rate", floats(0, 1, when=when))) != set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", floats(0.3, 0.7, step=0.1, default=0.4, when={"norm": [True]})),
        ("rate", ints(1, 5, step=2, default=3)),
        ("filters", ints(1, 64, sampling="log", step=2)),
        ("optimizer", choice("sgd", "adam", ordered=True, default="adam")),
        ("norm", {"type": "boolean", "default": False}),
    ],
)
def test_a_distribution_is_dumped_as_what_loads_to_the_same(name: str, value: Any) -> None:
    once = Section().load({name: value})
    assert Section().load(Section().dump(once)) == once


# The values of a distribution


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (floats(0.3, 0.7, step=0.1), [0.3, 0.4, 0.5, 0.6, 0.7]),
        (floats(0.0, 1.0, step=0.4), [0.0, 0.4, 0.8]),
        (floats(0.001, 1.0, sampling="log", step=10), [0.001, 0.01, 0.1, 1.0]),
        (floats(1, 2), [1.05, 1.15, 1.25, 1.35, 1.45, 1.55, 1.65, 1.75, 1.85, 1.95]),
    ],
)
def test_a_grid_takes_the_steps_or_else_ten_middles(value: Any, expected: list[float]) -> None:
    assert loaded("rate", value).grid_values() == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ints(1, 4), [1, 2, 3, 4]),
        (ints(1, 8, step=3), [1, 4, 7]),
        (ints(4, 64, sampling="log", step=2), [4, 8, 16, 32, 64]),
    ],
)
def test_a_grid_takes_the_whole_numbers(value: Any, expected: list[int]) -> None:
    assert loaded("filters", value).grid_values() == expected


@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
def test_every_sampling_runs_from_min_to_max(sampling: str) -> None:
    found = loaded("rate", floats(0.01, 10, sampling=sampling))
    assert (found.at(0.0), found.at(1.0)) == pytest.approx((0.01, 10))
    shares = [found.at(index / 10) for index in range(11)]
    assert shares == sorted(shares)


def test_log_sampling_has_as_much_room_in_every_decade() -> None:
    assert loaded("rate", floats(0.01, 1, sampling="log")).at(0.5) == pytest.approx(0.1)
    assert loaded("rate", floats(0.01, 1, sampling="reverse_log")).at(0.5) == pytest.approx(0.91)


@given(
    st.floats(0.0, 50.0),
    st.floats(0.001, 50.0),
    st.floats(0.001, 10.0),
    st.sampled_from(["linear", "log", "reverse_log"]),
)
def test_a_grid_stays_within_its_range(low: float, width: float, step: float, sampling: str) -> None:
    factor = step if sampling == "linear" else 1.0 + step
    found = FloatRange(None, None, low + (sampling != "linear"), low + 1 + width, factor, sampling)
    values = found.grid_values()
    assert len(values) == found.count()
    assert all(isinstance(value, float) for value in values)
    assert min(values) >= found.min - 1e-6  # type: ignore[type-var, operator]
    assert max(values) <= found.max + 1e-6  # type: ignore[type-var, operator]


@given(st.integers(1, 50), st.integers(1, 200), st.integers(1, 60))
def test_an_int_grid_counts_what_it_lists(low: int, width: int, step: int) -> None:
    found = open_ints(low, low + width, step)
    assert found.grid_values() == list(range(low, low + width + 1, step))
    assert found.count() == found.grid_count() == len(found.grid_values())


def test_a_float_without_a_step_has_no_end_of_values() -> None:
    assert loaded("rate", floats(0, 1)).count() is None
    assert loaded("rate", floats(0, 1)).grid_count() == 10


def test_steps_do_not_show_the_rounding_of_floats() -> None:
    assert tidy(0.3 + 3 * 0.1) == 0.6


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (open_ints(1, 9, 2), [1, 3, 9], [0, 2, 10, 2.5, "3", True]),
        (open_ints(1, 9), [1, 2, 9], [0, 2.5, "3", True]),
        (FloatRange(None, None, 0.0, 1.0, 0.25, "linear"), [0.0, 0.25, 1], [0.3, 1.25, "0"]),
        (open_choice(1, 2), [1, 2], [3, "1", True]),
        (open_choice("a", "b"), ["a"], ["c", 1]),
        (BooleanChoice(None, None), [True, False], [0, 1, "true"]),
    ],
)
def test_a_distribution_knows_its_values(
    distribution: Distribution, inside: list[Value], outside: list[Value]
) -> None:
    assert [value for value in inside if not distribution.contains(value)] == []
    assert [value for value in outside if distribution.contains(value)] == []


# Conditions


def test_a_condition_that_points_at_nothing_is_refused_where_it_stands() -> None:
    opened = {"training.momentum": open_ints(0, 1, when={"training.optimiser": ["sgd"]})}
    assert condition_fault(opened) == "/training/momentum/when/training.optimiser"


def test_a_condition_on_a_value_that_never_comes_is_refused() -> None:
    opened = {"a.b": open_choice("x", "y"), "a.c": open_ints(0, 1, when={"a.b": ["z"]})}
    assert condition_fault(opened) == "/a/c/when/a.b"


@pytest.mark.parametrize("value", [4.5, "3", True, 4, 0, 1003])
def test_a_condition_on_a_value_off_the_parents_steps_is_refused(value: Value) -> None:
    opened = {"a": open_ints(3, 1001, 2), "b": open_ints(0, 1, when={"a": [value]})}
    assert condition_fault(opened) == "/b/when/a"


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_conditions_in_a_circle_are_refused(length: int) -> None:
    opened = {
        f"h{index}": open_choice("x", "y", when={f"h{(index + 1) % length}": ["x"]})
        for index in range(length)
    }
    assert condition_fault(opened).endswith("/when")


def test_a_fixed_parent_that_holds_leaves_the_value_open() -> None:
    space = Space.of([("b", open_ints(0, 2, when={"a": ["x"]}))], {"a": "x"})
    assert [one.name for one in space] == ["b"]
    assert space.size() == 3


def test_a_fixed_parent_that_does_not_hold_takes_the_value_out() -> None:
    space = Space.of([("b", open_ints(0, 2, when={"a": ["x"]}))], {"a": "y"})
    assert len(space) == 0
    assert (space.size(), list(points(space))) == (1, [{}])


def test_the_child_of_what_is_taken_out_never_exists() -> None:
    opened = {
        "c": open_ints(0, 2, when={"b": [1]}),
        "b": open_ints(0, 2, when={"a": ["x"]}),
    }
    space = Space.of(opened.items(), {"a": "y"})
    assert (space.size(), list(points(space))) == (1, [{}])


def test_all_conditions_must_hold() -> None:
    opened = {"a": open_choice("x", "y"), "b": open_choice("x", "y")}
    child = open_ints(1, 10, when={"a": ["x"], "b": ["x"]})
    assert Space.of([*opened.items(), ("c", child)], {}).size() == 3 + 10


def test_parents_come_before_children() -> None:
    opened = {
        "c": open_choice(1, 2, when={"b": [1]}),
        "b": open_choice(1, 2, when={"a": [1]}),
        "a": open_choice(1, 2),
    }
    space = Space.of(opened.items(), {})
    assert [one.name for one in space] == ["a", "b", "c"]
    assert space.size() == 4


@pytest.mark.parametrize(("own", "asked"), [(1.0, 1), (1, 1.0)])
def test_json_does_not_tell_1_from_1_0_nor_does_a_condition(own: Value, asked: Value) -> None:
    opened = {"a": open_choice(own, 7), "b": open_ints(0, 4, when={"a": [asked]})}
    assert Space.of(opened.items(), {}).size() == 6


def test_active_keeps_what_exists_in_the_spaces_order() -> None:
    opened = {"b": open_ints(0, 2, when={"a": ["x"]}), "a": open_choice("x", "y")}
    space = Space.of(opened.items(), {})
    assert list(space.active({"b": 1, "a": "x", "z": 3}).items()) == [("a", "x"), ("b", 1)]
    assert space.active({"b": 1, "a": "y"}) == {"a": "y"}
    assert space.active({"b": 1}) == {}


# How many configurations there are


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to six open values, each on a condition of up to two of those before it."""
    opened: dict[str, Distribution] = {}
    for index in range(draw(st.integers(0, 6))):
        parents = draw(st.lists(st.sampled_from(sorted(opened)), max_size=2, unique=True)) if opened else []
        when = {
            name: draw(st.lists(st.sampled_from(opened[name].grid_values()), min_size=1)) for name in parents
        }
        opened[f"h{index}"] = draw(distributions(when or None))
    return Space.of(draw(st.permutations(list(opened.items()))), {})


def distributions(when: When | None) -> st.SearchStrategy[Distribution]:
    return st.one_of(
        st.just(BooleanChoice(None, when)),
        st.lists(st.text("abc", min_size=1), min_size=2, max_size=4, unique=True).map(
            lambda values: open_choice(*values, when=when)
        ),
        st.builds(
            lambda width, step: open_ints(0, width, step, when), st.integers(1, 4), st.integers(1, 2)
        ).filter(lambda found: (found.count() or 0) > 1),
    )


@given(spaces())
def test_the_size_is_the_number_of_configurations(space: Space) -> None:
    listed = list(points(space))
    assert space.size() == space.grid_size() == len(listed)
    assert len({tuple(point.items()) for point in listed}) == len(listed)


@given(spaces())
def test_every_configuration_holds_exactly_what_exists_in_it(space: Space) -> None:
    for point in points(space):
        assert space.active(point) == point
        assert all((one.name in point) is one.is_active(point) for one in space)


def test_the_last_value_moves_fastest() -> None:
    space = Space.of([("a", open_choice("x", "y")), ("b", open_choice(1, 2))], {})
    assert list(points(space)) == [
        {"a": "x", "b": 1},
        {"a": "x", "b": 2},
        {"a": "y", "b": 1},
        {"a": "y", "b": 2},
    ]


def test_a_continuous_value_has_no_size_but_a_grid() -> None:
    opened = {"a": FloatRange(None, None, 0.0, 1.0, None, "linear"), "b": open_choice(1, 2)}
    space = Space.of(opened.items(), {})
    assert (space.size(), space.grid_size(), len(list(points(space)))) == (None, 20, 20)


def test_a_large_parent_is_counted_without_being_listed() -> None:
    opened = {"a": open_ints(1, 10**9), "b": open_ints(1, 1000, when={"a": [5, 7]})}
    assert Space.of(opened.items(), {}).size() == 10**9 - 2 + 2 * 1000


@given(st.integers(2, 40), st.integers(101, 300), st.data())
def test_a_large_stepped_parent_is_counted_as_it_is_listed(
    step: int, count: int, data: st.DataObject
) -> None:
    parent = open_ints(0, step * (count - 1), step)
    named = data.draw(st.lists(st.sampled_from(parent.grid_values()), min_size=1, max_size=5))
    space = Space.of([("a", parent), ("b", open_ints(0, 2, when={"a": named}))], {})
    assert space.size() == len(list(points(space)))


def test_fifty_open_values_are_counted_at_once() -> None:
    opened: dict[str, Distribution] = {"h0": open_choice("x", "y")}
    for index in range(1, 50):
        opened[f"h{index}"] = open_choice("x", "y", when={f"h{index - 1}": ["x"]} if index % 5 else None)
    start = time.perf_counter()
    size = Space.of(opened.items(), {}).size()
    assert time.perf_counter() - start < 0.5
    assert size == 6**10


def test_a_chain_of_shared_parents_is_counted_at_once() -> None:
    opened: dict[str, Distribution] = {f"p{index}": open_choice("x", "y") for index in range(41)}
    for index in range(40):
        opened[f"c{index}"] = open_choice(1, 2, when={f"p{index}": ["x"], f"p{index + 1}": ["x"]})
    start = time.perf_counter()
    size = Space.of(opened.items(), {}).size()
    assert time.perf_counter() - start < 0.5
    # (ways that end in y, ways that end in x), from parent to parent.
    ends_y, ends_x = 1, 1
    for _ in range(40):
        ends_y, ends_x = ends_y + ends_x, ends_y + 2 * ends_x
    assert size == ends_y + ends_x


def test_conditions_that_tie_too_much_together_are_refused() -> None:
    opened: dict[str, Distribution] = {f"p{index}": open_choice("x", "y") for index in range(40)}
    for index in range(20):
        opened[f"c{index}"] = open_choice(
            1, 2, when={f"p{index}": ["x"], f"p{39 - index}": ["x"], "p0": ["x"]}
        )
    for index in range(30):
        parents = {f"p{(index * step) % 40}": ["x"] for step in (3, 7, 11, 13)}
        opened[f"d{index}"] = open_choice(1, 2, when=parents)
    start = time.perf_counter()
    with pytest.raises(ValidationError, match="tie too many values together"):
        Space.of(opened.items(), {}).size()
    assert time.perf_counter() - start < 5


def test_the_child_of_what_never_exists_does_not_either() -> None:
    opened: dict[str, Distribution] = {
        "a": open_choice(1, 2, when={"fixed": ["y"]}),
        "b": open_choice(1, 2, when={"a": [1]}),
        "c": open_choice(1, 2, when={"b": [1]}),
        "d": open_choice(1, 2),
    }
    space = Space.of(opened.items(), {"fixed": "x"})
    assert [one.name for one in space] == ["d"]
    assert space.size() == 2


def test_a_condition_asks_in_the_type_that_the_parent_draws() -> None:
    rate = open_choice(1.0, 0.5)
    space = Space.of([("rate", rate), ("child", open_choice(1, 2, when={"rate": [1, 0.5]}))], {})
    asked = [condition.values for one in space for condition in one.conditions]
    assert [[type(value) for value in values] for values in asked] == [[float, float]]


def test_children_of_many_parents_are_counted_exactly() -> None:
    parents = {f"p{index}": open_choice(*"abcdef") for index in range(8)}
    opened: dict[str, Distribution] = dict(parents)
    for child, values in (("c", "ab"), ("d", "bc"), ("e", "cd")):
        opened[child] = open_choice(1, 2, when={name: list(values) for name in parents})
    # Each child doubles its 2^8 configurations; c and d meet in one of them, d and e in another.
    assert Space.of(opened.items(), {}).size() == 6**8 + 3 * 2**8 + 2


def test_the_grid_of_an_exact_size_is_exact_however_large() -> None:
    opened = {f"h{index}": open_ints(1, 1000) for index in range(4)}
    assert Space.of(opened.items(), {}).grid_size() == 10**12
