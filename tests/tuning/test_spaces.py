"""Spaces as Keras Tuner's hyperparameters."""

from typing import Any

import keras_tuner
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.distributions import Value
from schemas.spaces import Space
from tests.tuning.makers import new_spec
from tuning import spaces


def _space(model: dict[str, Any], training: dict[str, Any] | None = None) -> Space:
    return new_spec(model, training).space


def _declared(space: Space) -> dict[str, Any]:
    return {one.name: one for one in spaces.hyperparameters(space).space}


@pytest.mark.parametrize(
    ("name", "given", "kind", "values"),
    [
        ("filters", {"type": "int", "min": 2, "max": 8, "step": 2}, "Int", [2, 4, 6, 8]),
        ("filters", {"type": "int", "min": 2, "max": 8, "step": 2, "sampling": "log"}, "Int", [2, 4, 8]),
        ("filters", {"type": "choice", "values": [3, 1]}, "Choice", [3, 1]),
        ("activation", {"type": "choice", "values": ["relu", "elu"]}, "Choice", ["relu", "elu"]),
        ("batch_norm", {"type": "boolean"}, "Boolean", [True, False]),
        ("batch_norm", {"type": "choice", "values": [True, False]}, "Boolean", [True, False]),
    ],
)
def test_every_distribution_has_its_counterpart(
    name: str, given: dict[str, Any], kind: str, values: list[Value]
) -> None:
    declared = _declared(_space({name: given}))[f"model.{name}"]
    assert type(declared).__name__ == kind
    assert set(declared.values) == set(values)


def test_a_range_without_step_is_a_range() -> None:
    given = {"type": "float", "min": 0.001, "max": 0.1, "sampling": "log"}
    declared = _declared(_space({"l2": given}))["model.l2"]
    assert type(declared).__name__ == "Float"
    assert (declared.min_value, declared.max_value, declared.sampling) == (0.001, 0.1, "log")


def test_a_stepped_range_has_all_of_its_steps() -> None:
    given = {"type": "float", "min": 0.3, "max": 0.7, "step": 0.1}
    declared = _declared(_space({"dropout": given}))["model.dropout"]
    assert [round(value, 9) for value in declared.values] == [0.3, 0.4, 0.5, 0.6, 0.7]


def test_a_default_is_the_default() -> None:
    space = _space(
        {
            "filters": {"type": "int", "min": 1, "max": 9, "default": 5},
            "batch_norm": {"type": "boolean", "default": True},
            "activation": {"type": "choice", "values": ["relu", "elu"], "default": "elu"},
        }
    )
    found = {name: one.default for name, one in _declared(space).items()}
    assert found == {"model.filters": 5, "model.batch_norm": True, "model.activation": "elu"}


def test_conditions_become_scopes() -> None:
    training = {
        "momentum": {"type": "float", "min": 0.0, "max": 0.9, "when": {"training.optimizer": ["sgd"]}},
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
    }
    collected = spaces.hyperparameters(_space({}, training))
    momentum = collected._hps["training.momentum"][0]
    collected.values["training.optimizer"] = "adam"
    assert not collected.is_active(momentum)
    collected.values["training.optimizer"] = "sgd"
    assert collected.is_active(momentum)


def test_a_grid_has_just_the_values_that_its_size_was_told_from() -> None:
    space = _space(
        {
            "dropout": {"type": "float", "min": 0.3, "max": 0.7, "step": 0.1},
            "l2": {"type": "float", "min": 0.001, "max": 0.1, "sampling": "log"},
            "filters": {"type": "int", "min": 1, "max": 3},
        }
    )
    declared = spaces.grid_hyperparameters(space)
    found = {one.name: list(one.values) for one in declared.space}
    expected = {one.name: one.distribution.grid_values() for one in space}
    assert found == expected
    assert found["model.dropout"] == [0.3, 0.4, 0.5, 0.6, 0.7]


def test_a_grid_puts_a_default_that_is_a_value_first() -> None:
    space = _space({"dropout": {"type": "float", "min": 0.3, "max": 0.5, "step": 0.1, "default": 0.4}})
    declared = spaces.grid_hyperparameters(space)
    assert list(declared.space[0].values) == [0.4, 0.3, 0.5]
    assert declared.space[0].default == 0.4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5], [5, 1, 4, 2, 3]),
        ([1, 2, 3, 4], [4, 1, 3, 2]),
        ([1, 2], [2, 1]),
        ([7], [7]),
        # By size, however they are listed.
        ([0.1, 0.001, 0.01], [0.1, 0.001, 0.01]),
        ([16, 4, 8, 64], [64, 4, 16, 8]),
    ],
)
def test_from_both_ends_to_the_middle(values: list[Value], expected: list[Value]) -> None:
    assert spaces.from_both_ends(values) == expected


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=12, unique=True))
def test_from_both_ends_has_every_value_once_the_farthest_from_the_middle_first(values: list[Value]) -> None:
    walked = spaces.from_both_ends(values)
    assert sorted(walked) == sorted(values)
    ranks = [sorted(values).index(value) for value in walked]
    middle = (len(values) - 1) / 2
    assert [abs(rank - middle) for rank in ranks] == sorted((abs(r - middle) for r in ranks), reverse=True)
    # Of the two that are as far, the larger one.
    assert [rank > middle for rank in ranks[: len(values) // 2 * 2]] == [True, False] * (len(values) // 2)


def test_outside_in_orders_numbers_and_leaves_names_as_they_are() -> None:
    space = _space(
        {
            "filters": {"type": "int", "min": 1, "max": 4},
            "kernel_size": {"type": "choice", "values": [3, 1, 5]},
            "dropout": {"type": "float", "min": 0.1, "max": 0.5, "step": 0.1, "default": 0.3},
            "activation": {"type": "choice", "values": ["relu", "elu", "tanh"]},
            "batch_norm": {"type": "boolean"},
        }
    )
    found = {one.name: list(one.values) for one in spaces.grid_hyperparameters(space, outside_in=True).space}
    assert found == {
        "model.filters": [4, 1, 3, 2],
        "model.kernel_size": [5, 1, 3],
        # A default is tried first in any order.
        "model.dropout": [0.3, 0.5, 0.1, 0.4, 0.2],
        "model.activation": ["relu", "elu", "tanh"],
        # Keras Tuner's own order.
        "model.batch_norm": [True, False],
    }


def test_a_space_without_hyperparameters_is_empty() -> None:
    assert isinstance(spaces.hyperparameters(_space({})), keras_tuner.HyperParameters)
    assert spaces.hyperparameters(_space({})).space == []
