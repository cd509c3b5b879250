"""The search of a job: held, gone on with, given more, and what it has cost."""

from typing import Any

import pytest

from schemas.jobs import Progress
from schemas.problems import Conflict
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Effort, Epoch, Suggestion
from store import attempts, curves, jobs, searches, trials, workers
from store.attempts import MAX_LOSSES, Claim
from store.database import Database, clock
from store.leases import LeaseLost
from store.tables import MAX_FAULTS
from store.trials import PAUSED
from tests.store.makers import (
    LONG,
    OVER,
    PROJECT,
    at_once,
    claim,
    complete,
    job_row,
    job_with_trials,
    new_job,
    new_spec,
    new_trials,
    release,
    running_job,
    set_job,
    set_state,
    set_trial,
    state_of,
    trial_of,
    trial_row,
    try_to_claim,
    work_of,
)

ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
ENDING = (JobState.FINISHING, JobState.CANCELLING)


def pause(database: Database, job_id: str) -> None:
    with database.write() as session:
        searches.pause(session, job_id)


def resume(database: Database, job_id: str) -> None:
    with database.write() as session:
        searches.resume(session, job_id)


def give(database: Database, job_id: str, **budget: Any) -> None:
    with database.write() as session:
        searches.change_budget(session, job_id, new_spec(budget={"max_trials": 10, **budget}))


def told(database: Database, claimed: Claim) -> str | None:
    with database.write() as session:
        return attempts.renew(session, claimed.lease, LONG)


def report(database: Database, claimed: Claim, number: int, device: str = "CPU", fold: int = 1) -> None:
    epoch = Epoch(number, 0.5, 0.01, {"val_accuracy": 0.5}, fold)
    with database.write() as session:
        attempts.report(session, claimed.lease, epoch, LONG, device)


def put_back(
    database: Database, claimed: Claim, checkpoint: str | None = None, fold: int = 1, epoch: int = 1
) -> None:
    with database.write() as session:
        attempts.put_back(session, claimed.lease, checkpoint, fold, epoch)


def begin(database: Database, job_id: str, number: int, seconds_ago: float, device: str = "CPU") -> Claim:
    """A trial that has run on a device for so long."""
    claimed = claim(database, job_id, number)
    set_trial(database, job_id, number, start_time=clock() - seconds_ago, device=device)
    return claimed


def gpu_seconds(database: Database, job_id: str) -> float:
    with database.read() as session:
        return trials.gpu_seconds(session, job_id)


def end_by_deadline(database: Database, job_id: str) -> None:
    set_job(database, job_id, deadline=clock() - 1)
    with database.write() as session:
        searches.end(session, job_id, StopReason.DEADLINE)


def finished(database: Database, job_id: str, seconds_ago: float = 0.0) -> None:
    """The job has ended with its model, so long ago."""
    set_job(database, job_id, state=JobState.SUCCEEDED, end_time=clock() - seconds_ago)


def rested_deadline(database: Database, job_id: str) -> float:
    """Where a deadline has to be, by the row's own budget and rests."""
    row = job_row(database, job_id)
    limit = float(row.spec["budget"]["max_seconds"])
    return row.create_time.timestamp() + limit + row.rested_seconds


class TestPause:
    @pytest.mark.parametrize("state", JobState.searching())
    def test_a_search_is_held(self, database: Database, state: JobState) -> None:
        job_id = job_with_trials(database, 1)
        set_state(database, job_id, state)
        before = job_row(database, job_id).revision
        pause(database, job_id)
        assert state_of(database, job_id) == JobState.PAUSED
        assert job_row(database, job_id).revision == before + 1
        assert try_to_claim(database, job_id, 0) is None

    def test_it_is_idempotent(self, database: Database) -> None:
        job_id = running_job(database)
        pause(database, job_id)
        first = job_row(database, job_id)
        pause(database, job_id)
        second = job_row(database, job_id)
        assert (second.revision, second.rested_at) == (first.revision, first.rested_at)

    @pytest.mark.parametrize("state", [*ENDED, *ENDING])
    def test_only_a_search_is_held(self, database: Database, state: JobState) -> None:
        job_id = running_job(database)
        set_state(database, job_id, state)
        with pytest.raises(Conflict) as caught:
            pause(database, job_id)
        assert caught.value.code == "job_not_searching"
        assert state_of(database, job_id) == state

    def test_running_trials_are_told_and_waiting_ones_wait(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claimed = claim(database, job_id, 0)
        pause(database, job_id)
        assert told(database, claimed) == PAUSED
        assert trial_of(database, job_id, 1).state == TrialState.PENDING
        assert trial_of(database, job_id, 1).stop_reason is None

    def test_a_trial_that_is_to_stop_for_good_is_told_nothing_else(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        with database.write() as session:
            trials.cancel(session, job_id, 0)
        pause(database, job_id)
        assert told(database, claimed) == trials.CANCELLED
        resume(database, job_id)
        assert told(database, claimed) == trials.CANCELLED

    def test_no_trial_that_begins_at_that_moment_goes_on_untold(self, database: Database) -> None:
        job_id = running_job(database, 8)

        def work(number: int) -> None:
            if number == 4:
                pause(database, job_id)
            else:
                try_to_claim(database, job_id, number)

        at_once(8, work)
        with database.read() as session:
            found = [(trial.state, trial.stop_reason) for trial in trials.every(session, job_id)]
        assert {*found} <= {(TrialState.RUNNING, PAUSED), (TrialState.PENDING, None)}

    def test_a_trial_that_ends_meanwhile_has_ended(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        pause(database, job_id)
        complete(database, claimed, score=0.7)
        trial = trial_of(database, job_id, 0)
        assert (trial.state, trial.score, trial.stop_reason) == (TrialState.COMPLETED, 0.7, None)
        assert state_of(database, job_id) == JobState.PAUSED

    def test_nothing_of_a_paused_job_is_late_or_waits_for_a_slot(self, database: Database) -> None:
        held, other = running_job(database, 2), running_job(database, 1)
        for job_id, number in ((held, 0), (held, 1), (other, 0)):
            set_trial(database, job_id, number, sent_at=0.0)
        set_job(database, held, sent_at=0.0)
        pause(database, held)
        with database.read() as session:
            assert trials.late(session, 10) == [(other, 0)]
            assert workers.queue_depth(session) == 1
            assert held not in searches.unplanned(session, 10)
        resume(database, held)
        with database.read() as session:
            assert sorted(trials.late(session, 10)) == sorted([(held, 0), (held, 1), (other, 0)])
            assert workers.queue_depth(session) == 3

    def test_a_paused_job_is_past_no_deadline(self, database: Database) -> None:
        job_id = running_job(database)
        set_job(database, job_id, deadline=1.0)
        pause(database, job_id)
        with database.read() as session:
            assert searches.past_deadline(session) == []


class TestResume:
    def test_a_held_search_goes_on(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claimed = claim(database, job_id, 0)
        pause(database, job_id)
        set_trial(database, job_id, 1, sent_at=1e12)
        resume(database, job_id)
        assert state_of(database, job_id) == JobState.RUNNING
        assert told(database, claimed) is None
        assert job_row(database, job_id).rested_at is None
        assert trial_row(database, job_id, 1).sent_at == 0.0, "due to be sent"
        assert try_to_claim(database, job_id, 1) is not None

    @pytest.mark.parametrize("state", JobState.searching())
    def test_it_is_idempotent(self, database: Database, state: JobState) -> None:
        job_id = running_job(database)
        set_state(database, job_id, state)
        before = job_row(database, job_id).revision
        resume(database, job_id)
        assert (state_of(database, job_id), job_row(database, job_id).revision) == (state, before)

    @pytest.mark.parametrize("state", [*ENDED, *ENDING])
    def test_what_is_not_held_does_not_go_on(self, database: Database, state: JobState) -> None:
        job_id = running_job(database)
        set_state(database, job_id, state)
        with pytest.raises(Conflict) as caught:
            resume(database, job_id)
        assert caught.value.code == "job_not_paused"

    def test_the_deadline_moves_on_by_the_rest(self, database: Database) -> None:
        job_id = running_job(database, budget={"max_trials": 10, "max_seconds": 60})
        before = job_row(database, job_id).deadline
        pause(database, job_id)
        set_job(database, job_id, rested_at=clock() - 1000)
        resume(database, job_id)
        after = job_row(database, job_id).deadline
        assert before is not None
        assert after == pytest.approx(before + 1000, abs=5)

    def test_without_a_deadline_there_is_none_to_move(self, database: Database) -> None:
        job_id = running_job(database)
        pause(database, job_id)
        resume(database, job_id)
        assert job_row(database, job_id).deadline is None

    def test_a_job_that_had_not_begun_begins(self, database: Database) -> None:
        job_id = new_job(database)
        pause(database, job_id)
        resume(database, job_id)
        assert job_row(database, job_id).start_time is not None
        begun = job_row(database, job_id).start_time
        pause(database, job_id)
        resume(database, job_id)
        assert job_row(database, job_id).start_time == begun


class TestPutBack:
    def test_a_paused_trial_waits_with_its_checkpoint(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        report(database, claimed, 1)
        pause(database, job_id)
        put_back(database, claimed, "checkpoints/a", 1, 1)
        row = trial_row(database, job_id, 0)
        assert (row.state, row.stop, row.lease_expires_at) == (TrialState.PENDING, None, None)
        assert (row.checkpoint, row.checkpoint_fold, row.checkpoint_epoch) == ("checkpoints/a", 1, 1)
        assert (row.losses, row.end_time) == (0, None)
        resume(database, job_id)
        assert claim(database, job_id, 0).checkpoint == "checkpoints/a"

    def test_what_was_trained_after_the_checkpoint_is_forgotten(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        for number in (1, 2, 3):
            report(database, claimed, number)
        put_back(database, claimed, "checkpoints/a", 1, 2)
        claim(database, job_id, 0)
        assert [one.epoch for one in trial_of(database, job_id, 0).epochs or []] == [1, 2]

    def test_without_a_checkpoint_an_earlier_one_is_kept(self, database: Database) -> None:
        job_id = running_job(database, 1)
        put_back(database, claim(database, job_id, 0), "checkpoints/a", 1, 4)
        put_back(database, claim(database, job_id, 0), None, 1, 0)
        row = trial_row(database, job_id, 0)
        assert (row.checkpoint, row.checkpoint_epoch) == ("checkpoints/a", 4)

    def test_a_trial_that_is_to_stop_for_good_is_cancelled(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        with database.write() as session:
            trials.stop_all(session, job_id, StopReason.DEADLINE)
        put_back(database, claimed, "checkpoints/a")
        trial = trial_of(database, job_id, 0)
        assert (trial.state, trial.stop_reason) == (TrialState.CANCELLED, "deadline")
        assert trial.end_time is not None

    def test_only_the_owner_puts_it_back(self, database: Database) -> None:
        job_id = running_job(database, 1)
        first = claim(database, job_id, 0, seconds=OVER)
        release(database, job_id, 0)
        with pytest.raises(LeaseLost):
            put_back(database, first, "checkpoints/a")
        assert trial_row(database, job_id, 0).checkpoint is None

    def test_a_trial_without_its_own_goes_on_from_its_parents(self, database: Database) -> None:
        job_id = running_job(database)
        with database.write() as session:
            found = [Suggestion({}), Suggestion({}, Effort(until_epoch=3, parent=0))]
            trials.create(session, job_id, 0, found)
        set_trial(database, job_id, 0, checkpoint="checkpoints/parent")
        claimed = claim(database, job_id, 1)
        assert (claimed.checkpoint, claimed.effort) == ("checkpoints/parent", Effort(3, 1.0, 0, None))
        put_back(database, claimed, "checkpoints/own")
        assert claim(database, job_id, 1).checkpoint == "checkpoints/own"


class TestLostWhilePaused:
    def test_a_trial_whose_worker_is_lost_waits_again(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0, seconds=OVER)
        pause(database, job_id)
        release(database, job_id, 0)
        row = trial_row(database, job_id, 0)
        assert (row.state, row.stop, row.losses) == (TrialState.PENDING, None, 1)
        assert try_to_claim(database, job_id, 0) is None
        resume(database, job_id)
        assert try_to_claim(database, job_id, 0) is not None

    def test_one_that_was_lost_too_often_has_failed(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0, seconds=OVER)
        set_trial(database, job_id, 0, losses=MAX_LOSSES - 1)
        pause(database, job_id)
        release(database, job_id, 0)
        assert trial_of(database, job_id, 0).state == TrialState.FAILED

    def test_cancelling_wins_over_pausing(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claimed = claim(database, job_id, 0, seconds=OVER)
        pause(database, job_id)
        with database.write() as session:
            jobs.cancel(session, PROJECT, job_id)
        assert trial_row(database, job_id, 0).stop == trials.CANCELLED
        assert trial_of(database, job_id, 1).state == TrialState.CANCELLED
        release(database, job_id, 0)
        assert trial_of(database, job_id, 0).state == TrialState.CANCELLED
        with pytest.raises(LeaseLost):
            told(database, claimed)

    def test_one_trial_of_a_paused_job_is_cancelled(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claimed = claim(database, job_id, 0)
        pause(database, job_id)
        with database.write() as session:
            trials.cancel(session, job_id, 0)
            trials.cancel(session, job_id, 1)
        assert told(database, claimed) == trials.CANCELLED
        assert trial_of(database, job_id, 1).state == TrialState.CANCELLED


class TestChangeBudget:
    def test_limits_are_taken_over(self, database: Database) -> None:
        job_id = running_job(database)
        before = job_row(database, job_id)
        give(database, job_id, max_trials=50, parallel_trials=7, max_epochs=9)
        row = job_row(database, job_id)
        assert (row.max_trials, row.parallel_trials, row.spec["budget"]["max_epochs"]) == (50, 7, 9)
        assert row.spec_digest != before.spec_digest
        assert row.revision > before.revision
        assert row.state == JobState.RUNNING

    def test_a_plan_of_the_old_budget_is_not_carried_out(self, database: Database) -> None:
        job_id = running_job(database)
        known = work_of(database, job_id)
        give(database, job_id, max_trials=50)
        with database.write() as session:
            assert not searches.unchanged(session, known)

    @pytest.mark.parametrize("state", ENDED)
    def test_a_job_that_has_ended_goes_on(self, database: Database, state: JobState) -> None:
        job_id = running_job(database, 1)
        complete(database, claim(database, job_id, 0))
        ended = {"stop_reason": "completed", "error": {"code": "x"}, "end_time": clock(), "attempt": 3}
        set_job(database, job_id, state=state, **ended)
        give(database, job_id, max_trials=11)
        row = job_row(database, job_id)
        assert (row.state, row.stop_reason, row.error, row.end_time) == (JobState.RUNNING, None, None, None)
        assert row.attempt == 0, "its model may be tried to make as often as before"
        assert trial_of(database, job_id, 0).state == TrialState.COMPLETED
        with database.read() as session:
            assert searches.unplanned(session, 10) == [job_id]

    @pytest.mark.parametrize("state", ENDED)
    def test_no_more_than_before_is_refused(self, database: Database, state: JobState) -> None:
        job_id = running_job(database)
        set_state(database, job_id, state)
        before = job_row(database, job_id)
        for budget in ({}, {"max_trials": 9}, {"max_epochs": 5}, {"parallel_trials": 9}):
            with pytest.raises(Conflict) as caught:
                give(database, job_id, **budget)
            assert caught.value.code == "job_ended"
        after = job_row(database, job_id)
        assert (after.state, after.spec, after.revision) == (state, before.spec, before.revision)

    @pytest.mark.parametrize("state", ENDING)
    def test_while_it_ends_nothing_changes(self, database: Database, state: JobState) -> None:
        job_id = running_job(database)
        set_state(database, job_id, state)
        with pytest.raises(Conflict) as caught:
            give(database, job_id, max_trials=50)
        assert caught.value.code == "job_ending"

    def test_a_deadline_is_counted_without_the_time_after_the_end(self, database: Database) -> None:
        job_id = running_job(database, budget={"max_trials": 10, "max_seconds": 60})
        before = job_row(database, job_id).deadline
        set_job(database, job_id, state=JobState.SUCCEEDED, stop_reason="completed", end_time=clock() - 1000)
        give(database, job_id, max_trials=11, max_seconds=90)
        after = job_row(database, job_id).deadline
        assert before is not None
        assert after == pytest.approx(before + 30 + 1000, abs=5)

    def test_a_first_deadline_is_counted_from_when_the_job_was_made(self, database: Database) -> None:
        job_id = running_job(database)
        give(database, job_id, max_seconds=60)
        row = job_row(database, job_id)
        assert row.deadline == pytest.approx(row.create_time.timestamp() + 60, abs=1)
        give(database, job_id)
        assert job_row(database, job_id).deadline is None

    def test_the_rest_of_a_pause_is_no_time_of_the_search(self, database: Database) -> None:
        job_id = running_job(database)
        pause(database, job_id)
        set_job(database, job_id, rested_at=clock() - 1000)
        give(database, job_id, max_seconds=60)
        resume(database, job_id)
        row = job_row(database, job_id)
        assert row.deadline == pytest.approx(row.create_time.timestamp() + 60 + 1000, abs=5)

    def test_a_search_that_is_ending_already_takes_no_more(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0)
        with database.write() as session:
            searches.end(session, job_id, StopReason.TARGET_REACHED)
        with pytest.raises(Conflict) as caught:
            give(database, job_id, max_trials=50)
        assert caught.value.code == "job_ending"
        assert job_row(database, job_id).max_trials == 10

    @pytest.mark.parametrize(
        ("reason", "helps", "others"),
        [
            ("completed", {"max_trials": 11}, {"max_seconds": 90, "max_epochs": 9, "max_failed_trials": 9}),
            ("deadline", {"max_seconds": 61}, {"max_trials": 11, "max_epochs": 9}),
            ("budget_exhausted", {"max_epochs": 6}, {"max_trials": 11, "max_seconds": 90}),
            ("budget_exhausted", {"max_gpu_seconds": None}, {"max_trials": 11, "max_seconds": None}),
            ("too_many_failures", {"max_failed_trials": 3}, {"max_trials": 11, "plateau": None}),
            ("plateau", {"plateau": None}, {"max_trials": 11, "max_failed_trials": 9}),
        ],
    )
    def test_an_ended_job_goes_on_by_the_limit_that_ended_it_alone(
        self, database: Database, reason: str, helps: dict[str, Any], others: dict[str, Any]
    ) -> None:
        limits = {
            "max_seconds": 60,
            "max_epochs": 5,
            "max_gpu_seconds": 5,
            "max_failed_trials": 2,
            "plateau": {"trials": 3},
        }
        job_id = running_job(database, budget={"max_trials": 10, **limits})
        set_job(database, job_id, state=JobState.SUCCEEDED, stop_reason=reason, end_time=clock())
        kept = {name: limits[name] for name in ("max_epochs", "max_gpu_seconds") if name not in others}
        with pytest.raises(Conflict) as caught:
            give(database, job_id, **{**limits, **others, **kept})
        assert caught.value.code == "job_ended"
        assert all(name in caught.value.detail for name in helps)
        give(database, job_id, **{**limits, **helps})
        assert state_of(database, job_id) == JobState.RUNNING

    @pytest.mark.parametrize("reason", [StopReason.SPACE_EXHAUSTED, StopReason.TARGET_REACHED])
    def test_what_no_budget_helps_stays_ended(self, database: Database, reason: StopReason) -> None:
        job_id = running_job(database)
        set_job(database, job_id, state=JobState.SUCCEEDED, stop_reason=reason, end_time=clock())
        with pytest.raises(Conflict) as caught:
            give(database, job_id, max_trials=1000)
        assert caught.value.code == "job_ended"

    @pytest.mark.parametrize("reason", [StopReason.DEADLINE, StopReason.BUDGET_EXHAUSTED])
    def test_trials_that_the_end_had_dropped_wait_again(self, database: Database, reason: StopReason) -> None:
        limits = {"max_seconds": 60, "max_epochs": 5}
        job_id = running_job(database, 4, budget={"max_trials": 10, **limits})
        complete(database, claim(database, job_id, 3))
        running = claim(database, job_id, 2)
        with database.write() as session:
            trials.cancel(session, job_id, 0)
        set_job(database, job_id, deadline=clock() - 1)
        with database.write() as session:
            searches.end(session, job_id, reason)
        put_back(database, running)
        states = [trial_of(database, job_id, number).state for number in range(4)]
        assert states == [*[TrialState.CANCELLED] * 3, TrialState.COMPLETED]
        finished(database, job_id)
        give(database, job_id, max_seconds=600, max_epochs=50)
        found = [trial_of(database, job_id, number) for number in range(4)]
        assert [one.state for one in found] == [
            TrialState.CANCELLED,
            TrialState.PENDING,
            TrialState.PENDING,
            TrialState.COMPLETED,
        ]
        assert [(one.stop_reason, one.end_time) for one in found[1:3]] == [(None, None)] * 2
        assert found[0].stop_reason == trials.CANCELLED, "somebody wanted that"
        with database.read() as session:
            assert sorted(trials.late(session, 10)) == [(job_id, 1), (job_id, 2)]
        assert try_to_claim(database, job_id, 1) is not None

    def test_faults_of_before_are_forgotten(self, database: Database) -> None:
        job_id = running_job(database)
        set_job(database, job_id, faults=MAX_FAULTS, state=JobState.FAILED, end_time=clock())
        give(database, job_id, max_trials=11)
        assert job_row(database, job_id).faults == 0
        set_job(database, job_id, faults=MAX_FAULTS)
        pause(database, job_id)
        resume(database, job_id)
        assert job_row(database, job_id).faults == 0


class TestDeadline:
    """It is when the job was made, and what it may take, and what it has rested."""

    def test_one_that_was_moved_meanwhile_does_not_end_the_search(self, database: Database) -> None:
        job_id = running_job(database, 1, budget={"max_trials": 10, "max_seconds": 60})
        set_job(database, job_id, deadline=clock() - 1)
        assert work_of(database, job_id).deadline_passed
        give(database, job_id, max_seconds=600)
        with database.write() as session:
            searches.end(session, job_id, StopReason.DEADLINE)
        assert job_row(database, job_id).stop_reason is None
        assert trial_of(database, job_id, 0).state == TrialState.PENDING

    def test_it_counts_no_pause_however_often_the_budget_changes(self, database: Database) -> None:
        job_id = running_job(database, budget={"max_trials": 10, "max_seconds": 60})
        for limit in (90, 30, 120):
            pause(database, job_id)
            set_job(database, job_id, rested_at=clock() - 100)
            give(database, job_id, max_seconds=limit)
            resume(database, job_id)
            assert job_row(database, job_id).deadline == pytest.approx(rested_deadline(database, job_id))
        assert job_row(database, job_id).rested_seconds == pytest.approx(300, abs=5)

    def test_one_that_was_taken_away_comes_back_with_the_rests(self, database: Database) -> None:
        job_id = running_job(database, budget={"max_trials": 10, "max_seconds": 60})
        give(database, job_id)
        pause(database, job_id)
        set_job(database, job_id, rested_at=clock() - 100)
        resume(database, job_id)
        give(database, job_id, max_seconds=60)
        row = job_row(database, job_id)
        assert row.deadline == pytest.approx(row.create_time.timestamp() + 160, abs=5)

    def test_a_job_cancelled_in_its_pause_and_given_more_has_rested_for_both(
        self, database: Database
    ) -> None:
        job_id = running_job(database, budget={"max_trials": 10, "max_seconds": 60})
        pause(database, job_id)
        set_job(database, job_id, rested_at=clock() - 100)
        with database.write() as session:
            jobs.cancel(session, PROJECT, job_id)
        row = job_row(database, job_id)
        assert (row.rested_at, row.rested_seconds) == (None, pytest.approx(100, abs=5))
        set_job(database, job_id, end_time=clock() - 1000)
        give(database, job_id, max_trials=11, max_seconds=90)
        row = job_row(database, job_id)
        assert row.rested_seconds == pytest.approx(1100, abs=5)
        assert row.deadline == pytest.approx(rested_deadline(database, job_id))

    def test_cancelling_what_is_not_paused_adds_no_rest(self, database: Database) -> None:
        job_id = running_job(database, budget={"max_trials": 10, "max_seconds": 60})
        with database.write() as session:
            jobs.cancel(session, PROJECT, job_id)
        row = job_row(database, job_id)
        assert (row.rested_seconds, row.deadline) == (0.0, pytest.approx(rested_deadline(database, job_id)))

    def test_two_extensions_leave_out_the_time_after_both_ends(self, database: Database) -> None:
        job_id = running_job(database, budget={"max_trials": 10, "max_seconds": 60})
        for limit in (90, 120):
            set_job(database, job_id, stop_reason="deadline")
            finished(database, job_id, seconds_ago=500)
            give(database, job_id, max_seconds=limit)
            assert job_row(database, job_id).deadline == pytest.approx(rested_deadline(database, job_id))
        assert job_row(database, job_id).rested_seconds == pytest.approx(1000, abs=5)


class TestProgress:
    def _after(self, database: Database, seconds: float, **values: Any) -> tuple[str, Any]:
        """A job of ten trials that was made so long ago, with half of them done, and its progress."""
        job_id = running_job(database, 5)
        for number in range(5):
            complete(database, claim(database, job_id, number))
        set_job(database, job_id, create_time=clock() - seconds, start_time=clock() - seconds, **values)
        return job_id, progress(database, job_id)

    def test_rests_are_no_time_of_the_search(self, database: Database) -> None:
        _, found = self._after(database, 1000, rested_seconds=700)
        assert found.elapsed_seconds == pytest.approx(300, abs=5)
        assert found.eta_seconds == pytest.approx(300, abs=5)

    def test_while_it_rests_its_time_stands_still_and_nobody_knows_the_end(self, database: Database) -> None:
        job_id, _ = self._after(database, 1000, rested_seconds=100)
        pause(database, job_id)
        set_job(database, job_id, rested_at=clock() - 600)
        found = progress(database, job_id)
        assert found.elapsed_seconds == pytest.approx(300, abs=5)
        assert found.eta_seconds is None
        resume(database, job_id)
        found = progress(database, job_id)
        assert found.elapsed_seconds == pytest.approx(300, abs=5)
        assert found.eta_seconds == pytest.approx(300, abs=5)

    def test_an_extended_job_has_not_searched_after_its_end(self, database: Database) -> None:
        job_id, _ = self._after(database, 1000)
        finished(database, job_id, seconds_ago=800)
        assert progress(database, job_id).elapsed_seconds == pytest.approx(200, abs=5)
        give(database, job_id, max_trials=20)
        assert progress(database, job_id).elapsed_seconds == pytest.approx(200, abs=5)


def progress(database: Database, job_id: str) -> Progress:
    with database.read() as session:
        return jobs.get(session, PROJECT, job_id).progress


class TestSpent:
    def test_epochs_are_those_of_all_trials_and_folds(self, database: Database) -> None:
        job_id = running_job(database, 2)
        first, second = (claim(database, job_id, number) for number in (0, 1))
        report(database, first, 1)
        report(database, first, 1, fold=2)
        report(database, second, 1)
        complete(database, first)
        with database.read() as session:
            assert curves.count(session, job_id) == 3
            assert trials.gpu_seconds(session, job_id) == 0

    def test_seconds_count_on_gpus_alone_and_while_a_trial_runs(self, database: Database) -> None:
        job_id = running_job(database, 3)
        for number, device in enumerate(("GPU: one", "CPU", "GPU: two")):
            report(database, claim(database, job_id, number), 1, device)
        set_trial(database, job_id, 0, start_time=clock() - 100, end_time=clock() - 60)
        set_trial(database, job_id, 1, start_time=clock() - 100)
        set_trial(database, job_id, 2, start_time=clock() - 10)
        assert gpu_seconds(database, job_id) == pytest.approx(50, abs=5)

    def test_seconds_add_up_over_attempts_and_pauses_and_waiting_costs_nothing(
        self, database: Database
    ) -> None:
        job_id = running_job(database, 1)
        first = begin(database, job_id, 0, seconds_ago=100, device="GPU: one")
        pause(database, job_id)
        put_back(database, first, "checkpoints/a")
        assert gpu_seconds(database, job_id) == pytest.approx(100, abs=5)
        resume(database, job_id)
        assert gpu_seconds(database, job_id) == pytest.approx(100, abs=5), "it waits"
        begin(database, job_id, 0, seconds_ago=30, device="GPU: one")
        assert gpu_seconds(database, job_id) == pytest.approx(130, abs=5)
        # Its worker is lost, and it begins once more.
        set_trial(database, job_id, 0, lease_expires_at=1.0)
        release(database, job_id, 0)
        last = begin(database, job_id, 0, seconds_ago=10, device="GPU: one")
        complete(database, last, device=None)
        with database.read() as session:
            cost = jobs.get(session, PROJECT, job_id).cost
        assert cost.gpu_seconds == cost.trial_seconds == pytest.approx(140, abs=5)
        assert trial_row(database, job_id, 0).device == "GPU: one", "nobody said another"

    @pytest.mark.parametrize("by", ["deadline", "cancel"])
    def test_the_time_that_a_trial_had_waited_costs_nothing_when_it_is_dropped(
        self, database: Database, by: str
    ) -> None:
        job_id = running_job(database, 1)
        put_back(database, begin(database, job_id, 0, seconds_ago=100, device="GPU: one"))
        with database.write() as session:
            if by == "deadline":
                trials.stop_all(session, job_id, StopReason.DEADLINE)
            else:
                trials.cancel(session, job_id, 0)
        assert gpu_seconds(database, job_id) == pytest.approx(100, abs=5)

    def test_a_revived_trial_has_cost_what_it_had(self, database: Database) -> None:
        job_id = running_job(database, 1, budget={"max_trials": 10, "max_seconds": 60})
        claimed = begin(database, job_id, 0, seconds_ago=100, device="GPU: one")
        end_by_deadline(database, job_id)
        put_back(database, claimed, "checkpoints/a")
        finished(database, job_id)
        set_trial(database, job_id, 0, end_time=clock() - 50, start_time=clock() - 150)
        give(database, job_id, max_seconds=90)
        assert trial_of(database, job_id, 0).state == TrialState.PENDING
        assert gpu_seconds(database, job_id) == pytest.approx(100, abs=5)
        begin(database, job_id, 0, seconds_ago=10, device="GPU: one")
        assert gpu_seconds(database, job_id) == pytest.approx(110, abs=5)

    @pytest.mark.parametrize(
        ("limits", "spent"),
        [
            ({}, False),
            ({"max_epochs": 3}, False),
            ({"max_epochs": 2}, True),
            ({"max_epochs": 1}, True),
            ({"max_gpu_seconds": 200}, False),
            ({"max_gpu_seconds": 99}, True),
            ({"max_epochs": 3, "max_gpu_seconds": 99}, True),
        ],
    )
    def test_a_budget_is_spent_when_either_is(
        self, database: Database, limits: dict[str, Any], spent: bool
    ) -> None:
        job_id = running_job(database, 1, budget={"max_trials": 10, **limits})
        claimed = claim(database, job_id, 0)
        report(database, claimed, 1, "GPU: one")
        report(database, claimed, 2, "GPU: one")
        set_trial(database, job_id, 0, start_time=clock() - 100)
        with database.read() as session:
            assert searches.is_spent(session, job_id) is spent

    def test_a_budget_that_was_raised_is_not_spent(self, database: Database) -> None:
        job_id = running_job(database, 1, budget={"max_trials": 10, "max_epochs": 1})
        report(database, claim(database, job_id, 0), 1)
        with database.write() as session:
            assert searches.is_spent(session, job_id)
            searches.change_budget(session, job_id, new_spec(budget={"max_trials": 10, "max_epochs": 2}))
            assert not searches.is_spent(session, job_id)

    @pytest.mark.parametrize("spec", [{"family": "old"}, {"budget": {"tokens": 3}}, {"budget": None}])
    def test_a_budget_that_cannot_be_read_any_more_keeps_nobody_from_the_rest(
        self, database: Database, spec: dict[str, Any]
    ) -> None:
        job_id = running_job(database)
        set_job(database, job_id, spec=spec)
        assert not work_of(database, job_id).is_spent

    def test_epochs_of_other_jobs_count_for_them(self, database: Database) -> None:
        one, other = running_job(database, 1), new_job(database)
        new_trials(database, other, 1)
        report(database, claim(database, one, 0), 1)
        with database.read() as session:
            assert [curves.count(session, job_id) for job_id in (one, other)] == [1, 0]
