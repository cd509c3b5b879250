"""Checkpoints: kept while a training may be gone on from them, and no longer."""

from collections.abc import Sequence

import pytest

from schemas.states import JobState, TrialState
from schemas.trials import Effort, Suggestion
from store import checkpoints, trials
from store.checkpoints import Checkpoint
from store.database import Database
from tests.store.makers import running_job, set_state, set_trial, trial_row


def kept(database: Database, path: str = "checkpoints/0") -> str:
    """A running job whose trial 0 has a checkpoint, and whose trial 1 goes on from it."""
    job_id = running_job(database)
    with database.write() as session:
        found = [Suggestion({}), Suggestion({}, Effort(parent=0))]
        trials.create(session, job_id, 0, found)
    saved = {"checkpoint": path, "checkpoint_fold": 1, "checkpoint_epoch": 3}
    set_trial(database, job_id, 0, state=TrialState.COMPLETED, **saved)
    return job_id


def superseded(database: Database) -> Sequence[Checkpoint]:
    with database.read() as session:
        return checkpoints.superseded(session)


def forget(database: Database, one: Checkpoint) -> None:
    with database.write() as session:
        checkpoints.forget(session, one)


def test_a_checkpoint_is_needed_while_its_job_searches(database: Database) -> None:
    kept(database)
    assert superseded(database) == []


@pytest.mark.parametrize("state", JobState)
def test_what_a_job_has_left_goes_when_it_ends(database: Database, state: JobState) -> None:
    job_id = kept(database)
    set_state(database, job_id, state)
    assert superseded(database) == ([Checkpoint(job_id, 0, "checkpoints/0")] if state.is_terminal else [])


@pytest.mark.parametrize("state", TrialState)
def test_a_checkpoint_goes_when_its_continuation_has_ended(database: Database, state: TrialState) -> None:
    job_id = kept(database)
    set_trial(database, job_id, 1, state=state, lease_expires_at=1.0)
    assert superseded(database) == ([Checkpoint(job_id, 0, "checkpoints/0")] if state.is_terminal else [])


def test_a_continuation_is_one_of_the_same_job(database: Database) -> None:
    first, second = kept(database), kept(database, "checkpoints/1")
    set_trial(database, second, 1, state=TrialState.COMPLETED)
    assert superseded(database) == [Checkpoint(second, 0, "checkpoints/1")]
    assert trial_row(database, first, 0).checkpoint is not None


def test_what_is_forgotten_is_named_no_more(database: Database) -> None:
    job_id = kept(database)
    set_state(database, job_id, JobState.SUCCEEDED)
    (one,) = superseded(database)
    forget(database, one)
    row = trial_row(database, job_id, 0)
    assert (row.checkpoint, row.checkpoint_fold, row.checkpoint_epoch) == (None, None, None)
    assert superseded(database) == []


def test_a_newer_checkpoint_is_not_forgotten_with_an_older(database: Database) -> None:
    job_id = kept(database)
    forget(database, Checkpoint(job_id, 0, "checkpoints/older"))
    assert trial_row(database, job_id, 0).checkpoint == "checkpoints/0"
