"""Workers: alive while they are seen."""

from sqlalchemy import update

from store import workers
from store.database import Database, clock
from store.tables import MAX_FAULTS, WorkerRow
from store.workers import GONE_SECONDS, Worker
from tests.store.makers import claim, running_job, set_job

ONE = Worker("one", 2, ["GPU:0"], "3.11")


def _seen(database: Database, worker: Worker) -> None:
    with database.write() as session:
        workers.seen(session, worker)


def _alive(database: Database) -> list[Worker]:
    with database.read() as session:
        return workers.alive(session)


def _unseen_for(database: Database, seconds: float) -> None:
    with database.write() as session:
        session.execute(update(WorkerRow).values(seen_at=clock() - seconds))


def test_a_worker_seen_is_alive(database: Database) -> None:
    _seen(database, ONE)
    assert _alive(database) == [ONE]


def test_a_worker_seen_again_is_still_one(database: Database) -> None:
    _seen(database, ONE)
    _unseen_for(database, GONE_SECONDS + 1)
    _seen(database, ONE)
    assert _alive(database) == [ONE]


def test_a_worker_not_seen_is_gone_and_forgotten(database: Database) -> None:
    _seen(database, ONE)
    _unseen_for(database, GONE_SECONDS + 1)
    _seen(database, Worker("two", 1, [], "3.11"))
    assert [worker.id for worker in _alive(database)] == ["two"]
    with database.write() as session:
        assert workers.forget_gone(session) == 1


def test_a_worker_that_leaves_is_gone_at_once(database: Database) -> None:
    _seen(database, ONE)
    with database.write() as session:
        workers.gone(session, "one")
    assert _alive(database) == []


def test_queue_depth_counts_waiting_trials_of_all_jobs(database: Database) -> None:
    first, _ = running_job(database, 3), running_job(database, 2)
    claim(database, first, 0)
    with database.read() as session:
        assert workers.queue_depth(session) == 4


def test_queue_depth_passes_over_jobs_that_were_given_up(database: Database) -> None:
    given_up, _ = running_job(database, 3), running_job(database, 2)
    set_job(database, given_up, faults=MAX_FAULTS)
    with database.read() as session:
        assert workers.queue_depth(session) == 2
