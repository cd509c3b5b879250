"""From coarse to fine: short trials in the whole space, then full ones in a narrow space around the best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from schemas.distributions import Choice, Distribution, FloatRange, IntRange, Value
from schemas.recipe import filled
from schemas.search import CoarseToFineSearch, GridSearch, RandomSearch, Search
from schemas.spaces import Hyperparameter, Space
from schemas.specs import JobSpec
from schemas.trials import Effort, Known, Suggestion, Trial
from tuning.oracles.axes import Axis
from tuning.oracles.grid import GridOracle
from tuning.oracles.random import RandomOracle
from tuning.oracles.rebuilt import (
    Exhausted,
    RebuiltOracle,
    Values,
    Wait,
    continued,
    key_of,
    may_go_on,
    ranked,
    restored,
)

COARSE, FINE = {"name": "coarse"}, {"name": "fine"}
# Up to so many integers a narrowed grid takes each of them.
_FEW = 5


class CoarseToFineOracle(RebuiltOracle):
    """Stage 1 by one algorithm with part of the epochs and data; its best go on; stage 2 narrows the space.

    Which stage it is follows from the rows: the coarse ones say so in their effort.
    """

    def __init__(self, spec: JobSpec, earlier: Sequence[Known] = ()) -> None:
        super().__init__(spec, earlier)
        assert isinstance(spec.search, CoarseToFineSearch)
        self._coarse, self._fine = spec.search.coarse, spec.search.fine

    def propose(self) -> Suggestion:
        coarse = [row for row in self.rows if _stage(row) == "coarse"]
        if sum(not row.is_infeasible for row in coarse) < self._coarse_trials:
            try:
                return self._coarse_suggestion(coarse)
            except Exhausted:
                pass
        if any(not row.state.is_terminal for row in coarse):
            raise Wait
        best = ranked(self.spec, coarse)
        promoted = self._promotion(best)
        return self._fine_suggestion(coarse, best[:1]) if promoted is None else promoted

    @property
    def _coarse_trials(self) -> int:
        search = self.spec.search
        assert isinstance(search, CoarseToFineSearch)
        return search.coarse_trials(self.spec.budget.max_trials)

    def _coarse_suggestion(self, coarse: Sequence[Trial]) -> Suggestion:
        algorithm = _search(self._coarse.algorithm, self.spec.search)
        oracle = restored(_oracle(replace(self.spec, search=algorithm)), coarse)
        values = dict(oracle.propose().values)
        return Suggestion(values, self._coarse_effort(values))

    def _coarse_effort(self, values: Values) -> Effort:
        return Effort(self._coarse_until(values), self._coarse.data, stage=COARSE)

    def _coarse_until(self, values: Values) -> int | None:
        """The last epoch of a coarse trial; None for as many as the recipe has."""
        every = int(filled(self.spec.document["training"]["epochs"], values, "training.epochs"))
        until = max(1, math.ceil(self._coarse.epochs * every))
        return until if until < every else None

    def _promotion(self, best: Sequence[Trial]) -> Suggestion | None:
        """The next of the best coarse trials that are to go on."""
        done = {key_of(row.hyperparameters) for row in self.rows if _is_whole(row)}
        for row in best[: self._fine.promote]:
            if key_of(row.hyperparameters) not in done:
                return self._going_on(row)
        return None

    def _going_on(self, row: Trial) -> Suggestion:
        if not may_go_on(row) or self._coarse_until(dict(row.hyperparameters)) is None:
            # Nothing can be gone on with: it was ended early, or has had all epochs, though not all images.
            return Suggestion(row.hyperparameters, Effort(stage={**FINE, "promoted_from": row.number}))
        return Suggestion(row.hyperparameters, continued(self.spec, row, None, FINE))

    def _fine_suggestion(self, coarse: Sequence[Trial], best: Sequence[Trial]) -> Suggestion:
        """Of the narrow space what had no whole training; where a coarse trial had a part of it, the rest."""
        space = self.space
        for row in best:
            space = narrowed(space, row.hyperparameters, self._fine.width, self._fine.algorithm == "grid")
        search = replace(_search(self._fine.algorithm, self.spec.search), enqueue=())
        oracle = _oracle(replace(self.spec, search=search, space=_without_defaults(space)))
        oracle.behind = len(self.rows)
        for row in self.rows:
            if _is_whole(row):
                oracle.pass_over(row.hyperparameters)
        values = dict(oracle.propose().values)
        begun = {key_of(row.hyperparameters): row for row in ranked(self.spec, coarse)}.get(key_of(values))
        return Suggestion(values, Effort(stage=FINE)) if begun is None else self._going_on(begun)


def _stage(row: Trial) -> str:
    return str((row.effort.stage or {}).get("name"))


def _is_whole(row: Trial) -> bool:
    """Whether it had all epochs and images, or has them still."""
    return row.effort.until_epoch is None and row.effort.data_share == 1.0


def _search(algorithm: str, above: Search) -> Search:
    common = {"stopping": above.stopping, "warm_start": above.warm_start, "reuse": above.reuse}
    if algorithm == "grid":
        return GridSearch(enqueue=above.enqueue, order="row_major", **common)  # type: ignore[arg-type]
    return RandomSearch(enqueue=above.enqueue, **common)  # type: ignore[arg-type]


def _oracle(spec: JobSpec) -> RebuiltOracle:
    return GridOracle(spec) if isinstance(spec.search, GridSearch) else RandomOracle(spec)


def _without_defaults(space: Space) -> Space:
    """The coarse stage has begun with the defaults; in a narrow grid the order is that of the values."""
    bare = (replace(one, distribution=replace(one.distribution, default=None)) for one in space)
    return Space(tuple(bare))


def narrowed(space: Space, best: Mapping[str, Value], width: float, for_grid: bool) -> Space:
    """The part of a space around a configuration: of each range the share ``width``, by its sampling.

    Steps are kept, and at least the neighbours of the best value are in. Without an order nothing is near:
    a random search keeps all values, a grid just the best. What does not exist in ``best`` is kept whole.
    """

    def around(one: Hyperparameter) -> Hyperparameter:
        if one.name not in best:
            return one
        axis = Axis(one.name, one.distribution)
        return replace(one, distribution=_around(axis, best[one.name], width, for_grid))

    return Space(tuple(around(one) for one in space))


def _around(axis: Axis, best: Value, width: float, for_grid: bool) -> Distribution:
    given = axis.distribution
    if not axis.is_ordered:
        return _choice(given, [best]) if for_grid else given
    centre = axis.share(best)
    low, high = max(0.0, centre - width / 2), min(1.0, centre + width / 2)
    if isinstance(given, FloatRange) and given.step is None:
        ends = axis.value(low), axis.value(high)
        if for_grid:
            return _choice(given, sorted({ends[0], best, ends[1]}, key=float))
        return replace(given, min=float(ends[0]), max=float(ends[1]), default=None)
    if isinstance(given, IntRange) and given.step is None:
        return _around_integer(given, axis, int(best), (low, high), for_grid)
    return _choice(given, _near(given.grid_values(), best, (low, high)))


def _around_integer(
    given: IntRange, axis: Axis, best: int, ends: tuple[float, float], for_grid: bool
) -> Distribution:
    low = max(min(int(axis.value(ends[0])), best - 1), int(given.min))
    high = min(max(int(axis.value(ends[1])), best + 1), int(given.max))
    if not for_grid:
        return replace(given, min=low, max=high, default=None)
    return _choice(given, list(range(low, high + 1)) if high - low < _FEW else sorted({low, best, high}))


def _near(values: Sequence[Value], best: Value, ends: tuple[float, float]) -> list[Value]:
    """The values between two shares of their row, the best and its neighbours among them."""
    index = min(range(len(values)), key=lambda at: values[at] != best)
    first = min(math.ceil(ends[0] * len(values) - 0.5), index - 1)
    last = max(math.floor(ends[1] * len(values) - 0.5), index + 1)
    return list(values[max(first, 0) : last + 1])


def _choice(given: Distribution, values: list[Value]) -> Choice:
    ordered = not isinstance(values[0], (str, bool))
    return Choice(None, given.when, values, ordered, otherwise=given.otherwise)
