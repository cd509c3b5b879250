"""A warm start: which trials of an earlier job say something of another's space."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.knowledge import TELLING, known_from, telling
from schemas.specs import JobSpec, load_spec
from schemas.states import TrialState
from schemas.trials import ERROR_CODES, Effort, Known, Trial

START = datetime(2026, 1, 1, tzinfo=UTC)
RATE, FILTERS = "training.learning_rate", "model.filters"


def spec(rate: Any, filters: Any = 8, **sections: Any) -> JobSpec:
    return load_spec(
        {
            "dataset": "builtin:digits",
            "model": {"family": "cnn", "filters": filters},
            "training": {"learning_rate": rate},
            "budget": {"max_trials": 9},
            **sections,
        }
    )


def real(low: float, high: float) -> dict[str, Any]:
    return {"type": "float", "min": low, "max": high}


def trial(values: dict[str, Any], score: float | None = 0.5, **fields: Any) -> Trial:
    """One that was completed, unless something else is given."""
    known: dict[str, Any] = {
        "number": 0,
        "state": TrialState.COMPLETED,
        "attempt": 1,
        "hyperparameters": values,
        "score": score,
        "best_epoch": 1,
        "metrics": {},
        "parameters": None,
        "error": None,
        "create_time": START,
        "start_time": START,
        "end_time": START,
    }
    return Trial(**{**known, **fields})


def failed(code: str) -> Trial:
    error = {"code": code, "message": ""}
    return trial({RATE: 0.01}, None, state=TrialState.FAILED, error=error)


WIDE, NARROW = spec(real(0.001, 0.1)), spec(real(0.01, 0.05))


def test_trials_inside_the_space_are_known_with_their_scores() -> None:
    trials = [trial({RATE: 0.02}, 0.8), trial({RATE: 0.05}, 0.9)]
    found = known_from(NARROW, WIDE, trials)
    assert found.known == (Known({RATE: 0.02}, 0.8), Known({RATE: 0.05}, 0.9))
    assert (found.outside, found.different) == (0, ())


def test_values_outside_the_space_are_left_out_and_counted() -> None:
    trials = [trial({RATE: 0.001}), trial({RATE: 0.02}), trial({RATE: 0.1})]
    found = known_from(NARROW, WIDE, trials)
    assert [one.values for one in found.known] == [{RATE: 0.02}]
    assert found.outside == 2


@pytest.mark.parametrize("code", ERROR_CODES)
def test_a_failure_is_told_if_it_says_something_of_the_configuration(code: str) -> None:
    found = known_from(WIDE, WIDE, [failed(code)])
    assert found.known == ((Known({RATE: 0.01}, None),) if code in TELLING else ())
    assert found.outside == 0


@pytest.mark.parametrize(
    "one",
    [
        trial({RATE: 0.01}, None, state=TrialState.CANCELLED),
        trial({RATE: 0.01}, None, state=TrialState.PENDING),
        trial({RATE: 0.01}, None, state=TrialState.RUNNING),
        trial({RATE: 0.01}, None),
        trial({RATE: 0.01}, effort=Effort(until_epoch=3)),
        trial({RATE: 0.01}, effort=Effort(data_share=0.5)),
    ],
)
def test_a_trial_that_was_not_trained_in_full_tells_nothing(one: Trial) -> None:
    assert telling([one]) == []
    assert known_from(WIDE, WIDE, [one]).known == ()


def test_a_trial_that_was_stopped_or_promoted_to_the_end_tells_its_score() -> None:
    stopped = trial({RATE: 0.01}, 0.3, state=TrialState.STOPPED)
    promoted = trial({RATE: 0.02}, 0.9, effort=Effort(parent=0, stage={"bracket": 1}))
    assert telling([stopped, promoted]) == [stopped, promoted]


def test_where_other_values_are_fixed_nothing_is_known() -> None:
    found = known_from(spec(real(0.001, 0.1), filters=16), WIDE, [trial({RATE: 0.01})])
    assert (found.known, found.outside, found.different) == ((), 0, (FILTERS,))


def test_equal_numbers_are_no_difference() -> None:
    dropout = {"model": {"family": "cnn", "filters": 8, "dropout": 0}}
    other = {"model": {"family": "cnn", "filters": 8, "dropout": 0.0}}
    found = known_from(
        spec(real(0.001, 0.1), **dropout), spec(real(0.001, 0.1), **other), [trial({RATE: 0.01})]
    )
    assert found.different == ()
    assert len(found.known) == 1


def test_what_was_fixed_then_and_is_open_now_is_a_value_of_the_trial() -> None:
    now = spec(real(0.001, 0.1), filters={"type": "choice", "values": [8, 16]})
    assert known_from(now, WIDE, [trial({RATE: 0.01})]).known == (Known({RATE: 0.01, FILTERS: 8}, 0.5),)
    outside = spec(real(0.001, 0.1), filters={"type": "choice", "values": [16, 32]})
    assert known_from(outside, WIDE, [trial({RATE: 0.01})]).outside == 1


def test_what_was_open_then_and_is_fixed_now_keeps_the_trials_with_that_value() -> None:
    before = spec(real(0.001, 0.1), filters={"type": "choice", "values": [8, 16]})
    trials = [trial({RATE: 0.01, FILTERS: 8}, 0.7), trial({RATE: 0.02, FILTERS: 16}, 0.9)]
    found = known_from(WIDE, before, trials)
    assert found.known == (Known({RATE: 0.01}, 0.7),)


def test_a_value_takes_the_type_that_the_new_space_draws() -> None:
    now = spec({"type": "choice", "values": [1, 2]})
    ((values, _),) = [(one.values, one.score) for one in known_from(now, spec(1.0), [trial({})]).known]
    assert values == {RATE: 1}


def test_values_that_do_not_exist_are_not_asked_for() -> None:
    training = {
        "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
        "momentum": {"type": "float", "min": 0.5, "max": 0.9, "when": {"training.optimizer": ["sgd"]}},
    }
    open_one = spec(0.01, training=training)
    adam, sgd = {"training.optimizer": "adam"}, {"training.optimizer": "sgd", "training.momentum": 0.6}
    found = known_from(open_one, open_one, [trial(adam), trial(sgd)])
    assert [one.values for one in found.known] == [adam, sgd]
