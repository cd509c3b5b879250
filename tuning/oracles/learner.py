"""What the algorithms have in common that learn from scores and from failures."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.stats import qmc

from schemas.distributions import Value
from schemas.specs import JobSpec
from schemas.trials import Known
from tuning.oracles.axes import Axes, Flags, Floats
from tuning.oracles.rebuilt import Lesson, RebuiltOracle, Values

# A configuration is expected to fail when the one most like it has, or as many as this of the five most like
# it: what is good is often next to what is too large.
_NEIGHBOURS, _TOO_MANY = 5, 2


class Learner(RebuiltOracle):
    """Asks its algorithm for an idea, and again for another while what comes is like what has failed."""

    attempts = 5
    # Ideas that may look as if they would fail before one is taken nevertheless.
    patience: ClassVar[int] = 12

    def __init__(self, spec: JobSpec, earlier: Sequence[Known] = ()) -> None:
        super().__init__(spec, earlier)
        self.axes = Axes(spec.space)

    def idea(self) -> Values:
        """A configuration by the algorithm; from the seed ``_seed_state``, which it moves on."""
        raise NotImplementedError

    def choose(self) -> Values | None:
        for _ in range(self.patience):
            idea = self.idea()
            if not self._looks_failing(idea):
                break
        return idea

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

    def _looks_failing(self, values: Mapping[str, Value]) -> bool:
        if not self.failed.any():
            return False
        apart = self.apart(self.axes.rows([values]), self.rows_told)[0]
        nearest = np.argsort(apart, kind="stable")[:_NEIGHBOURS]
        return bool(self.failed[nearest[0]] or self.failed[nearest].sum() >= _TOO_MANY)

    @cached_property
    def ordered(self) -> Flags:
        """Which axes have an order."""
        return np.array([axis.is_ordered for axis in self.axes.axes], dtype=bool)

    def apart(self, some: Floats, others: Floats) -> Floats:
        """Squared distances, shape (some, others); two values without an order are 1 apart."""
        gaps: Any = some[:, None, :] - others[None, :, :]
        squares: Floats = np.where(self.ordered, gaps**2, gaps != 0).sum(axis=2)
        return squares
