"""Jobs: what clients see, and every move from state to state."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import delete, select

from schemas.artifacts import Artifact
from schemas.jobs import Job
from schemas.pages import Page
from schemas.problems import Conflict, NotFound
from schemas.specs import load_spec
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Epoch
from store import artifacts, attempts, jobs, searches, trials
from store.database import Database, clock
from store.jobs import Filters
from store.leases import LeaseLost
from store.tables import EpochRow, JobRow, TrialRow
from tests.store.makers import (
    DIGITS,
    LONG,
    OVER,
    PROJECT,
    WORKER,
    at_once,
    claim,
    complete,
    finishing_job,
    job_row,
    job_with_trials,
    new_job,
    new_spec,
    running_job,
    set_job,
    set_state,
    state_of,
    trial_of,
    trial_row,
    try_to_claim,
    work_of,
)

ERROR: Mapping[str, Any] = {"code": "x", "title": "X", "detail": "it was x", "trials": []}


def _page(
    database: Database, filters: Filters = Filters(), size: int = 50, token: str | None = None
) -> Page[Job]:
    with database.read() as session:
        return jobs.page(session, PROJECT, filters, size, token)


def _found(database: Database, **filters: Any) -> list[str]:
    return [job.id for job in _page(database, Filters(**filters)).items]


def _get(database: Database, job_id: str, project: str = PROJECT) -> Job:
    with database.read() as session:
        return jobs.get(session, project, job_id)


def _cancel(database: Database, job_id: str) -> Job:
    with database.write() as session:
        return jobs.cancel(session, PROJECT, job_id)


class TestCreateAndGet:
    def test_a_new_job_is_queued_with_its_resolved_spec(self, database: Database) -> None:
        spec = new_spec(name="letters", labels={"team": "vision"})
        with database.write() as session:
            made = jobs.create(session, PROJECT, spec, DIGITS, [{"code": "w"}])
        job = _get(database, made.id)
        assert (job.state, job.stop_reason, job.revision) == (JobState.QUEUED, None, 1)
        assert (job.name, job.labels) == ("letters", {"team": "vision"})
        assert (job.spec, job.spec_digest) == (spec.resolved, spec.digest)
        assert job.warnings == [{"code": "w"}]
        assert job.best is None
        assert job.dataset_digest == DIGITS.digest

    def test_the_stored_spec_loads_to_the_same_spec(self, database: Database) -> None:
        job = _get(database, new_job(database))
        assert load_spec(job.spec).digest == job.spec_digest

    def test_a_job_of_another_project_is_not_found(self, database: Database) -> None:
        job_id = new_job(database, project="theirs")
        for seen in (jobs.get, jobs.revision, jobs.cancel, jobs.result):
            with pytest.raises(NotFound), database.write() as session:
                seen(session, PROJECT, job_id)
        assert state_of(database, job_id) == JobState.QUEUED

    def test_an_unknown_job_is_not_found(self, database: Database) -> None:
        with pytest.raises(NotFound) as caught:
            _get(database, "job_none")
        assert caught.value.code == "job_not_found"

    def test_progress_counts_trials_by_state_and_epochs(self, database: Database) -> None:
        job_id = running_job(database, 3)
        complete(database, claim(database, job_id, 0))
        claimed = claim(database, job_id, 1)
        with database.write() as session:
            attempts.report(session, claimed.lease, Epoch(1, 0.1, 0.01, {"loss": 1.0}), LONG)
        progress = _get(database, job_id).progress
        assert (progress.completed, progress.running, progress.pending) == (1, 1, 1)
        assert (progress.epochs, progress.max_trials) == (1, 10)

    def test_best_is_the_highest_score_and_the_first_of_equals(self, database: Database) -> None:
        job_id = finishing_job(database, [0.7, 0.9, 0.9, 0.8])
        best = _get(database, job_id).best
        assert best is not None
        assert (best.trial, best.score, best.epoch) == (1, 0.9, 1)

    def test_of_equal_scores_the_lower_validation_loss_decides(self, database: Database) -> None:
        job_id = running_job(database, 3)
        for number, loss in enumerate((0.3, 0.1, 0.2)):
            metrics = {"val_accuracy": 0.9, "val_loss": loss}
            found = attempts.Outcome(TrialState.COMPLETED, 0.9, 1, metrics)
            lease = claim(database, job_id, number).lease
            with database.write() as session:
                attempts.complete(session, lease, found)
        best = _get(database, job_id).best
        assert best is not None
        assert best.trial == 1

    def test_best_is_the_lowest_score_when_it_is_to_be_minimized(self, database: Database) -> None:
        job_id = finishing_job(database, [0.7, 0.2], objective={"metric": "val_loss"})
        best = _get(database, job_id).best
        assert best is not None
        assert best.trial == 1

    def test_best_is_never_of_a_trial_without_result(self, database: Database) -> None:
        job_id = running_job(database, 3)
        complete(database, claim(database, job_id, 0), TrialState.FAILED, score=None)
        complete(database, claim(database, job_id, 1), TrialState.CANCELLED, score=None)
        complete(database, claim(database, job_id, 2), TrialState.STOPPED, score=0.1)
        best = _get(database, job_id).best
        assert best is not None
        assert best.trial == 2

    def test_cost_adds_up_trials_and_artifacts(self, database: Database) -> None:
        job_id = finishing_job(database, [0.5, 0.6])
        with database.write() as session:
            found = [Artifact(name, "p", size, "0" * 64, "text/csv") for name, size in (("a", 7), ("b", 5))]
            artifacts.publish(session, job_id, found)
        cost = _get(database, job_id).cost
        assert cost.artifact_bytes == 12
        assert cost.trial_seconds >= 0
        assert cost.gpu_seconds == 0

    def test_gpu_seconds_are_those_of_trials_on_a_gpu(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        complete(database, claimed, device="GPU:0")
        cost = _get(database, job_id).cost
        assert cost.gpu_seconds == cost.trial_seconds > 0


class TestPage:
    def test_newest_first_and_only_the_projects(self, database: Database) -> None:
        made = [new_job(database) for _ in range(3)]
        new_job(database, project="theirs")
        assert _found(database) == sorted(made, reverse=True)

    def test_pages_hold_each_job_once(self, database: Database) -> None:
        made = [new_job(database) for _ in range(5)]
        seen, token = [], None
        for _ in range(3):
            page = _page(database, size=2, token=token)
            seen += [job.id for job in page.items]
            token = page.next_page_token
        assert token is None
        assert seen == sorted(made, reverse=True)

    def test_a_job_made_between_two_pages_moves_nothing(self, database: Database) -> None:
        made = [new_job(database) for _ in range(4)]
        first = _page(database, size=2)
        new_job(database)
        second = _page(database, size=2, token=first.next_page_token)
        seen = [job.id for job in (*first.items, *second.items)]
        assert seen == sorted(made, reverse=True)

    def test_filter_by_state(self, database: Database) -> None:
        running, _ = running_job(database), new_job(database)
        assert _found(database, state="running") == [running]

    def test_filter_by_label(self, database: Database) -> None:
        wanted = new_job(database, labels={"team": "vi:sion", "other": "x"})
        new_job(database, labels={"team": "other", "other": "vi:sion"})
        new_job(database)
        assert _found(database, label="team:vi:sion") == [wanted]

    def test_filter_by_labels_of_any_letters(self, database: Database) -> None:
        keys = ("a.b", "sla/sh", "0", "a-b", "a_b", "ü")
        made = {key: new_job(database, labels={key: "ä"}) for key in keys}
        found = {key: _found(database, label=f"{key}:ä") for key in keys}
        assert found == {key: [job_id] for key, job_id in made.items()}

    def test_filter_by_dataset(self, database: Database) -> None:
        job_id = new_job(database)
        assert _found(database, dataset="builtin:digits") == [job_id]
        assert _found(database, dataset="ds_other") == []

    def test_filter_by_part_of_the_name(self, database: Database) -> None:
        job_id = new_job(database, name="Letters 50% a_b é")
        new_job(database, name="le tters 500 axb e")
        for wanted in ("LETT", "50%", "a_b", "é"):
            assert _found(database, q=wanted) == [job_id]

    def test_filter_by_dates(self, database: Database) -> None:
        old, new = new_job(database), new_job(database)
        now = datetime.now(UTC)
        set_job(database, old, create_time=now - timedelta(days=2))
        middle = now - timedelta(days=1)
        assert _found(database, created_before=middle) == [old]
        assert _found(database, created_after=middle) == [new]

    def test_filters_hold_together(self, database: Database) -> None:
        wanted = new_job(database, name="x", labels={"a": "1"})
        new_job(database, name="x"), new_job(database, labels={"a": "1"})
        assert _found(database, q="x", label="a:1", state="queued") == [wanted]


class TestMoves:
    def test_a_job_moves_only_as_the_table_allows(self, database: Database) -> None:
        job_id = new_job(database)
        for source, target in product(JobState, JobState):
            set_state(database, job_id, source)
            with database.write() as session:
                did = jobs.move(session, job_id, target)
            assert did == source.may_become(target)
            assert state_of(database, job_id) == (target if did else source)

    def test_a_move_shows_in_the_revision(self, database: Database) -> None:
        job_id = new_job(database)
        before = _get(database, job_id).revision
        with database.write() as session:
            jobs.move(session, job_id, JobState.RUNNING)
        with database.read() as session:
            assert jobs.revision(session, PROJECT, job_id) == before + 1

    def test_of_many_moves_at_once_one_is_made(self, database: Database) -> None:
        job_id = new_job(database)

        def start(_: int) -> bool:
            with database.write() as session:
                return jobs.move(session, job_id, JobState.RUNNING)

        assert sum(at_once(6, start)) == 1


class TestCancel:
    def test_a_queued_job_is_cancelled_at_once(self, database: Database) -> None:
        job = _cancel(database, new_job(database))
        assert (job.state, job.stop_reason) == (JobState.CANCELLED, StopReason.CANCELLED)
        assert job.end_time is not None

    def test_waiting_trials_are_dropped_and_running_ones_told(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claimed = claim(database, job_id, 0)
        assert _cancel(database, job_id).state == JobState.CANCELLING
        assert trial_of(database, job_id, 1).state == TrialState.CANCELLED
        with database.write() as session:
            assert attempts.renew(session, claimed.lease, LONG) == trials.CANCELLED

    def test_a_cancelling_job_settles_when_nothing_runs(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        _cancel(database, job_id)
        with database.write() as session:
            assert not jobs.settle_cancelled(session, job_id)
        complete(database, claimed, TrialState.CANCELLED, score=None)
        with database.write() as session:
            assert jobs.settle_cancelled(session, job_id)
        assert state_of(database, job_id) == JobState.CANCELLED

    def test_cancelling_twice_is_like_once(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0)
        first, second = _cancel(database, job_id), _cancel(database, job_id)
        assert first.state == second.state == JobState.CANCELLING
        assert first.revision == second.revision

    def test_a_cancelled_job_stays_as_it_is(self, database: Database) -> None:
        job_id = new_job(database)
        first, second = _cancel(database, job_id), _cancel(database, job_id)
        assert (first.end_time, first.revision) == (second.end_time, second.revision)

    def test_a_job_that_has_ended_otherwise_is_a_conflict(self, database: Database) -> None:
        job_id = new_job(database)
        for state in (JobState.SUCCEEDED, JobState.FAILED):
            set_state(database, job_id, state)
            with pytest.raises(Conflict):
                _cancel(database, job_id)

    def test_a_cancelled_jobs_trials_are_not_to_be_claimed(self, database: Database) -> None:
        job_id = running_job(database, 1)
        _cancel(database, job_id)
        assert try_to_claim(database, job_id, 0) is None

    def test_cancelling_while_trials_report_ends_well(self, database: Database) -> None:
        """Locks are taken in one order: no deadlock between the client and eight workers."""
        job_id = running_job(database, 8)
        claims = [claim(database, job_id, number) for number in range(8)]

        def work(number: int) -> None:
            if number == 8:
                _cancel(database, job_id)
                return
            for epoch in range(1, 16):
                seen = Epoch(epoch, 0.1, 0.01, {"loss": 1.0})
                with database.write() as session:
                    attempts.report(session, claims[number].lease, seen, LONG)

        at_once(9, work)
        assert state_of(database, job_id) == JobState.CANCELLING

    def test_ending_the_search_while_trials_complete_ends_well(self, database: Database) -> None:
        for _ in range(3):
            job_id = running_job(database, 8)
            claims = [claim(database, job_id, number) for number in range(8)]

            def work(number: int, job_id: str = job_id, claims: list[Any] = claims) -> None:
                if number == 8:
                    with database.write() as session:
                        searches.end(session, job_id, StopReason.TARGET_REACHED)
                    return
                complete(database, claims[number])

            at_once(9, work)
            assert _get(database, job_id).progress.completed == 8


class TestFinish:
    def test_only_a_finishing_job_is_claimed(self, database: Database) -> None:
        for state in JobState:
            job_id = new_job(database)
            set_state(database, job_id, state)
            with database.write() as session:
                lease = jobs.claim_finish(session, job_id, WORKER, LONG)
            assert (lease is not None) == (state == JobState.FINISHING)

    def test_of_eight_workers_one_claims_it(self, database: Database) -> None:
        job_id = finishing_job(database)

        def take(number: int) -> bool:
            with database.write() as session:
                return jobs.claim_finish(session, job_id, f"worker-{number}", LONG) is not None

        assert sum(at_once(8, take)) == 1
        assert job_row(database, job_id).attempt == 1

    def test_an_expired_lease_is_taken_over(self, database: Database) -> None:
        job_id = finishing_job(database)
        with database.write() as session:
            first = jobs.claim_finish(session, job_id, "a", OVER)
        with database.write() as session:
            second = jobs.claim_finish(session, job_id, "b", LONG)
            assert jobs.attempts(session, job_id) == 2
        assert first is not None
        assert second is not None
        with pytest.raises(LeaseLost), database.write() as session:
            jobs.succeed(session, first, {"trial": 0})
        with database.write() as session:
            jobs.succeed(session, second, {"trial": 0})
        assert state_of(database, job_id) == JobState.SUCCEEDED

    def test_success_keeps_the_result_and_ends_the_lease(self, database: Database) -> None:
        job_id = finishing_job(database)
        with database.write() as session:
            lease = jobs.claim_finish(session, job_id, WORKER, LONG)
            assert lease is not None
            jobs.succeed(session, lease, {"trial": 0})
        row = job_row(database, job_id)
        assert (row.state, row.result) == (JobState.SUCCEEDED, {"trial": 0})
        assert row.lease_expires_at is None
        assert row.end_time is not None

    def test_success_after_a_cancel_is_refused_and_leaves_nothing(self, database: Database) -> None:
        job_id = finishing_job(database)
        with database.write() as session:
            lease = jobs.claim_finish(session, job_id, WORKER, LONG)
        assert lease is not None
        assert _cancel(database, job_id).state == JobState.CANCELLED
        with pytest.raises(LeaseLost), database.write() as session:
            jobs.succeed(session, lease, {"trial": 0})
        assert (state_of(database, job_id), job_row(database, job_id).result) == (
            JobState.CANCELLED,
            None,
        )

    def test_a_worker_that_shuts_down_gives_its_finishing_back(self, database: Database) -> None:
        mine, theirs = finishing_job(database), finishing_job(database)
        with database.write() as session:
            jobs.claim_finish(session, mine, "me", LONG)
            jobs.claim_finish(session, theirs, "they", LONG)
        with database.write() as session:
            assert jobs.hand_back_all(session, "me") == [mine]
        with database.read() as session:
            assert jobs.unfinished(session, 1.0) == [mine]

    def test_a_finished_job_is_nothing_to_hand_back(self, database: Database) -> None:
        job_id = finishing_job(database)
        with database.write() as session:
            lease = jobs.claim_finish(session, job_id, "me", LONG)
            assert lease is not None
            jobs.succeed(session, lease, {})
        with database.write() as session:
            assert jobs.hand_back_all(session, "me") == []


class TestEnds:
    def test_failing_says_why_and_tells_trials_to_stop(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claim(database, job_id, 0)
        with database.write() as session:
            assert jobs.fail(session, job_id, ERROR, stop_reason=StopReason.DEADLINE)
        job = _get(database, job_id)
        assert (job.state, job.error) == (JobState.FAILED, ERROR)
        assert job.stop_reason == StopReason.DEADLINE
        assert trial_row(database, job_id, 0).stop == trials.CANCELLED
        assert trial_of(database, job_id, 1).state == TrialState.CANCELLED

    def test_an_ended_job_cannot_fail(self, database: Database) -> None:
        job_id = new_job(database)
        for state in JobState.terminal():
            set_state(database, job_id, state)
            with database.write() as session:
                assert not jobs.fail(session, job_id, ERROR)
            assert (state_of(database, job_id), job_row(database, job_id).error) == (state, None)

    def test_ending_the_search_drops_waiting_trials_and_stops_running_ones(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claimed = claim(database, job_id, 0)
        with database.write() as session:
            searches.end(session, job_id, StopReason.PLATEAU)
        with database.write() as session:
            assert attempts.renew(session, claimed.lease, LONG) == "plateau"
        assert trial_of(database, job_id, 1).state == TrialState.CANCELLED
        assert _get(database, job_id).stop_reason == StopReason.PLATEAU

    def test_the_first_reason_stays(self, database: Database) -> None:
        job_id = running_job(database)
        for reason in (StopReason.TARGET_REACHED, StopReason.PLATEAU):
            with database.write() as session:
                searches.end(session, job_id, reason)
        assert _get(database, job_id).stop_reason == StopReason.TARGET_REACHED

    def test_causes_are_the_three_most_frequent(self, database: Database) -> None:
        job_id = running_job(database, 8)
        for number, code in enumerate("aaabbccd"):
            error = {"code": code, "message": f"{code} {number}"}
            claimed = claim(database, job_id, number)
            complete(database, claimed, TrialState.FAILED, score=None, error=error)
        causes = jobs.failure_causes(work_of(database, job_id).trials)
        assert [(one["code"], one["count"]) for one in causes] == [("a", 3), ("b", 2), ("c", 2)]
        assert causes[0]["message"] == "a 0"


class TestDeadline:
    def test_a_job_without_limit_is_never_overdue(self, database: Database) -> None:
        job_id = new_job(database)
        assert not work_of(database, job_id).deadline_passed
        with database.read() as session:
            assert searches.past_deadline(session) == []

    def test_a_job_within_its_time_is_not_overdue(self, database: Database) -> None:
        job_id = new_job(database, budget={"max_trials": 3, "max_seconds": 3600})
        with database.read() as session:
            assert searches.past_deadline(session) == []
        assert not work_of(database, job_id).deadline_passed

    def test_a_job_past_its_time_is_overdue(self, database: Database) -> None:
        job_id = new_job(database, budget={"max_trials": 3, "max_seconds": 3600})
        set_job(database, job_id, deadline=clock() - 1)
        with database.read() as session:
            assert searches.past_deadline(session) == [job_id]
        assert work_of(database, job_id).deadline_passed

    def test_a_deadline_is_told_once(self, database: Database) -> None:
        job_id = new_job(database, budget={"max_trials": 3, "max_seconds": 3600})
        set_job(database, job_id, deadline=clock() - 1)
        with database.write() as session:
            searches.end(session, job_id, StopReason.DEADLINE)
            assert searches.past_deadline(session) == []

    def test_finishing_is_not_bound_by_the_deadline(self, database: Database) -> None:
        job_id = new_job(database)
        for state in (JobState.FINISHING, *JobState.terminal()):
            set_job(database, job_id, deadline=clock() - 1, state=state)
            with database.read() as session:
                assert searches.past_deadline(session) == []


class TestLostMessages:
    def test_a_job_with_room_and_no_word_for_long_is_unplanned(self, database: Database) -> None:
        waiting = new_job(database)
        full = running_job(database, 4)
        set_job(database, waiting, sent_at=0.0)
        set_job(database, full, sent_at=0.0)
        with database.read() as session:
            assert searches.unplanned(session, 10) == [waiting]

    def test_a_job_planned_just_now_is_not(self, database: Database) -> None:
        job_id = new_job(database)
        set_job(database, job_id, sent_at=0.0)
        with database.write() as session:
            jobs.sent(session, job_id)
            assert searches.unplanned(session, 10) == []

    def test_only_searching_jobs_are_unplanned(self, database: Database) -> None:
        for state in JobState:
            set_job(database, new_job(database), state=state, sent_at=0.0)
        with database.read() as session:
            found = searches.unplanned(session, 10)
        states = {state_of(database, job_id) for job_id in found}
        assert states == {JobState.QUEUED, JobState.RUNNING}

    def test_finishing_that_somebody_does_is_not_unfinished(self, database: Database) -> None:
        job_id = finishing_job(database)
        set_job(database, job_id, sent_at=0.0)
        with database.write() as session:
            jobs.claim_finish(session, job_id, WORKER, LONG)
            assert jobs.unfinished(session, 10) == []

    def test_finishing_whose_worker_was_lost_is_unfinished(self, database: Database) -> None:
        job_id = finishing_job(database)
        set_job(database, job_id, sent_at=0.0)
        with database.write() as session:
            jobs.claim_finish(session, job_id, WORKER, OVER)
            assert jobs.unfinished(session, 10) == [job_id]

    def test_a_job_with_too_many_faults_is_left_alone(self, database: Database) -> None:
        searching, finishing = new_job(database), finishing_job(database)
        cancelling = new_job(database)
        set_state(database, cancelling, JobState.CANCELLING)
        for job_id in (searching, finishing, cancelling):
            set_job(database, job_id, sent_at=0.0, deadline=0.0)
            for fault in range(jobs.MAX_FAULTS):
                with database.write() as session:
                    assert jobs.count_fault(session, job_id) == fault + 1
        with database.read() as session:
            assert searches.unplanned(session, 10) == []
            assert jobs.unfinished(session, 10) == []
            assert jobs.in_state(session, JobState.CANCELLING) == []
            assert searches.past_deadline(session) == []


class TestUnchanged:
    def test_a_job_is_unchanged_at_first(self, database: Database) -> None:
        known = work_of(database, job_with_trials(database, 2))
        with database.write() as session:
            assert searches.unchanged(session, known)

    def test_a_claimed_trial_is_a_change(self, database: Database) -> None:
        job_id = running_job(database, 1)
        known = work_of(database, job_id)
        claim(database, job_id, 0)
        with database.write() as session:
            assert not searches.unchanged(session, known)

    def test_a_reason_to_end_is_a_change(self, database: Database) -> None:
        job_id = running_job(database)
        known = work_of(database, job_id)
        with database.write() as session:
            searches.end(session, job_id, StopReason.PLATEAU)
        with database.write() as session:
            assert not searches.unchanged(session, known)

    def test_a_job_that_is_gone_has_changed(self, database: Database) -> None:
        job_id = new_job(database)
        known = work_of(database, job_id)
        with database.write() as session:
            session.execute(delete(JobRow).where(JobRow.id == job_id))
        with database.write() as session:
            assert not searches.unchanged(session, known)


def test_a_jobs_rows_go_with_it(database: Database) -> None:
    job_id = running_job(database, 1)
    claimed = claim(database, job_id, 0)
    with database.write() as session:
        attempts.report(session, claimed.lease, Epoch(1, 0.1, 0.1, {}), LONG)
        session.execute(delete(JobRow).where(JobRow.id == job_id))
    with database.read() as session:
        assert session.scalars(select(TrialRow)).all() == []
        assert session.scalars(select(EpochRow)).all() == []
