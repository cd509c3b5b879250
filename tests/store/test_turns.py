"""Whose trial is next: jobs share the slots by their priorities, whatever they have in the queue."""

from collections import Counter
from collections.abc import Callable

import pytest

from schemas.states import JobState
from schemas.trials import Suggestion
from store import jobs, searches, trials, turns
from store.database import Database
from store.tables import MAX_FAULTS
from tests.store.makers import (
    PROJECT,
    claim,
    job_row,
    job_with_trials,
    new_job,
    new_spec,
    new_trials,
    running_job,
    set_job,
    set_state,
    set_trial,
)


def next_of(database: Database) -> tuple[str, int] | None:
    with database.read() as session:
        return turns.next_trial(session)


def start(database: Database, count: int) -> list[str]:
    """The jobs whose trials so many free slots take, one after another."""
    begun = []
    for _ in range(count):
        found = next_of(database)
        if found is None:
            break
        claim(database, *found)
        begun.append(found[0])
    return begun


def test_without_trials_nobody_is_next(database: Database) -> None:
    new_job(database)
    assert next_of(database) is None


def test_trials_of_a_job_begin_in_their_order(database: Database) -> None:
    job_id = job_with_trials(database, 3)
    assert [next_of(database), *start(database, 1)] == [(job_id, 0), job_id]
    assert next_of(database) == (job_id, 1)


def test_two_jobs_take_turns(database: Database) -> None:
    first, second = (running_job(database, 4) for _ in range(2))
    begun = start(database, 8)
    assert {*begun[0::2]} | {*begun[1::2]} == {first, second}
    assert all({*begun[index : index + 2]} == {first, second} for index in range(0, 8, 2))


@pytest.mark.parametrize(("priority", "others"), [(6, 5), (1, 0), (9, 8)])
def test_one_priority_more_is_twice_the_turns(database: Database, priority: int, others: int) -> None:
    high = running_job(database, 20, priority=priority)
    low = running_job(database, 20, priority=others)
    counts = Counter(start(database, 15))
    assert (counts[high], counts[low]) == (10, 5)


def test_a_job_with_a_thousand_trials_starves_none_with_five(database: Database) -> None:
    large = running_job(database, 1000)
    start(database, 20)
    small = running_job(database, 5)
    begun = start(database, 10)
    assert Counter(begun) == {large: 5, small: 5}


def test_a_job_that_comes_later_is_owed_nothing(database: Database) -> None:
    early = running_job(database, 40)
    start(database, 10)
    late = running_job(database, 40)
    assert job_row(database, late).turn == job_row(database, early).turn == 10
    assert Counter(start(database, 10)) == {early: 5, late: 5}


def test_a_job_that_comes_back_does_not_wait_for_what_it_had(database: Database) -> None:
    before = running_job(database, 40)
    start(database, 10)
    with database.write() as session:
        searches.pause(session, before)
    new = running_job(database, 40)
    assert job_row(database, new).turn == 0, "nobody else searches"
    with database.write() as session:
        searches.resume(session, before)
    assert Counter(start(database, 10)) == {before: 5, new: 5}


def test_a_job_that_is_extended_shares_from_now_on(database: Database) -> None:
    extended = running_job(database, 20)
    start(database, 10)
    set_state(database, extended, JobState.SUCCEEDED)
    new = running_job(database, 20)
    start(database, 4)
    with database.write() as session:
        searches.change_budget(session, extended, new_spec(budget={"max_trials": 50}))
    assert job_row(database, extended).turn == job_row(database, new).turn == 4


def test_another_budget_is_no_way_to_the_front(database: Database) -> None:
    one, other = running_job(database, 10), running_job(database, 10)
    start(database, 1)
    ahead = max(one, other, key=lambda job_id: job_row(database, job_id).turn)
    with database.write() as session:
        searches.change_budget(session, ahead, new_spec(budget={"max_trials": 50}))
    assert job_row(database, ahead).turn == 1


@pytest.mark.parametrize("state", [one for one in JobState if one not in JobState.searching()])
def test_a_job_that_does_not_search_is_passed_over(database: Database, state: JobState) -> None:
    resting, other = running_job(database, 2), running_job(database, 2)
    set_state(database, resting, state)
    assert start(database, 4) == [other, other]


def test_a_job_that_was_given_up_is_passed_over(database: Database) -> None:
    broken, other = running_job(database, 2), running_job(database, 2)
    set_job(database, broken, faults=MAX_FAULTS)
    assert start(database, 4) == [other, other]


def test_a_trial_that_is_to_stop_is_passed_over(database: Database) -> None:
    job_id = running_job(database, 2)
    set_trial(database, job_id, 0, stop="cancelled")
    assert next_of(database) == (job_id, 1)


def test_jobs_of_all_projects_share_the_slots(database: Database) -> None:
    mine, other = new_job(database), new_job(database, project="other")
    for job_id in (mine, other):
        new_trials(database, job_id, 3)
    assert Counter(start(database, 6)) == {mine: 3, other: 3}
    with database.read() as session:
        assert jobs.get(session, PROJECT, mine).progress.running == 3


# A job that comes to the search starts where the others are, whatever some row may say.


def waiting_at(database: Database, turn: float, count: int = 40) -> str:
    """A running job with waiting trials whose turn is so far."""
    job_id = running_job(database, count)
    set_job(database, job_id, turn=turn)
    return job_id


def idle_at(database: Database, turn: float) -> str:
    """A searching job with nothing waiting: its trials all run."""
    job_id = waiting_at(database, turn, 1)
    claim(database, job_id, 0)
    set_job(database, job_id, turn=turn)
    return job_id


def given_up_at(database: Database, turn: float) -> str:
    job_id = waiting_at(database, turn, 1)
    set_job(database, job_id, faults=MAX_FAULTS)
    return job_id


@pytest.mark.parametrize("low", [idle_at, given_up_at])
def test_a_new_job_starves_nobody_whoever_else_is_far_behind(
    database: Database, low: Callable[[Database, float], str]
) -> None:
    busy = waiting_at(database, 100)
    low(database, 2)
    new = running_job(database, 40)
    assert job_row(database, new).turn == 100
    assert Counter(start(database, 10)) == {busy: 5, new: 5}


@pytest.mark.parametrize("low", [idle_at, given_up_at])
def test_a_resumed_job_starves_nobody_whoever_else_is_far_behind(
    database: Database, low: Callable[[Database, float], str]
) -> None:
    resumed = waiting_at(database, 1)
    with database.write() as session:
        searches.pause(session, resumed)
    busy = waiting_at(database, 100)
    low(database, 2)
    with database.write() as session:
        searches.resume(session, resumed)
    assert Counter(start(database, 10)) == {busy: 5, resumed: 5}


def test_while_nothing_waits_a_new_job_is_with_the_one_that_is_furthest(database: Database) -> None:
    idle_at(database, 2)
    busy = idle_at(database, 100)
    given_up_at(database, 300)
    new = running_job(database, 40)
    with database.write() as session:
        trials.create(session, busy, 1, [Suggestion({})] * 20)
    assert Counter(start(database, 10)) == {busy: 5, new: 5}


def test_a_job_that_was_idle_has_the_credit_of_a_few_turns_and_no_more(database: Database) -> None:
    idle, busy = idle_at(database, 2), waiting_at(database, 100)
    with database.write() as session:
        trials.create(session, idle, 1, [Suggestion({})] * 30)
    assert job_row(database, idle).turn == 96
    assert start(database, 4) == [idle] * 4
    assert Counter(start(database, 10)) == {busy: 5, idle: 5}


def test_a_job_that_was_idle_for_a_moment_loses_nothing(database: Database) -> None:
    idle, _ = idle_at(database, 98), waiting_at(database, 100)
    with database.write() as session:
        trials.create(session, idle, 1, [Suggestion({})])
    assert job_row(database, idle).turn == 98
