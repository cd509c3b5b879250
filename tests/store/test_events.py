"""Events: whatever happens to a job is noted, once, in the order of the commits."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from schemas.events import EPOCH, JOB, TRIAL, Event
from schemas.states import JobState, StopReason, TrialState
from schemas.trials import Epoch, Suggestion
from store import attempts, events, jobs, reuse, searches, trials
from store.attempts import Claim, Outcome
from store.database import Database, clock
from store.events import Place
from store.leases import LeaseLost
from store.tables import EventRow, JobRow, TrialRow
from tests.store import test_database
from tests.store.makers import (
    DIGITS,
    LONG,
    OVER,
    PROJECT,
    at_once,
    job_row,
    new_job,
    new_spec,
    new_trials,
    try_to_claim,
)
from tests.store.test_migrations import CURVE, migrate_to, old_job
from tests.store.test_migrations import JOB as OLD_JOB

bare = test_database.bare

Told = tuple[int | None, str, str | None]
WORKER = "worker"


def read_all(database: Database, job_id: str, after: int = 0, size: int = 1000) -> list[Event]:
    """The events after a revision, page by page."""
    last = job_row(database, job_id).revision
    found, place = [], Place.after(after)
    while True:
        with database.read() as session:
            page, place = events.read(session, job_id, place, last, size)
        assert len(page) <= size
        found += page
        if not page:
            return found


class Watch:
    """Looks after each step at what was noted, and whether it is what the rows say."""

    def __init__(self, database: Database, job_id: str) -> None:
        self.database = database
        self.job_id = job_id
        self.seen = 0
        self.states: dict[int | None, str] = {}

    def step(self, work: Callable[[Session], Any]) -> Any:
        with self.database.write() as session:
            return work(session)

    def claim(self, number: int, seconds: float = LONG) -> Claim:
        claimed: Claim | None = self.step(lambda s: attempts.claim(s, self.job_id, number, WORKER, seconds))
        assert claimed is not None
        return claimed

    def report(self, claimed: Claim, one: Epoch) -> None:
        self.step(lambda s: attempts.report(s, claimed.lease, one, LONG))

    def complete(self, claimed: Claim, outcome: Outcome) -> None:
        self.step(lambda s: attempts.complete(s, claimed.lease, outcome))

    def told(self) -> list[Told]:
        """Trial (or None), state and reason of what has changed since; epochs are (number, "epoch", n)."""
        found = read_all(self.database, self.job_id, self.seen)
        revision = job_row(self.database, self.job_id).revision
        assert all(self.seen < one.revision <= revision for one in found)
        self.seen = revision
        for one in found:
            if one.kind != EPOCH:
                self.states[one.data.get("number")] = one.data["state"]
        assert self.states == self._rows()
        return [_short(one) for one in found]

    def _rows(self) -> dict[int | None, str]:
        mine = select(TrialRow.number, TrialRow.state).where(TrialRow.job_id == self.job_id)
        with self.database.read() as session:
            rows: dict[int | None, str] = {number: state for number, state in session.execute(mine)}  # noqa: C416
        return rows | {None: job_row(self.database, self.job_id).state}


def _short(one: Event) -> Told:
    if one.kind == EPOCH:
        return one.data["trial"], EPOCH, str(one.data["epoch"])
    reason = "stop_reason" if one.kind == JOB else "reason"
    return one.data.get("number"), one.data["state"], one.data[reason]


def epoch(number: int = 1, fold: int = 1) -> Epoch:
    return Epoch(number, 0.5, 0.01, {"val_accuracy": 0.1 * number, "val_loss": None}, fold)


def running(database: Database, count: int, **changes: Any) -> Watch:
    """A job that searches, with pending trials, all of which has been told."""
    watch = Watch(database, new_job(database, **changes))
    watch.step(lambda s: jobs.move(s, watch.job_id, JobState.RUNNING, start_time=clock()))
    new_trials(database, watch.job_id, count)
    watch.told()
    return watch


class TestLives:
    def test_a_plain_search(self, database: Database) -> None:
        watch = Watch(database, new_job(database))
        assert watch.told() == [(None, "queued", None)]
        watch.step(lambda s: jobs.move(s, watch.job_id, JobState.RUNNING, start_time=clock()))
        new_trials(database, watch.job_id, 2)
        assert watch.told() == [(None, "running", None), (0, "pending", None), (1, "pending", None)]
        claimed = watch.claim(1)
        assert watch.told() == [(1, "running", None)]
        for number in (1, 2):
            watch.report(claimed, epoch(number))
        assert watch.told() == [(1, EPOCH, "1"), (1, EPOCH, "2")]
        done = Outcome(TrialState.COMPLETED, 0.2, 2, {"val_accuracy": 0.2}, parameters=77)
        watch.complete(claimed, done)
        assert watch.told() == [(1, "completed", None)]
        failed = Outcome(TrialState.FAILED, error={"code": "internal", "message": "x"})
        watch.complete(watch.claim(0), failed)
        assert watch.told() == [(0, "running", None), (0, "failed", None)]
        reason = StopReason.COMPLETED
        watch.step(lambda s: jobs.move(s, watch.job_id, JobState.FINISHING, stop_reason=reason))
        lease = watch.step(lambda s: jobs.claim_finish(s, watch.job_id, WORKER, LONG))
        watch.step(lambda s: jobs.succeed(s, lease, {}))
        assert watch.told() == [(None, "finishing", "completed"), (None, "succeeded", "completed")]

    def test_a_trial_that_is_paused_begun_anew_and_stopped(self, database: Database) -> None:
        watch = running(database, 1)
        claimed = watch.claim(0)
        watch.step(lambda s: searches.pause(s, watch.job_id))
        assert watch.told() == [(0, "running", None), (None, "paused", None)]
        watch.step(lambda s: attempts.put_back(s, claimed.lease, "checkpoint", 1, 1))
        assert watch.told() == [(0, "pending", "paused")]
        watch.step(lambda s: searches.resume(s, watch.job_id))
        again = watch.claim(0)
        watch.step(lambda s: attempts.begin_anew(s, again.lease, LONG))
        assert watch.told() == [
            (None, "running", None),
            (0, "running", None),
            (0, "running", "begun_anew"),
        ]
        stopped = Outcome(TrialState.STOPPED, 0.5, 1, {"val_accuracy": 0.5}, stop="asha")
        watch.complete(again, stopped)
        assert watch.told() == [(0, "stopped", "asha")]

    def test_a_trial_that_is_lost_until_it_is_poison(self, database: Database) -> None:
        watch = running(database, 1)
        ends = []
        for _ in range(attempts.MAX_LOSSES):
            watch.claim(0, OVER)
            watch.step(lambda s: attempts.release(s, watch.job_id, 0))
            ends += watch.told()[1:]
        waits = [(0, "pending", "lost")] * (attempts.MAX_LOSSES - 1)
        assert ends == [*waits, (0, "failed", "lost")]

    def test_a_trial_that_the_storage_fails_until_it_fails(self, database: Database) -> None:
        watch = running(database, 1)
        ends = []
        for _ in range(attempts.MAX_LOSSES):
            claimed = watch.claim(0)
            lost = partial(attempts.lose, lease=claimed.lease, code="storage_unavailable", message="x")
            watch.step(lost)
            ends += watch.told()[1:]
        waits = [(0, "pending", "storage_unavailable")] * (attempts.MAX_LOSSES - 1)
        assert ends == [*waits, (0, "failed", None)]

    def test_trials_of_a_worker_that_shuts_down(self, database: Database) -> None:
        watch, other = running(database, 2), running(database, 1)
        for number in (0, 1):
            watch.claim(number)
        other.claim(0)
        watch.step(lambda s: trials.cancel(s, watch.job_id, 1))
        for one in (watch, other):
            one.told()
        watch.step(lambda s: attempts.hand_back_all(s, WORKER))
        assert watch.told() == [(0, "pending", "handed_back"), (1, "cancelled", "cancelled")]
        assert other.told() == [(0, "pending", "handed_back")]

    def test_trials_that_are_cancelled_one_by_one(self, database: Database) -> None:
        watch = running(database, 2)
        claimed = watch.claim(0)
        watch.told()
        for number in (1, 0, 1):
            watch.step(partial(trials.cancel, job_id=watch.job_id, number=number))
        # The running one ends when its worker hears of it.
        assert watch.told() == [(1, "cancelled", "cancelled")]
        ended = Outcome(TrialState.CANCELLED, stop="cancelled")
        watch.complete(claimed, ended)
        assert watch.told() == [(0, "cancelled", "cancelled")]

    def test_a_job_that_is_cancelled(self, database: Database) -> None:
        watch = running(database, 3)
        claimed = watch.claim(0)
        watch.told()
        watch.step(lambda s: jobs.cancel(s, PROJECT, watch.job_id))
        waiting = [(number, "cancelled", "cancelled") for number in (1, 2)]
        assert watch.told() == [(None, "cancelling", "cancelled"), *waiting]
        ended = Outcome(TrialState.CANCELLED, stop="cancelled")
        watch.complete(claimed, ended)
        watch.step(lambda s: jobs.settle_cancelled(s, watch.job_id))
        assert watch.told() == [(0, "cancelled", "cancelled"), (None, "cancelled", "cancelled")]

    def test_a_job_that_fails(self, database: Database) -> None:
        watch = running(database, 1)
        problem = {"code": "search_failed", "title": "x", "detail": "x", "trials": []}
        watch.step(lambda s: jobs.fail(s, watch.job_id, problem))
        assert watch.told() == [(None, "failed", None), (0, "cancelled", "cancelled")]
        last = read_all(database, watch.job_id)[-2]
        assert (last.kind, last.data["error"]) == (JOB, problem)

    def test_a_job_that_goes_on_with_a_larger_budget(self, database: Database) -> None:
        watch = running(database, 2, budget={"max_trials": 10, "max_epochs": 5})
        done = Outcome(TrialState.COMPLETED, 0.5, 1, {"val_accuracy": 0.5})
        watch.complete(watch.claim(0), done)
        watch.told()
        watch.step(lambda s: searches.end(s, watch.job_id, StopReason.BUDGET_EXHAUSTED))
        spent = "budget_exhausted"
        assert watch.told() == [(None, "running", spent), (1, "cancelled", spent)]
        watch.step(lambda s: jobs.move(s, watch.job_id, JobState.FINISHING))
        lease = watch.step(lambda s: jobs.claim_finish(s, watch.job_id, WORKER, LONG))
        watch.step(lambda s: jobs.succeed(s, lease, {}))
        watch.told()
        more = new_spec(budget={"max_trials": 10, "max_epochs": 50})
        watch.step(lambda s: searches.change_budget(s, watch.job_id, more))
        assert watch.told() == [(None, "running", None), (1, "pending", "extended")]

    def test_a_result_that_is_taken_from_the_cache(self, database: Database) -> None:
        source = running(database, 1)
        claimed = source.claim(0)
        for number in (1, 2):
            source.report(claimed, epoch(number))
        done = Outcome(TrialState.COMPLETED, 0.2, 2, {"val_accuracy": 0.2}, parameters=77)
        source.complete(claimed, done)
        watch = running(database, 2)

        def take(session: Session) -> None:
            reuse.take(session, watch.job_id, 1, session.get_one(TrialRow, (source.job_id, 0)))

        watch.step(take)
        # All its epochs first: whoever hears of its end knows them.
        assert watch.told() == [(1, EPOCH, "1"), (1, EPOCH, "2"), (1, "completed", "reused")]

    def test_what_is_refused_is_not_told(self, database: Database) -> None:
        watch = running(database, 1)
        claimed = watch.claim(0, OVER)
        watch.step(lambda s: attempts.release(s, watch.job_id, 0))
        watch.told()
        writes: list[Callable[[Session], Any]] = [
            lambda s: attempts.complete(s, claimed.lease, Outcome(TrialState.COMPLETED, 0.9)),
            lambda s: attempts.put_back(s, claimed.lease, None, 1, 1),
            lambda s: attempts.lose(s, claimed.lease, "x", "x"),
            lambda s: attempts.begin_anew(s, claimed.lease, LONG),
            lambda s: attempts.report(s, claimed.lease, epoch(), LONG),
        ]
        for write in writes:
            with pytest.raises(LeaseLost):
                watch.step(write)
        watch.step(lambda s: attempts.release(s, watch.job_id, 0))
        assert watch.told() == []


class TestData:
    def test_a_trials_event_says_what_it_came_to(self, database: Database) -> None:
        watch = running(database, 0)
        values = {"training.learning_rate": 0.003}
        watch.step(lambda s: trials.create(s, watch.job_id, 0, [Suggestion(values)]))
        done = Outcome(TrialState.COMPLETED, 0.25, 2, {"val_accuracy": 0.25}, parameters=77)
        watch.complete(watch.claim(0), done)
        told = read_all(database, watch.job_id)[-1]
        row = trials_row(database, watch.job_id)
        assert told.kind == TRIAL
        assert row.end_time is not None
        assert abs((told.data["time"] - row.end_time).total_seconds()) < 5
        assert {name: value for name, value in told.data.items() if name != "time"} == {
            "number": 0,
            "state": "completed",
            "attempt": 1,
            "hyperparameters": values,
            "score": 0.25,
            "best_epoch": 2,
            "parameters": 77,
            "error": None,
            "reason": None,
        }

    def test_an_epochs_event_is_the_epoch(self, database: Database) -> None:
        watch = running(database, 1)
        claimed = watch.claim(0)
        watch.report(claimed, epoch(3, fold=2))
        assert read_all(database, watch.job_id)[-1].data == {
            "trial": 0,
            "fold": 2,
            "epoch": 3,
            "seconds": 0.5,
            "learning_rate": 0.01,
            "metrics": {"val_accuracy": pytest.approx(0.3), "val_loss": None},
        }

    def test_events_go_with_their_job(self, database: Database) -> None:
        watch = running(database, 2)
        other = running(database, 1)
        before = len(read_all(database, other.job_id))
        with database.write() as session:
            session.delete(session.get_one(JobRow, watch.job_id))
        with database.read() as session:
            left = session.scalar(select(func.count()).select_from(EventRow))
        assert left == before == len(read_all(database, other.job_id))


def trials_row(database: Database, job_id: str) -> TrialRow:
    with database.read() as session:
        return session.get_one(TrialRow, (job_id, 0))


class TestReading:
    @pytest.fixture
    def job_id(self, database: Database) -> str:
        """A job with several events of one revision, and epochs between them."""
        watch = running(database, 3)
        first, second = watch.claim(0), watch.claim(1)
        for number in (1, 2):
            for one in (second, first):
                watch.report(one, epoch(number))
        new_trials_from(database, watch.job_id, 3, 4)
        watch.step(lambda s: jobs.cancel(s, PROJECT, watch.job_id))
        return watch.job_id

    def test_pages_of_any_size_tell_the_same(self, database: Database, job_id: str) -> None:
        whole = read_all(database, job_id)
        assert len(whole) == 21
        for size in (1, 2, 3, 5, 20, 21, 22):
            assert read_all(database, job_id, size=size) == whole

    def test_what_came_after_any_revision_is_the_rest(self, database: Database, job_id: str) -> None:
        whole = read_all(database, job_id)
        assert [one.revision for one in whole] == sorted(one.revision for one in whole)
        for after in range(job_row(database, job_id).revision + 2):
            rest = [one for one in whole if one.revision > after]
            assert read_all(database, job_id, after, size=3) == rest

    def test_nothing_is_told_of_a_later_revision(self, database: Database, job_id: str) -> None:
        whole = read_all(database, job_id)
        for last in range(job_row(database, job_id).revision + 1):
            with database.read() as session:
                found, _ = events.read(session, job_id, Place.after(0), last, 1000)
            assert found == [one for one in whole if one.revision <= last]


def new_trials_from(database: Database, job_id: str, first: int, count: int) -> None:
    with database.write() as session:
        trials.create(session, job_id, first, [Suggestion({})] * count)


def test_who_reads_along_misses_nothing(database: Database) -> None:
    watch = running(database, 6)
    done = threading.Event()
    told: list[Event] = []

    def read_along() -> None:
        seen = watch.seen
        while True:
            is_last = done.is_set()
            last = job_row(database, watch.job_id).revision
            with database.read() as session:
                found, _ = events.read(session, watch.job_id, Place.after(seen), last, 1000)
            told.extend(found)
            seen = last
            if is_last:
                return

    def work(number: int) -> None:
        claimed = try_to_claim(database, watch.job_id, number)
        assert claimed is not None
        for one in (1, 2, 3):
            with database.write() as session:
                attempts.report(session, claimed.lease, epoch(one), LONG)
        with database.write() as session:
            attempts.complete(session, claimed.lease, Outcome(TrialState.COMPLETED, 0.5, 1))

    reader = threading.Thread(target=read_along)
    reader.start()
    at_once(6, work)
    done.set()
    reader.join()
    assert told == read_all(database, watch.job_id, watch.seen)
    assert len(told) == 6 * 5


def test_an_epoch_costs_no_more_than_its_own_row(database: Database) -> None:
    watch = running(database, 1)
    claimed = watch.claim(0)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    watch.report(claimed, epoch())
    written = [one.split()[0] for one in statements if not one.startswith("BEGIN")]
    # The revision, the device, the lease, the stop flag, the epoch.
    assert written == ["UPDATE", "UPDATE", "UPDATE", "SELECT", "INSERT"]


def test_a_job_of_an_older_release_is_told_as_it_stood(bare: Database) -> None:
    migrate_to(bare, "0001")
    old_job(bare)
    bare.migrate()
    found = read_all(bare, OLD_JOB)
    assert {one.revision for one in found} == {7}
    epochs = [one.data["epoch"] for one in found if one.kind == EPOCH and one.data["trial"] == 0]
    assert epochs == [one.epoch for one in CURVE]
    states = [_short(one)[:2] for one in found if one.kind != EPOCH]
    assert states == [(0, "completed"), (1, "running"), (2, "failed"), (None, "running")]
    assert found[-2].data["error"] == {"code": "out_of_memory", "message": "x"}
    with bare.write() as session:
        jobs.create(session, PROJECT, new_spec(), DIGITS, [])
