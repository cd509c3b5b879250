"""What the algorithms have in common that learn from scores and from failures."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.stats import qmc

from schemas.distributions import Value
from schemas.specs import JobSpec
from schemas.trials import Known
from tuning.oracles.axes import Axes, Floats
from tuning.oracles.rebuilt import RebuiltOracle, Values

# A configuration is expected to fail when most of so many that are most like it have failed.
_NEIGHBOURS = 3


class Learner(RebuiltOracle):
    """Asks its algorithm for an idea, and again for another while what comes is like what has failed."""

    attempts = 5
    # Ideas that may look as if they would fail before one is taken nevertheless.
    patience: ClassVar[int] = 8

    def __init__(self, spec: JobSpec, earlier: Sequence[Known] = ()) -> None:
        super().__init__(spec, earlier)
        self.axes = Axes(spec.space)

    def idea(self) -> Values:
        """A configuration by the algorithm; from the seed ``_seed_state``, which it moves on."""
        raise NotImplementedError

    def choose(self) -> Values:
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
    def told(self) -> tuple[Floats, Floats]:
        """Rows of axes and losses of all lessons; a failure's loss is NaN."""
        lessons = self.lessons()
        losses = [np.nan if one.loss is None else one.loss for one in lessons]
        return self.axes.rows([one.values for one in lessons]), np.array(losses, dtype=np.float64)

    @cached_property
    def losses(self) -> Floats:
        """The losses, a failure's worse than the worst by as much as all others span."""
        losses = self.told[1]
        known = losses[np.isfinite(losses)]
        worst = known.max() + max(float(np.ptp(known)), 1e-6) if len(known) else 1.0
        filled: Floats = np.where(np.isfinite(losses), losses, worst)
        return filled

    def _looks_failing(self, values: Mapping[str, Value]) -> bool:
        rows, losses = self.told
        failed = ~np.isfinite(losses)
        if not failed.any():
            return False
        apart = self.apart(self.axes.rows([values]), rows)[0]
        nearest = np.argsort(apart, kind="stable")[:_NEIGHBOURS]
        return bool(failed[nearest].sum() * 2 > len(nearest))

    def apart(self, some: Floats, others: Floats) -> Floats:
        """Squared distances, shape (some, others); two values without an order are 1 apart."""
        ordered = np.array([axis.is_ordered for axis in self.axes.axes], dtype=bool)
        gaps: Any = some[:, None, :] - others[None, :, :]
        squares: Floats = np.where(ordered, gaps**2, gaps != 0).sum(axis=2)
        return squares
