"""Trials: claimed once, written by their owner only, ended once."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from schemas.distributions import Value
from schemas.problems import Conflict, NotFound
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Effort, Epoch, Suggestion, Trial
from store import attempts, jobs, trials
from store.attempts import MAX_LOSSES, Claim, Outcome
from store.database import Database
from store.leases import Lease, LeaseLost
from store.trials import Kin
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
    release,
    running_job,
    set_state,
    set_trial,
    trial_of,
    trial_row,
    try_to_claim,
)


def _epoch(number: int, **metrics: float | None) -> Epoch:
    return Epoch(number, 0.5, 0.01, metrics)


def _report(database: Database, claimed: Claim, number: int = 1) -> str | None:
    with database.write() as session:
        return attempts.report(session, claimed.lease, _epoch(number, loss=1.0, val_loss=None), LONG)


def _lose(database: Database, claimed: Claim) -> None:
    with database.write() as session:
        attempts.lose(session, claimed.lease, "storage_unavailable", "away")


def _cancel(database: Database, job_id: str, number: int) -> Trial:
    with database.write() as session:
        return trials.cancel(session, job_id, number)


class TestCreate:
    def test_trials_are_numbered_and_wait(self, database: Database) -> None:
        job_id = new_job(database)
        values = [{"training.learning_rate": 0.1}, {"training.learning_rate": 0.2}]
        with database.write() as session:
            trials.create(session, job_id, 0, [Suggestion(one) for one in values])
            found = trials.every(session, job_id)
        assert [trial.number for trial in found] == [0, 1]
        assert [trial.hyperparameters for trial in found] == values
        assert {(trial.state, trial.attempt) for trial in found} == {(TrialState.PENDING, 0)}

    def test_a_number_is_given_once(self, database: Database) -> None:
        job_id = job_with_trials(database, 2)
        with pytest.raises(IntegrityError), database.write() as session:
            trials.create(session, job_id, 1, [Suggestion({})])

    def test_values_come_back_as_they_were(self, database: Database) -> None:
        job_id = new_job(database)
        values: dict[str, Value] = {"a": 0.1 + 0.2, "b": 3, "c": True, "d": "é", "e": 1e-300, "f": 1.0}
        with database.write() as session:
            trials.create(session, job_id, 0, [Suggestion(values)])
        found = trial_of(database, job_id, 0).hyperparameters
        assert found == values
        assert [type(found[name]) for name in values] == [type(one) for one in values.values()]

    def test_an_unknown_trial_is_not_found(self, database: Database) -> None:
        job_id = new_job(database)
        with pytest.raises(NotFound) as caught:
            trial_of(database, job_id, 0)
        assert caught.value.code == "trial_not_found"


class TestClaim:
    def test_of_eight_workers_one_claims_it(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claims = at_once(8, lambda n: try_to_claim(database, job_id, 0, f"worker-{n}"))
        assert sum(one is not None for one in claims) == 1
        row = trial_row(database, job_id, 0)
        assert (row.attempt, row.lease_epoch) == (1, 1)

    def test_a_claim_starts_the_trial(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0, "me")
        row = trial_row(database, job_id, 0)
        assert (row.state, row.worker, row.attempt) == (TrialState.RUNNING, "me", 1)
        assert row.start_time is not None
        assert row.lease_expires_at is not None
        assert (claimed.attempt, claimed.lease) == (1, Lease(job_id, 0, 1))

    def test_each_claim_moves_attempt_and_lease_epoch(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0, seconds=OVER)
        release(database, job_id, 0)
        claimed = claim(database, job_id, 0)
        assert (claimed.attempt, claimed.lease.epoch) == (2, 2)

    def test_only_a_pending_trial_is_claimed(self, database: Database) -> None:
        job_id = running_job(database, 1)
        for state in TrialState:
            set_trial(database, job_id, 0, state=state, lease_expires_at=0.0)
            taken = try_to_claim(database, job_id, 0)
            assert (taken is not None) == (state == TrialState.PENDING)

    def test_only_a_searching_jobs_trials_are_claimed(self, database: Database) -> None:
        for state in JobState:
            job_id = job_with_trials(database, 1)
            set_state(database, job_id, state)
            taken = try_to_claim(database, job_id, 0)
            assert (taken is not None) == (state in (JobState.QUEUED, JobState.RUNNING))

    def test_epochs_of_an_earlier_attempt_vanish(self, database: Database) -> None:
        job_id = running_job(database, 1)
        first = claim(database, job_id, 0, seconds=LONG)
        _report(database, first)
        set_trial(database, job_id, 0, lease_expires_at=0.0)
        release(database, job_id, 0)
        assert len(trial_of(database, job_id, 0).epochs or []) == 1
        second = claim(database, job_id, 0)
        assert trial_of(database, job_id, 0).epochs == []
        _report(database, second)
        assert len(trial_of(database, job_id, 0).epochs or []) == 1

    def test_a_running_trial_without_end_of_its_lease_cannot_be(self, database: Database) -> None:
        job_id = running_job(database, 1)
        with pytest.raises(IntegrityError):
            set_trial(database, job_id, 0, state=TrialState.RUNNING, lease_expires_at=None)


class TestReport:
    def test_epochs_are_kept_in_order(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        _report(database, claimed, 1)
        _report(database, claimed, 2)
        epochs = trial_of(database, job_id, 0).epochs
        assert epochs == [_epoch(1, loss=1.0, val_loss=None), _epoch(2, loss=1.0, val_loss=None)]

    def test_a_report_renews_the_lease(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0, seconds=OVER)
        _report(database, claimed)
        with database.read() as session:
            assert attempts.expired(session) == []

    def test_a_report_shows_in_the_jobs_revision(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        before = job_row(database, job_id).revision
        _report(database, claimed)
        assert job_row(database, job_id).revision > before

    def test_a_report_of_a_stranger_is_refused_whole(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0)
        with pytest.raises(LeaseLost), database.write() as session:
            attempts.report(session, Lease(job_id, 0, 99), _epoch(1), LONG)
        assert trial_of(database, job_id, 0).epochs == []

    def test_the_stop_flag_comes_back(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        assert _report(database, claimed) is None
        with database.write() as session:
            trials.stop_all(session, job_id, StopReason.DEADLINE)
        assert _report(database, claimed, 2) == "deadline"
        with database.write() as session:
            assert attempts.renew(session, claimed.lease, LONG) == "deadline"

    def test_the_first_reason_to_stop_stays(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        for reason in ("deadline", "target_reached"):
            with database.write() as session:
                trials.stop_all(session, job_id, reason)
        assert _report(database, claimed) == "deadline"


class TestComplete:
    def test_an_outcome_is_kept(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        complete(database, claimed, score=0.75, parameters=12, device="CPU", weights="w")
        trial, row = trial_of(database, job_id, 0), trial_row(database, job_id, 0)
        assert (trial.state, trial.score, trial.best_epoch) == (TrialState.COMPLETED, 0.75, 1)
        assert (trial.parameters, trial.metrics) == (12, {"val_accuracy": 0.75})
        assert (row.device, row.weights, row.lease_expires_at) == ("CPU", "w", None)
        assert trial.seconds is not None
        assert trial.seconds >= 0

    def test_a_trial_is_completed_once(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        complete(database, claimed, score=0.75)
        with pytest.raises(LeaseLost):
            complete(database, claimed, score=0.99)
        assert trial_of(database, job_id, 0).score == 0.75

    def test_a_worker_presumed_dead_cannot_write_over_its_successor(self, database: Database) -> None:
        job_id = running_job(database, 1)
        first = claim(database, job_id, 0, "first", OVER)
        release(database, job_id, 0)
        second = claim(database, job_id, 0, "second")
        with pytest.raises(LeaseLost):
            complete(database, first, score=0.1)
        with pytest.raises(LeaseLost):
            _report(database, first)
        with pytest.raises(LeaseLost):
            _lose(database, first)
        complete(database, second, score=0.9)
        assert trial_of(database, job_id, 0).score == 0.9

    def test_a_worker_presumed_dead_cannot_write_before_its_successor(self, database: Database) -> None:
        job_id = running_job(database, 1)
        first = claim(database, job_id, 0, "first", OVER)
        release(database, job_id, 0)
        with pytest.raises(LeaseLost):
            complete(database, first)
        assert trial_of(database, job_id, 0).state == TrialState.PENDING

    def test_an_expired_lease_that_nobody_took_still_counts(self, database: Database) -> None:
        job_id = running_job(database, 1)
        complete(database, claim(database, job_id, 0, seconds=OVER), score=0.9)
        assert trial_of(database, job_id, 0).state == TrialState.COMPLETED

    def test_completing_and_releasing_at_once_is_one_or_the_other(self, database: Database) -> None:
        job_id = running_job(database, 6)
        claims = [claim(database, job_id, number, seconds=OVER) for number in range(6)]

        def race(turn: int) -> bool:
            if turn % 2:
                release(database, job_id, turn // 2)
                return False
            try:
                complete(database, claims[turn // 2])
            except LeaseLost:
                return False
            return True

        done = at_once(12, race)[::2]
        for number, completed in enumerate(done):
            state = trial_of(database, job_id, number).state
            assert state == (TrialState.COMPLETED if completed else TrialState.PENDING)


class TestLoss:
    def test_expired_lists_running_trials_whose_lease_is_over(self, database: Database) -> None:
        job_id = running_job(database, 3)
        claim(database, job_id, 0, seconds=OVER)
        claim(database, job_id, 1, seconds=LONG)
        with database.read() as session:
            assert attempts.expired(session) == [(job_id, 0)]

    def test_a_released_trial_waits_again_and_is_late(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0, seconds=OVER)
        release(database, job_id, 0)
        assert trial_of(database, job_id, 0).state == TrialState.PENDING
        with database.read() as session:
            assert trials.late(session, 1.0) == [(job_id, 0)]

    def test_a_trial_that_is_owned_is_not_released(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0, seconds=LONG)
        release(database, job_id, 0)
        complete(database, claimed)

    def test_the_third_loss_is_poison(self, database: Database) -> None:
        job_id = running_job(database, 1)
        for _ in range(MAX_LOSSES):
            claim(database, job_id, 0, seconds=OVER)
            release(database, job_id, 0)
        trial = trial_of(database, job_id, 0)
        assert (trial.state, trial.attempt) == (TrialState.FAILED, MAX_LOSSES)
        assert trial.error is not None
        assert trial.error["code"] == "poison"
        assert trial.end_time is not None
        assert try_to_claim(database, job_id, 0) is None

    def test_the_third_loss_is_poison_for_a_trial_that_was_to_pause_too(self, database: Database) -> None:
        job_id = running_job(database, 1)
        for _ in range(MAX_LOSSES):
            claim(database, job_id, 0, seconds=OVER)
            set_trial(database, job_id, 0, stop=trials.PAUSED)
            release(database, job_id, 0)
        row = trial_row(database, job_id, 0)
        assert (row.state, row.stop) == (TrialState.FAILED, None), "it was not the pause that ended it"

    def test_a_release_twice_at_once_counts_once(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0, seconds=OVER)
        at_once(4, lambda _: release(database, job_id, 0))
        assert trial_row(database, job_id, 0).losses == 1

    def test_a_lost_trial_that_was_told_to_stop_is_cancelled(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0, seconds=OVER)
        with database.write() as session:
            trials.stop_all(session, job_id, trials.CANCELLED)
        release(database, job_id, 0)
        trial = trial_of(database, job_id, 0)
        assert trial.state == TrialState.CANCELLED
        assert trial.end_time is not None

    def test_a_worker_that_cannot_go_on_leaves_it_to_others(self, database: Database) -> None:
        job_id = running_job(database, 1)
        _lose(database, claim(database, job_id, 0))
        row = trial_row(database, job_id, 0)
        assert (row.state, row.losses, row.error) == (TrialState.PENDING, 1, None)

    def test_a_trial_given_up_three_times_fails_with_the_reason(self, database: Database) -> None:
        job_id = running_job(database, 1)
        for _ in range(MAX_LOSSES):
            _lose(database, claim(database, job_id, 0))
        trial = trial_of(database, job_id, 0)
        assert trial.state == TrialState.FAILED
        assert trial.error == {"code": "storage_unavailable", "message": "away"}

    def test_a_worker_that_shuts_down_hands_back_all_of_its_own(self, database: Database) -> None:
        job_id = running_job(database, 4)
        mine = [claim(database, job_id, number, "me") for number in (0, 1)]
        claim(database, job_id, 2, "they")
        with database.write() as session:
            assert sorted(attempts.hand_back_all(session, "me")) == [(job_id, 0), (job_id, 1)]
        states = [trial_of(database, job_id, number).state.value for number in range(4)]
        assert states == ["pending", "pending", "running", "pending"]
        with pytest.raises(LeaseLost):
            complete(database, mine[0])

    def test_handing_back_is_no_loss(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claim(database, job_id, 0, "me")
        with database.write() as session:
            attempts.hand_back_all(session, "me")
        assert trial_row(database, job_id, 0).losses == 0

    def test_late_lists_waiting_trials_by_age(self, database: Database) -> None:
        job_id = running_job(database, 4)
        claim(database, job_id, 3)
        for number, sent_at in enumerate((50.0, 20.0)):
            set_trial(database, job_id, number, sent_at=sent_at)
        with database.read() as session:
            assert trials.late(session, 10) == [(job_id, 1), (job_id, 0)]
        with database.write() as session:
            trials.sent(session, job_id, [0, 1])
            assert trials.late(session, 10) == []

    def test_late_leaves_jobs_with_too_many_faults_alone(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claim(database, job_id, 1, seconds=OVER)
        set_trial(database, job_id, 0, sent_at=0.0)
        for _ in range(jobs.MAX_FAULTS):
            with database.write() as session:
                jobs.count_fault(session, job_id)
        with database.read() as session:
            assert trials.late(session, 10) == []
            assert attempts.expired(session) == []


class TestCancel:
    def test_a_waiting_trial_ends_at_once(self, database: Database) -> None:
        job_id = running_job(database, 1)
        trial = _cancel(database, job_id, 0)
        assert trial.state == TrialState.CANCELLED
        assert trial.end_time is not None

    def test_a_running_trial_is_told(self, database: Database) -> None:
        job_id = running_job(database, 1)
        claimed = claim(database, job_id, 0)
        assert _cancel(database, job_id, 0).state == TrialState.RUNNING
        assert _report(database, claimed) == trials.CANCELLED

    def test_cancelling_twice_is_like_once(self, database: Database) -> None:
        job_id = running_job(database, 1)
        first, second = _cancel(database, job_id, 0), _cancel(database, job_id, 0)
        assert first == second

    def test_a_trial_that_has_ended_is_a_conflict(self, database: Database) -> None:
        job_id = running_job(database, 1)
        complete(database, claim(database, job_id, 0))
        with pytest.raises(Conflict):
            _cancel(database, job_id, 0)

    def test_the_others_go_on(self, database: Database) -> None:
        job_id = running_job(database, 2)
        claimed = claim(database, job_id, 1)
        _cancel(database, job_id, 0)
        assert _report(database, claimed) is None


class TestPage:
    def _job(self, database: Database) -> str:
        """Scores 0.5, none, 0.9, 0.5, none; the second has not ended; the rest lasted 1, 3, 3, 2 s."""
        job_id = running_job(database, 5)
        for number, score in ((0, 0.5), (2, 0.9), (3, 0.5), (4, None)):
            state = TrialState.FAILED if score is None else TrialState.COMPLETED
            complete(database, claim(database, job_id, number), state, score)
        began = datetime(2026, 1, 1, tzinfo=UTC)
        for number, seconds in ((0, 1), (2, 3), (3, 3), (4, 2)):
            ended = began + timedelta(seconds=seconds)
            set_trial(database, job_id, number, start_time=began, end_time=ended)
        return job_id

    @pytest.mark.parametrize(
        ("order_by", "expected"),
        [
            ("number", [0, 1, 2, 3, 4]),
            ("score", [2, 0, 3, 1, 4]),
            ("duration", [2, 3, 4, 0, 1]),
        ],
    )
    def test_every_order_over_pages_of_two(
        self, database: Database, order_by: str, expected: list[int]
    ) -> None:
        job_id = self._job(database)
        seen: list[int] = []
        token = None
        for _ in range(3):
            with database.read() as session:
                page = trials.page(session, job_id, 2, token, None, order_by)
            seen += [trial.number for trial in page.items]
            token = page.next_page_token
        assert (seen, token) == (expected, None)

    def test_lowest_first_when_the_score_is_to_be_minimized(self, database: Database) -> None:
        job_id = running_job(database, 3, objective={"metric": "val_loss"})
        complete(database, claim(database, job_id, 0), score=0.5)
        complete(database, claim(database, job_id, 2), score=0.1)
        with database.read() as session:
            page = trials.page(session, job_id, 10, None, None, "score")
        assert [trial.number for trial in page.items] == [2, 0, 1]

    @pytest.mark.parametrize("metric", ["val_accuracy", "val_f1"])
    def test_of_equal_scores_the_one_that_the_objective_prefers_is_first(
        self, database: Database, metric: str
    ) -> None:
        job_id = running_job(database, 5, objective={"metric": metric})
        for number, loss in enumerate((None, 0.7, 0.2, 0.7)):
            outcome = Outcome(TrialState.COMPLETED, 0.9, 1, {metric: 0.9, "val_loss": loss})
            claimed = claim(database, job_id, number)
            with database.write() as session:
                attempts.complete(session, claimed.lease, outcome)
        seen: list[int] = []
        token = None
        with database.read() as session:
            best = jobs.get(session, PROJECT, job_id).best
            for _ in range(5):
                page = trials.page(session, job_id, 1, token, None, "score")
                seen += [trial.number for trial in page.items]
                token = page.next_page_token
        assert (seen, token) == ([2, 1, 3, 0, 4], None)
        assert best is not None
        assert best.trial == seen[0]

    def test_by_state(self, database: Database) -> None:
        job_id = self._job(database)
        with database.read() as session:
            page = trials.page(session, job_id, 10, None, "failed", "number")
        assert [trial.number for trial in page.items] == [4]

    def test_another_jobs_trials_are_not_among_them(self, database: Database) -> None:
        job_id, _ = running_job(database, 1), running_job(database, 3)
        with database.read() as session:
            assert len(trials.page(session, job_id, 10, None, None, "number").items) == 1


class TestBeginAnew:
    def _with_checkpoint(self, database: Database) -> Claim:
        """A second attempt, which goes on from the first one's second epoch."""
        job_id = running_job(database, 1)
        first = claim(database, job_id, 0)
        for number in (1, 2):
            _report(database, first, number)
        with database.write() as session:
            attempts.put_back(session, first.lease, "checkpoints/a", 1, 2)
        return claim(database, job_id, 0, seconds=OVER)

    def test_all_is_forgotten_and_the_state_is_nobodys(self, database: Database) -> None:
        lease = self._with_checkpoint(database).lease
        with database.write() as session:
            assert attempts.begin_anew(session, lease, LONG) == "checkpoints/a"
        row = trial_row(database, lease.job_id, 0)
        assert (row.checkpoint, row.checkpoint_fold, row.checkpoint_epoch) == (None, None, None)
        assert trial_of(database, lease.job_id, 0).epochs == []

    def test_a_worker_presumed_dead_leaves_the_living_ones_epochs(self, database: Database) -> None:
        dead = self._with_checkpoint(database).lease
        release(database, dead.job_id, 0)
        living = claim(database, dead.job_id, 0)
        _report(database, living, 3)
        with pytest.raises(LeaseLost), database.write() as session:
            attempts.begin_anew(session, dead, LONG)
        assert [one.epoch for one in trial_of(database, dead.job_id, 0).epochs or []] == [1, 2, 3]
        assert trial_row(database, dead.job_id, 0).checkpoint == "checkpoints/a"


class TestSuperseded:
    """Which state in the storage nothing names any more."""

    def _put_back(self, database: Database, job_id: str, path: str | None) -> str | None:
        claimed = claim(database, job_id, 0)
        with database.write() as session:
            return attempts.put_back(session, claimed.lease, path, 1, 1)

    def test_a_newer_state_supersedes_the_one_before(self, database: Database) -> None:
        job_id = running_job(database, 1)
        assert self._put_back(database, job_id, "a") is None
        assert self._put_back(database, job_id, "b") == "a"
        assert self._put_back(database, job_id, None) is None, "the one before is kept"
        claimed = claim(database, job_id, 0)
        with database.write() as session:
            assert attempts.complete(session, claimed.lease, Outcome(TrialState.CANCELLED)) == "b"

    def test_a_trial_that_is_lost_for_good_needs_its_state_no_more(self, database: Database) -> None:
        job_id = running_job(database, 1)
        self._put_back(database, job_id, "a")
        for expected in (None, None, "a"):
            claimed = claim(database, job_id, 0)
            with database.write() as session:
                assert attempts.lose(session, claimed.lease, "storage_unavailable", "away") == expected
        assert trial_row(database, job_id, 0).state == TrialState.FAILED


class TestWeights:
    def test_all_but_the_best_are_superseded(self, database: Database) -> None:
        job_id = running_job(database, 4)
        for number, score in enumerate((0.5, 0.9, 0.9)):
            complete(database, claim(database, job_id, number), score=score, weights=f"w{number}")
        with database.write() as session:
            best_first = trials.superseded_weights(session, job_id, keep=1, maximize=True)
            lowest_first = trials.superseded_weights(session, job_id, keep=2, maximize=False)
            assert [row.number for row in best_first] == [2, 0]
            assert [row.number for row in lowest_first] == [2]

    def test_forgotten_weights_are_no_longer_named(self, database: Database) -> None:
        job_id = running_job(database, 1)
        complete(database, claim(database, job_id, 0), weights="w")
        with database.write() as session:
            assert trials.weights_path(session, job_id, 0) == "w"
            trials.forget_weights(session, job_id, 0)
        assert trial_row(database, job_id, 0).weights is None


def test_in_flight_are_pending_and_running(database: Database) -> None:
    job_id = running_job(database, 4)
    claim(database, job_id, 0)
    complete(database, claim(database, job_id, 1))
    with database.read() as session:
        assert trials.count_in_flight(session, job_id) == 3


def test_outcomes_without_metrics_have_none(database: Database) -> None:
    job_id = running_job(database, 1)
    claimed = claim(database, job_id, 0)
    with database.write() as session:
        attempts.complete(session, claimed.lease, Outcome(TrialState.CANCELLED))
    assert trial_of(database, job_id, 0).metrics == {}


def test_a_second_attempt_starts_its_time_anew(database: Database) -> None:
    job_id = running_job(database, 1)
    claim(database, job_id, 0, seconds=OVER)
    first = trial_of(database, job_id, 0).start_time
    time.sleep(0.01)
    release(database, job_id, 0)
    claim(database, job_id, 0)
    second = trial_of(database, job_id, 0).start_time
    assert first is not None
    assert second is not None
    assert second > first


def test_without_a_device_the_one_that_reported_stays(database: Database) -> None:
    job_id = running_job(database, 2)
    for number, told in ((0, None), (1, "CPU")):
        claimed = claim(database, job_id, number)
        with database.write() as session:
            attempts.report(session, claimed.lease, _epoch(1), LONG, "GPU: one")
            attempts.complete(session, claimed.lease, Outcome(TrialState.CANCELLED, device=told))
    assert [trial_row(database, job_id, number).device for number in (0, 1)] == ["GPU: one", "CPU"]


def test_a_range_test_is_no_curve_of_the_family(database: Database) -> None:
    job_id = running_job(database)
    efforts = [Effort(stage={"name": "range_test"}), Effort(until_epoch=1), Effort(parent=1)]
    with database.write() as session:
        trials.create(session, job_id, 0, [Suggestion({}, effort) for effort in efforts])
    complete(database, claim(database, job_id, 1))
    with database.read() as session:
        assert trials.family(session, job_id) == {1: Kin(None, True), 2: Kin(1, False)}


def test_a_trial_waits_until_somebody_has_it(database: Database) -> None:
    job_id = running_job(database, 1)
    claimed = claim(database, job_id, 0)
    with database.read() as session:
        assert not trials.is_waiting(session, job_id, 0)
        assert not trials.is_waiting(session, job_id, 1)
    _lose(database, claimed)
    with database.read() as session:
        assert trials.is_waiting(session, job_id, 0)
