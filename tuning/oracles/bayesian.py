"""Bayesian optimization: Keras Tuner's oracle around a Gaussian process of our own.

Expected improvement (Jones et al. 1998), weighted with the probability that the configuration can be
trained at all (Gardner et al. 2014). Keras Tuner fits a process with one length scale for all
hyperparameters and starts fifty searches for its lower bound, one point at a time: seconds a suggestion,
and often one that was tried.
"""

from functools import cache, cached_property

import numpy as np
from keras_tuner.src.tuners.bayesian import BayesianOptimizationOracle
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri
from threadpoolctl import ThreadpoolController

from tuning.oracles.axes import Floats
from tuning.oracles.gaussian import Process, fitted
from tuning.oracles.learner import Learner
from tuning.oracles.rebuilt import Values, key_of

# Points that the length scales are fitted to, and that the process knows, at most.
_FITTED, _KNOWN = 100, 300
# Rows that are looked at: at random, and around the best in so many rounds, ever closer.
_SPREAD, _PARENTS, _CHILDREN = 800, 8, 24
_STEPS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.004)
# How unsure a chance of being trainable is where it was seen.
_DOUBT = 0.05
# Below this chance a configuration is suggested only where there is no other.
_LIKELY, _LOST = 0.8, -1_000.0
# A space with no more points than this is looked at whole.
_WHOLE = 2_000


class BayesianOracle(Learner, BayesianOptimizationOracle):  # type: ignore[misc]
    """Trials in flight count with the score that the process expects of them."""

    def choose(self) -> Values | None:
        seed = self.next_seed()
        if not len(self.axes):
            return {}
        if self._is_starting:
            return self.spread_out()
        # On small matrices more threads only wait for each other.
        with _threads().limit(limits=1, user_api="blas"):
            self._model()
            rows = self._candidates(np.random.default_rng(seed))
            worth = self._worth(rows)
        for index in np.argsort(-worth, kind="stable"):
            values = self.axes.values(rows[index])
            if key_of(values) not in self._tried:
                return values
        return None

    @property
    def _is_starting(self) -> bool:
        """Whether too little is known to be modelled."""
        return len(self.losses) < min(2 + len(self.axes), 8)

    def _candidates(self, random: np.random.Generator) -> Floats:
        """Rows of configurations, each nearer to what looks best than those before; small spaces whole."""
        size = self.space.size()
        if size is not None and size <= _WHOLE:
            return self.axes.rows(self.rest())
        spread = self.axes.snapped(random.random((_SPREAD, len(self.axes))))
        best = self.rows_told[np.argsort(self.losses, kind="stable")[:_PARENTS]]
        rows = np.vstack([spread, self.axes.snapped(best)])
        worth = self._worth(rows)
        for step in _STEPS:
            chosen = np.argsort(-worth, kind="stable")[:_PARENTS]
            parents = np.repeat(rows[chosen], _CHILDREN, axis=0)
            children = self.axes.snapped(self._moved(parents, step, random))
            rows, worth = np.vstack([rows, children]), np.concatenate([worth, self._worth(children)])
        return rows

    def _moved(self, rows: Floats, step: float, random: np.random.Generator) -> Floats:
        """Rows changed in some of their axes: by a step, or to any value where there is no order."""
        share = max(1 / rows.shape[1], 0.4)
        changed = random.random(rows.shape) < share
        changed[np.arange(len(rows)), random.integers(0, rows.shape[1], len(rows))] = True
        steps = np.maximum(step, 0.75 * self._parts)
        near = np.clip(rows + random.normal(size=rows.shape) * steps, 0.0, 1.0)
        anywhere = random.random(rows.shape)
        return np.where(changed, np.where(self.ordered, near, anywhere), rows)

    @cached_property
    def _parts(self) -> Floats:
        """The length of a value's part of each axis; 0 where there is no end to them."""
        counts = [axis.distribution.count() for axis in self.axes.axes]
        return np.array([1 / count if count else 0.0 for count in counts])

    def _worth(self, rows: Floats) -> Floats:
        """The logarithm of the improvement to expect of rows, times the chance that they can be trained."""
        points, worth = self._columns(rows), np.zeros(len(rows))
        if self._objective is not None:
            mean, deviation = self._objective.at(points)
            best = self._objective.values.min()
            worth += log_improvement((best - mean) / deviation) + np.log(deviation)
        if self._feasible is not None:
            mean, deviation = self._feasible.at(points)
            chance = log_ndtr(mean / np.sqrt(deviation**2 + _DOUBT))
            # However good it might be: of the likely failures the least likely.
            worth += np.where(chance < np.log(_LIKELY), _LOST + 10 * chance, chance)
        return worth

    def _model(self) -> None:
        """The processes, with what is in flight as they expect it."""
        running = self._columns(self.axes.rows(self.in_flight()))
        objective, feasible = self._fitted
        self._objective = None if objective is None else objective.believing(running)
        self._feasible = None if feasible is None else feasible.believing(running)

    @cached_property
    def _fitted(self) -> tuple[Process | None, Process | None]:
        """Of the losses, and of whether there is one (1) or a failure (-1)."""
        rows, scored = self.rows_told, ~self.failed
        objective = self._process(rows[scored], warped(self.losses[scored])) if scored.any() else None
        if scored.all():
            return objective, None
        return objective, self._process(rows, np.where(scored, 1.0, -1.0))

    def _process(self, rows: Floats, values: Floats) -> Process:
        points, best = self._columns(rows), np.argsort(values, kind="stable")
        known = np.sort(_best_and_latest(best, _KNOWN))
        fit = np.sort(_best_and_latest(best, _FITTED))
        return Process(fitted(points[fit], values[fit], self._groups), points[known], values[known])

    def _columns(self, rows: Floats) -> Floats:
        """Rows with a column for each value without an order, two of which are 1 apart."""
        columns = [
            rows[:, [index]] if axis.is_ordered else _one_hot(rows[:, index], axis.count or 1)
            for index, axis in enumerate(self.axes.axes)
        ]
        return np.hstack(columns)

    @cached_property
    def _groups(self) -> NDArray[np.int_]:
        """The axis of each column."""
        widths = [1 if axis.is_ordered else axis.count or 1 for axis in self.axes.axes]
        return np.repeat(np.arange(len(widths)), widths)


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def log_improvement(z: Floats) -> Floats:
    """log(z cdf(z) + pdf(z)), where the expected improvement itself would be 0 too (Ament et al. 2023)."""
    density = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    near = np.maximum(z, -25.0)
    ratio = np.exp(log_ndtr(near) - (-0.5 * near**2 - 0.5 * np.log(2 * np.pi)))
    usual = density + np.log(np.maximum(1 + near * ratio, 1e-300))
    # 1 + z ratio(z) is 1/z^2 far out, where subtraction leaves nothing of it.
    far: Floats = np.where(z < -25.0, density - 2 * np.log(np.abs(np.minimum(z, -25.0))), usual)
    return far


def warped(losses: Floats) -> Floats:
    """Of mean 0 and deviation 1; the worse half by its ranks, lest a diverged training flatten the rest.

    The half-rank warping of Google Vizier (Song et al. 2024).
    """
    middle = float(np.median(losses))
    worse = losses > middle
    spread = float(np.sqrt(((losses[~worse] - middle) ** 2).mean())) or 1.0
    ranks = np.searchsorted(np.unique(losses[worse]), losses) + 1
    share = 0.5 + 0.5 * ranks / (len(np.unique(losses[worse])) + 1)
    moved = np.where(worse, middle + spread * ndtri(np.clip(share, 0.5, 1 - 1e-9)), losses)
    deviation = float(moved.std())
    standard: Floats = (moved - moved.mean()) / (deviation or 1.0)
    return standard


def _best_and_latest(order: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    """Half of ``count`` places from the best, half from the latest."""
    if len(order) <= count:
        return order
    best = order[: count // 2]
    latest = np.setdiff1d(np.arange(len(order)), best)[-(count - len(best)) :]
    return np.concatenate([best, latest])


def _one_hot(shares: Floats, count: int) -> Floats:
    indices = np.minimum((shares * count).astype(int), count - 1)
    hot: Floats = np.eye(count)[indices] / np.sqrt(2)
    return hot
