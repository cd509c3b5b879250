"""Tree-structured Parzen estimator (Bergstra et al. 2011; multivariate: Falkner et al. 2018).

The densities of the best configurations and of all others say how likely one is to be good. That is
multiplied with the chance that it can be trained at all, estimated likewise (Watanabe and Hutter 2023).

Optuna's sampler has a study, and to rebuild that for each suggestion takes longer than the suggestion. The
densities are Optuna's but for the width of their kernels: see `parzen`.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tuning.oracles.axes import Axis, Floats
from tuning.oracles.learner import Learner
from tuning.oracles.parzen import Density
from tuning.oracles.rebuilt import Values, key_of

# Lessons before the densities mean anything: Optuna's own number.
_STARTUP = 10
# So many draws from the density of the good, of which the best is taken.
_CANDIDATES = 96
# The share that is good, and their number at most: Optuna's own.
_GOOD_SHARE, _MOST_GOOD = 0.1, 25
# The latest lessons have their full weight, older ones ever less; before these only the good are known.
_LATEST, _KNOWN = 25, 400


class TpeOracle(Learner):
    """Trials in flight count as bad ones, lest others be suggested beside them."""

    def choose(self) -> Values | None:
        seed = self.next_seed()
        if not len(self.axes):
            return {}
        if len(self.told) < _STARTUP:
            return self.spread_out()
        quality, trainable = self._quality, self._trainable
        rows = self._existing(quality.some.drawn(np.random.default_rng(seed), _CANDIDATES))
        worth = quality.log_chance(rows)
        if trainable is not None:
            worth += trainable.log_chance(rows)
        return self._first_untried(rows[np.argsort(-worth, kind="stable")])

    def _first_untried(self, rows: Floats) -> Values | None:
        for row in rows:
            values = self.axes.values(np.nan_to_num(row, nan=0.5))
            if key_of(values) not in self._tried:
                return values
        return None

    def _existing(self, rows: Floats) -> Floats:
        """Rows with NaN for what does not exist by their other values."""
        if not any(one.conditions for one in self.space):
            return rows
        return self.rows_with_gaps([self.axes.values(row) for row in rows])

    @property
    def _quality(self) -> "_Kinds":
        """The good, and what is not or is still in flight."""
        good = np.isin(self._kept, self._good)
        bad = np.vstack([self._rows[~good], self.rows_with_gaps(self.in_flight())])
        return _Kinds(self.axes.axes, self._rows[good], bad)

    @cached_property
    def _trainable(self) -> "_Kinds | None":
        """What could be trained, and what failed."""
        failed = self.failed[self._kept]
        return _Kinds(self.axes.axes, self._rows[~failed], self._rows[failed]) if failed.any() else None

    @cached_property
    def _good(self) -> NDArray[np.int_]:
        """Places among the lessons."""
        count = min(math.ceil(_GOOD_SHARE * len(self.told)), _MOST_GOOD, int((~self.failed).sum()))
        return np.argsort(self.losses, kind="stable")[:count]

    @cached_property
    def _kept(self) -> NDArray[np.int_]:
        """In the lessons' order."""
        others = np.setdiff1d(np.arange(len(self.told)), self._good)
        return np.union1d(self._good, others[-_KNOWN:])

    @cached_property
    def _rows(self) -> Floats:
        return self.rows_with_gaps([self.told[place].values for place in self._kept])


class _Kinds:
    """Two kinds of configurations, ``some`` and ``others``."""

    def __init__(self, axes: Sequence[Axis], some: Floats, others: Floats) -> None:
        self.some, self.others = (Density(axes, rows, _weights(len(rows))) for rows in (some, others))
        # Each density has a kernel that is nobody's.
        self._log_odds = math.log((len(others) + 1) / (len(some) + 1))

    def log_chance(self, rows: Floats) -> Floats:
        """The logarithm of the chance that rows are of the first kind."""
        odds = self._log_odds + self.others.log(rows) - self.some.log(rows)
        chance: Floats = -np.logaddexp(0.0, odds)
        return chance


def _weights(count: int) -> Floats:
    """Optuna's: the older, the less, but for the latest."""
    older = max(count - _LATEST, 0)
    return np.append(np.linspace(1 / max(count, 1), 1.0, older), np.ones(count - older))
