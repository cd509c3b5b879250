"""Units of work, migrations, the database's clock."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from store import workers
from store.database import Database, clock, seconds_between
from store.tables import JobRow, Table, WorkerRow
from store.workers import Worker
from tests.conftest import DATABASES
from tests.store.makers import at_once, job_row, new_job, set_job


@pytest.fixture(params=DATABASES)
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'folder' / 'bare.db'}"
    else:
        url = _bare_postgres(request.getfixturevalue("postgres_server"), tmp_path.name)
    opened = Database(url)
    yield opened
    opened.close()


def _bare_postgres(server: str, name: str) -> str:
    """A database that pytest's own end takes away with the server."""
    name = "bare_" + "".join(letter for letter in name.lower() if letter.isalnum())[-50:]
    address = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _worker(number: int) -> Worker:
    return Worker(f"worker-{number}", 1, [], "test")


def _alive(database: Database) -> list[str]:
    with database.read() as session:
        return [worker.id for worker in workers.alive(session)]


def test_write_commits_the_whole(database: Database) -> None:
    with database.write() as session:
        workers.seen(session, _worker(0))
        workers.seen(session, _worker(1))
    assert _alive(database) == ["worker-0", "worker-1"]


def test_write_that_fails_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as session:
            workers.seen(session, _worker(0))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert _alive(database) == []


def test_nothing_is_seen_before_the_commit(database: Database) -> None:
    with database.write() as session:
        workers.seen(session, _worker(0))
        session.flush()
        assert _alive(database) == []
    assert _alive(database) == ["worker-0"]


def test_read_gives_no_locks_to_wait_for(database: Database) -> None:
    with database.read() as reading:
        reading.scalars(select(WorkerRow)).all()
        with database.write() as session:
            workers.seen(session, _worker(0))
    assert _alive(database) == ["worker-0"]


def test_writers_at_once_all_succeed(database: Database) -> None:
    def write(number: int) -> None:
        # Reads first: on SQLite a read that turns into a write fails unless the lock was taken.
        with database.write() as session:
            workers.alive(session)
            workers.seen(session, _worker(number))

    at_once(12, write)
    assert len(_alive(database)) == 12


def test_updates_at_once_lose_none(database: Database) -> None:
    job_id = new_job(database)
    before = job_row(database, job_id).revision

    def add(_: int) -> None:
        with database.write() as session:
            row = session.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
            assert row is not None
            row.revision += 1

    at_once(10, add)
    assert job_row(database, job_id).revision == before + 10


def test_database_is_usable_after_an_error(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(text("INSERT INTO workers (id) VALUES ('x')"))
    with database.write() as session:
        workers.seen(session, _worker(0))
    assert _alive(database) == ["worker-0"]


def test_foreign_keys_are_held(database: Database) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), database.write() as session:
        session.execute(
            text(
                "INSERT INTO epochs (job_id, number, fold, epoch, seconds, learning_rate, metrics)"
                " VALUES ('job_none', 0, 1, 1, 1.0, 0.1, '{}')"
            )
        )


def test_clock_moves_and_is_about_now(database: Database) -> None:
    with database.read() as session:
        first = session.scalar(select(clock()))
        time.sleep(0.02)
        second = session.scalar(select(clock()))
    assert first is not None
    assert second is not None
    assert first < second
    assert abs(second - time.time()) < 60


def test_moments_come_back_as_aware_utc(database: Database) -> None:
    job_id = new_job(database)
    moment = datetime(2026, 2, 3, 4, 5, 6, 789000, UTC)
    set_job(database, job_id, start_time=moment, end_time=moment + timedelta(seconds=90))
    row = job_row(database, job_id)
    assert row.start_time == moment
    assert row.start_time is not None
    assert row.start_time.tzinfo == UTC


def test_seconds_between_moments(database: Database) -> None:
    job_id = new_job(database)
    moment = datetime(2026, 2, 3, tzinfo=UTC)
    set_job(database, job_id, start_time=moment, end_time=moment + timedelta(seconds=90))
    lasted = select(seconds_between(JobRow.start_time, JobRow.end_time))
    with database.read() as session:
        assert session.scalar(lasted.where(JobRow.id == job_id)) == pytest.approx(90)


def test_bare_database_is_not_migrated(bare: Database) -> None:
    assert not bare.is_migrated()


def test_migration_twice_changes_nothing(bare: Database) -> None:
    bare.migrate()
    job_id = new_job(bare)
    bare.migrate()
    assert bare.is_migrated()
    assert job_row(bare, job_id).id == job_id


def test_migrations_at_once_both_end_well(bare: Database) -> None:
    def migrate(_: int) -> None:
        other = Database(bare.url)
        other.migrate()
        other.close()

    at_once(2, migrate)
    assert bare.is_migrated()
    new_job(bare)


def test_migrations_make_the_tables_of_the_code(bare: Database) -> None:
    bare.migrate()
    with bare.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_migrations_make_the_check_on_leases(bare: Database) -> None:
    bare.migrate()
    names = {check["name"] for check in inspect(bare.engine).get_check_constraints("trials")}
    assert "ck_trials_leased" in names


def test_dispose_leaves_a_database_that_opens_again(database: Database) -> None:
    new_job(database)
    database.dispose()
    new_job(database)
    with database.read() as session:
        assert len(session.scalars(select(JobRow)).all()) == 2
