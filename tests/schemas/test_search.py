"""What makes one trial better than another, and for how long to search."""

from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.metrics import MONITORS
from schemas.problems import error_items
from schemas.search import (
    ALGORITHMS,
    Budget,
    BudgetSchema,
    Objective,
    ObjectiveSchema,
    SearchSchema,
)

UP = Objective("val_accuracy", "maximize", 0.9)
DOWN = Objective("val_loss", "minimize", 0.1)


@pytest.mark.parametrize(
    ("objective", "score", "other", "better"),
    [
        (UP, 0.9, 0.8, True),
        (UP, 0.8, 0.9, False),
        (UP, 0.8, 0.8, False),
        (DOWN, 0.8, 0.9, True),
        (DOWN, 0.9, 0.8, False),
        (DOWN, 0.8, 0.8, False),
        (UP, 0.0, None, True),
        (DOWN, 1e9, None, True),
    ],
)
def test_better_is_by_the_direction(
    objective: Objective, score: float, other: float | None, better: bool
) -> None:
    assert objective.is_better(score, other) is better


@pytest.mark.parametrize(
    ("objective", "score", "met"),
    [
        (UP, 0.89, False),
        (UP, 0.9, True),
        (UP, 0.95, True),
        (DOWN, 0.11, False),
        (DOWN, 0.1, True),
        (UP, None, False),
    ],
)
def test_the_target_is_met_when_a_score_is_as_good(
    objective: Objective, score: float | None, met: bool
) -> None:
    assert objective.is_met(score) is met


def test_without_a_target_nothing_ends_the_search_early() -> None:
    assert not Objective("val_accuracy", "maximize", None).is_met(1.0)


@pytest.mark.parametrize("metric", MONITORS)
def test_the_direction_comes_from_the_metric(metric: str) -> None:
    direction = "minimize" if metric == "val_loss" else "maximize"
    assert ObjectiveSchema().load({"metric": metric}).direction == direction
    assert ObjectiveSchema().load({"metric": metric, "direction": direction}).direction == direction


def test_a_direction_against_the_metric_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        ObjectiveSchema().load({"metric": "val_loss", "direction": "maximize"})
    item = next(error_items(caught.value.messages))
    assert (item.pointer, item.code) == ("/direction", "value_not_allowed")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_can_be_asked_for(name: str) -> None:
    assert SearchSchema().load({"algorithm": name}).algorithm == name


def test_a_grid_may_be_walked_from_outside_in() -> None:
    assert SearchSchema().load({}).order == "row_major"
    assert SearchSchema().load({"algorithm": "grid", "order": "outside_in"}).order == "outside_in"


@pytest.mark.parametrize(
    "search",
    [
        {"algorithm": "random", "order": "outside_in"},
        {"order": "outside_in"},
        {"algorithm": "grid", "order": "inside_out"},
    ],
)
def test_an_order_is_of_a_grid_and_a_known_one(search: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        SearchSchema().load(search)
    assert [(item.pointer, item.code) for item in error_items(caught.value.messages)] == [
        ("/order", "value_not_allowed")
    ]


def test_an_unknown_algorithm_is_refused_with_a_hint() -> None:
    with pytest.raises(ValidationError, match="Did you mean 'random'"):
        SearchSchema().load({"algorithm": "randon"})


def test_a_budget_needs_a_number_of_trials() -> None:
    with pytest.raises(ValidationError) as caught:
        BudgetSchema().load({})
    assert [(item.pointer, item.code) for item in error_items(caught.value.messages)] == [
        ("/max_trials", "missing_field")
    ]


def test_a_budget_has_defaults() -> None:
    assert BudgetSchema().load({"max_trials": 3}) == Budget(3, 4, None, None, None)


@pytest.mark.parametrize(
    "budget",
    [
        {"max_trials": 0},
        {"max_trials": 10**9},
        {"max_trials": 1, "parallel_trials": 0},
        {"max_trials": 1, "parallel_trials": 10**9},
        {"max_trials": 1, "max_seconds": 0},
        {"max_trials": 1, "max_seconds": -1},
        {"max_trials": 1, "max_trial_seconds": 1e12},
        {"max_trials": 1, "max_failed_trials": 0},
    ],
)
def test_a_budget_is_bounded(budget: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        BudgetSchema().load(budget)
    assert {item.code for item in error_items(caught.value.messages)} == {"value_out_of_range"}
