"""Grid search: Keras Tuner's order of combinations, able to go on where any process left it."""

import keras_tuner
from keras_tuner.oracles import GridSearchOracle

from schemas.search import GridSearch
from schemas.specs import JobSpec
from tuning import spaces
from tuning.oracles.rebuilt import RebuiltOracle, Values, key_of


class GridOracle(RebuiltOracle, GridSearchOracle):  # type: ignore[misc]
    """Every combination once, the last hyperparameter moving fastest; each from both ends if asked for.

    Keras Tuner walks a linked list that it does not save, to make room for hyperparameters that
    appear during the search. Here none do, so the next combination follows from the last trial's.
    """

    def declare(self, spec: JobSpec) -> keras_tuner.HyperParameters:
        search = spec.search
        outside_in = isinstance(search, GridSearch) and search.order == "outside_in"
        return spaces.grid_hyperparameters(spec.space, outside_in=outside_in)

    def opening(self) -> list[Values]:
        """Just what is enqueued: the walk begins with the defaults."""
        return super().opening()[: len(self.spec.search.enqueue)]

    def next_values(self) -> Values | None:
        opener = self._first_new(self.openers)
        return self._next_on_the_walk() if opener is None else opener

    def _next_on_the_walk(self) -> Values | None:
        """What follows the last trial that was walked to, without what was tried out of its turn."""
        walked = self.rows[len(self.openers) :]
        values = self._after(dict(walked[-1].hyperparameters)) if walked else dict(self.get_space().values)
        while values is not None and key_of(values) in self._tried:
            values = self._after(values)
        return values

    def _after(self, values: Values) -> Values | None:
        following: Values | None = self._get_next_combination(values)
        return following
