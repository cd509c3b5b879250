"""Metrics against scikit-learn, and what they are where there is nothing to measure."""

from collections.abc import Mapping

import numpy as np
import pytest
from sklearn import metrics as sklearn
from sklearn.exceptions import UndefinedMetricWarning

from schemas.metrics import METRICS
from tuning.data import Array
from tuning.metrics import finite, mean_of, measured, softmax

CLASSES = 7
RNG = np.random.default_rng(0)
LABELS = RNG.permutation(np.arange(300) % CLASSES)
# Better than chance, and often wrong.
LOGITS = RNG.normal(size=(300, CLASSES)) + np.eye(CLASSES)[LABELS]
PROBABILITIES = softmax(LOGITS)
GUESSES = PROBABILITIES.argmax(axis=1)
ALL = range(CLASSES)


def expected(labels: Array, p: Array, guesses: Array, present: list[int]) -> Mapping[str, float]:
    """As scikit-learn has them, over the classes that are there."""
    macro = {"labels": present, "average": "macro", "zero_division": 0.0}
    return {
        "loss": sklearn.log_loss(labels, p, labels=ALL),
        "accuracy": sklearn.accuracy_score(labels, guesses),
        "balanced_accuracy": np.mean([np.mean(guesses[labels == one] == one) for one in present]),
        "precision": sklearn.precision_score(labels, guesses, **macro),
        "recall": sklearn.recall_score(labels, guesses, **macro),
        "f1": sklearn.f1_score(labels, guesses, **macro),
        "top_3_accuracy": sklearn.top_k_accuracy_score(labels, p, k=3, labels=ALL),
        "top_5_accuracy": sklearn.top_k_accuracy_score(labels, p, k=5, labels=ALL),
        "auc": np.mean([sklearn.roc_auc_score(labels == one, p[:, one]) for one in present]),
    }


def test_every_metric_is_that_of_scikit_learn() -> None:
    found = measured(PROBABILITIES, LABELS, METRICS)
    assert found == pytest.approx(expected(LABELS, PROBABILITIES, GUESSES, list(ALL)), rel=1e-6)
    assert found["auc"] == pytest.approx(sklearn.roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr"))
    assert found["balanced_accuracy"] == pytest.approx(sklearn.balanced_accuracy_score(LABELS, GUESSES))
    assert set(found) == set(METRICS)


def test_only_what_is_asked_for_is_measured() -> None:
    assert list(measured(PROBABILITIES, LABELS, ["f1", "loss"])) == ["f1", "loss"]


def test_a_class_that_no_label_has_counts_in_no_mean() -> None:
    kept = LABELS != 2
    labels, p, guesses = LABELS[kept], PROBABILITIES[kept], GUESSES[kept]
    # It is guessed, and that is wrong: but there is no recall of what is not there.
    assert (guesses == 2).any()
    assert measured(p, labels, METRICS) == pytest.approx(
        expected(labels, p, guesses, [0, 1, 3, 4, 5, 6]), rel=1e-6
    )


def test_a_class_that_is_never_guessed_has_precision_zero() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    found = measured(p, np.array([0, 1]), ["precision", "recall", "f1"])
    assert found == pytest.approx({"precision": 0.25, "recall": 0.5, "f1": 1 / 3})


def test_of_one_class_alone_all_but_the_area_is_measured() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    with pytest.warns(UndefinedMetricWarning, match="Only one class"):
        found = measured(p, np.array([0, 0]), METRICS)
    assert found["auc"] is None
    assert (found["accuracy"], found["recall"], found["top_3_accuracy"]) == (0.5, 0.5, 1.0)
    assert found["loss"] == pytest.approx(-(np.log(0.9) + np.log(0.2)) / 2)


def test_with_no_more_classes_than_places_the_right_one_is_among_them() -> None:
    found = measured(PROBABILITIES[:, :3], LABELS % 3, ["top_3_accuracy", "top_5_accuracy"])
    assert found == {"top_3_accuracy": 1.0, "top_5_accuracy": 1.0}


def test_of_classes_that_are_equally_likely_the_first_ones_are_guessed() -> None:
    p = np.tile([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], (7, 1))
    found = measured(p, np.arange(7), ["accuracy", "top_3_accuracy", "top_5_accuracy"])
    assert found == pytest.approx({"accuracy": 1 / 7, "top_3_accuracy": 3 / 7, "top_5_accuracy": 5 / 7})


def test_a_certain_mistake_is_not_infinite() -> None:
    found = measured(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([1, 0]), ["loss", "accuracy"])
    assert found == pytest.approx({"loss": -np.log(1e-7) / 2, "accuracy": 0.5})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_net_that_has_diverged_has_no_metrics(value: float) -> None:
    logits = LOGITS.copy()
    logits[17, 3] = value
    found = measured(np.where(np.isfinite(logits), PROBABILITIES, value), LABELS, METRICS)
    assert found == dict.fromkeys(METRICS)


def test_diverged_logits_are_no_probabilities() -> None:
    with np.errstate(invalid="ignore"):
        assert measured(softmax(np.array([[np.nan, 1.0], [0.0, 1.0]])), np.array([0, 1]), ["loss"]) == {
            "loss": None
        }
        assert not np.isfinite(softmax(np.array([[np.inf, 1.0]]))).all()


def test_softmax_is_exact_where_powers_would_overflow() -> None:
    found = softmax(np.array([[1e4, 1e4, 0.0], [-1e4, -1e4 + np.log(3), -1e30]], np.float64))
    assert found == pytest.approx(np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]]), abs=1e-6)
    assert found.dtype == np.float32


def test_the_mean_of_several_is_that_of_each_metric() -> None:
    first, second = {"loss": 1.0, "accuracy": 0.5}, {"loss": 3.0, "accuracy": 1.0}
    assert mean_of([first, second]) == {"loss": 2.0, "accuracy": 0.75}
    assert mean_of([first]) == first
    assert mean_of([]) == {}


def test_the_mean_with_one_that_is_not_known_is_not_known() -> None:
    found = mean_of([{"loss": 1.0, "auc": None, "f1": 0.5}, {"loss": 2.0, "auc": 0.5}])
    assert found == {"loss": 1.5, "auc": None}


@pytest.mark.parametrize(("value", "expected"), [(0.5, 0.5), (np.nan, None), (-np.inf, None)])
def test_finite_is_a_number_or_nothing(value: float, expected: float | None) -> None:
    assert finite(value) == expected
