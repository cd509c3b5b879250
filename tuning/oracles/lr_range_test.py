"""The learning-rate range test (Smith 2017), and a search inside the range that it finds."""

from dataclasses import replace

from schemas.distributions import Choice, Distribution, FloatRange
from schemas.search import RangeTest
from schemas.searching import LEARNING_RATE
from schemas.spaces import Space
from schemas.states import StopReason
from schemas.trials import Effort, Suggestion, Trial
from tuning.oracles.rebuilt import Exhausted, RebuiltOracle, Wait, restored
from tuning.oracles.searches import SEARCHES

STAGE = {"name": "range_test"}


class RangeTestOracle(RebuiltOracle):
    """One trial for the test; what follows is another algorithm's, over fewer learning rates."""

    def propose(self) -> Suggestion:
        if not self.rows:
            self._seed_state = self.seed_of(0)
            return Suggestion(self.drawn(self.defaults), Effort(stage=STAGE))
        search = self.spec.search
        if not isinstance(search, RangeTest) or search.then is None:
            raise Exhausted(StopReason.COMPLETED)
        if not self.rows[0].state.is_terminal:
            raise Wait
        spec = replace(self.spec, search=search.then, space=narrowed(self.space, self.rows[0]))
        return restored(SEARCHES[search.then.algorithm](spec, self.earlier), self.rows[1:]).propose()


def narrowed(space: Space, test: Trial) -> Space:
    """The space with the learning rates that the test suggests; as it is if it suggests none of them."""
    found = (test.range_test or {}).get("suggested")
    if not found:
        return space
    return Space(
        tuple(
            replace(one, distribution=_within(one.distribution, found["min"], found["max"]))
            if one.name == LEARNING_RATE and isinstance(one.distribution, FloatRange)
            else one
            for one in space
        )
    )


def _within(given: FloatRange, low: float, high: float) -> Distribution:
    """The part of a range that the test suggests, on its own steps if it has any."""
    if given.step is not None:
        steps = [value for value in given.grid_values() if low <= float(value) <= high]
        return Choice(None, given.when, steps, True, otherwise=given.otherwise) if steps else given
    low, high = max(low, given.min), min(high, given.max)
    if not 0 < low < high:
        return given
    kept = given.default if given.default is not None and low <= float(given.default) <= high else None
    return replace(given, min=low, max=high, sampling="log", default=kept)
