"""What the algorithms promise that learn from scores: bayesian, tpe and cmaes."""

import math
import time
from typing import Any

import numpy as np
import pytest

from schemas.specs import JobSpec
from schemas.states import TrialState
from schemas.trials import Known
from tests.tuning.makers import new_spec, new_trial
from tests.tuning.searching import Values, key_of, searched, walk
from tuning import oracles
from tuning.oracles.axes import Axes
from tuning.oracles.bayesian import log_improvement, warped
from tuning.oracles.gaussian import Process, fitted

LEARNERS = ("bayesian", "tpe", "cmaes")
# The share of dropout and the logarithm of the rate say how good a configuration is; momentum is noise.
BOWL: dict[str, dict[str, Any]] = {
    "model": {"dropout": {"type": "float", "min": 0.0, "max": 0.8}},
    "training": {
        "learning_rate": {"type": "float", "min": 1e-5, "max": 1.0, "sampling": "log"},
        "momentum": {"type": "float", "min": 0.0, "max": 0.9},
    },
}
# Half of it cannot be built: too many filters for so many units.
HALF: dict[str, dict[str, Any]] = {
    "model": {
        "filters": {"type": "int", "min": 1, "max": 64},
        "dense_units": {"type": "int", "min": 1, "max": 64},
        "dropout": {"type": "float", "min": 0.0, "max": 0.5},
    }
}
BROKEN = {"code": "infeasible_model", "message": ""}


def _spec(space: dict[str, dict[str, Any]], algorithm: str, **changes: Any) -> JobSpec:
    return new_spec(space.get("model"), space.get("training"), algorithm, **changes)


def _bowl(values: Values) -> float:
    """A loss of 0 at a dropout of 0.3 and a rate of 1e-3."""
    rate, dropout = float(values["training.learning_rate"]), float(values["model.dropout"])
    return (math.log10(rate) + 3) ** 2 / 4 + (dropout - 0.3) ** 2 * 4


@pytest.mark.parametrize("algorithm", LEARNERS)
class TestLearning:
    @pytest.mark.parametrize("direction", ["maximize", "minimize"])
    def test_it_finds_what_a_random_search_does_not(self, algorithm: str, direction: str) -> None:
        sign = 1 if direction == "minimize" else -1
        objective = {"metric": "val_accuracy" if sign < 0 else "val_loss", "direction": direction}

        def best(name: str, seed: int) -> float:
            spec = _spec(BOWL, name, objective=objective, seed=seed)
            trials = searched(spec, 30, lambda number, values: {"score": sign * _bowl(values)})
            return min(_bowl(trial.hyperparameters) for trial in trials)

        random = float(np.median([best("random", seed) for seed in range(5)]))
        assert np.median([best(algorithm, seed) for seed in range(2)]) < random

    @pytest.mark.parametrize("code", ["infeasible_model", "out_of_memory"])
    def test_it_keeps_away_from_what_fails(self, algorithm: str, code: str) -> None:
        """Half of the space fails, the better half at that."""

        def outcome(number: int, values: Values) -> dict[str, Any]:
            if _is_too_large(values):
                return {"state": TrialState.FAILED, "error": {"code": code, "message": ""}}
            size = float(values["model.filters"]) + float(values["model.dense_units"])
            return {"score": size / 128 - float(values["model.dropout"])}

        trials = searched(_spec(HALF, algorithm), 60, outcome)
        assert sum(_is_too_large(trial.hyperparameters) for trial in trials[20:]) <= 40 / 4

    def test_it_is_not_told_of_crashes_and_cancellations(self, algorithm: str) -> None:
        crash = {"state": TrialState.FAILED, "error": {"code": "internal", "message": ""}}
        spec = _spec(BOWL, algorithm)
        some = searched(spec, 12, lambda number, values: {"score": _bowl(values)})
        for outcome in (crash, {"state": TrialState.CANCELLED}):
            made = [*some, new_trial(12, {**some[0].hyperparameters, "model.dropout": 0.7}, **outcome)]
            assert len(oracles.rebuild(spec, made).lessons()) == 12

    def test_what_was_stopped_counts_with_its_score(self, algorithm: str) -> None:
        spec = _spec(BOWL, algorithm)
        values = walk(spec, 2)
        made = [
            new_trial(0, values[0], TrialState.STOPPED, 0.25),
            new_trial(1, values[1], TrialState.FAILED, error=BROKEN),
        ]
        lessons = oracles.rebuild(spec, made).lessons()
        assert [one.loss for one in lessons] == [-0.25, None]

    def test_what_is_in_flight_is_not_suggested_again_nor_its_neighbours(self, algorithm: str) -> None:
        spec = _spec(BOWL, algorithm)
        trials = searched(spec, 12, lambda number, values: {"score": -_bowl(values)})
        oracle = oracles.rebuild(spec, trials)
        made = [oracle.suggest().values for _ in range(4)]
        rows = Axes(spec.space).rows(made)
        apart = np.abs(rows[:, None] - rows[None]).max(axis=2)[np.triu_indices(4, 1)]
        assert apart.min() > 0.002

    def test_earlier_jobs_are_told_but_are_no_trials(self, algorithm: str) -> None:
        spec = _spec(BOWL, algorithm)
        donor = searched(_spec(BOWL, "random", seed=9), 40, lambda number, values: {"score": -_bowl(values)})
        earlier = [Known(trial.hyperparameters, trial.score) for trial in donor]
        earlier += [Known(donor[0].hyperparameters, None), Known(donor[1].hyperparameters, float("nan"))]
        oracle = oracles.rebuild(spec, [], earlier)
        assert len(oracle.lessons()) == 41
        first = [_bowl(oracle.suggest().values) for _ in range(5)]
        cold = [_bowl(values) for values in walk(spec, 5)]
        assert np.median(first) < np.median(cold)
        assert [row.number for row in oracle.rows] == list(range(5))

    def test_what_another_job_tried_may_be_tried_again(self, algorithm: str) -> None:
        space = {"model": {"filters": {"type": "int", "min": 1, "max": 4}}}
        spec = _spec(space, algorithm)
        earlier = [Known({"model.filters": count}, 0.1 * count) for count in range(1, 5)]
        oracle = oracles.rebuild(spec, [], earlier)
        assert {oracle.suggest().values["model.filters"] for _ in range(4)} == {1, 2, 3, 4}

    def test_the_same_score_everywhere_is_no_trouble(self, algorithm: str) -> None:
        trials = searched(_spec(BOWL, algorithm), 25, lambda number, values: {"score": 0.5})
        assert len({key_of(trial.hyperparameters) for trial in trials}) == 25

    def test_a_score_beyond_all_others_is_no_trouble(self, algorithm: str) -> None:
        spec = _spec(BOWL, algorithm, objective={"metric": "val_loss", "direction": "minimize"})
        trials = searched(spec, 25, lambda number, values: {"score": 1e30 if number == 3 else _bowl(values)})
        assert len(trials) == 25

    def test_a_suggestion_after_a_thousand_trials_is_quick(self, algorithm: str) -> None:
        spec = _spec(BOWL, algorithm)
        drawn = walk(_spec(BOWL, "random"), 1000)
        trials = [new_trial(number, values, score=-_bowl(values)) for number, values in enumerate(drawn)]
        taken = []
        for _ in range(3):
            begin = time.process_time()
            oracles.rebuild(spec, trials).suggest()
            taken.append(time.process_time() - begin)
        # Far more than it takes: a machine may be busy.
        assert min(taken) < 1.0


def _is_too_large(values: Values) -> bool:
    return float(values["model.filters"]) + float(values["model.dense_units"]) > 65


def test_random_grid_and_hyperband_take_no_notice_of_earlier_jobs() -> None:
    for algorithm in ("random", "grid", "hyperband"):
        spec = _spec(BOWL, algorithm)
        earlier = [Known(values, 0.5) for values in walk(spec, 3)]
        oracle = oracles.rebuild(spec, [], earlier)
        assert [oracle.suggest().values for _ in range(5)] == walk(spec, 5)


class TestAxes:
    SPACE: dict[str, dict[str, Any]] = {
        "model": {
            "filters": {"type": "int", "min": 1, "max": 64, "sampling": "log"},
            "dense_units": {"type": "int", "min": 8, "max": 64, "step": 8},
            "dropout": {"type": "float", "min": 0.1, "max": 0.5, "step": 0.1},
            "activation": {"type": "choice", "values": ["relu", "tanh", "elu"]},
            "batch_norm": {"type": "boolean"},
        },
        "training": {
            "learning_rate": {"type": "float", "min": 1e-5, "max": 1.0, "sampling": "log"},
            "weight_decay": {"type": "float", "min": 1e-6, "max": 1e-2, "sampling": "reverse_log"},
            "batch_size": {"type": "choice", "values": [16, 64, 32]},
            "momentum": {"type": "float", "min": 0.0, "max": 0.9, "when": {"model.batch_norm": [True]}},
        },
    }

    def test_values_come_back_from_their_places(self) -> None:
        spec = _spec(self.SPACE, "random")
        axes = Axes(spec.space)
        for values in walk(spec, 50):
            back = axes.values(axes.rows([values])[0])
            assert list(back) == list(spec.space.active(values))
            assert all(back[name] == pytest.approx(value) for name, value in values.items())
            assert [type(back[name]) for name in values] == [type(value) for value in values.values()]

    def test_snapping_finds_the_rows_of_the_nearest_configurations(self) -> None:
        axes = Axes(_spec(self.SPACE, "random").space)
        rows = np.random.default_rng(0).random((40, len(axes)))
        again = axes.rows([axes.values(row) for row in rows])
        assert np.allclose(axes.snapped(rows), again, atol=1e-9)

    def test_every_place_is_a_value_of_the_space(self) -> None:
        spec = _spec(self.SPACE, "random")
        axes = Axes(spec.space)
        own = {one.name: one.distribution for one in spec.space}
        for share in np.linspace(0, 1, 41):
            for name, value in axes.values(np.full(len(axes), share)).items():
                assert own[name].contains(value)


class TestGaussianProcess:
    def test_it_goes_through_what_it_knows_and_is_unsure_elsewhere(self) -> None:
        points = np.linspace(0, 1, 9)[:, None]
        values = np.sin(6 * points[:, 0])
        process = Process(fitted(points, values, np.array([0])), points, values)
        mean, deviation = process.at(points)
        assert np.allclose(mean, values, atol=0.1)
        far = process.at(np.array([[3.0]]))[1]
        assert deviation.max() < far[0]

    def test_it_finds_out_what_matters(self) -> None:
        random = np.random.default_rng(0)
        points = random.random((60, 3))
        kernel = fitted(points, np.sin(5 * points[:, 1]), np.array([0, 1, 2]))
        assert kernel.scales.argmin() == 1

    def test_believing_leaves_the_means_and_takes_the_doubt(self) -> None:
        points = np.array([[0.0], [1.0]])
        values = np.array([-1.0, 1.0])
        process = Process(fitted(points, values, np.array([0])), points, values)
        between = np.array([[0.5]])
        after = process.believing(between)
        assert np.allclose(after.at(between)[0], process.at(between)[0], atol=0.05)
        assert after.at(between)[1][0] < process.at(between)[1][0]

    def test_the_improvement_to_expect_is_right_near_and_far(self) -> None:
        z = np.array([-60.0, -26.0, -24.0, -5.0, 0.0, 3.0])
        found = log_improvement(z)
        assert np.all(np.diff(found) > 0)
        assert found[4] == pytest.approx(math.log(1 / math.sqrt(2 * math.pi)))
        assert found[0] == pytest.approx(
            -0.5 * 3600 - 0.5 * math.log(2 * math.pi) - 2 * math.log(60), rel=1e-3
        )

    def test_warping_keeps_the_order_and_tames_what_diverged(self) -> None:
        losses = np.array([0.1, 0.2, 0.15, 1e9, 0.4, 0.3])
        moved = warped(losses)
        assert list(np.argsort(moved)) == list(np.argsort(losses))
        assert np.abs(moved).max() < 3
        assert np.all(np.isfinite(warped(np.full(5, 0.5))))
