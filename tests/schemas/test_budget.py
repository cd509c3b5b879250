"""For how long to search: limits, when they are reached, and when more is allowed than before."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.budget import Budget, BudgetFields, BudgetSchema, Plateau, ScorePlateauSchema
from schemas.states import StopReason
from tests.schemas.faults import faults

LEAST = Budget(3, 4, None, None, None, None, None, None)
# Everything that may end a search, with a limit.
TIGHT = Budget(3, 4, 60.0, 10.0, 2, 100, 30.0, Plateau(5, 0.01))


def test_a_budget_needs_a_number_of_trials() -> None:
    assert faults(BudgetSchema, {}) == [("/max_trials", "missing_field")]


def test_a_budget_has_defaults() -> None:
    assert BudgetSchema().load({"max_trials": 3}) == LEAST


def test_a_plateau_is_of_so_many_trials() -> None:
    found = BudgetSchema().load({"max_trials": 3, "plateau": {"trials": 5}})
    assert found.plateau == Plateau(5, 0.0)
    assert faults(ScorePlateauSchema, {}) == [("/trials", "missing_field")]
    assert faults(ScorePlateauSchema, {"trials": 1, "delta": 0}) == [("/delta", "unknown_field")]


@pytest.mark.parametrize(
    "budget",
    [
        {"max_trials": 0},
        {"max_trials": 10**9},
        *(
            {"max_trials": 1, name: value}
            for name in (
                "parallel_trials",
                "max_seconds",
                "max_trial_seconds",
                "max_failed_trials",
                "max_epochs",
                "max_gpu_seconds",
            )
            for value in (0, -1, 10**12)
        ),
        {"max_trials": 1, "plateau": {"trials": 0}},
        {"max_trials": 1, "plateau": {"trials": 10**9}},
        {"max_trials": 1, "plateau": {"trials": 1, "min_delta": -0.1}},
    ],
)
def test_a_budget_is_bounded(budget: dict[str, Any]) -> None:
    assert {code for _, code in faults(BudgetSchema, budget)} == {"value_out_of_range"}


@pytest.mark.parametrize("name", ["max_trials", "parallel_trials", "max_failed_trials", "max_epochs"])
def test_half_a_trial_is_none(name: str) -> None:
    assert faults(BudgetSchema, {"max_trials": 1, name: 1.5}) == [(f"/{name}", "invalid_type")]


def test_a_change_of_a_budget_may_leave_out_all_but_what_changes() -> None:
    assert BudgetFields(partial=True).load({"max_epochs": 5}) == {"max_epochs": 5}
    assert BudgetFields(partial=True).load({"max_seconds": None}) == {"max_seconds": None}


@pytest.mark.parametrize(
    ("epochs", "gpu_seconds", "spent"),
    [(0, 0.0, False), (99, 29.9, False), (100, 0.0, True), (0, 30.0, True)],
)
def test_a_budget_is_spent_when_one_of_its_limits_is_reached(
    epochs: int, gpu_seconds: float, spent: bool
) -> None:
    assert TIGHT.is_spent(epochs, gpu_seconds) is spent
    assert not LEAST.is_spent(epochs, gpu_seconds)


@pytest.mark.parametrize(
    "change",
    [
        {"max_trials": 4},
        {"max_seconds": 61.0},
        {"max_seconds": None},
        {"max_epochs": 101},
        {"max_epochs": None},
        {"max_gpu_seconds": 30.5},
        {"max_failed_trials": 3},
        {"max_failed_trials": None},
        {"plateau": None},
        {"plateau": Plateau(6, 0.01)},
        {"max_trials": 4, "max_seconds": 30.0},
    ],
)
def test_a_search_may_go_on_when_one_limit_is_wider(change: dict[str, Any]) -> None:
    assert replace(TIGHT, **change).allows_more_than(TIGHT)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_trials": 2},
        {"max_seconds": 59.0},
        {"max_epochs": 1},
        {"max_gpu_seconds": 1.0},
        {"max_failed_trials": 1},
        {"parallel_trials": 100},
        {"max_trial_seconds": 100.0},
    ],
)
def test_a_search_that_has_ended_stays_so_when_no_limit_is_wider(change: dict[str, Any]) -> None:
    assert not replace(TIGHT, **change).allows_more_than(TIGHT)


# What ended a search, and the limits of which one has to be wider.
ENDED_BY = {
    StopReason.COMPLETED: {"max_trials"},
    StopReason.DEADLINE: {"max_seconds"},
    StopReason.BUDGET_EXHAUSTED: {"max_epochs", "max_gpu_seconds"},
    StopReason.TOO_MANY_FAILURES: {"max_failed_trials"},
    StopReason.PLATEAU: {"plateau"},
}
WIDER: dict[str, Any] = {
    "max_trials": 4,
    "max_seconds": 61.0,
    "max_epochs": None,
    "max_gpu_seconds": 31.0,
    "max_failed_trials": 3,
    "plateau": None,
}


@pytest.mark.parametrize("reason", [*ENDED_BY, StopReason.CANCELLED, None])
@pytest.mark.parametrize("limit", WIDER)
def test_only_the_limit_that_ended_a_search_makes_it_go_on(reason: StopReason | None, limit: str) -> None:
    wider = replace(TIGHT, **{limit: WIDER[limit]})
    helps = reason not in ENDED_BY or limit in ENDED_BY[reason]
    assert wider.allows_more_than(TIGHT, reason) is helps


def test_the_limits_that_a_refusal_names_are_those_that_would_help() -> None:
    for reason, limits in ENDED_BY.items():
        assert set(Budget.limits_of(reason)) == limits
    assert set(Budget.limits_of(None)) == set(Budget.limits_of(StopReason.CANCELLED)) == set(WIDER)


def test_a_limit_where_there_was_none_allows_no_more() -> None:
    assert not TIGHT.allows_more_than(LEAST)
    assert LEAST.allows_more_than(TIGHT)


limits = st.none() | st.integers(1, 3)


@given(st.tuples(st.integers(1, 3), limits, limits), st.tuples(st.integers(1, 3), limits, limits))
def test_of_two_budgets_one_allows_more_unless_they_are_equal(mine: Any, other: Any) -> None:
    first, second = (
        replace(LEAST, max_trials=trials, max_epochs=epochs, max_failed_trials=failed)
        for trials, epochs, failed in (mine, other)
    )
    assert (first.allows_more_than(second) or second.allows_more_than(first)) is (first != second)
