"""Gates: read, held against what a job will have, and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuneserve.best import Best
from tuneserve.cli import durations, gates
from tuneserve.cli.gates import Gate, GateError


def spec(**changes: Any) -> dict[str, Any]:
    """A resolved spec's parts that say what is measured."""
    sections = {
        "training": {"metrics": ["loss", "accuracy"], "early_stopping": None},
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "split": {"test": 0.1},
        "search": {"algorithm": "bayesian"},
    }
    return {**sections, **changes}


def best(**changes: Any) -> Best:
    document = {
        "trial": 3,
        "score": 0.98,
        "validation": {"loss": 0.07, "accuracy": 0.98},
        "test": {"loss": 0.09, "accuracy": 0.976, "auc": None},
        "model": {"parameters": 12_000, "bytes": 200_000, "prediction_seconds": 0.004},
    }
    return Best.parse({**document, **changes})


def test_gates_are_read_in_order() -> None:
    found = gates.read_gates(["val_accuracy=0.97", "test_f1 = 0.9"], ["parameters=2e6", "val_accuracy=1"])
    assert [str(gate) for gate in found] == [
        "val_accuracy >= 0.97",
        "test_f1 >= 0.9",
        "parameters <= 2,000,000",
        "val_accuracy <= 1",
    ]


@pytest.mark.parametrize(
    ("mins", "maxs", "message"),
    [
        (["val_accuracy"], [], "a gate is metric=number"),
        (["=0.9"], [], "a gate is metric=number"),
        (["val_accuracy="], [], "'' is not a number"),
        (["val_accuracy=97%"], [], "'97%' is not a number .*from 0 to 1"),
        ([], ["model_bytes=5MB"], "'5MB' is not a number .*bytes, without a unit"),
        ([], ["model_bytes=5MB"], r"such as 5e6\)"),
        ([], ["prediction_seconds=10ms"], r"'10ms' is not a number .*seconds, .* such as 0\.01\)"),
        ([], ["parameters=2M"], r"a plain count, such as 2e6\)"),
        (["val_accuracy=nan"], [], "nan is not a limit"),
        ([], ["parameters=inf"], "inf is not a limit"),
        (["val_accuracy=97"], [], r"from 0 to 1, not 97; is 0\.97 meant\?"),
        (["test_auc=1.5"], [], r"from 0 to 1, not 1\.5; is 0\.015 meant\?"),
        ([], ["val_loss=-1"], "never below 0"),
        (["score=0.9", "score=0.8"], [], "--min score is given twice"),
        (["score=0.9"], ["score=0.8"], r"at least 0\.9 and at most 0\.8"),
    ],
)
def test_gates_that_cannot_be(mins: list[str], maxs: list[str], message: str) -> None:
    with pytest.raises(GateError, match=message) as caught:
        gates.read_gates(mins, maxs)
    assert caught.value.exit_code == 2


def test_a_loss_may_be_above_one() -> None:
    assert gates.read_gates([], ["val_loss=2.5"])[0].limit == 2.5


def test_a_tolerance_that_nothing_exceeds_is_refused() -> None:
    with pytest.raises(GateError, match=r"val_accuracy is a number from 0 to 1, not 5; is 0\.05 meant\?"):
        gates.check_tolerance(5, "val_accuracy")
    gates.check_tolerance(0.99, "val_accuracy")
    gates.check_tolerance(5, "val_loss")


def test_a_loss_with_the_wrong_bound_is_doubted() -> None:
    asked = gates.read_gates(["val_loss=0.5", "score=0.1", "val_accuracy=0.9"], ["test_loss=1"])
    (told,) = gates.doubts(asked, spec(), {})
    assert told == "--min val_loss: a lower val_loss is better; is --max meant?"
    by_loss = spec(objective={"metric": "val_loss"})
    assert gates.doubts(asked[1:], by_loss, {}) == [
        "--min score: a lower val_loss is better; is --max meant?"
    ]


def test_what_a_job_will_have() -> None:
    shares = [f"{share}_{name}" for share in ("val", "test") for name in ("loss", "accuracy")]
    assert gates.offered(spec()) == ["score", *shares, "parameters", "model_bytes", "prediction_seconds"]


def test_what_is_measured_follows_metrics_objective_and_early_stopping() -> None:
    training = {"metrics": ["auc"], "early_stopping": {"monitor": "val_recall", "patience": 3}}
    found = gates.offered(spec(training=training, objective={"metric": "val_f1"}))
    assert {"val_loss", "val_accuracy", "val_auc", "test_f1", "test_recall"} <= set(found)


def test_a_monitor_that_is_open_is_not_promised() -> None:
    monitor = {"type": "choice", "values": ["val_loss", "val_f1"]}
    found = gates.offered(spec(training={"metrics": [], "early_stopping": {"monitor": monitor}}))
    assert "val_f1" not in found


@pytest.mark.parametrize("test", [0, 0.0, None])
def test_without_a_test_share_there_are_no_test_metrics(test: Any) -> None:
    assert not [name for name in gates.offered(spec(split={"test": test})) if name.startswith("test_")]


@pytest.mark.parametrize(("then", "is_gated"), [(None, False), ({"algorithm": "random"}, True)])
def test_a_range_test_alone_trains_no_model(then: Any, is_gated: bool) -> None:
    ranged = spec(search={"algorithm": "lr_range_test", "then": then})
    assert bool(gates.offered(ranged)) == is_gated
    if not is_gated:
        assert "trains no model" in str(gates.absence(["score"], ranged, {}))


CATALOG = {"metrics": [{"name": "loss"}, {"name": "accuracy"}, {"name": "f1"}]}


@pytest.mark.parametrize(
    ("name", "split", "why"),
    [
        ("val_f1", 0.1, "it is not measured; put f1 into training.metrics"),
        ("test_f1", 0.1, "it is not measured; put f1 into training.metrics"),
        ("test_accuracy", 0, "split.test is 0"),
        ("test_f1", 0, "split.test is 0"),
        ("accuracy", 0.1, "val_accuracy or test_accuracy"),
        ("val_acuracy", 0.1, "no such metric; is val_accuracy meant?"),
        ("speed", 0.1, "there is no such metric."),
    ],
)
def test_why_there_is_no_such_metric(name: str, split: float, why: str) -> None:
    asked = spec(split={"test": split})
    gate = Gate(name, "min", 0.5)
    assert gates.absent([gate, Gate("score", "min", 0.5)], asked) == [name]
    told = str(gates.absence([name], asked, CATALOG))
    assert why in told
    assert "This job will have: score, val_loss, val_accuracy" in told


@pytest.mark.parametrize(
    ("bound", "limit", "actual", "is_met"),
    [
        ("min", 0.97, 0.97, True),
        ("min", 0.97, 0.9699999, False),
        ("min", 0.98 - 0.005, 0.975, True),
        ("max", 2e6, 2_000_000, True),
        ("max", 2e6, 2_000_001, False),
        ("max", 0.1 + 0.2, 0.3, True),
    ],
)
def test_limits_belong_to_what_is_met(bound: Any, limit: float, actual: float, is_met: bool) -> None:
    assert Gate("score", bound, limit).is_met(actual) == is_met


def test_every_kind_of_metric_is_judged() -> None:
    asked = gates.read_gates(
        ["val_accuracy=0.97", "test_accuracy=0.977", "test_auc=0.5", "score=0.98"],
        ["parameters=2e4", "model_bytes=1e5", "prediction_seconds=0.01", "val_accuracy=0.99"],
    )
    judged = gates.judge(asked, gates.values_of(best()))
    assert [one.is_met for one in judged] == [True, False, False, True, True, False, True, True]
    assert judged[2].reason == "it was not finite"
    assert judged[2].document()["met"] is False


@pytest.mark.parametrize(
    ("changes", "metric", "reason"),
    [
        ({"model": None}, "parameters", "the result does not tell it"),
        ({"test": None}, "test_accuracy", "the result does not have it"),
        ({"score": None}, "score", "it was not finite"),
    ],
)
def test_a_missing_value_meets_no_gate(changes: dict[str, Any], metric: str, reason: str) -> None:
    one = gates.judge([Gate(metric, "max", 1e9)], gates.values_of(best(**changes)))[0]
    assert (one.is_met, one.actual, one.reason) == (False, None, reason)


def test_gates_on_parameters_that_no_model_meets_are_foreseen() -> None:
    estimate = {"smallest_parameters": 500, "largest_parameters": 900}
    asked = gates.read_gates(["parameters=1000"], [])
    assert gates.unlikely(asked, estimate) == ["parameters >= 1000: the largest model of this space has 900."]
    assert gates.unlikely(gates.read_gates([], ["parameters=600"]), estimate) == []
    assert gates.unlikely(gates.read_gates([], ["parameters=400"]), estimate)
    assert gates.unlikely(asked, {}) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("2H", 7200),
        ("1d", 86400),
        ("1.5h", 5400),
        (" 2h ", 7200),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert durations.read(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2x", "30m1h", "-5", "1h 30m", "nan", "1e3", "two hours"])
def test_what_is_no_duration(text: str) -> None:
    assert durations.read(text) is None


@pytest.mark.parametrize("text", ["0", "0s", "400d"])
def test_durations_out_of_range(text: str) -> None:
    import click

    with pytest.raises(click.BadParameter, match="at most a year"):
        durations.Duration().convert(text, None, None)


def test_this_page_names_every_metric_fact() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
    assert all(f"`{name}`" in page for name in (*gates.FACTS, gates.SCORE))
