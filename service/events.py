"""`/v1/jobs/{id}/events`: what happens to a job, as it happens (server-sent events).

The format and the meaning of ``Last-Event-ID`` are those of the HTML Standard, section 9.2.
"""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import pairwise
from select import POLLIN, poll
from socket import MSG_PEEK
from socket import socket as Socket
from typing import Any

from flask import Response, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from schemas.events import END, PROGRESS, SCHEMAS, Event, EventsHeadersSchema, EventsQuerySchema
from schemas.jobs import Job
from schemas.logs import logger
from schemas.problems import MEDIA_TYPE, NotFound, ProblemSchema
from service import context
from service.bodies import Blueprint
from service.context import Services
from store import events, jobs, keys
from store.events import Place
from store.keys import Key

_log = logger(__name__)

blueprint = Blueprint("events", __name__, description="What happens to a job, as it happens.")

EVENT_STREAM = "text/event-stream"

# How often a stream looks for a change, and how long it rests after it has told one: at least, and in times
# of what it took to read how the job stands, which of a large job is work.
_LOOK_SECONDS, _REST_SECONDS, _REST_TIMES = 0.25, 0.5, 10
# After so long without a word a comment is sent, so that nobody between takes the connection for dead; and
# so often it is asked whether the key is still good.
_QUIET_SECONDS = 15.0
_LONGEST_SECONDS = 600.0
# Who takes nothing for so long has lost the connection, or does not read: the thread is for others.
_STALLED_SECONDS = 60.0
_RETRY_MILLISECONDS = 2000
# So many events are held in memory at once.
_PAGE = 500

_SCHEMAS = {kind: schema() for kind, schema in SCHEMAS.items()}


@blueprint.route("/v1/jobs/<id:job_id>/events", methods=["GET"])
@blueprint.arguments(EventsQuerySchema, location="query")
@blueprint.arguments(EventsHeadersSchema, location="headers")
@blueprint.doc(
    responses={
        "200": {
            "description": "Events `job`, `trial`, `epoch`, `progress` and, when the job has ended, `end`; "
            "their data are the schemas JobEvent, TrialEvent, EpochEvent, ProgressEvent and EndEvent. "
            "A stream that ends without `end` is to be asked for again.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        }
    },
)
@blueprint.alt_response(
    HTTPStatus.TOO_MANY_REQUESTS,
    schema=ProblemSchema,
    content_type=MEDIA_TYPE,
    description="Too many streams are open",
)
def stream(query: dict[str, Any], headers: dict[str, Any], job_id: str) -> Response:
    """Follow a job: changes of state, epochs and progress, as server-sent events."""
    last: int | None = headers.get("last_event_id")
    with context.reading() as session:
        revision = jobs.revision(session, context.project(), job_id)
    if request.method == "HEAD":
        return _response(())
    services = context.services()
    give_back = services.streams.open(context.key().id)
    # One from the future, of a database that was put back say, is taken for what there is now.
    after = min(query["after"] if last is None else last, revision)
    told = _Stream(services, context.key(), job_id, after, query["follow"], _connection())
    response = _response(told.text())
    response.call_on_close(give_back)
    return response


def _response(told: Iterable[str]) -> Response:
    # Proxies must neither keep it nor collect it before they pass it on.
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(told, HTTPStatus.OK, headers, mimetype=EVENT_STREAM)


def _connection() -> Socket | None:
    """The client's socket, where the server lets us see it; none that is encrypted."""
    found = request.environ.get("gunicorn.socket")
    if type(found) is not Socket:
        return None
    found.settimeout(_STALLED_SECONDS)
    return found


def _has_hung_up(connection: Socket | None) -> bool:
    """Whether the client has closed its end; a write would tell only the second time, half a minute on."""
    if connection is None:
        return False
    try:
        readable = poll()
        readable.register(connection, POLLIN)
        return bool(readable.poll(0)) and not connection.recv(1, MSG_PEEK)
    except (OSError, ValueError):
        return True


class _Over(Exception):
    """The stream ends without `end`: whoever asks again is told the rest, or why not."""


@dataclass
class _Stream:
    """One answer: what there is, then what happens. Between two looks no transaction is open.

    Args:
        after: the revision that the client knows; then the one that it has been told.
    """

    services: Services
    key: Key
    job_id: str
    after: int
    follow: bool
    connection: Socket | None
    began: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)
    checked: float = field(default_factory=time.monotonic)
    rest: float = _REST_SECONDS

    def text(self) -> Iterator[str]:
        """The stream. It ends without a word when the job is deleted, or the database away: whoever asks
        again is told why."""
        yield f"retry: {_RETRY_MILLISECONDS}\n\n"
        try:
            yield from self._batches()
        except (NotFound, _Over):
            return
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            _log.warning("stream broken off", job=self.job_id, error=str(error))

    def _batches(self) -> Iterator[str]:
        while True:
            job = self._job()
            yield from self._batch(job)
            if job.state.is_terminal:
                yield _text(Event(END, job.revision, {"state": job.state, "stop_reason": job.stop_reason}))
                return
            if not self.follow:
                return
            yield from self._silence()

    def _batch(self, job: Job) -> Iterator[str]:
        """All that came up to the job's revision, and how it stands there."""
        waiting: Event | None = None
        for page in self._pages(job.revision):
            following = [*([waiting] if waiting else []), *page]
            waiting = following.pop()
            if following:
                yield "".join(_numbered([*following, waiting]))
        if waiting is not None:
            yield _text(waiting, waiting.revision != job.revision)
        yield _text(Event(PROGRESS, job.revision, vars(job)), True)
        self.after, self.said = job.revision, time.monotonic()

    def _pages(self, last: int) -> Iterator[list[Event]]:
        place = Place.after(self.after)
        while True:
            with self.services.database.read() as session:
                page, place = events.read(session, self.job_id, place, last, _PAGE)
            if page:
                yield page
            if len(page) < _PAGE:
                return
            self._go_on(0.0)

    def _silence(self) -> Iterator[str]:
        """Waits until there is more to tell."""
        self._go_on(self.rest)
        while self._revision() == self.after:
            if time.monotonic() - self.said >= _QUIET_SECONDS:
                self.said = time.monotonic()
                yield ": keep-alive\n\n"
            self._go_on(_LOOK_SECONDS)

    def _go_on(self, pause: float) -> None:
        """Pauses.

        Raises:
            _Over: the stream is to end here.
        """
        is_stopping = self.services.streams.stopping.wait(pause)
        if is_stopping or time.monotonic() - self.began > _LONGEST_SECONDS or _has_hung_up(self.connection):
            raise _Over
        if time.monotonic() - self.checked >= _QUIET_SECONDS:
            self.checked = time.monotonic()
            with self.services.database.read() as session:
                if not keys.is_good(session, self.key.id):
                    raise _Over

    def _job(self) -> Job:
        began = time.monotonic()
        with self.services.database.read() as session:
            job = jobs.get(session, self.key.project, self.job_id)
        spent = _REST_TIMES * (time.monotonic() - began)
        self.rest = min(max(_REST_SECONDS, spent), _REST_TIMES * _REST_SECONDS)
        return job

    def _revision(self) -> int:
        with self.services.database.read() as session:
            return jobs.revision(session, self.key.project, self.job_id)


def _numbered(found: list[Event]) -> Iterator[str]:
    """All but the last of these, which tells whether the one before it is the last of its revision.

    Only that one has an id: a client that has got a part of a revision is told the whole of it again.
    """
    for event, following in pairwise(found):
        yield _text(event, event.revision != following.revision)


def _text(event: Event, has_id: bool = False) -> str:
    number = f"id: {event.revision}\n" if has_id else ""
    data = json.dumps(_SCHEMAS[event.kind].dump(event.data), separators=(",", ":"))
    return f"event: {event.kind}\n{number}data: {data}\n\n"
