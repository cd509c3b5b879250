"""Covariance matrix adaptation (Hansen 2016): the `cmaes` package, which is inside Optuna's sampler too.

Optuna keeps the strategy's state, pickled, in its trials. Here it is made again from the scores.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from cmaes import CMA

from schemas.distributions import Value
from tuning.oracles.axes import Floats
from tuning.oracles.learner import Learner
from tuning.oracles.rebuilt import Values

# Optuna's own: the first generation is around the middle of every axis.
_SIGMA = 1 / 6
# A configuration is expected to fail when the one most like it has, or as many as this of the five most like
# it: what is good is often next to what is too large.
_NEIGHBOURS, _TOO_MANY = 5, 2
# Ideas that may look as if they would fail before one is taken nevertheless.
_PATIENCE = 12


class CmaesOracle(Learner):
    """An evolution strategy over the ordered axes; the others are drawn at random.

    Lessons make up the generations in their order, whichever generation they were drawn for: what is
    enqueued, what ends late and what other jobs have found teaches like all else.
    """

    def choose(self) -> Values:
        if self.told and self.failed.all():
            # No loss says yet where to go.
            self.next_seed()
            return self.spread_out()
        for _ in range(_PATIENCE):
            idea = self._idea()
            if not self._looks_failing(idea):
                break
        return idea

    def _idea(self) -> Values:
        row = np.random.default_rng(self.next_seed()).random(len(self.axes))
        if self.ordered.any():
            row[self.ordered] = self._asked()
        return self.axes.values(row)

    def _asked(self) -> Floats:
        self._strategy.reseed_rng(self.next_seed())
        found: Floats = self._strategy.ask()
        return found

    @cached_property
    def _strategy(self) -> CMA:
        """The strategy after all whole generations; where one has come to rest, it begins again elsewhere."""
        dimensions = int(self.ordered.sum())
        strategy, points = _begun(np.full(dimensions, 0.5)), self._points()
        size = strategy.population_size
        for first in range(0, len(points) - size + 1, size):
            generation = slice(first, first + size)
            told = np.where(np.isnan(points[generation]), strategy.mean, points[generation])
            strategy.tell(list(zip(told, self.losses[generation].tolist(), strict=True)))
            if strategy.should_stop():
                strategy = _begun(np.random.default_rng(self.seed_of(first)).random(dimensions))
        return strategy

    def _points(self) -> Floats:
        """The ordered axes of all lessons; NaN for what is not active, which is told as the mean."""
        return self.rows_with_gaps([one.values for one in self.told])[:, self.ordered]

    def _looks_failing(self, values: Mapping[str, Value]) -> bool:
        if not self.failed.any():
            return False
        gaps = self.axes.rows([values]) - self.rows_told
        # Two values without an order are 1 apart.
        apart = np.where(self.ordered, gaps**2, gaps != 0).sum(axis=1)
        nearest = np.argsort(apart, kind="stable")[:_NEIGHBOURS]
        return bool(self.failed[nearest[0]] or self.failed[nearest].sum() >= _TOO_MANY)


def _begun(mean: Floats) -> CMA:
    bounds = np.tile([0.0, 1.0], (len(mean), 1))
    return CMA(mean=mean, sigma=_SIGMA, bounds=bounds, seed=0)
