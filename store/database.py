"""The database: engines for SQLite and PostgreSQL, units of work, and the database's own clock."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Engine,
    create_engine,
    event,
    type_coerce,
)
from sqlalchemy.engine import make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator

# How long one writer waits for another before it gives up, in seconds (SQLite has one writer).
_LOCK_TIMEOUT_SECONDS = 30
_MIGRATING = threading.Lock()


class clock(GenericFunction[float]):
    """Seconds since 1970 by the database's clock: leases must not depend on a worker's."""

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgresql_clock(*_: Any, **__: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


class Moment(TypeDecorator[datetime]):
    """A point in time: seconds since 1970 in the database, an aware datetime (UTC) in Python."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: datetime | float | None, dialect: Dialect) -> float | None:
        return value.timestamp() if isinstance(value, datetime) else value

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


def seconds_between(start: Any, end: Any) -> ColumnElement[float]:
    """The seconds from one column of moments to another."""
    return type_coerce(end, Double()) - type_coerce(start, Double())


class Database:
    """Opens lazily; one per process. Call `dispose` after a fork."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(writing=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one snapshot; nothing is written."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is committed at the end, or rolled back as a whole.

        On SQLite the write lock is taken at once: a read that turns into a write would fail.
        """
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def dispose(self) -> None:
        """Forgets connections without closing them, for they belong to the parent process."""
        self.engine.dispose(close=False)

    def close(self) -> None:
        self.engine.dispose()

    def migrate(self) -> None:
        """Brings the tables to the newest revision; safe to run twice at once."""
        # Alembic's environment is one for the whole process.
        with _MIGRATING, self._writing.connect() as connection:
            _lock_migrations(connection)
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def is_migrated(self) -> bool:
        head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
        with self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() == head


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    return create_engine(_with_psycopg(url), pool_pre_ping=True, pool_size=10, max_overflow=40)


def _with_psycopg(url: str) -> str:
    """`postgresql://` as psycopg 3, whatever SQLAlchemy's default driver is."""
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def _sqlite_engine(url: str) -> Engine:
    if (file := make_url(url).database) not in (None, "", ":memory:"):
        Path(str(file)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": _LOCK_TIMEOUT_SECONDS},
        pool_size=10,
        max_overflow=40,
        # SQLite compares JSON as text: an escaped letter would never equal the letter.
        json_serializer=partial(json.dumps, ensure_ascii=False),
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver's own BEGIN comes too late, and is never IMMEDIATE: `_begin_sqlite` sends it.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _lock_migrations(connection: Connection) -> None:
    """One migration at a time; SQLite needs none, its writer lock does it."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7216503)")


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
