"""Names of metrics, and which way each is better."""

import pytest

from schemas.metrics import ALWAYS, METRICS, MONITORS, direction


@pytest.mark.parametrize("name", METRICS)
def test_only_a_loss_is_to_become_small(name: str) -> None:
    expected = "minimize" if name == "loss" else "maximize"
    assert direction(name) == direction(f"val_{name}") == expected


def test_every_metric_can_be_judged_by_and_has_a_help() -> None:
    assert tuple(f"val_{name}" for name in METRICS) == MONITORS
    assert all(METRICS.values())


def test_what_is_always_computed_is_known() -> None:
    assert set(ALWAYS) == {"loss", "accuracy"} <= set(METRICS)
