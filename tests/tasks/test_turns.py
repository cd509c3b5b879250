"""Whose trial a free slot takes, by messages and rows."""

import pytest

from schemas.states import TrialState
from store import turns
from store.tables import JobRow
from tasks.context import Context
from tasks.turns import is_next
from tests.store.makers import claim, complete, job_row, running_job, set_job, set_trial
from tests.tasks.conftest import Messages

LIMITED = {"max_trials": 10, "max_trial_seconds": 20}


def _served(context: Context, count: int) -> list[str]:
    """The jobs whose trials free slots take, one after the other."""
    served = []
    for _ in range(count):
        with context.database.read() as session:
            found = turns.next_trial(session)
        assert found is not None
        complete(context.database, claim(context.database, *found))
        served.append(found[0])
    return served


def test_a_trial_whose_turn_it_is_runs(context: Context, messages: Messages) -> None:
    job_id = running_job(context.database, 2)
    assert is_next(context, job_id, 0)
    assert messages() == []


def test_another_jobs_turn_goes_first_and_nothing_is_forgotten(context: Context, messages: Messages) -> None:
    busy, waiting = running_job(context.database, 3), running_job(context.database, 1, budget=LIMITED)
    claim(context.database, busy, 0)
    assert not is_next(context, busy, 1)
    assert messages() == [("trial", [waiting, 0, True]), ("trial", [busy, 1])]


def test_a_message_of_what_is_gone_ends_there(context: Context, messages: Messages) -> None:
    assert not is_next(context, "job_none", 0)
    waiting = running_job(context.database, 1)
    assert not is_next(context, "job_none", 0)
    assert messages() == []
    assert is_next(context, waiting, 0)


@pytest.mark.parametrize("state", [one for one in TrialState if one != TrialState.PENDING])
def test_a_message_of_a_trial_that_does_not_wait_any_more_sends_nothing(
    context: Context, messages: Messages, state: TrialState
) -> None:
    done, waiting = running_job(context.database, 1), running_job(context.database, 2)
    set_trial(context.database, done, 0, state=state, lease_expires_at=9e9)
    assert not is_next(context, done, 0)
    set_trial(context.database, waiting, 0, state=state, lease_expires_at=9e9)
    assert not is_next(context, waiting, 0), "nor of the job whose turn it is"
    assert messages() == []
    assert is_next(context, waiting, 1)


@pytest.mark.parametrize("which", ["ahead", "behind"])
def test_a_job_whose_spec_cannot_be_read_stops_nobody(
    context: Context, messages: Messages, which: str
) -> None:
    ahead, behind = (running_job(context.database, 1, budget=LIMITED) for _ in range(2))
    set_job(context.database, behind, turn=JobRow.turn + 100)
    spoilt = ahead if which == "ahead" else behind
    spec = {**job_row(context.database, spoilt).spec, "model": {"family": "one of yesterday"}}
    set_job(context.database, spoilt, spec=spec)
    assert not is_next(context, behind, 0)
    assert messages() == [("trial", [ahead, 0, True]), ("trial", [behind, 0])]


def test_a_job_of_thousands_does_not_keep_one_of_five_waiting(context: Context) -> None:
    large = running_job(context.database, 300)
    _served(context, 20)
    small = running_job(context.database, 5)
    assert _served(context, 10).count(small) == 5
    assert large in _served(context, 1)


def test_priority_is_a_larger_share_not_all(context: Context) -> None:
    usual, urgent = running_job(context.database, 60), running_job(context.database, 60, priority=7)
    served = _served(context, 50)
    assert (served.count(urgent), served.count(usual)) == (40, 10)


def test_nothing_of_a_job_that_was_given_up_on_is_next(context: Context) -> None:
    given_up, other = running_job(context.database, 1), running_job(context.database, 1)
    set_job(context.database, given_up, faults=3)
    set_job(context.database, other, turn=JobRow.turn + 100)
    assert _served(context, 1) == [other]
