"""Tree-structured Parzen estimator (Bergstra et al. 2011; multivariate: Falkner et al. 2018)."""

from functools import cached_property

import numpy as np

from tuning.oracles.axes import Floats
from tuning.oracles.learner import Learner
from tuning.oracles.parzen import Density
from tuning.oracles.rebuilt import Values, key_of

_CANDIDATES = 96
_STARTUP = 10
_GOOD_SHARE, _MOST_GOOD = 0.1, 25
_LATEST = 25


class TpeOracle(Learner):
    def choose(self) -> Values | None:
        seed = self.next_seed()
        if not len(self.axes):
            return {}
        if len(self.told) < _STARTUP:
            return self.spread_out()
        rows = self._good.drawn(np.random.default_rng(seed), _CANDIDATES)
        some = [self.axes.values(row) for row in rows] if self._has_conditions else None
        if some is not None:
            rows = self.rows_with_gaps(some)
        worth = self._good.log(rows) - self._bad.log(rows)
        if self.failed.any():
            worth = worth + self._log_chance(rows)
        for index in np.argsort(-worth, kind="stable"):
            values = self.axes.values(rows[index]) if some is None else some[index]
            if key_of(values) not in self._tried:
                return values
        return None

    @cached_property
    def _has_conditions(self):
        return any(one.conditions for one in self.space)

    @cached_property
    def known(self):
        return self.rows_with_gaps([one.values for one in self.told])

    def rows_with_gaps(self, configurations):
        rows = self.axes.rows(configurations)
        if self._has_conditions:
            for column, axis in enumerate(self.axes.axes):
                rows[[axis.name not in values for values in configurations], column] = np.nan
        return rows

    @cached_property
    def _split(self):
        n = len(self.told)
        count = min(int(np.ceil(_GOOD_SHARE * n)), _MOST_GOOD, int((~self.failed).sum()))
        order = np.argsort(self.losses, kind="stable")
        return np.sort(order[:count]), np.sort(order[count:])

    @cached_property
    def _good(self):
        return self._density(self.known[self._split[0]])

    @property
    def _bad(self):
        rows = np.vstack([self.known[self._split[1]], self.rows_with_gaps(self.in_flight())])
        return self._density(rows)

    def _density(self, rows):
        return Density(self.axes.axes, rows, _weights(len(rows)))

    @cached_property
    def _both(self):
        return self._density(self.known[~self.failed]), self._density(self.known[self.failed])

    def _log_chance(self, rows):
        ok, bad = self._both
        a = np.log(max((~self.failed).sum(), 1)) + ok.log(rows)
        b = np.log(self.failed.sum()) + bad.log(rows)
        return -np.logaddexp(0.0, b - a)


def _weights(count):
    if count < _LATEST:
        return np.ones(count)
    return np.concatenate([np.linspace(1 / count, 1.0, count - _LATEST), np.ones(_LATEST)])
