"""Random search: Keras Tuner's, with a memory and an end."""

from keras_tuner.oracles import RandomSearchOracle

from tuning.oracles.rebuilt import RebuiltOracle


class RandomOracle(RebuiltOracle, RandomSearchOracle):  # type: ignore[misc]
    """Draws configurations that were not tried; each from a seed of its own.

    So suggestion ``n`` depends on the seed and on the suggestions before it, not on which process
    makes it or on what runs at the same time.
    """
