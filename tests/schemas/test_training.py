"""The training section: defaults, limits, and what may be left open."""

from typing import Any

import pytest

from schemas.distributions import Distribution
from schemas.metrics import METRICS, MONITORS
from schemas.schedules import Constant
from schemas.training import (
    CLASS_WEIGHTS,
    LOSSES,
    OPTIMIZERS,
    EarlyStopping,
    Training,
    TrainingSchema,
)
from schemas.tunables import Tunable
from tests.schemas.faults import faults


def made(**section: Any) -> Training:
    return Training.of(TrainingSchema().load(section))


def test_defaults_are_those_of_keras_and_no_tricks() -> None:
    assert made() == Training(
        optimizer="adam",
        learning_rate=0.001,
        momentum=0.0,
        nesterov=False,
        weight_decay=None,
        clipnorm=None,
        schedule=Constant(),
        batch_size=32,
        epochs=10,
        early_stopping=None,
        loss="sparse_categorical_crossentropy",
        label_smoothing=0.0,
        class_weight="none",
        mixed_precision=False,
        metrics=["loss", "accuracy"],
    )


@pytest.mark.parametrize(
    ("field", "names"),
    [("optimizer", OPTIMIZERS), ("loss", LOSSES), ("class_weight", CLASS_WEIGHTS)],
)
def test_every_name_can_be_asked_for(field: str, names: tuple[str, ...]) -> None:
    for name in names:
        assert getattr(made(**{field: name}), field) == name


def test_early_stopping_has_defaults_of_its_own() -> None:
    assert made(early_stopping={}).early_stopping == EarlyStopping("val_loss", 3, 0.0)


@pytest.mark.parametrize("monitor", MONITORS)
def test_early_stopping_looks_at_any_validation_metric(monitor: str) -> None:
    early = made(early_stopping={"monitor": monitor, "patience": 0}).early_stopping
    assert early == EarlyStopping(monitor, 0, 0.0)


def test_every_metric_can_be_asked_for() -> None:
    assert made(metrics=list(METRICS)).metrics == list(METRICS)
    assert made(metrics=[]).metrics == []


def test_all_but_structures_can_be_left_open() -> None:
    fixed = [name for name, field in TrainingSchema().load_fields.items() if not isinstance(field, Tunable)]
    assert fixed == ["schedule", "early_stopping", "metrics"]


def test_what_is_null_may_be_open_and_falls_back_to_null() -> None:
    decay = {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"}
    loaded = TrainingSchema().load({"weight_decay": decay, "clipnorm": {"type": "choice", "values": [1, 5]}})
    assert isinstance(loaded["weight_decay"], Distribution)
    assert (loaded["weight_decay"].otherwise, loaded["clipnorm"].otherwise) == (None, None)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"optimizer": "ftrl"}, [("/optimizer", "value_not_allowed")]),
        ({"optimizer": "Adam"}, [("/optimizer", "value_not_allowed")]),
        ({"optimizer": None}, [("/optimizer", "invalid_type")]),
        ({"learning_rate": 0}, [("/learning_rate", "value_out_of_range")]),
        ({"learning_rate": 101}, [("/learning_rate", "value_out_of_range")]),
        ({"learning_rate": "0.1"}, [("/learning_rate", "invalid_type")]),
        ({"momentum": 1}, [("/momentum", "value_out_of_range")]),
        ({"nesterov": 1}, [("/nesterov", "invalid_type")]),
        ({"weight_decay": -0.1}, [("/weight_decay", "value_out_of_range")]),
        ({"clipnorm": 0}, [("/clipnorm", "value_out_of_range")]),
        ({"batch_size": 0}, [("/batch_size", "value_out_of_range")]),
        ({"batch_size": 10**9}, [("/batch_size", "value_out_of_range")]),
        ({"batch_size": 3.7}, [("/batch_size", "invalid_type")]),
        ({"epochs": 10**9}, [("/epochs", "value_out_of_range")]),
        ({"loss": "hinge"}, [("/loss", "value_not_allowed")]),
        ({"label_smoothing": 1}, [("/label_smoothing", "value_out_of_range")]),
        ({"class_weight": "auto"}, [("/class_weight", "value_not_allowed")]),
        ({"mixed_precision": "float16"}, [("/mixed_precision", "invalid_type")]),
        ({"metrics": ["val_accuracy"]}, [("/metrics/0", "value_not_allowed")]),
        ({"metrics": "accuracy"}, [("/metrics", "invalid_type")]),
        ({"metrics": ["loss"] * 99}, [("/metrics", "invalid_value")]),
        ({"early_stopping": {"monitor": "loss"}}, [("/early_stopping/monitor", "value_not_allowed")]),
        ({"early_stopping": {"patience": -1}}, [("/early_stopping/patience", "value_out_of_range")]),
        ({"early_stopping": {"min_delta": -1}}, [("/early_stopping/min_delta", "value_out_of_range")]),
        # A distribution where a structure belongs, and the reverse.
        ({"early_stopping": {"type": "boolean"}}, [("/early_stopping/type", "unknown_field")]),
        ({"early_stopping": 3}, [("/early_stopping", "invalid_type")]),
        ({"metrics": {"type": "choice", "values": ["loss", "f1"]}}, [("/metrics", "invalid_type")]),
        ({"epochs": [1, 2]}, [("/epochs", "invalid_type")]),
        ({"epochs": {"min": 1, "max": 2}}, [("/epochs/type", "missing_field")]),
        ({"optimizer": {"name": "sgd"}}, [("/optimizer/type", "missing_field")]),
        ({"lr": 0.1}, [("/lr", "unknown_field")]),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(
    section: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert faults(TrainingSchema, section) == expected
