"""Specs, trials and images for tests of the machine learning: small, and made in a moment."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schemas.distributions import Value
from schemas.models.cnn import Cnn, CnnSchema
from schemas.recipe import Recipe
from schemas.specs import JobSpec, load_spec
from schemas.states import TrialState
from schemas.trials import Epoch, Trial
from tuning.data import Arrays

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAX_PARAMETERS = 1_000_000
TINY = {"family": "cnn", "blocks": 1, "filters": 4, "dense_units": 8, "dropout": 0.0}


def new_spec(
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    algorithm: str = "random",
    max_trials: int = 1000,
    **changes: Any,
) -> JobSpec:
    """A checked spec of a tiny net; ``model`` and ``training`` are laid over the defaults."""
    document = {
        "dataset": "builtin:digits",
        "model": {**TINY, **(model or {})},
        "training": {"epochs": 2, "learning_rate": 0.01, **(training or {})},
        "search": {"algorithm": algorithm},
        "budget": {"max_trials": max_trials},
        **changes,
    }
    return load_spec(document)


def recipe_of(spec: JobSpec, values: Mapping[str, Value] | None = None) -> Recipe:
    return spec.recipe(values or {})


def new_trial(
    number: int,
    values: Mapping[str, Value],
    state: TrialState = TrialState.COMPLETED,
    score: float | None = 0.5,
    **more: Any,
) -> Trial:
    """A trial as the store gives it; only scored states have a score."""
    kept = score if state in TrialState.scored() else None
    ended = NOW if state.is_terminal else None
    given: dict[str, Any] = {
        "attempt": 1,
        "best_epoch": None if kept is None else 1,
        "metrics": {},
        "parameters": None,
        "error": None,
        "create_time": NOW,
        "start_time": NOW,
        "end_time": ended,
        **more,
    }
    return Trial(number, state, hyperparameters=values, score=kept, **given)


def bars(count: int = 90, classes: int = 3, seed: int = 0) -> Arrays:
    """Images 8 x 8 of a bright bar at a place that says the class: a net learns them in a second."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = rng.integers(0, 60, (count, 8, 8, 1)).astype(np.uint8)
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 2] += 160
    return Arrays(x, y, tuple(f"bar é{label}" for label in range(classes)))


def cnn(**changes: Any) -> Cnn:
    """A tiny net of the family; what is not given has the schema's default."""
    given = CnnSchema().load({**TINY, "filter_growth": 1, **changes})
    return Cnn(**{name: value for name, value in given.items() if name != "family"})


class Recorder:
    """A reporter that remembers, and raises what it was told to after so many steps."""

    def __init__(self, raises: Exception | None = None, after_steps: int = 0) -> None:
        self.epochs: list[Epoch] = []
        self.steps = 0
        self._raises = raises
        self._after_steps = after_steps

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)

    def check(self) -> None:
        self.steps += 1
        if self._raises is not None and self.steps > self._after_steps:
            raise self._raises
