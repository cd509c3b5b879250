"""A worker's context on both databases, and what lies in the queue."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis import Redis

from schemas.settings import Settings
from store.database import Database
from tasks.app import CONTROL, TRIALS
from tasks.context import Context


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """Tracebacks without every frame's locals: those take a second each."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


@pytest.fixture(scope="session", autouse=True)
def _plain_graphs(plain_graphs: None) -> None:
    """Of all that is trained here."""


# Redis has no priorities: there is a list for each, that of the most urgent messages by the queue's own name.
LINES = {0: TRIALS, **{urgency: f"{TRIALS}\x06\x16{urgency}" for urgency in (3, 6, 9)}}

Messages = Callable[[], list[tuple[str, list[Any]]]]


@pytest.fixture
def broker(valkey: str) -> Iterator[Redis]:
    """The real Valkey, emptied before each test."""
    with Redis(unix_socket_path=valkey.removeprefix("redis+socket://")) as client:
        client.flushall()
        yield client


@pytest.fixture
def messages(broker: Redis) -> Messages:
    """(task, arguments) of every message that waits, the oldest first; takes them away."""

    def take() -> list[tuple[str, list[Any]]]:
        lines = [*LINES.values(), CONTROL]
        raw = [one for line in lines for one in reversed(broker.lrange(line, 0, -1))]
        broker.delete(*lines)
        return [_read(one) for one in raw]

    return take


def _read(raw: bytes | str) -> tuple[str, list[Any]]:
    message = json.loads(raw)
    arguments, _, _ = json.loads(base64.b64decode(message["body"]))
    return message["headers"]["task"], arguments


@pytest.fixture
def context(settings: Settings, database: Database, broker: Redis) -> Iterator[Context]:
    made = Context(settings, worker="worker-1")
    yield made
    made.database.close()


@pytest.fixture
def sqlite_context(sqlite_template: Path, valkey: str, broker: Redis, tmp_path: Path) -> Iterator[Context]:
    """For what takes seconds and is the same on both databases."""
    (tmp_path / "tuneserve.db").write_bytes(sqlite_template.read_bytes())
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'tuneserve.db'}",
        broker_url=valkey,
        data_folder=str(tmp_path / "data"),
        lease_seconds=60.0,
        min_free_bytes=0,
    )
    made = Context(settings, worker="worker-1")
    yield made
    made.database.close()
