"""The trial cache: an equal trial of the project lends its result, and its epochs, trained only once."""

from typing import Any

import pytest

from schemas.states import TrialState
from schemas.trials import Epoch, Suggestion
from store import attempts, curves, jobs, reuse, trials
from store.attempts import Outcome
from store.database import Database
from store.tables import TrialRow
from tests.store.makers import LONG, PROJECT, claim, job_row, new_job, set_trial, trial_of, trial_row

KEY = "sha256:1"


def waiting(database: Database, key: str | None = KEY, **job: Any) -> str:
    """A job with one trial of a key."""
    job_id = new_job(database, **job)
    with database.write() as session:
        trials.create(session, job_id, 0, [Suggestion({"training.learning_rate": 0.01})], [key])
    return job_id


def trained(database: Database, key: str | None = KEY, score: float | None = 0.9, **job: Any) -> str:
    """Likewise; the trial was trained for two epochs."""
    job_id = waiting(database, key, **job)
    claimed = claim(database, job_id, 0)
    state = TrialState.FAILED if score is None else TrialState.COMPLETED
    error = {"code": "internal", "message": ""} if score is None else None
    found = Outcome(
        state, score, 2, {"val_accuracy": score}, parameters=7, device="CPU", last_epoch=2, error=error
    )
    with database.write() as session:
        for number in (1, 2):
            epoch = Epoch(number, 0.5, 0.01, {"val_accuracy": 0.4 * number})
            attempts.report(session, claimed.lease, epoch, LONG)
        attempts.complete(session, claimed.lease, found)
    return job_id


def found(database: Database, key: str = KEY, project: str = PROJECT) -> TrialRow | None:
    with database.read() as session:
        return reuse.find(session, project, key)


def take(database: Database, job_id: str) -> None:
    source = found(database)
    assert source is not None
    with database.write() as session:
        reuse.take(session, job_id, 0, source)


def test_a_completed_trial_of_the_same_key_is_found(database: Database) -> None:
    first = trained(database)
    trained(database)
    source = found(database)
    assert source is not None
    assert (source.job_id, source.number) == (first, 0), "the oldest"


def test_another_key_finds_nothing(database: Database) -> None:
    trained(database)
    trained(database, key=None)
    assert found(database, "sha256:2") is None


def test_anothers_results_are_not_found(database: Database) -> None:
    trained(database, project="other")
    assert found(database) is None
    assert found(database, project="other") is not None


@pytest.mark.parametrize(
    "state", [TrialState.PENDING, TrialState.STOPPED, TrialState.FAILED, TrialState.CANCELLED]
)
def test_only_what_was_completed_is_found(database: Database, state: TrialState) -> None:
    job_id = trained(database)
    set_trial(database, job_id, 0, state=state)
    assert found(database) is None


def test_without_a_score_nothing_is_found(database: Database) -> None:
    trained(database, score=None)
    assert found(database) is None


def test_what_is_taken_is_the_whole_result(database: Database) -> None:
    source, job_id = trained(database), waiting(database)
    take(database, job_id)
    taken, of = trial_of(database, job_id, 0), trial_of(database, source, 0)
    for name in ("score", "best_epoch", "last_epoch", "metrics", "parameters", "epochs", "hyperparameters"):
        assert getattr(taken, name) == getattr(of, name), name
    assert (taken.state, taken.reused) == (TrialState.COMPLETED, {"job": source, "trial": 0})
    assert taken.end_time is not None
    assert trial_row(database, job_id, 0).weights is None, "they are the other job's"


def test_epochs_that_were_taken_count_as_trained_once(database: Database) -> None:
    source, job_id = trained(database), waiting(database)
    take(database, job_id)
    with database.read() as session:
        assert [curves.count(session, one) for one in (source, job_id)] == [2, 0]
        progress = jobs.get(session, PROJECT, job_id).progress
    assert (progress.completed, progress.reused, progress.epochs) == (1, 1, 0)


def test_what_was_taken_is_not_lent_again(database: Database) -> None:
    source, job_id = trained(database), waiting(database)
    take(database, job_id)
    set_trial(database, source, 0, state=TrialState.STOPPED)
    assert found(database) is None


def test_a_trial_that_does_not_wait_any_more_keeps_its_own(database: Database) -> None:
    trained(database)
    job_id = waiting(database)
    claim(database, job_id, 0)
    take(database, job_id)
    trial = trial_of(database, job_id, 0)
    assert (trial.state, trial.reused, trial.epochs) == (TrialState.RUNNING, None, [])


def test_a_job_with_a_result_taken_still_is_the_same_job(database: Database) -> None:
    trained(database)
    job_id = waiting(database)
    before = job_row(database, job_id).turn
    take(database, job_id)
    assert job_row(database, job_id).turn == before, "no slot was taken"
