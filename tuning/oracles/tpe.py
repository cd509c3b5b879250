"""Tree-structured Parzen estimator (Bergstra et al. 2011; multivariate: Falkner et al. 2018): Optuna's."""

import warnings
from collections.abc import Container, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from schemas.distributions import Value
from tuning.oracles.axes import Axis
from tuning.oracles.learner import Learner
from tuning.oracles.rebuilt import Values

# Draws from the density of the good, of which the best is taken.
_CANDIDATES = 48
# Lessons before the densities mean anything: Optuna's own number.
_STARTUP = 10
# Of many lessons the best and the latest are told: Optuna takes at most so many for good, and gives of the
# others the older ones the less weight.
_GOOD, _LATEST = 25, 200

optuna.logging.set_verbosity(optuna.logging.ERROR)


class TpeOracle(Learner):
    """Optuna's sampler, over axes; trials in flight count as bad ones (its constant liar)."""

    def idea(self) -> Values:
        seed = self.next_seed()
        if not len(self.axes):
            return {}
        if len(self.told) < _STARTUP:
            return self.spread_out()
        sampler = _sampler(seed)
        history = self._history()
        study = optuna.create_study(storage=_Rows(history), sampler=sampler)
        now = _frozen(len(history), TrialState.RUNNING, None, {}, {})
        found = sampler.sample_relative(study, now, sampler.infer_relative_search_space(study, now))
        row = np.array([_share(axis, found.get(axis.name)) for axis in self.axes.axes])
        # What no trial has had yet is drawn, with all that its value brings about.
        unseen = [axis.name for axis in self.axes.axes if axis.name not in found]
        values = self.axes.values(row)
        if not unseen:
            return values
        return self.drawn({name: value for name, value in values.items() if name not in unseen})

    def _history(self) -> list[FrozenTrial]:
        """What the sampler is told: the lessons in their order, then what is in flight."""
        running = [(TrialState.RUNNING, None, values) for values in self.in_flight()]
        return self._ended + [self._entry(len(self._ended) + at, *one) for at, one in enumerate(running)]

    @cached_property
    def _ended(self) -> list[FrozenTrial]:
        order = np.argsort(self.losses, kind="stable")
        kept = sorted({*order[:_GOOD].tolist(), *range(max(0, len(order) - _LATEST), len(order))})
        return [
            self._entry(at, TrialState.COMPLETE, float(self.losses[index]), self.told[index].values)
            for at, index in enumerate(kept)
        ]

    def _entry(
        self, number: int, state: TrialState, loss: float | None, values: Mapping[str, Value]
    ) -> FrozenTrial:
        active = [axis for axis in self.axes.axes if axis.name in values]
        params = {axis.name: _place(axis, values[axis.name]) for axis in active}
        distributions = {axis.name: self._distributions[axis.name] for axis in active}
        return _frozen(number, state, loss, params, distributions)

    @cached_property
    def _distributions(self) -> dict[str, BaseDistribution]:
        return {axis.name: _distribution(axis) for axis in self.axes.axes}


class _Rows(InMemoryStorage):
    """A study's trials, just to be read."""

    def __init__(self, trials: list[FrozenTrial]) -> None:
        super().__init__()
        self._rows = trials

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [one for one in self._rows if states is None or one.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """The sampler's note for samplers in other processes; here is none."""


def _sampler(seed: int) -> TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            seed=seed, n_startup_trials=0, n_ei_candidates=_CANDIDATES, multivariate=True, group=True
        )


def _frozen(
    number: int,
    state: TrialState,
    loss: float | None,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:
    return FrozenTrial(number, state, loss, None, None, params, distributions, {}, {}, {}, number)


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.count is None:
        return FloatDistribution(0.0, 1.0)
    if axis.is_ordered:
        return IntDistribution(0, axis.count - 1)
    return CategoricalDistribution(tuple(range(axis.count)))


def _place(axis: Axis, value: Value) -> float | int:
    return axis.share(value) if axis.count is None else axis.index(value)


def _share(axis: Axis, place: Any) -> float:
    """The inverse; the sampler leaves out what has one value only."""
    if place is None:
        return 0.5
    return float(place) if axis.count is None else (place + 0.5) / axis.count
