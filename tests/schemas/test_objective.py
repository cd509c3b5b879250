"""What makes one trial better than another, and when one is good enough."""

import pytest
from marshmallow import ValidationError

from schemas.metrics import MONITORS
from schemas.objective import Objective, ObjectiveSchema
from schemas.problems import error_items

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


def test_between_equal_scores_the_lower_loss_decides() -> None:
    epoch, other = {"val_accuracy": 0.9, "val_loss": 0.2}, {"val_accuracy": 0.9, "val_loss": 0.3}
    assert UP.prefers(epoch, other)
    assert not UP.prefers(other, epoch)
    assert UP.prefers(other, {"val_accuracy": 0.9, "val_loss": None})
    assert not UP.prefers({"val_accuracy": None, "val_loss": 0.1}, other)
