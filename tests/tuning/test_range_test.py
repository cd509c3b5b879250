"""Learning-rate range tests: known curves, and real nets."""

from typing import Any

import numpy as np
import pytest

from schemas.specs import JobSpec
from tests.tuning.makers import MAX_PARAMETERS, Recorder, bars, new_spec, recipe_of
from tuning import range_test, trial
from tuning.data import Array
from tuning.range_test import MAX_POINTS, NARROWEST, Curve, GrowingRate, described
from tuning.training import Interrupted, Paused
from tuning.trial import Result

IMAGES = bars()
STEPS = 100
RATES = np.logspace(-7, 0, STEPS)


def _described(losses: Array, has_diverged: bool = False) -> dict[str, Any]:
    return described(Curve.of(list(RATES[: len(losses)]), list(losses), STEPS, has_diverged))


def _sigmoid(rates: Array, middle: float, sharpness: float = 2.0) -> Array:
    return 1 / (1 + (middle / rates) ** sharpness)


def _noise(deviation: float, seed: int) -> Array:
    return np.random.default_rng(seed).normal(0, deviation, STEPS)


class TestKnownCurves:
    @pytest.mark.parametrize("noise", [0.0, 0.1])
    @pytest.mark.parametrize("seed", range(5))
    def test_flat_falling_diverging(self, noise: float, seed: int) -> None:
        # From 2.3 to 0.3 around 1e-3; above 0.3 up again.
        losses = 2.3 - 2.0 * _sigmoid(RATES, 1e-3) + 10 * _sigmoid(RATES, 1.0, 4.0) + _noise(noise, seed)
        found = _described(losses)
        low, high = found["suggested"]["min"], found["suggested"]["max"]
        assert 1e-4 < low < 2e-3
        assert 1e-3 < high < 0.1
        assert high >= NARROWEST * low * (1 - 1e-9)
        assert 3e-4 < found["steepest"] < 1e-2
        assert found["stopped_at"] is None

    def test_only_falling(self) -> None:
        found = _described(2.3 - 2.0 * _sigmoid(RATES, 1e-2, 1.0))
        assert 1e-2 < found["suggested"]["max"] < 0.1
        assert 3e-4 < found["suggested"]["min"] < 1e-2

    def test_a_loss_that_creeps_to_nothing_has_ended_its_fall(self) -> None:
        found = _described(2.3 * (1 - _sigmoid(RATES, 1e-3, 4.0)))
        assert found["suggested"]["max"] < 3e-3

    def test_only_diverging(self) -> None:
        found = _described(2.3 + 20 * _sigmoid(RATES, 1.0), has_diverged=True)
        assert (found["suggested"], found["steepest"]) == (None, None)
        assert found["stopped_at"] == pytest.approx(1.0)

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
    def test_noise_alone_suggests_nothing(self, noise: float, seed: int) -> None:
        assert _described(2.3 + _noise(noise, seed))["suggested"] is None

    def test_a_narrow_fall_at_the_end_is_widened_downwards(self) -> None:
        found = _described(2.3 - 2.0 * _sigmoid(RATES, 0.7, 12.0))
        low, high = found["suggested"]["min"], found["suggested"]["max"]
        assert high == pytest.approx(NARROWEST * low) or high > NARROWEST * low
        assert high <= 1.0

    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    def test_a_few_points_are_enough_to_say_nothing(self, count: int) -> None:
        assert _described(np.linspace(2.3, 2.0, count), has_diverged=True)["suggested"] is None

    def test_points_are_thinned_and_have_both_ends(self) -> None:
        rates = np.logspace(-7, 0, 5000)
        points = described(Curve.of(list(rates), [1.0] * 5000, 5000, False))["points"]
        assert len(points) == MAX_POINTS
        assert points[0] == pytest.approx([1e-7, 1.0, 1.0])
        assert points[-1] == pytest.approx([1.0, 1.0, 1.0])


def test_smoothing_keeps_a_constant_and_follows_a_step() -> None:
    curve = Curve.of(list(RATES), [2.0] * 50 + [1.0] * 50, STEPS, False)
    assert curve.smoothed[:50] == pytest.approx(2.0)
    assert curve.smoothed[-1] == pytest.approx(1.0, abs=0.01)


def test_the_rate_grows_by_the_same_factor_each_step() -> None:
    rates = [float(GrowingRate(1e-6, 10.0, 8)(step)) for step in range(8)]
    assert rates == pytest.approx(list(np.logspace(-6, 1, 8)), rel=1e-4)


def _spec(steps: int = 100, high: float = 10.0, **changes: Any) -> JobSpec:
    search = {"algorithm": "lr_range_test", "low": 1e-6, "high": high, "steps": steps}
    training = {"batch_size": 16, "epochs": 4, **changes.pop("training", {})}
    return new_spec(changes.pop("model", None), training, search=search, **changes)


def _run(spec: JobSpec, recorder: Recorder | None = None, max_parameters: int = MAX_PARAMETERS) -> Result:
    return range_test.run(spec, recipe_of(spec), IMAGES, recorder or Recorder(), max_parameters)


def _loss_at(rate: float, **changes: Any) -> float:
    """The lowest validation loss of a short training."""
    training = {"epochs": 6, "batch_size": 16, "learning_rate": rate, **changes}
    spec = new_spec(training=training, objective={"metric": "val_loss"})
    result = trial.run(spec, recipe_of(spec), IMAGES, Recorder(), MAX_PARAMETERS)
    return float(result.best.metrics["val_loss"] or 0.0) if result.best else float("inf")


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_rates_that_are_suggested_are_better_than_those_far_off(optimizer: str) -> None:
    result = _run(_spec(training={"optimizer": optimizer}))
    assert result.range_test is not None
    found = result.range_test["suggested"]
    middle = float(np.sqrt(found["min"] * found["max"]))
    best = _loss_at(middle, optimizer=optimizer)
    assert best < _loss_at(found["min"] / 100, optimizer=optimizer)
    assert best < _loss_at(min(10.0, found["max"] * 300), optimizer=optimizer)


def test_one_epoch_is_reported_at_the_end_and_nothing_is_scored() -> None:
    recorder = Recorder()
    result = _run(_spec(steps=30, high=0.01), recorder)
    assert result.range_test is not None
    points = result.range_test["points"]
    assert (recorder.steps, len(points)) == (30, 30)
    assert points[0][0] == pytest.approx(1e-6)
    assert points[-1][0] == pytest.approx(0.01, rel=1e-3)
    (epoch,) = recorder.epochs
    assert (epoch.epoch, epoch.learning_rate) == (1, 1e-6)
    assert epoch.metrics == {"loss": pytest.approx(points[-1][2])}
    assert (result.best, result.weights, result.failure, result.interrupted) == (None, [], None, False)
    assert result.parameters


def test_losses_are_those_of_single_batches() -> None:
    """The first is that of the untrained net on one batch; the mean of many would be smoother."""
    result = _run(_spec(steps=20, high=0.01, training={"batch_size": 4}))
    assert result.range_test is not None
    losses = np.array([point[1] for point in result.range_test["points"]])
    assert np.abs(np.diff(losses)).mean() > 0.02


def test_it_ends_when_the_loss_has_diverged() -> None:
    recorder = Recorder()
    spec = _spec(200, 1000.0, model={"activation": "softplus", "l2": 1.0}, training={"optimizer": "sgd"})
    result = _run(spec, recorder)
    assert result.range_test is not None
    assert recorder.steps < 200
    assert result.range_test["stopped_at"] < 1000.0
    assert all(np.isfinite(point).all() for point in result.range_test["points"])


def test_the_same_seed_gives_the_same_curve_with_augmentation_too() -> None:
    spec = _spec(steps=20, augmentation={"noise": 0.1, "mixup": 0.2})
    assert _run(spec).range_test == _run(spec).range_test


def test_it_is_cancelled_within_a_step() -> None:
    recorder = Recorder(Interrupted(), after_steps=3)
    result = _run(_spec(), recorder)
    assert (result.interrupted, result.range_test, result.failure) == (True, None, None)
    assert recorder.steps == 4


def test_a_pause_at_its_end_is_none() -> None:
    class Pauser(Recorder):
        def epoch(self, epoch: Any) -> None:
            raise Paused

    result = _run(_spec(steps=20), Pauser())
    assert (result.interrupted, result.paused) == (False, False)
    assert result.range_test is not None


def test_what_cannot_be_built_is_a_result() -> None:
    too_large = _run(_spec(), max_parameters=10)
    assert too_large.failure is not None
    assert too_large.failure.code == "infeasible_model"
    assert _run(_spec(model={"blocks": 5})).failure is not None
