"""One contract for every search algorithm, and what each promises beyond it."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.src.engine import oracle as engine

from schemas.distributions import Choice, Range, Value
from schemas.problems import Invalid
from schemas.search import ALGORITHMS
from schemas.spaces import points
from schemas.specs import JobSpec
from schemas.states import StopReason, TrialState
from schemas.trials import Suggestion, Trial
from tests.tuning.makers import new_spec
from tests.tuning.searching import ended, key_of, pair_of, scored, searched, trial_of, walk
from tuning import oracles
from tuning.oracles import ORACLES, Exhausted, Wait, most_infeasible

Values = Mapping[str, Value]
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
# Each is told of what becomes of its trials; the grid and the random search do not care.
LEARNERS = ("bayesian", "tpe", "cmaes")
# Those that try each configuration once, with everything.
PLAIN = ("random", "grid", *LEARNERS)
ENDED: tuple[dict[str, Any], ...] = (
    {"state": TrialState.COMPLETED, "score": 0.5},
    {"state": TrialState.COMPLETED, "score": None},
    {"state": TrialState.STOPPED, "score": 0.1},
    {"state": TrialState.FAILED, "error": {"code": "internal", "message": ""}},
    {"state": TrialState.FAILED, "error": {"code": "out_of_memory", "message": ""}},
    {"state": TrialState.FAILED, "error": {"code": "infeasible_model", "message": ""}},
    {"state": TrialState.CANCELLED},
)


def _spec(space: Space, algorithm: str, **changes: Any) -> JobSpec:
    """A spec; the test is skipped where the space is refused for the algorithm."""
    training = {"epochs": 9, **space.get("training", {})}
    if algorithm == "lr_range_test" and "search" not in changes:
        then = {"algorithm": "random"} if _has_open_rate(space) else None
        changes["search"] = {"algorithm": algorithm, "then": then}
    try:
        return new_spec(space.get("model"), training, algorithm, **changes)
    except Invalid as refused:
        # Only where the algorithm itself has nothing to search; any other refusal is a mistake in the test.
        if [one.pointer for one in refused.errors] != ["/search/algorithm"]:
            raise
        pytest.skip("not a space for this algorithm")


def _has_open_rate(space: Space) -> bool:
    rate = space.get("training", {}).get("learning_rate", {})
    return isinstance(rate, dict) and rate.get("type") == "float"


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


@pytest.mark.parametrize("algorithm", PLAIN)
class TestEveryConfigurationOnce:
    @pytest.mark.parametrize("name", SPACES)
    def test_the_whole_space_and_then_exhausted(self, algorithm: str, name: str) -> None:
        space, size = SPACES[name]
        spec = _spec(space, algorithm)
        found = walk(spec)
        assert {key_of(values) for values in found} == {key_of(values) for values in points(spec.space)}
        assert spec.space.grid_size() == len(found) == size

    def test_whatever_becomes_of_the_trials(self, algorithm: str) -> None:
        trials = searched(_spec(FLAT, algorithm), 60, lambda number, _: ENDED[number % len(ENDED)], 3)
        assert len({key_of(trial.hyperparameters) for trial in trials}) == len(trials) == SPACES["flat"][1]

    def test_a_small_space_is_through_in_no_time(self, algorithm: str) -> None:
        space: Space = {"model": {"filters": {"type": "int", "min": 1, "max": 12}}}
        spec = _spec(space, algorithm, max_trials=30)
        trials = searched(spec, 30)
        assert len(trials) == 12
        with pytest.raises(Exhausted) as end:
            oracles.rebuild(spec, trials).suggest()
        assert end.value.reason is StopReason.SPACE_EXHAUSTED

    def test_there_is_an_end_in_sight_for_a_space_without_one(self, algorithm: str) -> None:
        """The plan holds the budget; beyond it the oracle gives what stands in for what cannot be built."""
        spec = _spec(CONTINUOUS, algorithm, max_trials=3)
        assert len(walk(spec)) == 3 + most_infeasible(spec)


@pytest.mark.parametrize("algorithm", ORACLES)
class TestContract:
    @pytest.mark.parametrize("space", [*(space for space, _ in SPACES.values()), CONTINUOUS])
    def test_just_the_active_values_are_there(self, algorithm: str, space: Space) -> None:
        spec = _spec(space, algorithm, max_trials=20)
        for trial in searched(spec, 20, parallel=2):
            values = trial.hyperparameters
            assert spec.space.active(values) == values
            assert set(values) == {one.name for one in spec.space if one.is_active(values)}

    @pytest.mark.parametrize("space", [*(space for space, _ in SPACES.values()), CONTINUOUS])
    def test_values_are_of_their_distributions(self, algorithm: str, space: Space) -> None:
        spec = _spec(space, algorithm, max_trials=20)
        distributions = {one.name: one.distribution for one in spec.space}
        for trial in searched(spec, 20):
            for name, value in trial.hyperparameters.items():
                assert distributions[name].contains(value)
                assert type(value) is type(distributions[name].grid_values()[0])

    @pytest.mark.parametrize("space", [CONDITIONAL, LOGS, CONTINUOUS])
    def test_values_come_through_json_unchanged(self, algorithm: str, space: Space) -> None:
        for values in walk(_spec(space, algorithm), 60):
            back = json.loads(json.dumps(dict(values)))
            assert back == values
            assert [type(back[name]) for name in values] == [type(one) for one in values.values()]

    @pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
    def test_the_same_seed_makes_the_same_sequence(self, algorithm: str, seed: int) -> None:
        spec = _spec(CONTINUOUS, algorithm, seed=seed, max_trials=16)
        assert searched(spec, 16) == searched(spec, 16)

    def test_rebuilding_between_any_two_suggestions_changes_nothing(self, algorithm: str) -> None:
        """One oracle goes on until it is to learn of something; the other is rebuilt for every suggestion."""

        @settings(max_examples=25 if algorithm in ("random", "grid") else 6, deadline=None)
        @given(
            space=st.one_of(st.sampled_from([FLAT, CONDITIONAL, DEFAULTS, LOGS, CONTINUOUS]), _spaces()),
            seed=st.integers(0, 5),
            steps=st.lists(
                st.tuples(st.integers(1, 4), st.integers(0, 9), st.sampled_from(ENDED)),
                min_size=1,
                max_size=12,
            ),
        )
        def check(space: Space, seed: int, steps: list[tuple[int, int, dict[str, Any]]]) -> None:
            try:
                spec = new_spec(
                    space.get("model"), space.get("training"), algorithm, seed=seed, max_trials=30
                )
            except Invalid:
                return
            trials: list[Trial] = []
            for count, ending, outcome in steps:
                kept = oracles.rebuild(spec, trials)
                for _ in range(count):
                    made = _next(kept)
                    assert made == _next(oracles.rebuild(spec, trials))
                    if isinstance(made, str):
                        break
                    trials.append(trial_of(len(trials), made, state=TrialState.PENDING))
                running = [trial for trial in trials if not trial.state.is_terminal]
                if running:
                    one = running[ending % len(running)]
                    trials[one.number] = ended(one, outcome)

        check()

    @pytest.mark.parametrize("parallel", [1, 3])
    def test_no_effort_is_spent_twice_on_a_configuration(self, algorithm: str, parallel: int) -> None:
        for space in (FLAT, CONTINUOUS):
            trials = searched(_spec(space, algorithm, max_trials=30), 30, parallel=parallel)
            assert len({pair_of(trial) for trial in trials}) == len(trials)

    @pytest.mark.parametrize("outcome", ENDED)
    def test_it_goes_on_whatever_becomes_of_all_its_trials(
        self, algorithm: str, outcome: dict[str, Any]
    ) -> None:
        spec = _spec(CONTINUOUS, algorithm, max_trials=14)
        assert len(searched(spec, 14, lambda number, values: outcome, 4)) == 14

    def test_a_trial_without_a_finite_score_is_a_failed_one(self, algorithm: str) -> None:
        spec = _spec(CONTINUOUS, algorithm)
        scores = (0.5, None, float("nan"), float("inf"), 0.25)
        first = oracles.rebuild(spec, []).suggest()
        made = [trial_of(number, first, score=score) for number, score in enumerate(scores)]
        known = oracles.rebuild(spec, made).trials.values()
        assert [one.score for one in known] == [0.5, None, None, None, 0.25]
        assert [one.status for one in known] == ["COMPLETED", "FAILED", "FAILED", "FAILED", "COMPLETED"]
        oracles.rebuild(spec, made).suggest()

    def test_no_oracle_is_kept_for_ever(self, algorithm: str) -> None:
        before = len(engine.LOCKS), len(engine.THREADS)
        for _ in range(5):
            walk(_spec(CONTINUOUS, algorithm), 30)
        assert (len(engine.LOCKS), len(engine.THREADS)) == before

    def test_it_writes_no_files(self, algorithm: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        searched(_spec(CONTINUOUS, algorithm, max_trials=14), 14)
        assert list(tmp_path.iterdir()) == []

    def test_it_says_nothing(
        self, algorithm: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
    ) -> None:
        searched(_spec(CONTINUOUS, algorithm, max_trials=14), 14)
        assert capfd.readouterr() == ("", "")
        assert not [one for one in recwarn if "keras_tuner" not in one.filename]


@pytest.mark.parametrize("algorithm", [name for name in ORACLES if name != "lr_range_test"])
class TestEnqueued:
    QUEUE: tuple[dict[str, Any], ...] = (
        {"model.filters": 16, "model.batch_norm": False},
        {"training.optimizer": "adam"},
    )

    def test_they_come_first_and_then_the_defaults(self, algorithm: str) -> None:
        spec = _spec(DEFAULTS, algorithm, search={"algorithm": algorithm, "enqueue": list(self.QUEUE)})
        first = walk(spec, 3)
        for queued, values in zip(self.QUEUE, first, strict=False):
            assert {name: values[name] for name in queued} == queued
        # What is left out has its default, and exists only where it may.
        assert first[0]["training.momentum"] == 0.2
        assert first[1] == {"model.filters": 8, "model.batch_norm": True, "training.optimizer": "adam"}
        assert first[2]["model.filters"] == 8
        assert first[2]["training.momentum"] == 0.2

    def test_what_is_neither_given_nor_a_default_is_drawn(self, algorithm: str) -> None:
        search = {"algorithm": algorithm, "enqueue": [{"model.filters": 4}] * 2}
        first = walk(_spec(FLAT, algorithm, search=search), 2)
        assert [values["model.filters"] for values in first] == [4, 4]
        assert first[0] != first[1]

    def test_a_value_is_of_the_type_of_its_distribution(self, algorithm: str) -> None:
        search = {"algorithm": algorithm, "enqueue": [{"training.learning_rate": 1}]}
        space: Space = {"training": {"learning_rate": {"type": "float", "min": 0.1, "max": 1.0}}}
        value = walk(_spec(space, algorithm, search=search), 1)[0]["training.learning_rate"]
        assert type(value) is float

    def test_none_is_tried_again(self, algorithm: str) -> None:
        whole = {"model.filters": 8, "model.dense_units": 2, "model.dropout": 0.2, "model.batch_norm": True}
        search = {"algorithm": algorithm, "enqueue": [whole, whole]}
        spec = _spec(FLAT, algorithm, search=search)
        walked = [key_of(values) for values in walk(spec, 36)]
        assert walked.count(key_of(whole)) == 1
        assert len(set(walked)) == len(walked)


def _next(oracle: oracles.RebuiltOracle) -> Suggestion | str:
    try:
        return oracle.suggest()
    except (Wait, Exhausted) as stop:
        return type(stop).__name__


@pytest.mark.parametrize("algorithm", ["random", "grid"])
@pytest.mark.parametrize("space", [FLAT, CONDITIONAL, CONTINUOUS])
def test_the_set_of_trials_is_the_same_at_any_parallelism(algorithm: str, space: Space) -> None:
    spec = _spec(space, algorithm)
    made = {
        tuple(sorted(pair_of(trial) for trial in searched(spec, 12, scored, parallel, last_first)))
        for parallel, last_first in ((1, False), (2, True), (4, False), (5, True))
    }
    assert len(made) == 1


class TestRandom:
    def test_another_seed_makes_another_sequence(self) -> None:
        walks = [walk(_spec(CONTINUOUS, "random", seed=seed), 5) for seed in range(4)]
        assert len({key_of({"walk": str(walk)}) for walk in walks}) == 4

    def test_the_defaults_are_tried_first(self) -> None:
        for seed in range(5):
            first = walk(_spec(DEFAULTS, "random", seed=seed), 1)[0]
            assert first["model.filters"] == 8
            assert first["model.batch_norm"] is True
            assert first["training.optimizer"] == "sgd"
            assert first["training.momentum"] == 0.2

    def test_without_defaults_the_first_trial_is_as_random_as_the_others(self) -> None:
        firsts = {key_of(walk(_spec(FLAT, "random", seed=seed), 1)[0]) for seed in range(12)}
        assert len(firsts) > 3

    def test_every_step_of_a_range_is_drawn_both_ends_too(self) -> None:
        """Not only when all else is used up: beside a continuous value nothing ever is."""
        model = {**STEPPED["model"], "l2": {"type": "float", "min": 0.0, "max": 1.0}}
        drawn = [values["model.dropout"] for values in walk(_spec({"model": model}, "random"), 80)]
        assert sorted(set(drawn)) == [0.3, 0.4, 0.5, 0.6, 0.7]

    def test_log_sampling_spreads_over_the_magnitudes(self) -> None:
        space: Space = {"training": CONTINUOUS["training"]}
        rates = [float(values["training.learning_rate"]) for values in walk(_spec(space, "random"), 80)]
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
        walked = walk(_spec(space, "grid"))
        names = [one.name for one in _spec(space, "grid").space]
        assert [tuple(values[name] for name in names) for values in walked] == list(
            itertools.product([4, 8], [0.1, 0.2, 0.3])
        )

    def test_the_default_comes_first(self) -> None:
        walked = walk(_spec(DEFAULTS, "grid"))
        assert [values["model.filters"] for values in walked] == [8] * 8 + [4] * 8 + [16] * 8
        assert walked[0]["model.batch_norm"] is True
        assert [values.get("training.momentum") for values in walked[:4]] == [0.2, 0.0, 0.4, None]

    def test_a_range_without_step_has_ten_values(self) -> None:
        space: Space = {"model": {"dropout": {"type": "float", "min": 0.0, "max": 0.5}}}
        walked = [values["model.dropout"] for values in walk(_spec(space, "grid"))]
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
        walked = walk(_spec(space, "grid", search=search))
        expected = itertools.product([3, 1, 2], [0.4, 0.1, 0.3, 0.2])
        assert [(one["model.filters"], one["model.dropout"]) for one in walked] == list(expected)

    @pytest.mark.parametrize("name", SPACES)
    def test_outside_in_has_every_configuration_once(self, name: str) -> None:
        space, size = SPACES[name]
        spec = _spec(space, "grid", search={"algorithm": "grid", "order": "outside_in"})
        walked = walk(spec)
        assert len(walked) == size
        assert {key_of(values) for values in walked} == {key_of(values) for values in points(spec.space)}
        # As if one oracle had walked all the way.
        again = searched(spec, 60, lambda number, _: ENDED[number % len(ENDED)])
        assert [trial.hyperparameters for trial in again] == walked[:60]

    def test_outside_in_goes_through_a_child_wherever_it_exists(self) -> None:
        spec = _spec(CONDITIONAL, "grid", search={"algorithm": "grid", "order": "outside_in"})
        walked = [
            (one["training.optimizer"], one.get("training.momentum"))
            for one in walk(spec)
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
        walked = [values["model.dropout"] for values in walk(_spec(space, "grid", search=search))]
        assert sorted(walked)[::-1][:1] + sorted(walked)[:1] == walked[:2]
        assert len(set(walked)) == 10

    def test_the_seed_does_not_matter(self) -> None:
        walks = [walk(_spec(CONDITIONAL, "grid", seed=seed)) for seed in (0, 7)]
        assert walks[0] == walks[1]


def test_the_catalogue_names_just_the_oracles_that_there_are() -> None:
    assert set(ORACLES) == set(ALGORITHMS)


def test_the_spaces_of_these_tests_have_every_kind_of_distribution() -> None:
    spaces = [*(space for space, _ in SPACES.values()), CONTINUOUS]
    found = [one.distribution for space in spaces for one in _spec(space, "random").space]
    assert {one.type for one in found} == {"float", "int", "choice", "boolean"}
    assert {one.sampling for one in found if isinstance(one, Range)} >= {"linear", "log"}
    assert any(isinstance(one, Choice) and one.when for one in found)
