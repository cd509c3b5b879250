"""The life of a job and of a trial: finished is final, and the two views on the table agree."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.states import JobState, StopReason, TrialState

State = JobState | TrialState

LIVES = (JobState, TrialState)
PAIRS = [pair for life in LIVES for pair in product(life, life)]


@pytest.mark.parametrize(("state", "target"), PAIRS)
def test_sources_and_may_become_agree(state: State, target: State) -> None:
    assert (state in type(target).sources(target)) is state.may_become(target)  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "target"), PAIRS)
def test_a_terminal_state_is_final(state: State, target: State) -> None:
    finished = {"succeeded", "completed", "stopped", "failed", "cancelled"}
    assert not (state in finished and state.may_become(target))  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "target"), PAIRS)
def test_no_state_becomes_itself(state: State, target: State) -> None:
    assert not (state is target and state.may_become(target))  # type: ignore[arg-type]


@given(st.sampled_from(LIVES).flatmap(lambda life: st.lists(st.sampled_from(list(life)))))
def test_no_walk_leaves_a_terminal_state(targets: list[State]) -> None:
    walked = [JobState.QUEUED if targets and isinstance(targets[0], JobState) else TrialState.PENDING]
    for target in targets:
        if walked[-1].may_become(target):  # type: ignore[arg-type]
            walked.append(target)  # type: ignore[arg-type]
    assert not any(state.is_terminal for state in walked[:-1])


@pytest.mark.parametrize("state", [*JobState, *TrialState])
def test_every_live_state_can_still_end(state: State) -> None:
    seen, waiting = set(), [state]
    while waiting:
        here = waiting.pop()
        seen.add(here)
        waiting += [one for one in type(here) if here.may_become(one) and one not in seen]  # type: ignore[arg-type]
    assert any(one.is_terminal for one in seen)


def test_terminal_and_live_divide_the_states() -> None:
    assert JobState.terminal() == (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
    assert TrialState.live() == (TrialState.PENDING, TrialState.RUNNING)
    for life in LIVES:
        assert {*life.terminal(), *life.live()} == set(life)
        assert not {*life.terminal()} & {*life.live()}


def test_a_job_goes_the_documented_way() -> None:
    way = [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED, JobState.RUNNING, JobState.FINISHING]
    assert all(state.may_become(target) for state, target in pairwise(way))
    assert JobState.sources(JobState.PAUSED) == (JobState.QUEUED, JobState.RUNNING)
    assert JobState.sources(JobState.CANCELLED) == (JobState.CANCELLING,)


def test_a_paused_job_goes_on_or_is_cancelled() -> None:
    following = [state for state in JobState if JobState.PAUSED.may_become(state)]
    assert following == [JobState.RUNNING, JobState.CANCELLING]


def test_a_job_without_a_model_to_make_succeeds_at_once() -> None:
    assert JobState.sources(JobState.SUCCEEDED) == (JobState.RUNNING, JobState.FINISHING)


def test_a_trial_that_lost_its_worker_waits_again() -> None:
    assert TrialState.RUNNING.may_become(TrialState.PENDING)


def test_a_waiting_trial_may_be_completed_by_the_result_of_an_equal_one() -> None:
    assert TrialState.sources(TrialState.COMPLETED) == (TrialState.PENDING, TrialState.RUNNING)
    assert TrialState.sources(TrialState.STOPPED) == (TrialState.RUNNING,)


def test_a_stopped_trial_counts_as_a_result() -> None:
    assert TrialState.scored() == (TrialState.COMPLETED, TrialState.STOPPED)


def test_states_of_jobs_and_of_trials_keep_tables_of_their_own() -> None:
    # Members of two StrEnums with the same text are equal: one table for both would mix them up.
    assert JobState.RUNNING == TrialState.RUNNING
    assert JobState.RUNNING.may_become(JobState.PAUSED)
    assert not TrialState.RUNNING.may_become("paused")  # type: ignore[arg-type]


def test_stop_reasons_are_the_documented_ones() -> None:
    assert {str(reason) for reason in StopReason} == {
        "completed",
        "space_exhausted",
        "target_reached",
        "budget_exhausted",
        "deadline",
        "plateau",
        "too_many_failures",
        "cancelled",
    }
