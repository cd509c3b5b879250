"""Grid search: Keras Tuner's order of combinations, able to go on where any process left it."""

from typing import Any

import keras_tuner
from keras_tuner.oracles import GridSearchOracle

from schemas.specs import JobSpec
from tuning import spaces
from tuning.oracles.rebuilt import RebuiltOracle, Status


class GridOracle(RebuiltOracle, GridSearchOracle):  # type: ignore[misc]
    """Every combination once, the last hyperparameter moving fastest; each from both ends if asked for.

    Keras Tuner walks a linked list that it does not save, to make room for hyperparameters that
    appear during the search. Here none do, so the next combination follows from the last trial's.
    """

    def declare(self, spec: JobSpec) -> keras_tuner.HyperParameters:
        return spaces.grid_hyperparameters(spec.space, outside_in=spec.search.order == "outside_in")

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not self.start_order:
            values = self.get_space().values
        else:
            last = self.trials[self.start_order[-1]].hyperparameters.values
            values = self._get_next_combination(last)
        if values is None:
            return {"status": Status.STOPPED, "values": None}
        return {"status": Status.RUNNING, "values": values}
