"""The learning rate at every step, against formulas written a second time, in plain Python."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import pytest

from schemas.models import Infeasible
from schemas.objective import Objective
from schemas.schedules import MODES, SCHEDULES, Cyclical
from schemas.trials import Epoch
from tests.tuning.makers import Recorder, bars, new_spec, recipe_of
from tuning import training
from tuning.models import Materials
from tuning.schedules import Replayed, learning_rate
from tuning.training import Progress, Share

RATE, EPOCHS, STEPS = 0.2, 12, 5
TOTAL = EPOCHS * STEPS

Rule = Callable[[int], float]


def rates(schedule: dict[str, Any], count: int = TOTAL) -> list[float]:
    """The rate at each step of a training."""
    given = recipe_of(new_spec(training={"schedule": schedule})).training.schedule
    made = learning_rate(given, RATE, EPOCHS, STEPS)
    return [float(made if isinstance(made, float) else made(step)) for step in range(count)]


def cosine(share: float, first: float, last: float) -> float:
    """From the first to the last along half a cosine."""
    return first + (last - first) * (1 - math.cos(math.pi * min(share, 1.0))) / 2


def wave(step: int, low: float, high: float, half: int, shrunk: Callable[[int, int], float]) -> float:
    """Up in ``half`` steps and down in as many; ``shrunk`` of (cycle, step) is what the height is times."""
    cycle, place = divmod(step, 2 * half)
    height = place / half if place <= half else 2 - place / half
    return low + (high - low) * height * shrunk(cycle, step)


def warmed(step: int, warm_up: int, floor: float) -> float:
    if step < warm_up:
        return RATE * step / warm_up
    return cosine((step - warm_up) / (TOTAL - warm_up), RATE, RATE * floor)


def one_cycle(step: int, peak: float, start: float, end: float) -> float:
    if step < peak:
        return RATE * cosine(step / peak, start, 1.0)
    return RATE * cosine((step - peak) / (TOTAL - peak), 1.0, end)


RULES: list[tuple[dict[str, Any], Rule]] = [
    ({"type": "constant"}, lambda step: RATE),
    # It moves by the validation loss alone, which no step knows.
    ({"type": "plateau", "patience": 1}, lambda step: RATE),
    ({"type": "step", "every": 3, "factor": 0.5}, lambda step: RATE * 0.5 ** (step // STEPS // 3)),
    ({"type": "step"}, lambda step: RATE * 0.1 ** (step // STEPS // 10)),
    ({"type": "exponential", "rate": 0.8}, lambda step: RATE * 0.8 ** (step // STEPS)),
    ({"type": "cosine"}, lambda step: cosine(step / TOTAL, RATE, 0.0)),
    ({"type": "cosine", "floor": 0.1}, lambda step: cosine(step / TOTAL, RATE, RATE * 0.1)),
    ({"type": "cosine", "warm_up": 2.0, "floor": 0.1}, lambda step: warmed(step, 10, 0.1)),
    ({"type": "cosine", "warm_up": 1.5}, lambda step: warmed(step, 8, 0.0)),
    # All but the last step is warm-up, if it were longer than the training.
    ({"type": "cosine", "warm_up": 100.0}, lambda step: warmed(step, TOTAL - 1, 0.0)),
    (
        {"type": "cyclical"},
        lambda step: wave(step, RATE / 10, RATE, 2 * STEPS, lambda cycle, step: 1.0),
    ),
    (
        {"type": "cyclical", "low": 0.01, "high": 0.5, "step_size": 1.4, "mode": "triangular"},
        lambda step: wave(step, 0.01, 0.5, 7, lambda cycle, step: 1.0),
    ),
    (
        {"type": "cyclical", "low": 0.01, "high": 0.5, "step_size": 1.0, "mode": "triangular2"},
        lambda step: wave(step, 0.01, 0.5, STEPS, lambda cycle, step: 0.5**cycle),
    ),
    (
        {"type": "cyclical", "step_size": 2.0, "mode": "exp_range", "gamma": 0.9},
        lambda step: wave(step, RATE / 10, RATE, 2 * STEPS, lambda cycle, step: 0.9**step),
    ),
    # Half a cycle is one step at least.
    (
        {"type": "cyclical", "step_size": 0.01},
        lambda step: RATE if step % 2 else RATE / 10,
    ),
    ({"type": "one_cycle"}, lambda step: one_cycle(step, 0.3 * TOTAL, 0.04, 0.0001)),
    (
        {"type": "one_cycle", "peak_at": 0.5, "start": 0.2, "end": 0.01},
        lambda step: one_cycle(step, 0.5 * TOTAL, 0.2, 0.01),
    ),
]


@pytest.mark.parametrize(("schedule", "rule"), RULES, ids=[str(schedule) for schedule, _ in RULES])
def test_the_rate_at_each_step_is_that_of_the_formula(schedule: dict[str, Any], rule: Rule) -> None:
    expected = [rule(step) for step in range(TOTAL)]
    assert rates(schedule) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_every_schedule_is_held_to_a_formula() -> None:
    assert {schedule["type"] for schedule, _ in RULES} == set(SCHEDULES)
    assert {schedule["mode"] for schedule, _ in RULES if "mode" in schedule} == set(MODES)


def test_a_cosine_ends_at_its_floor_and_stays_there() -> None:
    found = rates({"type": "cosine", "floor": 0.25}, TOTAL + 20)
    assert found[TOTAL:] == pytest.approx([0.25 * RATE] * 20)
    assert min(found[:TOTAL]) > 0.25 * RATE


def test_one_cycle_rises_once_to_the_rate_and_falls_once() -> None:
    found = rates({"type": "one_cycle", "peak_at": 0.25}, TOTAL + 1)
    peak = TOTAL // 4
    assert found[peak] == max(found) == pytest.approx(RATE)
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak:] == sorted(found[peak:], reverse=True)
    assert found[-1] == pytest.approx(0.0001 * RATE, rel=1e-2)


def test_a_cycle_whose_ends_are_the_wrong_way_round_is_infeasible() -> None:
    # The learning rate may be open: then no spec can be refused for it.
    given = Cyclical(low=2 * RATE, high=None, step_size=2.0, mode="triangular", gamma=0.9)
    with pytest.raises(Infeasible, match="above its high"):
        learning_rate(given, RATE, EPOCHS, STEPS)


IMAGES = bars()


def mislabelled(part: slice, every: int) -> Share:
    """A share in which some images are said to be of the next class: its loss goes up and down."""
    labels = IMAGES.y[part].copy()
    labels[::every] = (labels[::every] + 1) % 3
    return Share(IMAGES.x[part], labels)


SHARE, VALIDATION = mislabelled(slice(60), 2), mislabelled(slice(60, None), 4)


def trained(**changes: Any) -> list[Epoch]:
    """The epochs of a real training."""
    recorder = Recorder()
    recipe = recipe_of(new_spec(training=changes))
    made = training.trainee(recipe, SHARE.x, 3, 0, Materials())
    objective = Objective("val_loss", "minimize", None)
    training.train(made, SHARE, VALIDATION, objective, recorder, Progress())
    return recorder.epochs


def lowered(losses: Sequence[float], rate: float, patience: int, factor: float) -> list[float]:
    """The rate of each epoch, from the losses of those before it."""
    found, best, waited = [rate], math.inf, 0
    for loss in losses[:-1]:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == patience:
            rate, waited = rate * factor, 0
        found.append(rate)
    return found


@pytest.mark.parametrize("patience", [1, 2])
def test_plateau_waits_for_its_patience_and_lowers_the_rate(patience: int) -> None:
    plateau = {"type": "plateau", "patience": patience, "factor": 0.5}
    epochs = trained(epochs=8, batch_size=8, optimizer="sgd", learning_rate=0.1, schedule=plateau)
    found = [epoch.learning_rate for epoch in epochs]
    losses = [epoch.metrics["val_loss"] or math.inf for epoch in epochs]
    assert found == pytest.approx(lowered(losses, 0.1, patience, 0.5))
    # There was something to wait for, and what was waited for came.
    assert found[patience] == found[0] > found[patience + 1]
    assert losses[-1] < min(losses[: patience + 1])


def test_a_plateau_with_factor_one_lowers_nothing() -> None:
    plateau = {"type": "plateau", "patience": 1, "factor": 1.0}
    epochs = trained(epochs=3, batch_size=60, learning_rate=1e-12, schedule=plateau)
    assert {epoch.learning_rate for epoch in epochs} == {epochs[0].learning_rate}


def test_replayed_rates_are_those_of_the_epochs_and_then_the_last() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.5))
    replayed = Replayed([0.3, 0.2, 0.1])
    replayed.set_model(model)
    found = []
    for epoch in (0, 1, 2, 3, 9):
        replayed.on_epoch_begin(epoch)
        found.append(float(model.optimizer.learning_rate))
    assert found == pytest.approx([0.3, 0.2, 0.1, 0.1, 0.1])
