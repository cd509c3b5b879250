"""Optimizers and losses move weights and judge predictions as the formulas say, written again in NumPy."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from schemas.training import LOSSES, OPTIMIZERS, Training
from tests.tuning.makers import new_spec, recipe_of
from tuning.data import Array
from tuning.optimizers import image_weights, loss, optimizer

RATE = 0.1
START = np.array([1.0, -2.0, 3.0], np.float32)
GRADIENTS = [np.array([0.5, -1.0, 2.0], np.float32), np.array([-0.25, 3.0, 1.0], np.float32)]


def section(**changes: Any) -> Training:
    return recipe_of(new_spec(training=changes)).training


def moved(gradients: Sequence[Array], rate: Any = RATE, **changes: Any) -> Array:
    """Weights after a step along each of the gradients."""
    weights = keras.Variable(START)
    made = optimizer(section(**changes), rate)
    for gradient in gradients:
        made.apply([keras.ops.convert_to_tensor(gradient)], [weights])
    found: Array = keras.ops.convert_to_numpy(weights)
    return found


def sgd(gradients: Sequence[Array], momentum: float = 0.0, nesterov: bool = False) -> Array:
    weights, speed = START.astype(np.float64), np.zeros(3)
    for gradient in gradients:
        speed = momentum * speed - RATE * gradient
        weights = weights + (momentum * speed - RATE * gradient if nesterov else speed)
    return weights


def rmsprop(gradients: Sequence[Array], momentum: float) -> Array:
    weights, square, speed = START.astype(np.float64), np.zeros(3), np.zeros(3)
    for gradient in gradients:
        square = 0.9 * square + 0.1 * gradient.astype(np.float64) ** 2
        speed = momentum * speed + RATE * gradient / np.sqrt(square + 1e-7)
        weights = weights - speed
    return weights


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, sgd(GRADIENTS)),
        ({"momentum": 0.7}, sgd(GRADIENTS, 0.7)),
        ({"momentum": 0.7, "nesterov": True}, sgd(GRADIENTS, 0.7, nesterov=True)),
    ],
)
def test_sgd_moves_with_its_momentum(options: dict[str, Any], expected: Array) -> None:
    assert moved(GRADIENTS, optimizer="sgd", **options) == pytest.approx(expected, rel=1e-5)


def test_rmsprop_moves_with_its_momentum() -> None:
    found = [moved(GRADIENTS, optimizer="rmsprop", momentum=momentum) for momentum in (0.0, 0.7)]
    assert found[0] == pytest.approx(rmsprop(GRADIENTS, 0.0), rel=1e-4)
    assert found[1] == pytest.approx(rmsprop(GRADIENTS, 0.7), rel=1e-4)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("sgd", "rmsprop")])
def test_those_without_momentum_move_as_if_none_were_given(name: str) -> None:
    given = moved(GRADIENTS, optimizer=name, momentum=0.7, nesterov=True)
    assert (given == moved(GRADIENTS, optimizer=name)).all()
    assert (given != START).any()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_weights_beside_the_gradient(name: str) -> None:
    nothing = [np.zeros(3, np.float32)] * 2
    found = moved(nothing, optimizer=name, weight_decay=0.5)
    assert found == pytest.approx(START * (1 - RATE * 0.5) ** 2, rel=1e-5)
    own = 0.004 if name == "adamw" else 0.0
    assert moved(nothing, optimizer=name) == pytest.approx(START * (1 - RATE * own) ** 2, rel=1e-6)


def test_weight_decay_is_no_part_of_what_adam_divides_by() -> None:
    decayed, plain = (moved(GRADIENTS[:1], optimizer="adamw", weight_decay=one) for one in (0.5, 0.0))
    assert decayed - plain == pytest.approx(-RATE * 0.5 * START, rel=1e-4)


def test_a_gradient_longer_than_clipnorm_is_cut_to_it() -> None:
    step = moved(GRADIENTS[1:], optimizer="sgd", clipnorm=0.5) - START
    assert np.linalg.norm(step) == pytest.approx(RATE * 0.5, rel=1e-4)
    assert step / np.linalg.norm(step) == pytest.approx(
        -GRADIENTS[1] / np.linalg.norm(GRADIENTS[1]), rel=1e-4
    )


def test_a_gradient_shorter_than_clipnorm_is_left_alone() -> None:
    assert moved(GRADIENTS, optimizer="sgd", clipnorm=100.0) == pytest.approx(sgd(GRADIENTS), rel=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_cuts_gradients(name: str) -> None:
    assert optimizer(section(optimizer=name, clipnorm=0.5), RATE).clipnorm == 0.5
    assert optimizer(section(optimizer=name), RATE).clipnorm is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_schedule_moves_every_optimizer(name: str) -> None:
    halting = keras.optimizers.schedules.PiecewiseConstantDecay([0], [RATE, 0.0])
    one = moved(GRADIENTS[:1], rate=halting, optimizer=name, weight_decay=0.0)
    two = moved(GRADIENTS, rate=halting, optimizer=name, weight_decay=0.0)
    assert (one != START).any()
    assert two == pytest.approx(one)


# Losses

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 1.0, 4.0], [1.0, 2.0, 3.0]], np.float32)
LABELS = np.array([0, 2, 1, 2])
SHARES = np.array([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0], [0.2, 0.8, 0.0], [0.5, 0.0, 0.5]], np.float32)
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


def crossentropy(t: Array) -> Array:
    found: Array = -(t * np.log(P)).sum(axis=1)
    return found


def focal(t: Array) -> Array:
    """Lin et al. 2017, with alpha 0.25 and gamma 2."""
    found: Array = -(0.25 * (1 - P) ** 2 * t * np.log(P)).sum(axis=1)
    return found


def hinge(t: Array) -> Array:
    """The best wrong class against the right one."""
    found: Array = np.maximum(0.0, ((1 - t) * P).max(axis=1) - (t * P).sum(axis=1) + 1)
    return found


def squares(t: Array) -> Array:
    found: Array = ((t - P) ** 2).mean(axis=1)
    return found


FORMULAS: dict[str, Callable[[Array], Array]] = {
    "sparse_categorical_crossentropy": crossentropy,
    "categorical_crossentropy": crossentropy,
    "categorical_focal_crossentropy": focal,
    "categorical_hinge": hinge,
    "mean_squared_error": squares,
}


def test_every_loss_is_held_to_a_formula() -> None:
    assert set(FORMULAS) == set(LOSSES)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_that_of_its_formula(name: str, mixed: bool, smoothing: float) -> None:
    made = loss(section(loss=name, label_smoothing=smoothing), 3, mixed)
    shares = SHARES if mixed else np.eye(3)[LABELS]
    expected = FORMULAS[name](shares * (1 - smoothing) + smoothing / 3)
    labels = SHARES if mixed else LABELS
    assert float(made(labels, LOGITS)) == pytest.approx(expected.mean(), rel=1e-4)
    weights = np.array([0.5, 2.0, 0.0, 1.0])
    assert float(made(labels, LOGITS, weights)) == pytest.approx((weights * expected).mean(), rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("name", LOSSES)
def test_labels_may_come_as_a_column(name: str, smoothing: float) -> None:
    made = loss(section(loss=name, label_smoothing=smoothing), 3, mixed_labels=False)
    assert float(made(LABELS[:, np.newaxis], LOGITS)) == pytest.approx(float(made(LABELS, LOGITS)))


# Weights of images


@pytest.mark.parametrize("y", [[0, 0, 0, 1, 2, 2], [0, 0, 0, 2], [1, 1]], ids=["all", "no 1", "only 1"])
def test_balanced_weights_are_those_of_scikit_learn(y: list[int]) -> None:
    found = image_weights(section(class_weight="balanced"), np.array(y), 3)
    assert found is not None
    assert found == pytest.approx(compute_sample_weight("balanced", y))
    sums = {one: found[np.array(y) == one].sum() for one in y}
    assert list(sums.values()) == pytest.approx([len(y) / len(sums)] * len(sums))


def test_without_balance_no_image_is_weighed() -> None:
    assert image_weights(section(), np.array([0, 0, 1]), 2) is None
