"""Random search: Keras Tuner's, with a memory and an end."""

import random
from typing import Any

from keras_tuner.oracles import RandomSearchOracle

from schemas.distributions import Value
from schemas.spaces import points
from tuning.oracles.rebuilt import RebuiltOracle, Status

# Up to this size, what is left of a space is listed once drawing keeps hitting what was tried.
LISTED_SIZE = 100_000


class RandomOracle(RebuiltOracle, RandomSearchOracle):  # type: ignore[misc]
    """Draws configurations that were not tried; each from a seed of its own.

    So suggestion ``n`` depends on the seed and on the suggestions before it, not on which process
    makes it or on what runs at the same time.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        number = len(self.trials)
        self._seed_state = self.seed_of(number)
        values = self._defaults_first() if number == 0 else self._random_values()
        if values is None:
            values = self._one_of_the_rest(number)
        if values is None:
            return {"status": Status.STOPPED, "values": None}
        return {"status": Status.RUNNING, "values": values}

    def _defaults_first(self) -> dict[str, Value] | None:
        """The first trial has the defaults that the spec gives, and random values elsewhere."""
        values: dict[str, Value] | None = self._random_values()
        given = {
            one.name: one.distribution.default for one in self.space if one.distribution.default is not None
        }
        if values is None or not given:
            return values
        return self._completed({**values, **given})

    def _completed(self, values: dict[str, Value]) -> dict[str, Value]:
        """Values for what a default has brought into being, none for what it has ruled out."""
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = {}
        for one in hyperparameters.space:
            if hyperparameters.is_active(one):
                sampled = one.random_sample(self._seed_state)
                hyperparameters.values[one.name] = values.get(one.name, sampled)
                self._seed_state += 1
        completed: dict[str, Value] = hyperparameters.values
        return completed

    def _one_of_the_rest(self, number: int) -> dict[str, Value] | None:
        """Drawing has collided too often: one of what is left, or None if nothing is."""
        size = self.space.size()
        if size is None or size > LISTED_SIZE:
            return None
        tried = {_key(trial.hyperparameters.values) for trial in self.trials.values()}
        rest = [values for values in points(self.space) if _key(values) not in tried]
        return random.Random(self.seed_of(number)).choice(rest) if rest else None


def _key(values: dict[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(values.items()))
