"""One contract for every search algorithm, and what each promises beyond it."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.src.engine import oracle as engine

from schemas.distributions import Choice, Range, Value
from schemas.search import ALGORITHMS
from schemas.spaces import points
from schemas.specs import JobSpec
from schemas.states import TrialState
from schemas.trials import Trial
from tests.tuning.makers import new_spec, new_trial
from tuning import oracles
from tuning.oracles import ORACLES, Exhausted, most_infeasible
from tuning.plan import plan

Values = dict[str, Value]
Space = dict[str, dict[str, Any]]

FLAT: Space = {
    "model": {
        "filters": {"type": "choice", "values": [4, 8]},
        "dense_units": {"type": "int", "min": 1, "max": 3},
        "dropout": {"type": "float", "min": 0.1, "max": 0.3, "step": 0.1},
        "batch_norm": {"type": "boolean"},
    }
}
# The example of the recipe: (0.7 - 0.3) / 0.1 is a little less than 4.
STEPPED: Space = {"model": {"dropout": {"type": "float", "min": 0.3, "max": 0.7, "step": 0.1}}}
CONDITIONAL: Space = {
    "model": {"batch_norm": {"type": "boolean"}},
    "training": {
        "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
        "momentum": {
            "type": "float",
            "min": 0.0,
            "max": 0.9,
            "step": 0.3,
            "when": {"training.optimizer": ["sgd", "rmsprop"]},
        },
    },
}
NESTED: Space = {
    "model": {
        "blocks": {"type": "int", "min": 1, "max": 2},
        "filter_growth": {"type": "int", "min": 1, "max": 2, "when": {"model.blocks": [2]}},
        "kernel_size": {"type": "choice", "values": [3, 5], "when": {"model.filter_growth": [2]}},
    }
}
# A parent whose values are sums of steps: 0.1 + 2 x 0.1 is not 0.3 in floating point.
STEPPED_PARENT: Space = {
    "model": {
        "dropout": {"type": "float", "min": 0.1, "max": 0.5, "step": 0.1},
        "l2": {"type": "choice", "values": [0.0, 0.1, 0.2], "when": {"model.dropout": [0.3]}},
    }
}
# A value with two parents, of which one has none; and numbers that JSON writes in two ways.
TWO_PARENTS: Space = {
    "model": {"batch_norm": {"type": "boolean"}},
    "training": {
        "optimizer": {"type": "choice", "values": ["adam", "sgd"]},
        "nesterov": {"type": "boolean", "when": {"training.optimizer": ["sgd"]}},
        "momentum": {
            "type": "choice",
            "values": [0.5, 0.9],
            "when": {"training.nesterov": [True], "training.optimizer": ["sgd"], "model.batch_norm": [True]},
        },
    },
}
MIXED_NUMBERS: Space = {
    "training": {
        "learning_rate": {"type": "choice", "values": [1.0, 0.5, 0.1]},
        "momentum": {"type": "choice", "values": [0.1, 0.2], "when": {"training.learning_rate": [1, 0.5]}},
    }
}
# What a fixed value rules out takes its children with it.
NEVER: Space = {
    "training": {
        "optimizer": "adam",
        "nesterov": {"type": "boolean", "when": {"training.optimizer": ["sgd"]}},
        "momentum": {"type": "float", "min": 0.1, "max": 0.9, "when": {"training.nesterov": [True]}},
        "batch_size": {"type": "choice", "values": [16, 32]},
    }
}
DEFAULTS: Space = {
    "model": {
        "filters": {"type": "choice", "values": [4, 8, 16], "default": 8},
        "batch_norm": {"type": "boolean", "default": True},
    },
    "training": {
        "optimizer": {"type": "choice", "values": ["adam", "sgd"], "default": "sgd"},
        "momentum": {
            "type": "float",
            "min": 0.0,
            "max": 0.4,
            "step": 0.2,
            "default": 0.2,
            "when": {"training.optimizer": ["sgd"]},
        },
    },
}
LOGS: Space = {
    "model": {"filters": {"type": "int", "min": 1, "max": 16, "step": 2, "sampling": "log"}},
    "training": {
        "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "step": 10, "sampling": "log"},
        "batch_size": {"type": "int", "min": 2, "max": 9, "sampling": "reverse_log"},
    },
}
FIXED: Space = {"model": {}}
SPACES = {
    "flat": (FLAT, 2 * 3 * 3 * 2),
    "stepped": (STEPPED, 5),
    "conditional": (CONDITIONAL, 2 * (1 + 4 + 4)),
    "nested": (NESTED, 1 + 1 + 2),
    "stepped_parent": (STEPPED_PARENT, 4 + 3),
    "defaults": (DEFAULTS, 3 * 2 * (1 + 3)),
    "logs": (LOGS, 5 * 4 * 8),
    "fixed": (FIXED, 1),
    "two_parents": (TWO_PARENTS, 3 + 4),
    "mixed_numbers": (MIXED_NUMBERS, 2 + 2 + 1),
    "never": (NEVER, 2),
}
CONTINUOUS: Space = {
    "model": {"dropout": {"type": "float", "min": 0.0, "max": 0.5}, **FLAT["model"]},
    "training": {
        "learning_rate": {"type": "float", "min": 1e-5, "max": 1e-1, "sampling": "log"},
        **CONDITIONAL["training"],
    },
}
ENDED = (
    (TrialState.COMPLETED, 0.5),
    (TrialState.COMPLETED, None),
    (TrialState.STOPPED, 0.1),
    (TrialState.FAILED, None),
    (TrialState.CANCELLED, None),
    (TrialState.RUNNING, None),
    (TrialState.PENDING, None),
)


def _spec(space: Space, algorithm: str, **changes: Any) -> JobSpec:
    return new_spec(space.get("model"), space.get("training"), algorithm, **changes)


def _walk(spec: JobSpec, count: int | None = None) -> list[Values]:
    """What one oracle suggests, that is never rebuilt: to the end, or so many."""
    oracle = oracles.rebuild(spec, [])
    found: list[Values] = []
    while count is None or len(found) < count:
        try:
            found.append(oracle.suggest())
        except Exhausted:
            break
    return found


def _rebuilt_walk(spec: JobSpec, rebuilt: Iterator[bool], states: Iterator[Any]) -> list[Values]:
    """What oracles suggest that are rebuilt from rows (through JSON) wherever ``rebuilt`` says so."""
    trials: list[Trial] = []
    oracle = oracles.rebuild(spec, trials)
    while len(trials) < 60:
        if next(rebuilt):
            oracle = oracles.rebuild(spec, trials)
        try:
            values = oracle.suggest()
        except Exhausted:
            break
        state, score = next(states)
        trials.append(new_trial(len(trials), json.loads(json.dumps(values)), state, score))
    return [dict(trial.hyperparameters) for trial in trials]


def _key(values: Values) -> str:
    return json.dumps(values, sort_keys=True)


@st.composite
def _spaces(draw: Any) -> Space:
    """Small spaces of every kind of distribution, with defaults and conditions."""
    low = draw(st.integers(1, 3))
    count = draw(st.integers(2, 4))
    filters: dict[str, Any] = {"type": "int", "min": low, "max": low + count - 1}
    if draw(st.booleans()):
        filters["default"] = draw(st.integers(low, low + count - 1))
    steps = draw(st.integers(1, 4))
    dropout: dict[str, Any] = {"type": "float", "min": 0.1, "step": 0.1}
    dropout["max"] = round(0.1 + 0.1 * steps, 1)
    if draw(st.booleans()):
        dropout["when"] = {"model.filters": [low]}
    norm: dict[str, Any] = {"type": "boolean"}
    if draw(st.booleans()):
        norm["default"] = draw(st.booleans())
    model: dict[str, Any] = {"filters": filters, "dropout": dropout}
    if draw(st.booleans()):
        model["batch_norm"] = norm
    return {"model": model}


@pytest.mark.parametrize("algorithm", ORACLES)
class TestContract:
    @pytest.mark.parametrize("name", SPACES)
    def test_the_whole_space_once_and_then_exhausted(self, algorithm: str, name: str) -> None:
        space, size = SPACES[name]
        spec = _spec(space, algorithm)
        found = _walk(spec)
        assert len({_key(values) for values in found}) == len(found) == size
        assert spec.space.grid_size() == size

    @pytest.mark.parametrize("name", SPACES)
    def test_suggestions_are_the_points_of_the_space(self, algorithm: str, name: str) -> None:
        spec = _spec(SPACES[name][0], algorithm)
        assert {_key(values) for values in _walk(spec)} == {_key(values) for values in points(spec.space)}

    @pytest.mark.parametrize("space", [*(space for space, _ in SPACES.values()), CONTINUOUS])
    def test_just_the_active_values_are_there(self, algorithm: str, space: Space) -> None:
        spec = _spec(space, algorithm)
        for values in _walk(spec, 60):
            assert spec.space.active(values) == values
            active = {one.name for one in spec.space if one.is_active(values)}
            assert set(values) == active

    @pytest.mark.parametrize("space", [*(space for space, _ in SPACES.values()), CONTINUOUS])
    def test_values_are_of_their_distributions(self, algorithm: str, space: Space) -> None:
        spec = _spec(space, algorithm)
        distributions = {one.name: one.distribution for one in spec.space}
        for values in _walk(spec, 60):
            for name, value in values.items():
                assert distributions[name].contains(value)
                assert type(value) is type(distributions[name].grid_values()[0])

    @pytest.mark.parametrize("space", [CONDITIONAL, LOGS, CONTINUOUS])
    def test_values_come_through_json_unchanged(self, algorithm: str, space: Space) -> None:
        for values in _walk(_spec(space, algorithm), 60):
            back = json.loads(json.dumps(values))
            assert back == values
            assert [type(back[name]) for name in values] == [type(one) for one in values.values()]

    @pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
    def test_the_same_seed_makes_the_same_sequence(self, algorithm: str, seed: int) -> None:
        spec = _spec(CONTINUOUS, algorithm, seed=seed)
        assert _walk(spec, 30) == _walk(spec, 30)

    @settings(max_examples=25, deadline=None)
    @given(
        space=st.one_of(st.sampled_from([one for one, _ in SPACES.values()]), _spaces()),
        seed=st.integers(0, 5),
        rebuilt=st.lists(st.booleans(), min_size=1, max_size=12),
        states=st.lists(st.sampled_from(ENDED), min_size=1, max_size=7),
    )
    def test_rebuilding_between_any_two_suggestions_changes_nothing(
        self, algorithm: str, space: Space, seed: int, rebuilt: list[bool], states: Sequence[Any]
    ) -> None:
        spec = _spec(space, algorithm, seed=seed)
        walked = _rebuilt_walk(spec, itertools.cycle(rebuilt), itertools.cycle(states))
        assert walked == _walk(spec, 60)

    def test_rebuilding_every_time_covers_a_space_with_conditions(self, algorithm: str) -> None:
        spec = _spec(CONDITIONAL, algorithm)
        walked = _rebuilt_walk(spec, itertools.repeat(True), itertools.cycle(ENDED))
        assert len({_key(values) for values in walked}) == len(walked) == SPACES["conditional"][1]

    def test_many_failures_do_not_end_the_search(self, algorithm: str) -> None:
        spec = _spec(FLAT, algorithm)
        failed = itertools.repeat((TrialState.FAILED, None))
        assert len(_rebuilt_walk(spec, itertools.repeat(True), failed)) == SPACES["flat"][1]

    def test_a_trial_without_a_finite_score_is_a_failed_one(self, algorithm: str) -> None:
        spec = _spec(FLAT, algorithm)
        values = _walk(spec, len(ENDED))
        trials = [
            new_trial(number, values[number], state, score) for number, (state, score) in enumerate(ENDED)
        ]
        known = oracles.rebuild(spec, trials).trials.values()
        seen = [(one.status, one.score) for one in known]
        assert seen == [
            ("COMPLETED", 0.5),
            ("FAILED", None),
            ("COMPLETED", 0.1),
            ("FAILED", None),
            ("FAILED", None),
            ("RUNNING", None),
            ("RUNNING", None),
        ]

    def test_there_is_an_end_in_sight_for_a_space_without_one(self, algorithm: str) -> None:
        """The plan holds the budget; beyond it the oracle gives what stands in for what cannot be built."""
        spec = _spec(CONTINUOUS, algorithm, max_trials=3)
        assert len(_walk(spec)) == 3 + most_infeasible(spec)

    def test_no_oracle_is_kept_for_ever(self, algorithm: str) -> None:
        before = len(engine.LOCKS), len(engine.THREADS)
        for _ in range(5):
            _walk(_spec(NESTED, algorithm))
        assert (len(engine.LOCKS), len(engine.THREADS)) == before

    def test_it_writes_no_files(self, algorithm: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        _walk(_spec(FLAT, algorithm))
        assert list(tmp_path.iterdir()) == []

    def test_it_prints_nothing(self, algorithm: str, capsys: pytest.CaptureFixture[str]) -> None:
        _walk(_spec(FLAT, algorithm))
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("space", [FLAT, CONDITIONAL, CONTINUOUS])
    def test_the_set_of_trials_is_the_same_at_any_parallelism(self, algorithm: str, space: Space) -> None:
        made = {
            parallel: _searched(space, algorithm, parallel, last_first)
            for parallel, last_first in ((1, False), (2, True), (4, False), (5, True))
        }
        assert made[1] == made[2] == made[4] == made[5]
        assert len(made[1]) == 12


def _searched(space: Space, algorithm: str, parallel: int, last_first: bool) -> list[str]:
    """The configurations of a whole search, whose trials end in the given order."""
    budget = {"max_trials": 12, "parallel_trials": parallel}
    spec = _spec(space, algorithm, budget=budget)
    trials: list[Trial] = []
    while (step := plan(spec, trials)).stop_reason is None:
        for values in step.suggestions:
            trials.append(new_trial(len(trials), values, TrialState.RUNNING))
        running = [trial.number for trial in trials if not trial.state.is_terminal]
        number = running[-1] if last_first else running[0]
        trials[number] = new_trial(number, trials[number].hyperparameters, score=number / 100)
    return sorted(_key(dict(trial.hyperparameters)) for trial in trials)


class TestRandom:
    def test_another_seed_makes_another_sequence(self) -> None:
        walks = [_walk(_spec(CONTINUOUS, "random", seed=seed), 5) for seed in range(4)]
        assert len({_key({"walk": str(walk)}) for walk in walks}) == 4

    def test_the_defaults_are_tried_first(self) -> None:
        for seed in range(5):
            first = _walk(_spec(DEFAULTS, "random", seed=seed), 1)[0]
            assert first["model.filters"] == 8
            assert first["model.batch_norm"] is True
            assert first["training.optimizer"] == "sgd"
            assert first["training.momentum"] == 0.2

    def test_without_defaults_the_first_trial_is_as_random_as_the_others(self) -> None:
        firsts = {_key(_walk(_spec(FLAT, "random", seed=seed), 1)[0]) for seed in range(12)}
        assert len(firsts) > 3

    def test_every_step_of_a_range_is_drawn_both_ends_too(self) -> None:
        """Not only when all else is used up: beside a continuous value nothing ever is."""
        model = {**STEPPED["model"], "l2": {"type": "float", "min": 0.0, "max": 1.0}}
        drawn = [values["model.dropout"] for values in _walk(_spec({"model": model}, "random"), 80)]
        assert sorted(set(drawn)) == [0.3, 0.4, 0.5, 0.6, 0.7]

    def test_log_sampling_spreads_over_the_magnitudes(self) -> None:
        space: Space = {"training": CONTINUOUS["training"]}
        rates = [float(values["training.learning_rate"]) for values in _walk(_spec(space, "random"), 80)]
        below = sum(rate < 1e-3 for rate in rates)
        assert 20 < below < 60


class TestGrid:
    def test_the_last_hyperparameter_moves_fastest(self) -> None:
        space: Space = {
            "model": {
                "filters": {"type": "choice", "values": [4, 8]},
                "dropout": {"type": "float", "min": 0.1, "max": 0.3, "step": 0.1},
            }
        }
        walked = _walk(_spec(space, "grid"))
        names = [one.name for one in _spec(space, "grid").space]
        assert [tuple(values[name] for name in names) for values in walked] == list(
            itertools.product([4, 8], [0.1, 0.2, 0.3])
        )

    def test_the_default_comes_first(self) -> None:
        walked = _walk(_spec(DEFAULTS, "grid"))
        assert [values["model.filters"] for values in walked] == [8] * 8 + [4] * 8 + [16] * 8
        assert walked[0]["model.batch_norm"] is True
        assert [values.get("training.momentum") for values in walked[:4]] == [0.2, 0.0, 0.4, None]

    def test_a_range_without_step_has_ten_values(self) -> None:
        space: Space = {"model": {"dropout": {"type": "float", "min": 0.0, "max": 0.5}}}
        walked = [values["model.dropout"] for values in _walk(_spec(space, "grid"))]
        assert walked == sorted(walked)
        assert len(walked) == 10

    def test_outside_in_is_from_both_ends_of_each_range(self) -> None:
        space: Space = {
            "model": {
                "filters": {"type": "int", "min": 1, "max": 3},
                "dropout": {"type": "float", "min": 0.1, "max": 0.4, "step": 0.1},
            }
        }
        search = {"algorithm": "grid", "order": "outside_in"}
        walked = _walk(_spec(space, "grid", search=search))
        expected = itertools.product([3, 1, 2], [0.4, 0.1, 0.3, 0.2])
        assert [(one["model.filters"], one["model.dropout"]) for one in walked] == list(expected)

    @pytest.mark.parametrize("name", SPACES)
    def test_outside_in_has_every_configuration_once(self, name: str) -> None:
        space, size = SPACES[name]
        spec = _spec(space, "grid", search={"algorithm": "grid", "order": "outside_in"})
        walked = _walk(spec)
        assert len(walked) == size
        assert {_key(values) for values in walked} == {_key(values) for values in points(spec.space)}
        # As if one oracle had walked all the way.
        again = _rebuilt_walk(spec, itertools.repeat(True), itertools.cycle(ENDED))
        assert again == walked[:60]

    def test_outside_in_goes_through_a_child_wherever_it_exists(self) -> None:
        spec = _spec(CONDITIONAL, "grid", search={"algorithm": "grid", "order": "outside_in"})
        walked = [
            (one["training.optimizer"], one.get("training.momentum"))
            for one in _walk(spec)
            if not one["model.batch_norm"]
        ]
        momenta = [0.9, 0.0, 0.6, 0.3]
        expected = [
            ("adam", None),
            *(("sgd", one) for one in momenta),
            *(("rmsprop", one) for one in momenta),
        ]
        assert walked == expected

    def test_a_range_without_step_is_walked_outside_in_too(self) -> None:
        space: Space = {"model": {"dropout": {"type": "float", "min": 0.0, "max": 0.5}}}
        search = {"algorithm": "grid", "order": "outside_in"}
        walked = [values["model.dropout"] for values in _walk(_spec(space, "grid", search=search))]
        assert sorted(walked)[::-1][:1] + sorted(walked)[:1] == walked[:2]
        assert len(set(walked)) == 10

    def test_the_seed_does_not_matter(self) -> None:
        walks = [_walk(_spec(CONDITIONAL, "grid", seed=seed)) for seed in (0, 7)]
        assert walks[0] == walks[1]


def test_the_catalogue_names_just_the_oracles_that_there_are() -> None:
    assert set(ORACLES) == set(ALGORITHMS)


def test_the_spaces_of_these_tests_have_every_kind_of_distribution() -> None:
    spaces = [*(space for space, _ in SPACES.values()), CONTINUOUS]
    found = [one.distribution for space in spaces for one in _spec(space, "random").space]
    assert {one.type for one in found} == {"float", "int", "choice", "boolean"}
    assert {one.sampling for one in found if isinstance(one, Range)} >= {"linear", "log"}
    assert any(isinstance(one, Choice) and one.when for one in found)
