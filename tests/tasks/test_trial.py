"""One trial on one slot: real training on small images, real rows, real messages."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.datasets import Dataset, LabelClass
from schemas.problems import Unavailable
from schemas.states import JobState, TrialState
from schemas.trials import Effort, Epoch, Suggestion
from store import attempts, datasets, jobs, searches, trials
from store.attempts import Claim, Outcome
from store.blobs import sha256_of
from store.database import Database
from store.ids import new_id
from store.leases import LeaseLost
from tasks import checkpoints
from tasks import trial as module
from tasks.context import Context
from tasks.keeper import Keeper
from tasks.plan import plan
from tasks.reporter import Reporter
from tasks.trial import run_trial
from tests.conftest import wait_until
from tests.store.makers import (
    PROJECT,
    claim,
    new_spec,
    new_trials,
    running_job,
    set_trial,
    state_of,
    trial_of,
    trial_row,
    try_to_claim,
    work_of,
)
from tests.tasks.conftest import Messages
from tests.tuning.makers import bars
from tuning.training import Interrupted

ENDLESS: dict[str, Any] = {"training": {"epochs": 10_000, "batch_size": 256}}


def _job(database: Database, count: int = 1, **changes: Any) -> str:
    given = {"training": {"epochs": 2, "batch_size": 256}, **changes}
    return running_job(database, count, **given)


def _uploaded(context: Context, file: Path, **changes: Any) -> str:
    """A running job with one trial on an uploaded data set."""
    digest = f"sha256:{sha256_of(file)}"
    found = Dataset(
        new_id("ds"), "bars", "npz", digest, (8, 8, 1), 90,
        tuple(LabelClass(f"bar é{label}", 30) for label in range(3)), "uint8", 1, (),
    )  # fmt: skip
    context.blobs.put(datasets.blob_path(PROJECT, found.id), file)
    with context.database.write() as session:
        dataset, _ = datasets.create(session, PROJECT, found)
        spec = dataclasses.replace(new_spec(**changes), dataset=dataset.id)
        job_id = jobs.create(session, PROJECT, spec, dataset, []).id
        jobs.move(session, job_id, JobState.RUNNING)
    new_trials(context.database, job_id, 1)
    return job_id


@pytest.fixture
def images(tmp_path: Path) -> Path:
    arrays = bars()
    np.savez(tmp_path / "bars.npz", x=arrays.x, y=np.array(arrays.class_names)[arrays.y])
    return tmp_path / "bars.npz"


def _while_it_runs(context: Context, job_id: str, act: Callable[[], Any]) -> None:
    """Runs the trial beside; acts after its first epoch; waits for its end."""
    thread = threading.Thread(target=run_trial, args=(context, job_id, 0))
    thread.start()
    wait_until(lambda: trial_of(context.database, job_id, 0).epochs, 60, "the first epoch")
    act()
    thread.join(30)
    assert not thread.is_alive()


def test_a_trial_is_trained_reported_and_completed(context: Context, messages: Messages) -> None:
    job_id = _job(context.database)
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert (trial.state, trial.attempt, trial.error) == (TrialState.COMPLETED, 1, None)
    assert [epoch.epoch for epoch in trial.epochs or []] == [1, 2]
    assert trial.score is not None
    assert trial.score == trial.metrics["val_accuracy"]
    scores = [epoch.metrics["val_accuracy"] for epoch in trial.epochs or []]
    assert scores[(trial.best_epoch or 0) - 1] == trial.score
    spec = new_spec()
    assert trial.parameters == spec.recipe({}).model.count_parameters((8, 8, 1), 10)
    assert trial_row(context.database, job_id, 0).weights is None
    assert messages() == [("plan", [job_id])]


def test_a_trial_that_somebody_has_is_left_alone(context: Context, messages: Messages) -> None:
    job_id = _job(context.database)
    try_to_claim(context.database, job_id, 0, "another")
    run_trial(context, job_id, 0)
    run_trial(context, job_id, 7)
    run_trial(context, "job_none", 0)
    assert trial_row(context.database, job_id, 0).worker == "another"
    assert messages() == []


def test_without_refit_the_best_trials_weights_are_kept_and_no_others(
    sqlite_context: Context,
) -> None:
    context = sqlite_context
    job_id = _job(context.database, 2, result={"refit": False})
    # The same configuration and seed: the same score. Of equal trials the first is the best one,
    # also when it ends last.
    run_trial(context, job_id, 1)
    first = trial_row(context.database, job_id, 1).weights
    assert first is not None
    run_trial(context, job_id, 0)
    with context.database.read() as session:
        best = jobs.best_trial(session, job_id, new_spec().resolved)
    assert best is not None
    assert (best.number, best.weights is not None) == (0, True)
    assert trial_row(context.database, job_id, 1).weights is None
    with pytest.raises(Unavailable):
        list(context.blobs.read(first, 0, 1))
    assert list(context.scratch.iterdir()) == []


def test_a_worse_trials_weights_are_not_kept(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = _job(context.database, 2, result={"refit": False})
    claimed = try_to_claim(context.database, job_id, 1)
    assert claimed is not None
    perfect = attempts.Outcome(TrialState.COMPLETED, score=1.0, best_epoch=1, weights="w")
    with context.database.write() as session:
        attempts.complete(session, claimed.lease, perfect)
    run_trial(context, job_id, 0)
    assert trial_of(context.database, job_id, 0).state == TrialState.COMPLETED
    assert trial_row(context.database, job_id, 0).weights is None
    assert trial_row(context.database, job_id, 1).weights == "w"


def test_a_cancelled_trial_stops_and_counts_for_nothing(context: Context) -> None:
    job_id = _job(context.database, **ENDLESS)

    def cancel() -> None:
        with context.database.write() as session:
            jobs.cancel(session, PROJECT, job_id)

    _while_it_runs(context, job_id, cancel)
    trial = trial_of(context.database, job_id, 0)
    assert (trial.state, trial.score) == (TrialState.CANCELLED, None)
    assert state_of(context.database, job_id) == JobState.CANCELLING


def test_a_trial_cut_short_keeps_its_best_epoch(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = _job(context.database, **ENDLESS)

    def stop() -> None:
        with context.database.write() as session:
            trials.stop_all(session, job_id, "target_reached")

    _while_it_runs(context, job_id, stop)
    trial = trial_of(context.database, job_id, 0)
    assert trial.state == TrialState.STOPPED
    assert trial.score is not None
    assert trial.best_epoch is not None


def test_a_trial_over_its_time_fails_with_trial_timeout(sqlite_context: Context) -> None:
    context = sqlite_context
    budget = {"max_trials": 3, "max_trial_seconds": 1}
    job_id = _job(context.database, budget=budget, **ENDLESS)
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert (trial.state, trial.score) == (TrialState.FAILED, None)
    assert trial.error is not None
    assert trial.error["code"] == "trial_timeout"


def test_a_trial_taken_over_is_left_quietly(sqlite_context: Context, messages: Messages) -> None:
    context = sqlite_context
    job_id = _job(context.database, **ENDLESS)
    _while_it_runs(context, job_id, lambda: set_trial(context.database, job_id, 0, lease_epoch=9, worker="b"))
    row = trial_row(context.database, job_id, 0)
    assert (row.state, row.worker, row.lease_epoch) == (TrialState.RUNNING, "b", 9)
    assert messages() == []


def test_what_cannot_be_built_fails_and_is_not_tried_again(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = _job(context.database, model={"family": "cnn", "blocks": 9})
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert trial.state == TrialState.FAILED
    assert trial.error is not None
    assert trial.error["code"] == "infeasible_model"


def test_an_uploaded_data_set_is_fetched_once(sqlite_context: Context, images: Path) -> None:
    context = sqlite_context
    job_id = _uploaded(context, images)
    run_trial(context, job_id, 0)
    assert trial_of(context.database, job_id, 0).state == TrialState.COMPLETED
    cached = list((Path(context.settings.data_folder) / "cache").rglob("*.npz"))
    assert len(cached) == 1
    assert sha256_of(cached[0]) == sha256_of(images)


def test_a_storage_that_is_away_is_no_fault_of_the_trial(
    sqlite_context: Context, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = sqlite_context
    job_id = _uploaded(context, images)

    def away(path: str, target: Path) -> None:
        raise Unavailable("storage_unavailable", "away")

    monkeypatch.setattr(context.blobs, "fetch", away)
    run_trial(context, job_id, 0)
    row = trial_row(context.database, job_id, 0)
    assert (row.state, row.losses, row.error) == (TrialState.PENDING, 1, None)


def test_a_data_set_that_is_gone_from_the_storage_is_not_waited_for(
    sqlite_context: Context, images: Path
) -> None:
    context = sqlite_context
    job_id = _uploaded(context, images)
    context.blobs.delete(datasets.blob_path(PROJECT, work_of(context.database, job_id).dataset))
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert trial.state == TrialState.FAILED
    assert trial.error is not None
    assert trial.error["code"] == "dataset_unreadable"
    plan(context, job_id)
    assert state_of(context.database, job_id) == JobState.FAILED


def test_a_damaged_data_set_fails_the_trial_by_name(sqlite_context: Context, images: Path) -> None:
    context = sqlite_context
    images.write_bytes(images.read_bytes()[:2000])
    job_id = _uploaded(context, images)
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert trial.error is not None
    assert trial.error["code"] == "dataset_unreadable"


def _pause(context: Context, job_id: str) -> None:
    with context.database.write() as session:
        searches.pause(session, job_id)


def _resume(context: Context, job_id: str) -> None:
    with context.database.write() as session:
        searches.resume(session, job_id)


def _epochs(context: Context, job_id: str, number: int) -> list[int]:
    return [epoch.epoch for epoch in trial_of(context.database, job_id, number).epochs or []]


SIX: dict[str, Any] = {"training": {"epochs": 6, "batch_size": 64}}


def _run_and_pause(context: Context, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a trial whose job is paused by somebody else as soon as its first epoch is written down."""
    report = Reporter.epoch

    def epoch(self: Reporter, told: Epoch) -> None:
        report(self, told)
        if told.epoch == 1:
            _pause(context, job_id)

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "epoch", epoch)
        run_trial(context, job_id, 0)


def test_a_paused_trial_goes_on_from_its_last_epoch(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _job(context.database, **SIX, result={"refit": False})
    _run_and_pause(context, job_id, monkeypatch)
    held = trial_of(context.database, job_id, 0)
    assert (held.state, held.attempt, held.score) == (TrialState.PENDING, 1, None)
    assert [epoch.epoch for epoch in held.epochs or []] == [1, 2], "it is told at its next epoch"
    assert not run_trial(context, job_id, 0), "a paused job's trials are nobody's"
    _resume(context, job_id)
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert (trial.state, trial.attempt) == (TrialState.COMPLETED, 2)
    assert _epochs(context, job_id, 0) == [1, 2, 3, 4, 5, 6]
    assert (trial.epochs or [])[:2] == held.epochs
    assert trial.score == max(epoch.metrics["val_accuracy"] or 0 for epoch in trial.epochs or [])


def test_a_state_that_is_gone_only_costs_time(
    sqlite_context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = sqlite_context
    job_id = _job(context.database, **SIX)
    _run_and_pause(context, job_id, monkeypatch)
    path = trial_row(context.database, job_id, 0).checkpoint
    assert path is not None
    context.blobs.delete(path)
    _resume(context, job_id)
    run_trial(context, job_id, 0)
    assert trial_of(context.database, job_id, 0).state == TrialState.COMPLETED
    assert _epochs(context, job_id, 0) == [1, 2, 3, 4, 5, 6]


def _planned(context: Context, job_id: str, *efforts: Effort) -> None:
    with context.database.write() as session:
        values = {"training.learning_rate": 0.005}
        trials.create(session, job_id, 0, [Suggestion(values, effort) for effort in efforts])


def test_a_promoted_trial_trains_the_epochs_that_its_parent_has_not(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = _job(context.database, 0, training={"epochs": 6, "learning_rate": 0.005, "batch_size": 64})
    _planned(context, job_id, Effort(until_epoch=2), Effort(until_epoch=4, parent=0), Effort(parent=1))
    for number in range(3):
        run_trial(context, job_id, number)
    assert [_epochs(context, job_id, number) for number in range(3)] == [[1, 2], [3, 4], [5, 6]]
    curve = [
        epoch.metrics["loss"] or 9.0
        for number in range(3)
        for epoch in trial_of(context.database, job_id, number).epochs or []
    ]
    assert curve == sorted(curve, reverse=True), "what was learned is kept from trial to trial"
    assert [trial_row(context.database, job_id, number).checkpoint is None for number in range(3)] == [
        False,
        False,
        True,
    ]


def test_a_share_of_the_data_is_seen_in_the_coarse_stage(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = _job(context.database, 0, training={"epochs": 2, "learning_rate": 0.005, "batch_size": 64})
    _planned(context, job_id, Effort(until_epoch=1, data_share=0.1), Effort(parent=0))
    for number in range(2):
        run_trial(context, job_id, number)
    few, all_ = (trial_of(context.database, job_id, number) for number in range(2))
    assert [_epochs(context, job_id, number) for number in range(2)] == [[1], [2]]
    assert (few.score or 1) < (all_.score or 0)


def test_a_stopping_rule_ends_a_hopeless_trial(sqlite_context: Context) -> None:
    context = sqlite_context
    rule = {"algorithm": "random", "stopping": {"rule": "asha", "grace_epochs": 1, "factor": 2}}
    job_id = _job(context.database, 0, search=rule, training={**OPEN_RATE, "epochs": 6})
    with context.database.write() as session:
        found = [Suggestion({"training.learning_rate": rate}) for rate in (0.01, 1e-7)]
        trials.create(session, job_id, 0, found)
    for number in range(2):
        run_trial(context, job_id, number)
    good, bad = (trial_of(context.database, job_id, number) for number in range(2))
    assert (good.state, _epochs(context, job_id, 0)) == (TrialState.COMPLETED, [1, 2, 3, 4, 5, 6])
    assert (bad.state, bad.stop_reason, _epochs(context, job_id, 1)) == (TrialState.STOPPED, "asha", [1])
    assert bad.score is not None


OPEN_RATE: dict[str, Any] = {
    "learning_rate": {"type": "float", "min": 1e-7, "max": 1e-2},
    "batch_size": 256,
}


def test_the_epochs_of_a_budget_are_not_exceeded(sqlite_context: Context) -> None:
    context = sqlite_context
    budget = {"max_trials": 5, "max_epochs": 3}
    job_id = _job(context.database, 2, budget=budget, training={"epochs": 10_000, "batch_size": 256})
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert (trial.state, trial.stop_reason) == (TrialState.STOPPED, "budget_exhausted")
    assert (_epochs(context, job_id, 0), trial.score is not None) == ([1, 2, 3], True)
    assert trial_of(context.database, job_id, 1).state == TrialState.CANCELLED
    assert not run_trial(context, job_id, 1)


def test_a_range_test_is_a_curve_and_no_model(sqlite_context: Context, messages: Messages) -> None:
    context = sqlite_context
    search = {"algorithm": "lr_range_test", "steps": 40}
    job_id = _job(context.database, 0, search=search)
    _planned(context, job_id, Effort(stage={"name": "range_test"}))
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert (trial.state, trial.score, trial.error) == (TrialState.COMPLETED, None, None)
    assert trial.range_test is not None
    assert 20 <= len(trial.range_test["points"]) <= 40
    messages()
    plan(context, job_id)
    assert state_of(context.database, job_id) == JobState.SUCCEEDED
    assert messages() == []


def _states(context: Context) -> list[str]:
    """The attempts whose states of a training lie in the storage."""
    folder = Path(context.settings.data_folder) / "blobs"
    return sorted(file.parent.name for file in folder.rglob("checkpoint.npz"))


def test_of_a_trial_that_was_ended_early_no_state_is_kept(sqlite_context: Context) -> None:
    """Nobody goes on with it: its promotion would begin anew."""
    context = sqlite_context
    budget = {"max_trials": 5, "max_epochs": 2}
    job_id = _job(context.database, 0, budget=budget, training={"epochs": 10_000, "batch_size": 256})
    _planned(context, job_id, Effort(until_epoch=5000))
    run_trial(context, job_id, 0)
    row = trial_row(context.database, job_id, 0)
    assert (row.state, row.checkpoint, _states(context)) == (TrialState.STOPPED, None, [])


@dataclasses.dataclass
class AState:
    """Of a training, after an epoch."""

    epoch: int
    fold: int = 1

    def save(self, file: Path) -> None:
        file.write_text("weights")


def _put_back(context: Context, claimed: Claim, epoch: int) -> None:
    module._put_back(context, claimed, AState(epoch))  # type: ignore[arg-type]


def test_a_trial_that_was_put_back_twice_leaves_no_state_behind(context: Context) -> None:
    job_id = running_job(context.database, 1)
    for epoch in (1, 2):
        _put_back(context, claim(context.database, job_id, 0), epoch)
    assert _states(context) == ["2"]
    module._complete(context, claim(context.database, job_id, 0), Outcome(TrialState.COMPLETED, score=0.5))
    assert _states(context) == []
    assert trial_row(context.database, job_id, 0).checkpoint is None


def test_a_state_that_was_uploaded_for_a_trial_of_another_by_then_is_deleted(context: Context) -> None:
    job_id = running_job(context.database, 2)
    kept = claim(context.database, job_id, 1)
    _put_back(context, kept, 1)
    for number, late in ((0, _put_back), (1, _completed_with_state)):
        dead = claim(context.database, job_id, number)
        set_trial(context.database, job_id, number, lease_epoch=9)
        with pytest.raises(LeaseLost):
            late(context, dead, 3)
    assert _states(context) == ["1"], "that of the living"


def _completed_with_state(context: Context, claimed: Claim, epoch: int) -> None:
    path = checkpoints.put(context, claimed, AState(epoch))  # type: ignore[arg-type]
    module._complete(context, claimed, Outcome(TrialState.COMPLETED, score=0.5, checkpoint=path))


def test_a_state_that_cannot_be_read_is_deleted_when_the_trial_begins_anew(context: Context) -> None:
    job_id = running_job(context.database, 1)
    _put_back(context, claim(context.database, job_id, 0), 1)
    again = claim(context.database, job_id, 0)
    assert checkpoints.start_of(context, again) is None
    row = trial_row(context.database, job_id, 0)
    assert (row.checkpoint, row.checkpoint_epoch, _states(context)) == (None, None, [])


def test_a_trial_that_is_somebody_elses_by_now_is_not_begun_anew(context: Context) -> None:
    job_id = running_job(context.database, 1)
    _put_back(context, claim(context.database, job_id, 0), 1)
    dead = claim(context.database, job_id, 0)
    set_trial(context.database, job_id, 0, lease_epoch=9)
    with pytest.raises(LeaseLost):
        checkpoints.start_of(context, dead)
    assert (trial_row(context.database, job_id, 0).checkpoint_epoch, _states(context)) == (1, ["1"])


def test_work_that_is_told_to_stop_says_that_it_has_heard(sqlite_context: Context) -> None:
    context = sqlite_context
    job_id = running_job(context.database, 1)
    claimed = claim(context.database, job_id, 0)
    keeper = Keeper(context.settings, lambda: None, lambda reason: None)
    reporter = Reporter(context, claimed, keeper, new_spec(), 2, "CPU")
    reporter.check()
    patience = keeper._patience
    keeper.told("deadline")
    with pytest.raises(Interrupted):
        reporter.check()
    assert (reporter.stopped, keeper._patience > patience) == ("deadline", True)


def test_a_range_test_is_not_ended_by_the_rule_of_the_search_that_follows(sqlite_context: Context) -> None:
    context = sqlite_context
    then = {"algorithm": "random", "stopping": {"rule": "asha", "grace_epochs": 1}}
    search = {"algorithm": "lr_range_test", "steps": 20, "then": then}
    job_id = _job(context.database, 0, search=search, training={**OPEN_RATE, "epochs": 6})
    _planned(context, job_id, Effort(stage={"name": "range_test"}))
    run_trial(context, job_id, 0)
    trial = trial_of(context.database, job_id, 0)
    assert (trial.state, trial.error, trial.range_test is None) == (TrialState.COMPLETED, None, False)
