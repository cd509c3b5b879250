"""Hyperband (Li et al. 2018): Keras Tuner's brackets, rebuilt from each trial's place in them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_tuner.src.tuners.hyperband import HyperbandOracle as Engine

from schemas.search import HyperbandSearch
from schemas.specs import JobSpec
from schemas.trials import Effort, Suggestion, Trial
from tuning.oracles.rebuilt import (
    Exhausted,
    RebuiltOracle,
    Wait,
    continued,
    may_go_on,
    ranked,
    score_of,
)

Place = tuple[int, int]


class HyperbandOracle(RebuiltOracle, Engine):  # type: ignore[misc]
    """Brackets without end, as long as the plan has a budget.

    A round's trial is promoted as soon as it is certain to be among its best. One that would not get better
    (early stopping or a stopping rule has ended it) keeps its place with the score that it has. A failed one
    is the worst; one that cannot be built is replaced by another draw.

    Keras Tuner writes the places into the hyperparameters, and its rounds wait for ever for what has failed.
    """

    def options(self, spec: JobSpec) -> dict[str, Any]:
        assert isinstance(spec.search, HyperbandSearch)
        epochs = spec.document["training"]["epochs"]
        return {"max_epochs": epochs, "factor": spec.search.factor, "hyperband_iterations": 0}

    def propose(self) -> Suggestion:
        places = self._places()
        brackets = self._get_num_brackets()
        # Those that have begun, in order, and the one after them: the widest first, and again from there.
        for index in range(len(places) + 1):
            place = index // brackets, brackets - 1 - index % brackets
            found = self._in_bracket(place, places.get(place, []))
            if found is not None:
                return found
        if any(not row.state.is_terminal for row in self.rows):
            raise Wait
        raise Exhausted

    def _places(self) -> dict[Place, list[Trial]]:
        """The trials of each bracket, by (iteration, bracket)."""
        places: dict[Place, list[Trial]] = {}
        for row in self.rows:
            stage = row.effort.stage or {}
            if "bracket" in stage:
                places.setdefault((int(stage["iteration"]), int(stage["bracket"])), []).append(row)
        return places

    def _in_bracket(self, place: Place, rows: Sequence[Trial]) -> Suggestion | None:
        """What can be done in a bracket now: another draw, or a promotion."""
        begun = [row for row in rows if _round(row) == 0 and not row.is_infeasible]
        planned = self._get_size(place[1], 0)
        if len(begun) < planned and (values := self.next_values()) is not None:
            return Suggestion(values, Effort(self._until(place[1], 0), stage=_stage(place, 0)))
        members, size = begun, len(begun)
        for number in range(1, place[1] + 1):
            # A space may be through before the bracket is full: then its rounds are as much smaller.
            share = len(begun) / planned
            following = min(size, math.ceil(share * self._get_size(place[1], number)))
            above = {_origin(row): row for row in rows if _round(row) == number}
            best, members = self._climbed(members, above, size, following)
            if best is not None:
                return self._promotion(best, place, number)
            size = following
        return None

    def _climbed(
        self, members: Sequence[Trial], above: Mapping[int, Trial], size: int, following: int
    ) -> tuple[Trial | None, list[Trial]]:
        """The trial to promote now, if there is one; and what is in the next round already.

        Of ``size`` trials ``following`` go on. Once more have ended than will be left behind, the best of
        them is sure of its place, whatever the others come to.
        """
        taken = [above[one.number] for one in members if one.number in above]
        ended = [one for one in members if one.state.is_terminal and one.number not in above]
        scored = ranked(self.spec, ended)
        waiting = [*scored, *(one for one in ended if score_of(one) is None)]
        while len(taken) < following and len(waiting) > size - following:
            best = waiting.pop(0)
            if score_of(best) is not None and may_go_on(best):
                return best, taken
            # More epochs would be no better, or it has failed: the result that it has takes the place.
            taken.append(best)
        return None, taken

    def _promotion(self, best: Trial, place: Place, number: int) -> Suggestion:
        until = self._until(place[1], number)
        return Suggestion(best.hyperparameters, continued(self.spec, best, until, _stage(place, number)))

    def _until(self, bracket: int, number: int) -> int | None:
        """The last epoch of a round; None where that is the recipe's: such a trial is a whole one."""
        epochs: int = self._get_epochs(bracket, number)
        return epochs if epochs < self.max_epochs else None


def _stage(place: Place, number: int) -> dict[str, int | str]:
    return {"iteration": place[0], "bracket": place[1], "round": number}


def _round(row: Trial) -> int:
    return int((row.effort.stage or {})["round"])


def _origin(row: Trial) -> int:
    """The trial that was promoted to this one."""
    if row.effort.parent is not None:
        return row.effort.parent
    return int((row.effort.stage or {}).get("promoted_from", -1))
