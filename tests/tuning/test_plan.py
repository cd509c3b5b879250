"""The next step of a search: suggestions, an end, or waiting."""

from typing import Any

import pytest

from schemas.specs import JobSpec
from schemas.states import StopReason, TrialState
from schemas.trials import INFEASIBLE, Trial
from tests.tuning.makers import new_spec, new_trial
from tuning.oracles import most_infeasible
from tuning.plan import plan

OPEN = {"filters": {"type": "choice", "values": [2, 4, 8]}}


def _spec(**budget: Any) -> JobSpec:
    objective = {"target": budget.pop("target", None)}
    return new_spec(OPEN, budget={"max_trials": 10, **budget}, objective=objective)


def _trials(*states: TrialState, score: float = 0.5) -> list[Trial]:
    values = (2, 4, 8)
    return [
        new_trial(number, {"model.filters": values[number]}, state, score)
        for number, state in enumerate(states)
    ]


def _step(spec: JobSpec, trials: list[Trial]) -> tuple[int, StopReason | None]:
    """How many suggestions, and the end if it is one."""
    step = plan(spec, trials)
    return len(step.suggestions), step.stop_reason


def test_the_first_step_fills_all_parallel_places() -> None:
    assert _step(_spec(parallel_trials=2), []) == (2, None)


def test_places_in_use_are_not_filled() -> None:
    trials = _trials(TrialState.RUNNING, TrialState.COMPLETED)
    assert len(plan(_spec(parallel_trials=2), trials).suggestions) == 1


def test_full_places_are_waited_for() -> None:
    trials = _trials(TrialState.RUNNING, TrialState.PENDING)
    assert _step(_spec(parallel_trials=2), trials) == (0, None)


def test_more_in_flight_than_there_is_room_is_waited_for() -> None:
    trials = _trials(TrialState.RUNNING, TrialState.RUNNING)
    assert _step(_spec(parallel_trials=1), trials) == (0, None)


def test_the_budget_bounds_the_suggestions() -> None:
    assert len(plan(_spec(max_trials=2, parallel_trials=4), []).suggestions) == 2


def test_a_used_up_budget_completes_the_search() -> None:
    trials = _trials(TrialState.COMPLETED, TrialState.FAILED)
    assert _step(_spec(max_trials=2), trials) == (0, StopReason.COMPLETED)


def test_what_is_left_of_a_space_comes_before_its_end() -> None:
    spec = _spec(parallel_trials=4)
    assert _step(spec, _trials(TrialState.COMPLETED)) == (2, None)
    trials = _trials(*[TrialState.COMPLETED] * 3)
    assert _step(spec, trials) == (0, StopReason.SPACE_EXHAUSTED)


def test_a_score_at_the_target_ends_the_search() -> None:
    trials = _trials(TrialState.COMPLETED, TrialState.RUNNING, score=0.9)
    assert plan(_spec(target=0.9), trials).stop_reason == StopReason.TARGET_REACHED
    assert plan(_spec(target=0.91), trials).stop_reason is None


def test_a_target_to_be_minimized_is_met_from_above() -> None:
    spec = new_spec(OPEN, objective={"metric": "val_loss", "target": 0.3})
    assert plan(spec, _trials(TrialState.COMPLETED, score=0.31)).stop_reason is None
    met = plan(spec, _trials(TrialState.COMPLETED, score=0.3))
    assert met.stop_reason == StopReason.TARGET_REACHED


def test_the_target_counts_before_the_budget() -> None:
    trials = _trials(TrialState.COMPLETED, score=1.0)
    step = plan(_spec(max_trials=1, target=0.9), trials)
    assert step.stop_reason == StopReason.TARGET_REACHED


def test_a_budget_that_is_spent_ends_the_search_and_a_target_comes_first() -> None:
    trials = _trials(TrialState.COMPLETED, score=0.9)
    assert plan(_spec(), trials, is_spent=True).stop_reason == StopReason.BUDGET_EXHAUSTED
    assert plan(_spec(), trials, is_spent=False).stop_reason is None
    reached = plan(_spec(target=0.9), trials, is_spent=True)
    assert reached.stop_reason == StopReason.TARGET_REACHED


def test_too_many_failures_end_the_search() -> None:
    trials = _trials(TrialState.FAILED, TrialState.FAILED)
    ended = plan(_spec(max_failed_trials=2), trials)
    assert ended.stop_reason == StopReason.TOO_MANY_FAILURES
    assert plan(_spec(max_failed_trials=3), trials).stop_reason is None


def test_cancelled_trials_are_no_failures_but_use_the_budget() -> None:
    trials = _trials(TrialState.CANCELLED, TrialState.CANCELLED)
    assert plan(_spec(max_failed_trials=1, max_trials=3), trials).stop_reason is None
    assert plan(_spec(max_trials=2), trials).stop_reason == StopReason.COMPLETED


# What cannot be built costs nothing.

WIDE = {"dense_units": {"type": "int", "min": 1, "max": 5000}}


def _failed(number: int, code: str) -> Trial:
    error = {"code": code, "message": "x"}
    return new_trial(number, {"model.dense_units": number + 1}, TrialState.FAILED, error=error)


def _wide(**budget: Any) -> JobSpec:
    return new_spec(WIDE, budget={"max_trials": 3, "parallel_trials": 2, **budget})


def test_what_cannot_be_built_uses_no_budget() -> None:
    trials = [_failed(number, INFEASIBLE) for number in range(5)]
    assert len(plan(_wide(), trials).suggestions) == 2
    scored = [new_trial(5 + one, {"model.dense_units": 10 + one}) for one in range(2)]
    # Two of three are used: one is left, though there is room for two.
    assert len(plan(_wide(), [*trials, *scored]).suggestions) == 1
    full = [*trials, *scored, _failed(7, "non_finite_objective")]
    assert plan(_wide(), full).stop_reason == StopReason.COMPLETED


def test_what_is_suggested_instead_is_something_else() -> None:
    trials: list[Trial] = []
    for _ in range(6):
        for one in plan(_wide(), trials).suggestions:
            error = {"code": INFEASIBLE, "message": "x"}
            trials.append(new_trial(len(trials), one.values, TrialState.FAILED, error=error))
    assert len(trials) == 12
    assert len({trial.hyperparameters["model.dense_units"] for trial in trials}) == 12


def test_what_cannot_be_built_is_no_failure() -> None:
    spec = _wide(max_failed_trials=2)
    trials = [_failed(number, INFEASIBLE) for number in range(4)]
    assert plan(spec, trials).stop_reason is None
    trials += [_failed(4, "out_of_memory")]
    assert plan(spec, trials).stop_reason is None
    trials += [_failed(5, "non_finite_objective")]
    assert plan(spec, trials).stop_reason == StopReason.TOO_MANY_FAILURES


def test_a_space_of_which_hardly_anything_can_be_built_is_given_up() -> None:
    spec = _wide()
    limit = most_infeasible(spec)
    assert limit >= 100
    trials = [_failed(number, INFEASIBLE) for number in range(limit - 1)]
    assert plan(spec, trials).suggestions
    trials += [_failed(limit - 1, INFEASIBLE)]
    ended = plan(spec, trials)
    assert (ended.suggestions, ended.stop_reason) == ((), StopReason.SPACE_EXHAUSTED)


def test_a_small_space_in_which_nothing_can_be_built_is_exhausted() -> None:
    error = {"code": INFEASIBLE, "message": "x"}
    trials = [
        new_trial(number, {"model.filters": value}, TrialState.FAILED, error=error)
        for number, value in enumerate((2, 4, 8))
    ]
    assert plan(_spec(), trials).stop_reason == StopReason.SPACE_EXHAUSTED


@pytest.mark.parametrize("code", ["dataset_unavailable", "dataset_unreadable"])
def test_what_every_trial_would_fail_of_ends_the_search_at_once(code: str) -> None:
    assert plan(_wide(), [_failed(0, code)]).stop_reason == StopReason.TOO_MANY_FAILURES
