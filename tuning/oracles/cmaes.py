"""Covariance matrix adaptation (Hansen 2016): the `cmaes` package, which is inside Optuna's sampler too.

Optuna keeps the strategy's state, pickled, in its trials. Here it is made again from the scores.
"""

from functools import cached_property

import numpy as np
from cmaes import CMA

from tuning.oracles.axes import Floats
from tuning.oracles.learner import Learner
from tuning.oracles.rebuilt import Values

# The first generation covers the middle of every axis, and can reach its ends.
_SIGMA = 0.25


class CmaesOracle(Learner):
    """An evolution strategy over the ordered axes; the others are drawn at random.

    Lessons make up the generations in their order, whichever generation they were drawn for: what is
    enqueued, what ends late and what other jobs have found teaches like all else.
    """

    def idea(self) -> Values:
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
        points = self.rows_told[:, self.ordered].copy()
        names = [axis.name for axis in self.axes.axes if axis.is_ordered]
        for column, name in enumerate(names):
            points[[name not in lesson.values for lesson in self.told], column] = np.nan
        return points


def _begun(mean: Floats) -> CMA:
    bounds = np.tile([0.0, 1.0], (len(mean), 1))
    return CMA(mean=mean, sigma=_SIGMA, bounds=bounds, seed=0)
