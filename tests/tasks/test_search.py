"""Every algorithm's search on both databases, planned from rows, with all that may befall a trial."""

import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from schemas.search import ALGORITHMS
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Trial
from store import attempts, trials
from store.attempts import Outcome
from tasks.context import Context
from tasks.plan import plan
from tests.store.makers import claim, job_row, new_job, set_trial, trial_of, work_of

EPOCHS = 4
SPACE: dict[str, Any] = {
    "model": {
        "family": "mlp",
        "units": {"type": "int", "min": 2, "max": 6, "step": 2},
        "dropout": {"type": "choice", "values": [0.0, 0.25]},
    },
    "training": {
        "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
        "momentum": {"type": "choice", "values": [0.5, 0.9], "when": {"training.optimizer": ["sgd"]}},
        "learning_rate": {"type": "float", "min": 1e-3, "max": 1e-1},
        "epochs": EPOCHS,
    },
}
BEFALLS = ("completed", "infeasible", "completed", "cancelled", "stopped", "failed", "completed")
ERRORS = {
    "infeasible": {"code": "infeasible_model", "message": "no such net"},
    "failed": {"code": "out_of_memory", "message": "too large"},
}


def _search(algorithm: str) -> dict[str, Any]:
    then = {"then": {"algorithm": "tpe"}} if algorithm == "lr_range_test" else {}
    return {"algorithm": algorithm, **then}


def _end(context: Context, job_id: str, number: int, what: str) -> None:
    """A trial ends in some way; its score follows from its values, so that equal ones would show."""
    found = trial_of(context.database, job_id, number)
    if what == "cancelled":
        with context.database.write() as session:
            trials.cancel(session, job_id, number)
        return
    claimed = claim(context.database, job_id, number)
    with context.database.write() as session:
        attempts.complete(session, claimed.lease, _outcome(found, what))


def _outcome(found: Trial, what: str) -> Outcome:
    if found.effort.is_range_test:
        told = {"points": [], "suggested": {"min": 0.01, "max": 0.05}, "steepest": 0.02, "stopped_at": 0.1}
        return Outcome(TrialState.COMPLETED, range_test={**told, "criterion": ""}, last_epoch=1)
    if what in ERRORS:
        return Outcome(TrialState.FAILED, error=ERRORS[what])
    last = found.effort.until_epoch or EPOCHS
    score = float(found.hyperparameters["training.learning_rate"]) * 5 + last / 100
    state = TrialState.STOPPED if what == "stopped" else TrialState.COMPLETED
    return Outcome(state, score=score, best_epoch=last, metrics={"val_accuracy": score}, last_epoch=last)


def _drive(context: Context, job_id: str, befalls: Iterator[str]) -> list[Trial]:
    """Plans and ends trials, the newest first, until the search is over."""
    for _ in range(200):
        plan(context, job_id)
        work = work_of(context.database, job_id)
        pending = [trial.number for trial in work.trials if trial.state == TrialState.PENDING]
        if work.state != JobState.RUNNING:
            return list(work.trials)
        assert pending, "nothing in flight, and no end"
        _end(context, job_id, pending[-1], next(befalls))
    raise AssertionError("the search does not end")


def _told(trial: Trial) -> str:
    return json.dumps([trial.hyperparameters, trial.effort.until_epoch, trial.effort.parent], sort_keys=True)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_goes_to_its_end_whatever_befalls_its_trials(context: Context, algorithm: str) -> None:
    budget = {"max_trials": 16, "parallel_trials": 3}
    job_id = new_job(context.database, **SPACE, search=_search(algorithm), budget=budget)
    found = _drive(context, job_id, cycle(BEFALLS))
    infeasible = sum(trial.is_infeasible for trial in found)
    assert len(found) - infeasible == 16, "what cannot be built is replaced"
    assert len({_told(trial) for trial in found}) == len(found), "no configuration twice"
    row = job_row(context.database, job_id)
    assert (row.state, row.stop_reason) == (JobState.FINISHING, StopReason.COMPLETED)
    for trial in found:
        if trial.effort.parent is not None:
            parent = found[trial.effort.parent]
            assert parent.state == TrialState.COMPLETED
            assert parent.hyperparameters == trial.hyperparameters
            assert (parent.last_epoch or 0) < (trial.effort.until_epoch or EPOCHS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_small_space_is_used_up_and_no_more(context: Context, algorithm: str) -> None:
    small = {
        "model": {"family": "mlp", "units": {"type": "int", "min": 2, "max": 4}},
        "training": {
            "learning_rate": {"type": "float", "min": 0.01, "max": 0.04, "step": 0.01},
            "epochs": 1,
        },
    }
    budget = {"max_trials": 30, "parallel_trials": 2}
    job_id = new_job(context.database, **small, search=_search(algorithm), budget=budget)
    found = _drive(context, job_id, cycle(["completed"]))
    tests = sum(trial.effort.is_range_test for trial in found)
    configurations = {json.dumps(trial.hyperparameters) for trial in found if not trial.effort.is_range_test}
    assert job_row(context.database, job_id).stop_reason == StopReason.SPACE_EXHAUSTED
    assert len(configurations) == len(found) - tests
    if algorithm not in ("coarse_to_fine", "lr_range_test"):
        # Those two narrow the space.
        assert len(found) == 12


def test_a_trial_that_is_lost_again_and_again_does_not_hold_the_search_up(context: Context) -> None:
    budget = {"max_trials": 6, "parallel_trials": 2}
    job_id = new_job(context.database, **SPACE, search={"algorithm": "hyperband"}, budget=budget)
    plan(context, job_id)
    lost = {"code": "poison", "message": "lost"}
    set_trial(context.database, job_id, 0, state=TrialState.FAILED, error=lost)
    found = _drive(context, job_id, cycle(["completed"]))
    assert [trial.state for trial in found].count(TrialState.COMPLETED) == 5
