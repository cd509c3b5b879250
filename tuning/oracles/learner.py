"""What the algorithms have in common that learn from scores and from failures."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from scipy.stats import qmc

from schemas.distributions import Value
from schemas.specs import JobSpec
from schemas.trials import Known
from tuning.oracles.axes import Axes, Flags, Floats
from tuning.oracles.rebuilt import Lesson, RebuiltOracle, Values


class Learner(RebuiltOracle):
    """Its ideas take longer than a draw: few are asked for at one suggestion."""

    attempts = 5

    def __init__(self, spec: JobSpec, earlier: Sequence[Known] = ()) -> None:
        super().__init__(spec, earlier)
        self.axes = Axes(spec.space)

    def spread_out(self) -> Values:
        """A point of a sequence that covers the space evenly (Sobol, scrambled by the seed)."""
        sequence = qmc.Sobol(len(self.axes), rng=self.seed_of("sobol") % 2**32)
        # The attempts at one suggestion go on from its place.
        sequence.fast_forward(self._seed_state - self.seed_of(self.number) + self.number)
        return self.axes.values(sequence.random(1)[0])

    def next_seed(self) -> int:
        """Another seed at each call, in the range that NumPy's older generator takes."""
        self._seed_state += 1
        return int(self._seed_state % 2**32)

    @cached_property
    def told(self) -> list[Lesson]:
        return self.lessons()

    @cached_property
    def rows_told(self) -> Floats:
        """The configurations of the lessons as rows of axes."""
        return self.axes.rows([one.values for one in self.told])

    @cached_property
    def failed(self) -> Flags:
        """Which of the lessons are failures."""
        return np.array([one.loss is None for one in self.told], dtype=bool)

    @cached_property
    def losses(self) -> Floats:
        """The losses, a failure's worse than the worst by as much as all others span."""
        known = [one.loss for one in self.told if one.loss is not None]
        worst = max(known) + max(max(known) - min(known), 1e-6) if known else 1.0
        return np.array([worst if one.loss is None else one.loss for one in self.told], dtype=np.float64)

    def rows_with_gaps(self, configurations: Sequence[Mapping[str, Value]]) -> Floats:
        """Rows of axes, with NaN for what does not exist in a configuration."""
        rows = self.axes.rows(configurations)
        for column, axis in enumerate(self.axes.axes):
            rows[[axis.name not in values for values in configurations], column] = np.nan
        return rows

    @cached_property
    def ordered(self) -> Flags:
        """Which axes have an order."""
        return np.array([axis.is_ordered for axis in self.axes.axes], dtype=bool)
