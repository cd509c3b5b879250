"""Events: what happens in a job, as the service tells it (server-sent events)."""

import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx2

from tuneserve.errors import ConnectionFailed, TuneserveError
from tuneserve.responses import error_of, foreign
from tuneserve.retries import seconds_before_retry

if TYPE_CHECKING:
    from tuneserve.client import Client

PATIENCE_SECONDS = 20.0
"""Longest silence of a stream; the service sends at least a comment every 15 s."""

STEADY_SECONDS = 5.0
"""A stream that lived as long was no failure, even if it had nothing to tell."""

REOPEN_SECONDS = 0.5
"""Shortest time between two connections of a stream that is closed in good order."""

MAX_LINE_BYTES = 4 * 2**20
"""A line that is longer does not come from this service."""

CLOSING = frozenset({"progress", "end"})
"""Types after which nothing of the same moment follows, whether or not they have an id."""

SecondsBeforeRetry = Callable[[TuneserveError, int], float | None]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        type: `job`, `trial`, `epoch`, `progress`, `end`; a newer service may have more.
        sequence: The job's revision then; `job.events(after=sequence)` tells what came later. None
            where more of the same revision follows.
        data: What the service says of it.
    """

    type: str
    sequence: int | None
    data: Mapping[str, Any]


class Silence(ConnectionFailed):
    """A stream on which not one byte came: something on the way holds it back."""


def follow_events(
    client: "Client",
    path: str,
    *,
    after: int | None,
    follow: bool,
    retry: SecondsBeforeRetry = seconds_before_retry,
) -> Generator[Event | None]:
    """The events at `path`, over as many connections as it takes; none comes twice.

    None stands for a sign of life without news.

    Args:
        after: The sequence that is known already; None for all from the job's beginning.
        follow: Whether to wait for more, until the job has ended.
        retry: Seconds before another connection after an error, or None to raise it.

    Raises:
        ConnectionFailed: No connection, or each was closed at once, after all retries.
        ApiError: An answer that is an error, or no event stream.
    """
    stream = _Stream(client, path, after, follow)
    failures = 0
    while True:
        error: TuneserveError | None = None
        try:
            yield from stream.connect()
        except TuneserveError as problem:
            error = problem
        if stream.is_over:
            return
        if stream.was_steady:
            failures = 0
            if error is None:
                # Closed in good order, as before a restart; or by a proxy that ends each answer at once.
                time.sleep(max(0.0, REOPEN_SECONDS - stream.age))
                yield None
                continue
        error = error or ConnectionFailed(f"GET {path}: closed again and again without an event")
        delay = retry(error, failures)
        if delay is None or failures >= client.max_retries:
            raise error
        time.sleep(delay)
        failures += 1


class _Stream:
    """The events of one job, and how far they have come."""

    def __init__(self, client: "Client", path: str, after: int | None, follow: bool) -> None:
        self._client = client
        self._path = path
        self._follow = follow
        self._last_id = None if after is None else str(after)
        self._sequence = after
        self._batch: list[Event] = []
        self._began = -math.inf
        self.is_over = False
        self.was_steady = False

    @property
    def age(self) -> float:
        """Seconds since the last connection was begun."""
        return time.monotonic() - self._began

    def connect(self) -> Iterator[Event | None]:
        """The events of one connection."""
        self._batch, self.was_steady = [], False
        self._began, received = time.monotonic(), 0
        try:
            with self._opened() as response:
                decoder = _Decoder()
                for chunk in response.iter_bytes():
                    received += len(chunk)
                    for message in decoder.feed(chunk):
                        yield from self._taken(message)
                    yield None
        except ConnectionFailed as error:
            if not received and isinstance(error.__cause__, httpx2.ReadTimeout):
                raise Silence(f"{error} (nothing came in {PATIENCE_SECONDS:g} s)") from error
            raise
        finally:
            self.was_steady = self.was_steady or (received > 0 and self.age >= STEADY_SECONDS)
        if not self._follow:
            self.is_over = True
            yield from self._batch

    @contextmanager
    def _opened(self) -> Iterator[httpx2.Response]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        params = {} if self._follow else {"follow": "false"}
        with self._client.stream(
            self._path, headers=headers, params=params, timeout=PATIENCE_SECONDS
        ) as response:
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "text/event-stream":
                response.read()
                raise error_of(response)
            yield response

    def _taken(self, message: "_Message") -> Iterator[Event]:
        """The events that are complete now.

        Those of one sequence go out together: a connection cut between them makes the service send
        all of them again.
        """
        self._batch.append(Event(message.type, None, message.data))
        if message.id is None and message.type not in CLOSING:
            return
        *before, last = self._batch
        self._batch = []
        self.is_over = last.type == "end"
        sequence = int(message.id) if message.id and message.id.isdecimal() else None
        if sequence is None or self._sequence is None or sequence > self._sequence:
            self.was_steady = True
            self._last_id = message.id or self._last_id
            self._sequence = self._sequence if sequence is None else sequence
            yield from before
        elif not self.is_over:
            # Told before: a connection begins with how the job stands.
            return
        yield replace(last, sequence=sequence)


@dataclass(frozen=True)
class _Message:
    type: str
    id: str | None
    data: Mapping[str, Any]


class _Decoder:
    """Bytes to messages (WHATWG HTML, 9.2.6).

    Not httpx2's: that one tells neither comments, which show that the service is there, nor whether a
    message has an id of its own.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._clear()

    def feed(self, chunk: bytes) -> Iterator[_Message]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ConnectionFailed(f"a line of an event is longer than {MAX_LINE_BYTES} bytes")
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text:
                self._field(*text.partition(":")[::2])
            else:
                yield from self._message()
                self._clear()

    def _clear(self) -> None:
        self._type = "message"
        self._id: str | None = None
        self._data: list[str] = []

    def _field(self, name: str, value: str) -> None:
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "data":
            self._data.append(value)

    def _message(self) -> Iterator[_Message]:
        if not self._data:
            return
        try:
            data = json.loads("\n".join(self._data))
        except ValueError as error:
            raise foreign(f"an event {self._type!r} that is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise foreign(f"an event {self._type!r} that is no JSON object")
        yield _Message(self._type, self._id, data)
