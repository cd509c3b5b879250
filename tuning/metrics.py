"""Metrics of predictions, computed over the whole share at once.

The same numbers for trials, for the test share and for the verification of the model that is handed out.
What they mean is said in `schemas.metrics`.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from tuning.data import Array

# (probabilities (N, classes), labels (N,)) -> the metric
_Metric = Callable[[Array, Array], float]


def _loss(probabilities: Array, labels: Array) -> float:
    likely = probabilities[np.arange(len(labels)), labels]
    # Cut off as Keras does it: a single certain mistake must not be infinite.
    return float(-np.log(np.clip(likely, 1e-7, 1.0)).mean(dtype=np.float64))


def _accuracy(probabilities: Array, labels: Array) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def _macro(part: int) -> _Metric:
    """Precision, recall or F1, as a mean over the classes that the labels have."""

    def metric(probabilities: Array, labels: Array) -> float:
        found = precision_recall_fscore_support(
            labels, probabilities.argmax(axis=1), labels=np.unique(labels), average="macro", zero_division=0.0
        )
        return float(found[part])

    return metric


def _top(count: int) -> _Metric:
    def metric(probabilities: Array, labels: Array) -> float:
        # Of equals the first one, as `argmax` has it: a net that is sure of one class guesses no others.
        likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
        return float(np.mean((likeliest == labels[:, np.newaxis]).any(axis=1)))

    return metric


def _auc(probabilities: Array, labels: Array) -> float:
    areas = [roc_auc_score(labels == one, probabilities[:, one]) for one in np.unique(labels)]
    return float(np.mean(areas))


_METRICS: dict[str, _Metric] = {
    "loss": _loss,
    "accuracy": _accuracy,
    "balanced_accuracy": _macro(1),
    "precision": _macro(0),
    "recall": _macro(1),
    "f1": _macro(2),
    "top_3_accuracy": _top(3),
    "top_5_accuracy": _top(5),
    "auc": _auc,
}


def measured(probabilities: Array, labels: Array, names: Iterable[str]) -> dict[str, float | None]:
    """The named metrics of probabilities (N, classes) for labels (N,); None is one that is not finite."""
    if not np.isfinite(probabilities).all():
        return dict.fromkeys(names)
    return {name: finite(_METRICS[name](probabilities, labels)) for name in names}


def softmax(logits: Array) -> Array:
    """Probabilities (N, classes) from logits (N, classes)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float32)
    probabilities: Array = raised / raised.sum(axis=1, keepdims=True)
    return probabilities


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def mean_of(found: list[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Each metric's mean over several measurements; None where one of them is None."""
    names = [name for name in found[0] if all(name in one for one in found)] if found else []
    return {name: _mean([one[name] for one in found]) for name in names}


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
