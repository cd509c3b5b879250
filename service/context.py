"""What the application holds, and what one request holds of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any, cast

from flask import current_app, g
from sqlalchemy.orm import Session

from schemas.settings import Settings
from service.streams import Streams
from store.blobs import BlobStore
from store.database import Database
from store.keys import Key
from tasks.send import Sender

EXTENSION = "tuneserve"


@dataclass(frozen=True)
class Services:
    """Handed to the application when it is made; one set a process."""

    settings: Settings
    database: Database
    blobs: BlobStore
    send: Sender
    # Requests that may wait for a change at once: the rest of the threads are for those that do not.
    waiting: BoundedSemaphore
    streams: Streams


def services() -> Services:
    return cast(Services, current_app.extensions[EXTENSION])


def session() -> Session:
    """The session of the transaction that this request is in."""
    return cast(Session, g.session)


def key() -> Key:
    """The key that this request came with."""
    return cast(Key, g.key)


def project() -> str:
    return key().project


def after_commit(call: Callable[..., None], *arguments: Any) -> None:
    """Calls once the request's transaction is committed: an id must not be sent before its row is."""
    g.after_commit.append((call, arguments))


@contextmanager
def reading() -> Iterator[Session]:
    """A read that a view holds for as long as it needs it, and no longer."""
    with services().database.read() as opened:
        yield opened


@contextmanager
def writing() -> Iterator[Session]:
    """The request's one transaction; what waits for its commit is called after it."""
    g.after_commit = []
    with services().database.write() as opened:
        g.session = opened
        yield opened
    for call, arguments in g.after_commit:
        call(*arguments)
