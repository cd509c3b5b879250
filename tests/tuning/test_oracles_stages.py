"""What the algorithms promise that work in stages: hyperband, coarse_to_fine and lr_range_test."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from schemas.knowledge import known_from
from schemas.specs import JobSpec
from schemas.states import StopReason, TrialState
from schemas.trials import Effort, Trial
from tests.tuning.makers import new_spec
from tests.tuning.searching import Values, ended, key_of, searched, trial_of
from tuning import oracles
from tuning.oracles import Exhausted, Wait

OPEN: dict[str, dict[str, Any]] = {
    "model": {
        "filters": {"type": "int", "min": 1, "max": 64},
        "dropout": {"type": "float", "min": 0.0, "max": 0.8},
        "activation": {"type": "choice", "values": ["relu", "tanh"]},
    },
    "training": {"learning_rate": {"type": "float", "min": 1e-5, "max": 1.0, "sampling": "log"}},
}
FAILED = {"state": TrialState.FAILED, "error": {"code": "internal", "message": ""}}
BROKEN = {"state": TrialState.FAILED, "error": {"code": "infeasible_model", "message": ""}}
CANCELLED = {"state": TrialState.CANCELLED}


def _spec(search: dict[str, Any], epochs: int = 9, max_trials: int = 40, **changes: Any) -> JobSpec:
    space = changes.pop("space", OPEN)
    training = {**space.get("training", {}), "epochs": epochs}
    return new_spec(space.get("model"), training, max_trials=max_trials, search=search, **changes)


def _by_dropout(number: int, values: Values) -> dict[str, Any]:
    return {"score": float(values["model.dropout"])}


def _stages(trials: list[Trial], name: str) -> Counter[Any]:
    return Counter((trial.effort.stage or {}).get(name) for trial in trials)


class TestHyperband:
    SEARCH: dict[str, Any] = {"algorithm": "hyperband"}

    def _first_bracket(self, trials: list[Trial]) -> list[Trial]:
        return [trial for trial in trials if _place(trial) == (0, 2)]

    @pytest.mark.parametrize("parallel", [1, 4])
    def test_of_each_round_the_best_go_on(self, parallel: int) -> None:
        trials = searched(_spec(self.SEARCH), 30, _by_dropout, parallel)
        bracket = self._first_bracket(trials)
        rounds = [[one for one in bracket if _round(one) == number] for number in range(3)]
        assert [len(one) for one in rounds] == [9, 3, 1]
        assert [{one.effort.until_epoch for one in some} for some in rounds] == [{1}, {3}, {None}]
        for lower, upper in pairwise(rounds):
            best = sorted(lower, key=lambda one: -float(one.score or 0))[: len(upper)]
            assert {one.effort.parent for one in upper} == {one.number for one in best}
            parents = {one.number: one.hyperparameters for one in lower}
            assert all(parents[one.effort.parent or 0] == one.hyperparameters for one in upper)

    def test_the_brackets_go_on_without_end(self) -> None:
        trials = searched(_spec(self.SEARCH, max_trials=100), 100, _by_dropout)
        places = list(dict.fromkeys(_place(trial) for trial in trials))
        assert places[:5] == [(0, 2), (0, 1), (0, 0), (1, 2), (1, 1)]
        last = [trial for trial in trials if _round(trial) == _place(trial)[1]]
        assert {trial.effort.until_epoch for trial in last} == {None}

    @pytest.mark.parametrize("epochs", [1, 2, 3, 5, 10, 27, 100])
    @pytest.mark.parametrize("factor", [2, 3, 10])
    def test_each_round_trains_more_epochs_than_the_one_before(self, epochs: int, factor: int) -> None:
        spec = _spec({**self.SEARCH, "factor": factor}, epochs)
        trials = searched(spec, 40, _by_dropout)
        known = {trial.number: trial for trial in trials}
        for trial in trials:
            until = trial.effort.until_epoch or epochs
            assert 1 <= until <= epochs
            assert trial.effort.until_epoch != epochs, "one that is whole says so"
            if trial.effort.parent is not None:
                assert until > (known[trial.effort.parent].effort.until_epoch or epochs)

    @pytest.mark.parametrize("outcome", [FAILED, CANCELLED, {"score": None}])
    def test_what_failed_is_the_worst_and_keeps_nobody_waiting(self, outcome: dict[str, Any]) -> None:
        def outcomes(number: int, values: Values) -> dict[str, Any]:
            return outcome if number in (1, 4, 7) else _by_dropout(number, values)

        trials = searched(_spec(self.SEARCH), 30, outcomes)
        bracket = self._first_bracket(trials)
        assert [_round(trial) for trial in bracket].count(1) == 3
        assert not {trial.effort.parent for trial in trials} & {1, 4, 7}

    def test_a_round_of_failures_is_over_too(self) -> None:
        trials = searched(_spec(self.SEARCH), 30, lambda number, values: FAILED)
        assert len(trials) == 30
        assert _stages(trials, "round") == {0: 30}

    def test_what_cannot_be_built_is_replaced(self) -> None:
        def outcomes(number: int, values: Values) -> dict[str, Any]:
            return BROKEN if number in (0, 3, 8) else _by_dropout(number, values)

        bracket = self._first_bracket(searched(_spec(self.SEARCH), 30, outcomes))
        assert [_round(trial) for trial in bracket].count(0) == 9 + 3
        assert [_round(trial) for trial in bracket].count(1) == 3

    @pytest.mark.parametrize("how", [{"state": TrialState.STOPPED}, {"last_epoch": 0}])
    def test_what_ended_early_keeps_its_place_without_a_trial(self, how: dict[str, Any]) -> None:
        def outcomes(number: int, values: Values) -> dict[str, Any]:
            # The third is the best of all, and more epochs would be no good.
            return {"score": 1.0, **how} if number == 2 else _by_dropout(number, values)

        bracket = self._first_bracket(searched(_spec(self.SEARCH), 30, outcomes))
        assert [_round(trial) for trial in bracket].count(1) == 2
        assert 2 not in {trial.effort.parent for trial in bracket}
        # It is also the best of the second round, so that its place in the third is taken too.
        assert [_round(trial) for trial in bracket].count(2) == 0

    def test_with_folds_nothing_is_continued(self) -> None:
        trials = searched(_spec(self.SEARCH, split={"folds": 3}), 20, _by_dropout)
        upper = [trial for trial in trials if _round(trial)]
        assert upper
        for trial in upper:
            assert trial.effort.parent is None
            origin = int((trial.effort.stage or {})["promoted_from"])
            assert trials[origin].hyperparameters == trial.hyperparameters
            assert (trial.effort.until_epoch or 9) > (trials[origin].effort.until_epoch or 9)

    def test_a_result_taken_from_another_job_is_trained_anew(self) -> None:
        reused = {"job": "job_a", "trial": 1}
        trials = searched(
            _spec(self.SEARCH), 12, lambda number, values: {**_by_dropout(number, values), "reused": reused}
        )
        assert [trial.effort.parent for trial in trials if _round(trial)] == [None] * 3

    def test_a_small_space_is_halved_to_its_end(self) -> None:
        space = {"model": {"filters": {"type": "int", "min": 1, "max": 6}}}
        spec = _spec(self.SEARCH, space=space)
        trials = searched(spec, 40, lambda number, values: {"score": float(values["model.filters"])}, 2)
        assert len({key_of(trial.hyperparameters) for trial in trials}) == 6
        assert max(trials, key=lambda trial: trial.effort.until_epoch or 9).hyperparameters == {
            "model.filters": 6
        }
        with pytest.raises(Exhausted):
            oracles.rebuild(spec, trials).suggest()

    def test_the_last_round_is_of_whole_trials_that_other_jobs_may_learn_of(self) -> None:
        spec = _spec(self.SEARCH)
        trials = searched(spec, 40, _by_dropout)
        whole = [trial for trial in trials if trial.effort.is_whole]
        assert {_round(trial) == _place(trial)[1] for trial in whole} == {True}
        assert len(whole) < len(trials)
        told = known_from(spec, spec, trials).known
        assert [dict(one.values) for one in told] == [dict(trial.hyperparameters) for trial in whole]
        unpromoted = [trial for trial in whole if _round(trial) == 0]
        assert unpromoted
        assert all(trial.effort.is_full for trial in unpromoted), "equal to a trial of any other search"

    def test_it_waits_when_nothing_can_be_said_before_something_ends(self) -> None:
        spec = _spec(self.SEARCH, space={"model": {"filters": {"type": "int", "min": 1, "max": 4}}})
        oracle = oracles.rebuild(spec, [])
        for _ in range(4):
            oracle.suggest()
        with pytest.raises(Wait):
            oracle.suggest()


def _place(trial: Trial) -> tuple[int, int]:
    stage = trial.effort.stage or {}
    return int(stage["iteration"]), int(stage["bracket"])


def _round(trial: Trial) -> int:
    return int((trial.effort.stage or {})["round"])


class TestCoarseToFine:
    def _search(self, coarse: dict[str, Any] | None = None, fine: dict[str, Any] | None = None) -> Any:
        return {"algorithm": "coarse_to_fine", "coarse": coarse or {}, "fine": fine or {}}

    def test_short_trials_then_the_best_goes_on_then_a_narrow_space(self) -> None:
        spec = _spec(self._search({"data": 0.5}), max_trials=20)
        trials = searched(spec, 20, _by_dropout, 3)
        coarse, fine = trials[:10], trials[10:]
        assert {trial.effort for trial in map(_plain, coarse)} == {Effort(3, 0.5)}
        best = max(coarse, key=lambda trial: float(trial.score or 0))
        assert fine[0].effort == Effort(parent=best.number, stage={"name": "fine"})
        assert fine[0].hyperparameters == best.hyperparameters
        assert {trial.effort for trial in map(_plain, fine[1:])} == {Effort()}
        centre = float(best.hyperparameters["model.dropout"])
        for trial in fine:
            assert abs(float(trial.hyperparameters["model.dropout"]) - centre) <= 0.1 + 1e-9

    def test_a_range_is_narrowed_by_its_own_sampling(self) -> None:
        spec = _spec(self._search(fine={"width": 0.2}), max_trials=20)
        trials = searched(spec, 20, _by_dropout)
        best = max(trials[:10], key=lambda trial: float(trial.score or 0))
        middle = math.log10(float(best.hyperparameters["training.learning_rate"]))
        for trial in trials[10:]:
            rate = math.log10(float(trial.hyperparameters["training.learning_rate"]))
            assert abs(rate - middle) <= 0.5 + 1e-6
        # A value without an order has no neighbourhood.
        assert len({trial.hyperparameters["model.activation"] for trial in trials[10:]}) == 2

    def test_it_waits_for_the_whole_first_stage(self) -> None:
        spec = _spec(self._search(), max_trials=4)
        oracle = oracles.rebuild(spec, [])
        made = [trial_of(number, oracle.suggest(), state=TrialState.RUNNING) for number in range(2)]
        with pytest.raises(Wait):
            oracle.suggest()
        made[0] = ended(made[0], {"score": 0.5})
        with pytest.raises(Wait):
            oracles.rebuild(spec, made).suggest()
        made[1] = ended(made[1], {"score": 0.4})
        assert oracles.rebuild(spec, made).suggest().effort.parent == 0

    def test_so_many_are_promoted_the_best_first(self) -> None:
        trials = searched(_spec(self._search(fine={"promote": 3}), max_trials=12), 12, _by_dropout)
        ranking = sorted(trials[:6], key=lambda trial: -float(trial.score or 0))
        assert [trial.effort.parent for trial in trials[6:9]] == [trial.number for trial in ranking[:3]]
        assert trials[9].effort.parent is None

    @pytest.mark.parametrize("how", [{"state": TrialState.STOPPED}, {"last_epoch": 1}])
    def test_what_ended_early_begins_again(self, how: dict[str, Any]) -> None:
        spec = _spec(self._search(), max_trials=8)
        trials = searched(spec, 8, lambda number, values: {**_by_dropout(number, values), **how})
        best = max(trials[:4], key=lambda trial: float(trial.score or 0))
        assert trials[4].effort == Effort(stage={"name": "fine", "promoted_from": best.number})

    def test_with_folds_nothing_is_continued(self) -> None:
        trials = searched(_spec(self._search(), max_trials=8, split={"folds": 3}), 8, _by_dropout)
        assert all(trial.effort.parent is None for trial in trials)
        assert "promoted_from" in (trials[4].effort.stage or {})

    def test_whole_coarse_trials_are_not_promoted(self) -> None:
        trials = searched(_spec(self._search({"epochs": 1.0}), max_trials=8), 8, _by_dropout)
        assert all(trial.effort.until_epoch is None and trial.effort.parent is None for trial in trials)
        assert len({key_of(trial.hyperparameters) for trial in trials}) == 8

    @pytest.mark.parametrize(("share", "epochs"), [(1.0, 9), (0.3, 1)])
    def test_those_that_had_all_epochs_of_few_images_begin_again(self, share: float, epochs: int) -> None:
        search = self._search({"epochs": share, "data": 0.5})
        trials = searched(_spec(search, epochs, max_trials=8), 8, _by_dropout)
        assert {trial.effort for trial in map(_plain, trials[:4])} == {Effort(data_share=0.5)}
        best = max(trials[:4], key=lambda trial: float(trial.score or 0))
        assert trials[4].effort == Effort(stage={"name": "fine", "promoted_from": best.number})
        assert trials[4].hyperparameters == best.hyperparameters
        assert all(trial.effort.parent is None and trial.effort.is_whole for trial in trials[4:])

    def test_the_epochs_are_a_share_of_the_configuration_s_own(self) -> None:
        space = {**OPEN, "training": {"epochs": {"type": "choice", "values": [1, 4, 40]}}}
        spec = new_spec(OPEN["model"], space["training"], max_trials=30, search=self._search({"trials": 0.9}))
        seen = {
            trial.hyperparameters["training.epochs"]: trial.effort.until_epoch
            for trial in searched(spec, 27, _by_dropout)
        }
        assert seen == {1: None, 4: 1, 40: 10}

    def test_what_cannot_be_built_does_not_count(self) -> None:
        spec = _spec(self._search(), max_trials=10)
        trials = searched(
            spec, 10, lambda number, values: BROKEN if number < 3 else _by_dropout(number, values)
        )
        assert _stages(trials, "name") == {"coarse": 3 + 5, "fine": 2}

    @pytest.mark.parametrize("outcome", [FAILED, CANCELLED])
    def test_without_a_score_the_whole_space_is_searched_on(self, outcome: dict[str, Any]) -> None:
        spec = _spec(self._search(), max_trials=16)
        trials = searched(spec, 16, lambda number, values: outcome)
        assert _stages(trials, "name") == {"coarse": 8, "fine": 8}
        assert len({key_of(trial.hyperparameters) for trial in trials}) == 16

    def test_a_grid_of_the_narrow_space_comes_to_an_end(self) -> None:
        space = {
            "model": {"filters": {"type": "int", "min": 1, "max": 64}, "dropout": OPEN["model"]["dropout"]}
        }
        spec = _spec(self._search(fine={"algorithm": "grid", "width": 0.1}), max_trials=60, space=space)
        trials = searched(spec, 60, _by_dropout)
        fine = trials[30:]
        assert len(fine) <= 1 + 3 * 3
        best = max(trials[:30], key=lambda trial: float(trial.score or 0)).hyperparameters
        assert all(
            abs(float(one.hyperparameters["model.filters"]) - float(best["model.filters"])) <= 4
            for one in fine
        )
        with pytest.raises(Exhausted) as end:
            oracles.rebuild(spec, trials).suggest()
        assert end.value.reason is StopReason.SPACE_EXHAUSTED

    def test_steps_are_kept_and_neighbours_are_in(self) -> None:
        space = {
            "model": {
                "dropout": {"type": "float", "min": 0.0, "max": 0.8, "step": 0.1},
                "filters": {"type": "choice", "values": [4, 8, 16, 32]},
            }
        }
        search = self._search({"trials": 0.7}, {"algorithm": "grid", "width": 0.01})
        trials = searched(_spec(search, max_trials=40, space=space), 40, _by_dropout)
        # The best has a dropout of 0.8 or near it.
        best = max(trials[:28], key=lambda trial: float(trial.score or 0)).hyperparameters
        seen = {trial.hyperparameters["model.dropout"] for trial in trials[28:]}
        assert best["model.dropout"] in seen
        assert len(seen) in (2, 3)

    def test_a_coarse_trial_in_the_narrow_space_is_continued(self) -> None:
        space = {"model": {"filters": {"type": "int", "min": 1, "max": 3}}}
        search = self._search({"trials": 0.5, "algorithm": "grid"}, {"width": 1.0, "promote": 0})
        spec = _spec(search, max_trials=6, space=space)
        trials = searched(spec, 6, lambda number, values: {"score": float(values["model.filters"])})
        # Half the range on each side of 3, the best.
        assert {trial.effort.parent for trial in trials[3:]} == {1, 2}

    def test_one_trial_is_a_coarse_one(self) -> None:
        trials = searched(_spec(self._search(), max_trials=1), 1, _by_dropout)
        assert _stages(trials, "name") == {"coarse": 1}


def _plain(trial: Trial) -> Trial:
    """Without the name of the stage, which cannot be hashed."""
    return replace(trial, effort=replace(trial.effort, stage=None))


class TestRangeTest:
    FOUND = {"range_test": {"suggested": {"min": 1e-3, "max": 5.0}}, "score": None}

    def _searched(self, then: Any, first: dict[str, Any], count: int = 12) -> list[Trial]:
        spec = _spec({"algorithm": "lr_range_test", "then": then})
        return searched(
            spec, count, lambda number, values: _by_dropout(number, values) if number else first, 2
        )

    def test_the_first_trial_is_the_test_and_nothing_follows(self) -> None:
        spec = _spec({"algorithm": "lr_range_test"})
        trials = searched(spec, 5, lambda number, values: self.FOUND)
        assert [trial.effort for trial in trials] == [Effort(stage={"name": "range_test"})]
        with pytest.raises(Exhausted) as end:
            oracles.rebuild(spec, trials).suggest()
        assert end.value.reason is StopReason.COMPLETED

    @pytest.mark.parametrize("algorithm", ["random", "grid", "bayesian", "tpe", "cmaes", "coarse_to_fine"])
    def test_another_search_goes_on_inside_the_range(self, algorithm: str) -> None:
        trials = self._searched({"algorithm": algorithm}, self.FOUND)
        assert len(trials) == 12
        for trial in trials[1:]:
            # What is suggested is wider than what is open.
            assert 1e-3 <= float(trial.hyperparameters["training.learning_rate"]) <= 1.0

    def test_hyperband_goes_on_with_the_numbers_of_the_job(self) -> None:
        trials = self._searched({"algorithm": "hyperband"}, self.FOUND, 30)
        parents = [trial for trial in trials if trial.effort.parent is not None]
        assert parents
        for trial in parents:
            assert trials[trial.effort.parent or 0].hyperparameters == trial.hyperparameters

    @pytest.mark.parametrize(
        "first",
        [
            FAILED,
            CANCELLED,
            {"score": 0.5},
            {"range_test": {"suggested": None}},
            {"range_test": {"suggested": {"min": 2.0, "max": 3.0}}},
        ],
    )
    def test_without_a_range_the_space_stays_as_it_is(self, first: dict[str, Any]) -> None:
        trials = self._searched({"algorithm": "random"}, first, 30)
        rates = [float(trial.hyperparameters["training.learning_rate"]) for trial in trials[1:]]
        assert min(rates) < 1e-3 < max(rates)

    def test_it_waits_for_the_test(self) -> None:
        spec = _spec({"algorithm": "lr_range_test", "then": {"algorithm": "random"}})
        oracle = oracles.rebuild(spec, [])
        oracle.suggest()
        with pytest.raises(Wait):
            oracle.suggest()

    def test_what_is_enqueued_for_the_search_follows_the_test(self) -> None:
        queue = [{"model.dropout": 0.25}]
        trials = self._searched({"algorithm": "tpe", "enqueue": queue}, self.FOUND, 3)
        assert trials[1].hyperparameters["model.dropout"] == 0.25
