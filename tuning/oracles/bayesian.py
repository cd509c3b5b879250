"""Bayesian optimization: Keras Tuner's oracle around a Gaussian process of our own.

Expected improvement (Jones et al. 1998), weighted with the probability that the configuration can be trained
at all (Gardner et al. 2014). Keras Tuner fits a process with one length scale for all hyperparameters and starts
fifty searches for its lower bound, one point at a time: seconds a suggestion, and often one that was tried.
"""

from functools import cached_property

import numpy as np
from keras_tuner.src.tuners.bayesian import BayesianOptimizationOracle
from scipy.special import log_ndtr
from scipy.stats import qmc

from tuning.oracles.axes import Floats
from tuning.oracles.gaussian import Process, fitted
from tuning.oracles.learner import Learner
from tuning.oracles.rebuilt import Values, key_of

# Points that the length scales are fitted to, and that the process knows, at most.
_FITTED, _KNOWN = 120, 400
# Rows that are looked at: at random, and around the best in so many rounds, ever closer.
_SPREAD, _PARENTS, _CHILDREN = 800, 8, 24
_STEPS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.004)
# A space with no more points than this is looked at whole.
_WHOLE = 2_000


class BayesianOracle(Learner, BayesianOptimizationOracle):  # type: ignore[misc]
    """Trials in flight count with the score that the process expects of them."""

    def choose(self) -> Values | None:
        seed = self.next_seed()
        if not len(self.axes):
            return {}
        if self._is_starting:
            return self._spread_out()
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

    def _spread_out(self) -> Values:
        """A point of a sequence that covers the space evenly (Sobol, scrambled by the seed)."""
        sequence = qmc.Sobol(len(self.axes), rng=self.seed_of("sobol") % 2**32)
        sequence.fast_forward(self._seed_state - self.seed_of(self.number) - 1 + self.number)
        return self.axes.values(sequence.random(1)[0])
