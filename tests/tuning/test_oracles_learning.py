"""What the algorithms promise that learn from scores: bayesian, tpe and cmaes."""

import math
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers._tpe.parzen_estimator import (
    _ParzenEstimator,
    _ParzenEstimatorParameters,
)

from schemas.distributions import Choice, Distribution, FloatRange, IntRange
from schemas.spaces import Hyperparameter, Space
from schemas.specs import JobSpec
from schemas.states import TrialState
from schemas.trials import Known
from tests.tuning.makers import new_spec, new_trial
from tests.tuning.searching import Values, key_of, searched, walk
from tuning import oracles
from tuning.oracles import parzen
from tuning.oracles.axes import Axes, Floats
from tuning.oracles.bayesian import log_improvement, warped
from tuning.oracles.gaussian import Process, fitted
from tuning.oracles.parzen import Density

LEARNERS = ("bayesian", "tpe", "cmaes")
# The share of dropout and the logarithm of the rate say how good a configuration is; momentum is noise.
BOWL: dict[str, dict[str, Any]] = {
    "model": {"dropout": {"type": "float", "min": 0.0, "max": 0.8}},
    "training": {
        "learning_rate": {"type": "float", "min": 1e-5, "max": 1.0, "sampling": "log"},
        "momentum": {"type": "float", "min": 0.0, "max": 0.9},
    },
}
# A part of it cannot be built: too many filters for so many units.
SIZES: dict[str, dict[str, Any]] = {
    "model": {
        "filters": {"type": "int", "min": 1, "max": 64},
        "dense_units": {"type": "int", "min": 1, "max": 64},
        "dropout": {"type": "float", "min": 0.0, "max": 0.5},
    }
}
# There is a momentum to choose with normalization only.
BRANCH: dict[str, dict[str, Any]] = {
    "model": {"dropout": {"type": "float", "min": 0.0, "max": 0.8}, "batch_norm": {"type": "boolean"}},
    "training": {
        "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"model.batch_norm": [True]}}
    },
}
# Half of the space, and a corner of it: a sixth.
TOO_LARGE: dict[str, Callable[[float, float], bool]] = {
    "half": lambda filters, units: filters + units > 65,
    "corner": lambda filters, units: min(filters, units) > 38,
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

    @pytest.mark.parametrize(("shape", "code"), [("half", "infeasible_model"), ("corner", "out_of_memory")])
    def test_it_keeps_away_from_what_fails(self, algorithm: str, shape: str, code: str) -> None:
        """What fails is where it is best, too."""

        def is_too_large(values: Values) -> bool:
            return TOO_LARGE[shape](float(values["model.filters"]), float(values["model.dense_units"]))

        def outcome(number: int, values: Values) -> dict[str, Any]:
            if is_too_large(values):
                return {"state": TrialState.FAILED, "error": {"code": code, "message": ""}}
            size = float(values["model.filters"]) + float(values["model.dense_units"])
            return {"score": size / 128 - float(values["model.dropout"])}

        runs = [searched(_spec(SIZES, algorithm, seed=seed), 60, outcome) for seed in range(3)]
        assert np.mean([[is_too_large(one.hyperparameters) for one in run[20:]] for run in runs]) <= 0.25

    def test_it_looks_everywhere_while_all_fails(self, algorithm: str) -> None:
        spec = _spec(BOWL, algorithm)
        trials = searched(spec, 24, lambda number, values: {"state": TrialState.FAILED, "error": BROKEN})
        rows = Axes(spec.space).rows([trial.hyperparameters for trial in trials])
        assert rows.min(axis=0).max() < 0.2
        assert rows.max(axis=0).min() > 0.8

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


def test_random_grid_and_hyperband_take_no_notice_of_earlier_jobs() -> None:
    for algorithm in ("random", "grid", "hyperband"):
        spec = _spec(BOWL, algorithm)
        earlier = [Known(values, 0.5) for values in walk(spec, 3)]
        oracle = oracles.rebuild(spec, [], earlier)
        assert [oracle.suggest().values for _ in range(5)] == walk(spec, 5)


@pytest.mark.parametrize("algorithm", ["bayesian", "tpe"])
def test_what_exists_under_one_value_only_is_learnt(algorithm: str) -> None:
    trials = searched(_spec(BRANCH, algorithm), 60, lambda number, values: {"score": -_branch(values)})
    assert np.median([_branch(trial.hyperparameters) for trial in trials[-20:]]) < 0.2


def _branch(values: Values) -> float:
    """A loss of 0 with normalization at a momentum of 0.7, and of at least 0.5 without."""
    if not values["model.batch_norm"]:
        return 0.5 + abs(float(values["model.dropout"]) - 0.1)
    return abs(float(values["training.momentum"]) - 0.7)


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


class TestDensity:
    """Of the three kinds of axes."""

    def _axes(self) -> Axes:
        kinds: list[Distribution] = [
            FloatRange(None, None, 0.0, 1.0, None, "linear"),
            IntRange(None, None, 1, 32, None, "linear"),
            Choice(None, None, ("relu", "tanh", "elu"), None),
        ]
        return Axes(Space(tuple(Hyperparameter(f"x{i}", one, ()) for i, one in enumerate(kinds))))

    def _rows(self, count: int, seed: int = 0) -> Floats:
        """No two are the same on an axis with steps."""
        random = np.random.default_rng(seed)
        numbers, names = random.permutation(32)[:count], random.integers(0, 3, count)
        return np.column_stack([random.random(count), (numbers + 0.5) / 32, (names + 0.5) / 3])

    @pytest.mark.parametrize("count", [0, 1, 2, 30])
    def test_it_is_optunas_but_for_the_width(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parzen, "_NARROWER", 1.0)
        monkeypatch.setattr(parzen, "_NARROWEST", 0.01)
        own = [FloatDistribution(0, 1), IntDistribution(0, 31), CategoricalDistribution(range(3))]
        names = [axis.name for axis in self._axes().axes]

        def places(rows: Floats) -> dict[str, Any]:
            columns = (rows[:, 0], np.floor(rows[:, 1] * 32), np.floor(rows[:, 2] * 3))
            return dict(zip(names, columns, strict=True))

        settings = _ParzenEstimatorParameters(1.0, True, False, np.ones, True)
        theirs = _ParzenEstimator(
            places(self._rows(count)), dict(zip(names, own, strict=True)), settings
        ).log_pdf(places(self._rows(32, seed=1)))
        ours = Density(self._axes().axes, self._rows(count), np.ones(count)).log(self._rows(32, seed=1))
        assert np.allclose(ours, theirs)

    def test_a_gap_stands_for_all_that_might_be_there(self) -> None:
        rows = self._rows(9)
        rows[4, 1] = np.nan
        density = Density(self._axes().axes, rows, np.linspace(0.1, 1, 9))
        every = np.array(list(product([0.3], (np.arange(32) + 0.5) / 32, (np.arange(3) + 0.5) / 3)))
        assert np.exp(density.log(np.array([[0.3, np.nan, np.nan]])))[0] == pytest.approx(
            np.exp(density.log(every)).sum()
        )
        middles = (np.arange(4000) + 0.5) / 4000
        alone = np.column_stack([middles, np.full((4000, 2), np.nan)])
        assert np.exp(density.log(alone)).mean() == pytest.approx(1.0, abs=1e-4)

    def test_draws_are_by_the_density(self) -> None:
        axes = self._axes()
        density = Density(axes.axes, self._rows(5), np.ones(5))
        drawn = density.drawn(np.random.default_rng(0), 20_000)
        assert np.array_equal(axes.snapped(drawn), drawn)
        for column, count in enumerate((50, 32, 3)):
            middles = np.full((count, 3), np.nan)
            middles[:, column] = (np.arange(count) + 0.5) / count
            expected = np.exp(density.log(middles)) / (count if column == 0 else 1)
            found = np.bincount((drawn[:, column] * count).astype(int), minlength=count) / len(drawn)
            assert np.abs(found - expected).max() < 0.01


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
