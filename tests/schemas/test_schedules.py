"""Schedules as a spec says them: fixed, with open fields, or with an open type."""

from typing import Any

import pytest

from schemas.distributions import Choice, FloatRange
from schemas.problems import Invalid
from schemas.schedules import (
    MODES,
    SCHEDULES,
    TYPE,
    Constant,
    Cosine,
    Cyclical,
    Exponential,
    OneCycle,
    Plateau,
    Schedule,
    Step,
    schedule_of,
)
from schemas.spaces import points
from schemas.specs import JobSpec, load_spec

DEFAULTS: list[Schedule] = [
    Constant(),
    Step(10, 0.1),
    Exponential(0.95),
    Cosine(0.0, 0.0),
    Cyclical(None, None, 2.0, "triangular", 0.9999),
    OneCycle(0.3, 0.04, 0.0001),
    Plateau(3, 0.1),
]
FACTOR = {"type": "float", "min": 0.1, "max": 0.5}


def loaded(schedule: Any, **training: Any) -> JobSpec:
    return load_spec(
        {
            "dataset": "builtin:digits",
            "model": {"family": "cnn"},
            "training": {"schedule": schedule, **training},
            "budget": {"max_trials": 1},
        }
    )


def faults(schedule: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        loaded(schedule)
    place = "/training/schedule"
    assert all(item.pointer.startswith(place) for item in caught.value.errors)
    return sorted((item.pointer.removeprefix(place), item.code) for item in caught.value.errors)


def one_of(*names: str) -> dict[str, Any]:
    return {"type": "choice", "values": list(names)}


@pytest.mark.parametrize("expected", DEFAULTS, ids=lambda one: one.type)
def test_a_type_is_all_that_a_schedule_needs(expected: Schedule) -> None:
    assert loaded({"type": expected.type}).recipe({}).training.schedule == expected


def test_every_schedule_is_tried_here() -> None:
    assert [one.type for one in DEFAULTS] == list(SCHEDULES)


def test_without_a_schedule_the_rate_stays() -> None:
    spec = load_spec({"dataset": "builtin:digits", "model": {"family": "cnn"}, "budget": {"max_trials": 1}})
    assert spec.recipe({}).training.schedule == Constant()
    assert spec.resolved["training"]["schedule"] == {"type": "constant"}


def test_a_section_without_anything_open_is_a_schedule() -> None:
    # What other types have beside it does not disturb.
    assert schedule_of({"type": "step", "every": 2, "factor": 0.5, "patience": 3}) == Step(2, 0.5)


def test_a_cycle_without_ends_is_around_the_learning_rate() -> None:
    cycle = Cyclical(None, None, 2.0, "triangular", 1.0)
    assert cycle.ends(0.5) == pytest.approx((0.05, 0.5))
    assert Cyclical(0.1, None, 2.0, "triangular", 1.0).ends(0.5) == (0.1, 0.5)
    assert Cyclical(None, 2.0, 2.0, "triangular", 1.0).ends(0.5) == pytest.approx((0.05, 2.0))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_a_cycle_can_be_asked_for(mode: str) -> None:
    schedule = loaded({"type": "cyclical", "mode": mode}).recipe({}).training.schedule
    assert isinstance(schedule, Cyclical)
    assert schedule.mode == mode


@pytest.mark.parametrize(
    "schedule",
    [
        *({"type": name} for name in SCHEDULES),
        {"type": "step", "every": {"type": "int", "min": 1, "max": 5}, "factor": FACTOR},
        {"type": "cyclical", "low": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"}},
        {"type": one_of("constant", "step", "plateau"), "factor": FACTOR},
        {"type": {**one_of("constant", "cosine"), "default": "cosine"}, "floor": 0.1, "warm_up": FACTOR},
    ],
)
def test_what_is_resolved_loads_to_the_same(schedule: Any) -> None:
    spec = loaded(schedule)
    again = load_spec(spec.resolved)
    assert again.resolved == spec.resolved
    assert again.space == spec.space
    assert again.digest == spec.digest


def test_a_fields_name_is_its_path() -> None:
    spec = loaded({"type": "step", "every": {"type": "int", "min": 1, "max": 5}, "factor": FACTOR})
    assert [one.name for one in spec.space] == ["training.schedule.every", "training.schedule.factor"]
    values = {"training.schedule.every": 2, "training.schedule.factor": 0.25}
    assert spec.recipe(values).training.schedule == Step(2, 0.25)


class TestOpenType:
    def test_a_field_exists_only_where_a_type_has_it(self) -> None:
        spec = loaded(
            {
                "type": one_of("constant", "step", "plateau"),
                "factor": {"type": "choice", "values": [0.1, 0.5]},
                "patience": {"type": "int", "min": 1, "max": 2},
            }
        )
        conditions = {one.name: one.distribution.when for one in spec.space}
        assert conditions == {
            TYPE: None,
            "training.schedule.factor": {TYPE: ["step", "plateau"]},
            "training.schedule.patience": {TYPE: ["plateau"]},
        }
        # constant; step with 2 factors; plateau with 2 factors and 2 patiences.
        assert spec.space.size() == 1 + 2 + 4
        made = [spec.recipe(values).training.schedule for values in points(spec.space)]
        assert made.count(Constant()) == 1
        assert {one.factor for one in made if isinstance(one, Step)} == {0.1, 0.5}
        assert len([one for one in made if isinstance(one, Plateau)]) == 4

    def test_a_field_that_all_types_have_has_no_condition(self) -> None:
        spec = loaded({"type": one_of("step", "plateau"), "factor": FACTOR})
        assert [one.conditions for one in spec.space] == [(), ()]

    def test_what_the_spec_asks_of_a_field_itself_is_kept(self) -> None:
        given = {**FACTOR, "when": {"training.optimizer": ["sgd"]}}
        spec = loaded({"type": one_of("constant", "step"), "factor": given}, optimizer=one_of("sgd", "adam"))
        factor = spec.document["training"]["schedule"]["factor"]
        assert factor.when == {TYPE: ["step"], "training.optimizer": ["sgd"]}
        assert spec.space.active({TYPE: "step", "training.optimizer": "adam"}).keys() == {
            TYPE,
            "training.optimizer",
        }

    def test_a_condition_on_the_type_may_be_narrower(self) -> None:
        given = {**FACTOR, "when": {TYPE: ["step"]}}
        spec = loaded({"type": one_of("constant", "step", "plateau"), "factor": given})
        assert spec.document["training"]["schedule"]["factor"].when == {TYPE: ["step"]}

    def test_fixed_fields_of_one_type_are_kept_for_it(self) -> None:
        spec = loaded({"type": one_of("step", "cosine"), "every": 3, "floor": 0.25})
        made = [spec.recipe({TYPE: name}).training.schedule for name in ("step", "cosine")]
        assert made == [Step(3, 0.1), Cosine(0.0, 0.25)]

    def test_other_values_may_hang_on_it(self) -> None:
        given = {"type": "choice", "values": [0.0, 0.9], "when": {TYPE: ["one_cycle"]}}
        spec = loaded({"type": one_of("constant", "one_cycle")}, momentum=given)
        assert spec.space.size() == 1 + 2

    def test_a_field_that_no_type_has_is_unknown(self) -> None:
        found = faults({"type": one_of("constant", "step"), "floor": 0.1})
        assert found == [("/floor", "unknown_field")]

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            (one_of("step"), [("/type/values", "invalid_range")]),
            (one_of("step", "stepp"), [("/type/values/1", "value_not_allowed")]),
            ({"type": "boolean"}, [("/type/type", "value_not_allowed")]),
            ({"values": ["step", "cosine"]}, [("/type/type", "missing_field")]),
            ({**one_of("step", "cosine"), "default": "constant"}, [("/type/default", "invalid_range")]),
        ],
    )
    def test_a_type_that_is_no_choice_of_types_is_refused(
        self, kind: dict[str, Any], expected: list[tuple[str, str]]
    ) -> None:
        assert faults({"type": kind}) == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # A distribution where a structure belongs, and the reverse.
        ({"type": "choice", "values": ["step", "cosine"]}, [("/type", "value_not_allowed")]),
        ({"type": "float", "min": 0, "max": 1}, [("/type", "value_not_allowed")]),
        ({"type": "boolean"}, [("/type", "value_not_allowed")]),
        ({"type": "step", "factor": {"by": 2}}, [("/factor/type", "missing_field")]),
        ({"type": "step", "factor": {"type": "step"}}, [("/factor/type", "value_not_allowed")]),
        ({"type": "step", "factor": [0.1, 0.2]}, [("/factor", "invalid_type")]),
        ("step", [("", "invalid_type")]),
        (None, [("", "invalid_type")]),
        ([], [("", "invalid_type")]),
        ({}, [("/type", "missing_field")]),
        ({"every": 3}, [("/type", "missing_field")]),
        ({"type": None}, [("/type", "invalid_type")]),
        ({"type": 3}, [("/type", "invalid_type")]),
        ({"type": ["step"]}, [("/type", "invalid_type")]),
        ({"type": "steps"}, [("/type", "value_not_allowed")]),
        # Fields of other schedules.
        ({"type": "constant", "factor": 0.1}, [("/factor", "unknown_field")]),
        ({"type": "cosine", "every": 3}, [("/every", "unknown_field")]),
        # Limits.
        ({"type": "step", "every": 0}, [("/every", "value_out_of_range")]),
        ({"type": "step", "every": 2.5}, [("/every", "invalid_type")]),
        ({"type": "step", "factor": 0}, [("/factor", "value_out_of_range")]),
        ({"type": "step", "factor": 1.5}, [("/factor", "value_out_of_range")]),
        ({"type": "exponential", "rate": 0}, [("/rate", "value_out_of_range")]),
        ({"type": "cosine", "warm_up": -1}, [("/warm_up", "value_out_of_range")]),
        ({"type": "cosine", "floor": 1.1}, [("/floor", "value_out_of_range")]),
        ({"type": "cyclical", "low": 0}, [("/low", "value_out_of_range")]),
        ({"type": "cyclical", "step_size": 0}, [("/step_size", "value_out_of_range")]),
        ({"type": "cyclical", "mode": "sawtooth"}, [("/mode", "value_not_allowed")]),
        ({"type": "cyclical", "gamma": 1.01}, [("/gamma", "value_out_of_range")]),
        ({"type": "one_cycle", "peak_at": -0.1}, [("/peak_at", "value_out_of_range")]),
        ({"type": "plateau", "patience": 0}, [("/patience", "value_out_of_range")]),
        ({"type": "plateau", "factor": {**FACTOR, "max": 2}}, [("/factor/max", "value_out_of_range")]),
        (
            {"type": "step", "every": -1, "factor": 9},
            [("/every", "value_out_of_range"), ("/factor", "value_out_of_range")],
        ),
    ],
)
def test_what_is_no_schedule_is_refused_at_its_place(schedule: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(schedule) == expected


def test_a_refused_structure_says_what_to_leave_open() -> None:
    with pytest.raises(Invalid) as caught:
        loaded({"type": "choice", "values": ["step", "cosine"]})
    assert "leave its type open" in caught.value.errors[0].detail


def test_ranges_are_ranges() -> None:
    open_ = loaded({"type": "step", "factor": FACTOR}).document["training"]["schedule"]["factor"]
    assert isinstance(open_, FloatRange)
    kind = loaded({"type": one_of("step", "cosine")}).document["training"]["schedule"]["type"]
    assert isinstance(kind, Choice)
