"""The step of a search, on real databases, with real messages."""

from collections.abc import Sequence
from typing import Any

import pytest

from schemas.jobs import Job
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Epoch, Suggestion
from store import attempts, jobs, searches, trials
from store.database import clock
from tasks.context import Context
from tasks.plan import plan, time_limit
from tests.store.makers import (
    LONG,
    PROJECT,
    at_once,
    claim,
    complete,
    job_row,
    new_job,
    new_spec,
    running_job,
    set_job,
    set_state,
    set_trial,
    state_of,
    trial_of,
    trial_row,
    work_of,
)
from tests.tasks.conftest import Messages

THREE: dict[str, Any] = {
    "model": {"family": "cnn", "filters": {"type": "choice", "values": [2, 4, 8]}},
    "training": {"epochs": 1},
}


def _budget(**changes: Any) -> dict[str, Any]:
    return {"max_trials": 3, "parallel_trials": 2, **changes}


def _job(context: Context, job_id: str) -> Job:
    with context.database.read() as session:
        return jobs.get(session, PROJECT, job_id)


def _run(context: Context, job_id: str, scores: Sequence[float | None]) -> None:
    """Ends all that is pending, one after the other, with these scores; None fails."""
    pending = [
        trial.number
        for trial in work_of(context.database, job_id).trials
        if trial.state == TrialState.PENDING
    ]
    for number, score in zip(pending, scores, strict=False):
        claimed = claim(context.database, job_id, number)
        if score is None:
            error = {"code": "non_finite_objective", "message": "loss is nan"}
            complete(context.database, claimed, TrialState.FAILED, None, error=error)
        else:
            complete(context.database, claimed, score=score)


def test_a_queued_job_starts_with_its_first_trials(context: Context, messages: Messages) -> None:
    job_id = new_job(context.database, budget=_budget())
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.progress.pending) == (JobState.RUNNING, 2)
    assert job.start_time is not None
    assert messages() == [("trial", [job_id, 0]), ("trial", [job_id, 1])]


def test_planning_again_while_all_places_are_taken_adds_nothing(context: Context, messages: Messages) -> None:
    job_id = new_job(context.database, budget=_budget())
    plan(context, job_id)
    messages()
    plan(context, job_id)
    assert len(work_of(context.database, job_id).trials) == 2
    assert messages() == []


def test_plans_at_once_make_each_trial_once(context: Context, messages: Messages) -> None:
    job_id = new_job(context.database, budget=_budget(max_trials=10, parallel_trials=3))
    at_once(5, lambda _: plan(context, job_id))
    made = work_of(context.database, job_id).trials
    assert [trial.number for trial in made] == [0, 1, 2]
    assert sorted(messages()) == [("trial", [job_id, number]) for number in range(3)]


def test_a_place_that_becomes_free_is_filled(context: Context, messages: Messages) -> None:
    job_id = new_job(context.database, budget=_budget())
    plan(context, job_id)
    _run(context, job_id, [0.5])
    messages()
    plan(context, job_id)
    assert messages() == [("trial", [job_id, 2])]


def test_a_completed_search_is_finished(context: Context, messages: Messages) -> None:
    job_id = new_job(context.database, budget=_budget(max_trials=1))
    plan(context, job_id)
    _run(context, job_id, [0.5])
    messages()
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FINISHING, StopReason.COMPLETED)
    assert messages() == [("finish", [job_id])]


def test_plans_at_once_end_a_search_once(context: Context, messages: Messages) -> None:
    job_id = new_job(context.database, budget=_budget(max_trials=1))
    plan(context, job_id)
    _run(context, job_id, [0.5])
    before = job_row(context.database, job_id).revision
    at_once(4, lambda _: plan(context, job_id))
    assert state_of(context.database, job_id) == JobState.FINISHING
    assert job_row(context.database, job_id).revision == before + 1


def test_a_search_is_not_over_while_a_trial_runs(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_trials=2))
    plan(context, job_id)
    _run(context, job_id, [0.5])
    plan(context, job_id)
    assert state_of(context.database, job_id) == JobState.RUNNING


def test_when_every_trial_fails_the_job_fails_and_says_why(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_trials=2))
    plan(context, job_id)
    _run(context, job_id, [None, None])
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.COMPLETED)
    assert job.error is not None
    assert job.error["code"] == "all_trials_failed"
    causes = job.error["trials"]
    assert [(one["code"], one["count"]) for one in causes] == [("non_finite_objective", 2)]


def test_an_exhausted_space_ends_the_search(context: Context) -> None:
    job_id = new_job(context.database, **THREE, budget=_budget(max_trials=50, parallel_trials=5))
    plan(context, job_id)
    assert len(work_of(context.database, job_id).trials) == 3
    _run(context, job_id, [0.1, 0.2, 0.3])
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FINISHING, StopReason.SPACE_EXHAUSTED)


def test_a_reached_target_cuts_the_rest_short(context: Context) -> None:
    budget = _budget(parallel_trials=3, max_trials=9)
    job_id = new_job(context.database, budget=budget, objective={"target": 0.9})
    plan(context, job_id)
    _run(context, job_id, [0.95])
    running = claim(context.database, job_id, 1)
    plan(context, job_id)
    assert state_of(context.database, job_id) == JobState.RUNNING
    assert trial_of(context.database, job_id, 2).state == TrialState.CANCELLED
    with context.database.write() as session:
        assert attempts.renew(session, running.lease, LONG) == "target_reached"
    complete(context.database, running, TrialState.STOPPED, 0.2)
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FINISHING, StopReason.TARGET_REACHED)
    assert len(work_of(context.database, job_id).trials) == 3


def test_too_many_failures_end_the_search_with_what_there_is(context: Context) -> None:
    budget = _budget(max_trials=9, parallel_trials=2, max_failed_trials=1)
    job_id = new_job(context.database, budget=budget)
    plan(context, job_id)
    _run(context, job_id, [0.5, None])
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FINISHING, StopReason.TOO_MANY_FAILURES)


def test_too_many_failures_without_a_result_fail_the_job(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_failed_trials=1, parallel_trials=1))
    plan(context, job_id)
    _run(context, job_id, [None])
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.TOO_MANY_FAILURES)


def test_a_job_within_its_time_goes_on(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_seconds=3600))
    plan(context, job_id)
    assert len(work_of(context.database, job_id).trials) == 2


def test_a_passed_deadline_ends_the_search_with_the_best_so_far(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_seconds=3600))
    set_job(context.database, job_id, deadline=clock() + 3600)
    with context.database.write() as session:
        trials.create(session, job_id, 0, [Suggestion({})] * 2)
    set_state(context.database, job_id, JobState.RUNNING)
    _run(context, job_id, [0.5])
    set_job(context.database, job_id, deadline=clock() - 1)
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FINISHING, StopReason.DEADLINE)
    assert trial_of(context.database, job_id, 1).state == TrialState.CANCELLED


def test_a_deadline_before_any_result_fails_the_job(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_seconds=3600))
    set_job(context.database, job_id, deadline=clock() - 1)
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason) == (JobState.FAILED, StopReason.DEADLINE)
    assert job.error is not None
    assert job.error["code"] == "no_completed_trial"


def test_jobs_that_do_not_search_are_left_alone(context: Context, messages: Messages) -> None:
    job_id = running_job(context.database)
    searching = (JobState.QUEUED, JobState.RUNNING)
    for state in (state for state in JobState if state not in searching):
        set_state(context.database, job_id, state)
        plan(context, job_id)
        assert state_of(context.database, job_id) == state
    plan(context, "job_none")
    assert work_of(context.database, job_id).trials == []
    assert messages() == []


def test_a_whole_search_by_plans_alone_ends(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_trials=5, parallel_trials=2))
    for _ in range(6):
        plan(context, job_id)
        _run(context, job_id, [0.1, 0.2])
    job = _job(context, job_id)
    assert (job.state, job.progress.completed) == (JobState.FINISHING, 5)


def test_the_hard_limit_is_long_after_the_trials_own(context: Context) -> None:
    limited = new_spec(budget={"max_trials": 1, "max_trial_seconds": 10})
    limit = time_limit(context, limited)
    assert limit is not None
    assert limit > 10 + context.settings.stop_seconds
    assert time_limit(context, new_spec()) is None


FIXED: dict[str, Any] = {**THREE, "search": {"algorithm": "grid", "reuse": True}}


def _ended(context: Context, scores: Sequence[float | None], **changes: Any) -> str:
    """A job all of whose trials have ended so."""
    given = {**THREE, "search": {"algorithm": "grid"}, "budget": _budget(), **changes}
    job_id = new_job(context.database, **given)
    for _ in range(3):
        plan(context, job_id)
        _run(context, job_id, scores)
        scores = scores[2:]
    return job_id


def test_equal_trials_of_other_jobs_are_not_trained_again(context: Context, messages: Messages) -> None:
    first = _ended(context, [0.1, 0.2, 0.3])
    messages()
    job_id = new_job(context.database, **FIXED, budget=_budget())
    plan(context, job_id)
    job = _job(context, job_id)
    found = [trial_of(context.database, job_id, number) for number in range(3)]
    assert (job.state, job.progress.reused, job.progress.epochs) == (JobState.FINISHING, 3, 0)
    assert [trial.score for trial in found] == [0.1, 0.2, 0.3]
    assert [trial.reused for trial in found] == [{"job": first, "trial": number} for number in range(3)]
    assert messages() == [("finish", [job_id])]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"training": {"epochs": 2}},
        {"split": {"validation": 0.3}},
        {"preprocessing": {"scaling": "none"}},
        {"objective": {"metric": "val_loss"}},
        {"search": {"algorithm": "grid"}},
    ],
)
def test_trials_that_could_come_to_another_result_are_trained(
    context: Context, messages: Messages, change: dict[str, Any]
) -> None:
    _ended(context, [0.1, 0.2, 0.3])
    messages()
    job_id = new_job(context.database, **{**FIXED, "budget": _budget(), **change})
    plan(context, job_id)
    assert messages() == [("trial", [job_id, 0]), ("trial", [job_id, 1])]


def test_only_what_was_trained_to_its_end_is_reused(context: Context, messages: Messages) -> None:
    _ended(context, [None, 0.2, None])
    messages()
    job_id = new_job(context.database, **FIXED, budget=_budget())
    plan(context, job_id)
    assert _job(context, job_id).progress.reused == 1
    assert sorted(messages()) == [("trial", [job_id, 0]), ("trial", [job_id, 2])]


def test_a_warm_start_is_told_what_an_earlier_job_found(context: Context) -> None:
    """A model-based search that knows where the best values lie goes there at once."""
    rate = {"learning_rate": {"type": "float", "min": 0.001, "max": 1.0}, "epochs": 1}
    given: dict[str, Any] = {"model": {"family": "mlp"}, "training": rate}
    earlier = new_job(context.database, **given, budget={"max_trials": 40, "parallel_trials": 40})
    plan(context, earlier)
    for trial in work_of(context.database, earlier).trials:
        found = float(trial.hyperparameters["training.learning_rate"])
        complete(context.database, claim(context.database, earlier, trial.number), score=1 - abs(found - 0.7))
    search = {"algorithm": "bayesian", "warm_start": [earlier]}
    job_id = new_job(context.database, **given, search=search, budget={"max_trials": 5, "parallel_trials": 1})
    plan(context, job_id)
    [first] = work_of(context.database, job_id).trials
    assert abs(float(first.hyperparameters["training.learning_rate"]) - 0.7) < 0.1


def test_a_search_that_gets_no_better_ends(context: Context) -> None:
    rate = {"learning_rate": {"type": "float", "min": 0.001, "max": 1.0}, "epochs": 1}
    budget = {"max_trials": 50, "parallel_trials": 1, "plateau": {"trials": 3, "min_delta": 0.01}}
    job_id = new_job(context.database, training=rate, budget=budget)
    for score in (0.1, 0.5, 0.505, 0.2, 0.3, 0.4):
        plan(context, job_id)
        _run(context, job_id, [score])
    plan(context, job_id)
    job = _job(context, job_id)
    assert (job.state, job.stop_reason, job.progress.completed) == (JobState.FINISHING, "plateau", 5)


def test_the_epochs_of_a_budget_end_the_search(context: Context) -> None:
    job_id = new_job(context.database, budget=_budget(max_trials=9, parallel_trials=1, max_epochs=2))
    plan(context, job_id)
    claimed = claim(context.database, job_id, 0)
    with context.database.write() as session:
        for epoch in (1, 2):
            attempts.report(session, claimed.lease, Epoch(epoch, 0.1, 0.1, {"val_accuracy": 0.5}), LONG)
    complete(context.database, claimed)
    plan(context, job_id)
    assert _job(context, job_id).stop_reason == "budget_exhausted"


def test_seconds_on_gpus_are_counted_and_end_the_search(context: Context) -> None:
    """There is none here: the rows say that the trial ran on one."""
    job_id = new_job(context.database, budget=_budget(max_trials=9, parallel_trials=1, max_gpu_seconds=60))
    plan(context, job_id)
    claimed = claim(context.database, job_id, 0)
    complete(context.database, claimed, device="GPU:0")
    plan(context, job_id)
    assert work_of(context.database, job_id).trials[1].state == TrialState.PENDING, "a moment is no minute"
    complete(context.database, claim(context.database, job_id, 1), device="GPU:0")
    set_trial(context.database, job_id, 1, start_time=clock() - 61)
    plan(context, job_id)
    assert _job(context, job_id).stop_reason == "budget_exhausted"


def test_a_job_that_is_given_more_goes_on_with_all_that_it_knew(context: Context, messages: Messages) -> None:
    job_id = _ended(context, [0.1, 0.2, 0.3], budget=_budget(max_trials=2))
    set_state(context.database, job_id, JobState.SUCCEEDED)
    before = work_of(context.database, job_id).trials
    with context.database.write() as session:
        more = new_spec(**{**THREE, "search": {"algorithm": "grid"}, "budget": _budget(max_trials=9)})
        searches.change_budget(session, job_id, more)
    messages()
    plan(context, job_id)
    after = work_of(context.database, job_id).trials
    assert after[:2] == before
    assert [dict(trial.hyperparameters) for trial in after[2:]] == [{"model.filters": 8}]
    assert messages() == [("trial", [job_id, 2])]


def _keys(context: Context, job_id: str) -> list[str | None]:
    plan(context, job_id)
    found = work_of(context.database, job_id).trials
    return [trial_row(context.database, job_id, trial.number).cache_key for trial in found]


def test_what_starts_from_another_jobs_model_has_no_equal(context: Context) -> None:
    """That job may be given more, and have another model by then."""
    backbone = {"family": "transfer", "job": "job_other", "backbone": "job"}
    assert None not in _keys(context, new_job(context.database, **THREE))
    assert set(_keys(context, new_job(context.database, model=backbone))) == {None}


@pytest.mark.parametrize(("epochs", "whole"), [(1, True), (9, False)])
def test_a_whole_trial_of_hyperband_has_equals_and_a_part_has_none(
    context: Context, epochs: int, whole: bool
) -> None:
    training = {"learning_rate": {"type": "float", "min": 0.001, "max": 0.1}, "epochs": epochs}
    job_id = new_job(context.database, training=training, search={"algorithm": "hyperband"})
    assert {key is not None for key in _keys(context, job_id)} == {whole}
