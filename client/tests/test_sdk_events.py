"""Events: read over cut connections without a gap and without an event twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sdk_server import Answer, Stream, event

import tuneserve
from tuneserve import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk_server import Server

    from tuneserve import Client

EVENTS = "GET /v1/jobs/job_1/events"
RETRY = b"retry: 2000\n\n"
BEAT = b": keep-alive\n\n"
STARTED = event("job", {"state": "running"}, 2)
TRIAL = event("trial", {"number": 0, "state": "running"})
EPOCH = event("epoch", {"trial": 0, "epoch": 1}, 3)
END = event("end", {"state": "succeeded"}, 4)


@pytest.fixture
def following(client: Client, job) -> tuneserve.Job:
    return tuneserve.Job(client, job())


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What keeps a stream open until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def told(found: Iterator[tuneserve.Event]) -> list[tuple[str, int | None]]:
    return [(one.type, one.sequence) for one in found]


def test_from_the_beginning_to_the_end(server: Server, following: tuneserve.Job) -> None:
    text = RETRY + STARTED + BEAT + TRIAL + EPOCH + END
    # Cut anywhere, as networks do, also within a character.
    pieces = [text[i : i + 7] for i in range(0, len(text), 7)]
    server.on(EVENTS, Stream(pieces))
    found = list(following.events())
    assert told(iter(found)) == [("job", 2), ("trial", None), ("epoch", 3), ("end", 4)]
    assert found[2].data == {"trial": 0, "epoch": 1}
    (asked,) = server.asked
    assert "Last-Event-ID" not in asked.headers
    assert (asked.headers["Accept"], asked.query) == ("text/event-stream", {})


def test_a_cut_connection_goes_on_where_it_was(server: Server, following: tuneserve.Job) -> None:
    # TRIAL and EPOCH are of one sequence: cut between them, both come again.
    server.on(EVENTS, Stream([STARTED, TRIAL], cut=True), Stream([TRIAL, EPOCH, END]))
    assert told(following.events(after=1)) == [("job", 2), ("trial", None), ("epoch", 3), ("end", 4)]
    assert [asked.headers["Last-Event-ID"] for asked in server.asked] == ["1", "2"]


def test_a_stream_that_is_closed_in_good_order_is_opened_again_but_not_at_once(
    server: Server, following: tuneserve.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that ends every answer would make for hundreds of connections a second."""
    slept: list[float] = []
    monkeypatch.setattr(events, "REOPEN_SECONDS", 60.0)
    monkeypatch.setattr(events.time, "sleep", slept.append)
    server.on(EVENTS, Stream([STARTED]), Stream([TRIAL, EPOCH]), Stream([END]))
    assert len(list(following.events())) == 4
    assert [asked.headers.get("Last-Event-ID") for asked in server.asked] == [None, "2", "3"]
    assert len(slept) == 2
    assert all(50 < seconds <= 60 for seconds in slept)


def test_a_stream_that_lived_is_opened_again_at_once(
    server: Server, following: tuneserve.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(events, "REOPEN_SECONDS", 0.0)
    monkeypatch.setattr(events.time, "sleep", slept.append)
    server.on(EVENTS, Stream([STARTED]), Stream([END]))
    assert len(list(following.events())) == 2
    assert slept == [0.0]


def test_a_server_that_repeats_itself_is_not_believed(server: Server, following: tuneserve.Job) -> None:
    progress = event("progress", {"revision": 3}, 3)
    again = STARTED + TRIAL + EPOCH + TRIAL + progress
    server.on(EVENTS, Stream([STARTED, TRIAL, EPOCH], cut=True), Stream([again, END]))
    found = told(following.events())
    assert found == [("job", 2), ("trial", None), ("epoch", 3), ("end", 4)]


def test_what_there_is_now(server: Server, following: tuneserve.Job) -> None:
    server.on(EVENTS, Stream([STARTED, TRIAL, EPOCH]))
    assert len(list(following.events(follow=False))) == 3
    (asked,) = server.asked
    assert asked.query == {"follow": ["false"]}


def test_what_there_is_now_over_a_cut_connection(server: Server, following: tuneserve.Job) -> None:
    server.on(EVENTS, Stream([STARTED], cut=True), Stream([TRIAL, EPOCH]))
    assert len(list(following.events(follow=False))) == 3


def test_unknown_types_and_fields_are_passed_through(server: Server, following: tuneserve.Job) -> None:
    dream = b'event: dream\r\nid: z9\r\nnew-field: 1\r\ndata: {"of":\r\ndata:  "sheep\xe2\x80\xa8"}\r\n\r\n'
    server.on(EVENTS, Stream([b"id: 7\n\n", b"event: empty\n\n", dream, END]))
    first, last = following.events()
    assert (first.type, first.sequence, first.data) == ("dream", None, {"of": "sheep\u2028"})
    assert last.type == "end"


def test_gives_up_where_nothing_ever_comes(server: Server, following: tuneserve.Job) -> None:
    server.on(EVENTS, Stream([RETRY]))
    with pytest.raises(tuneserve.ConnectionFailed, match="closed again and again"):
        list(following.events())
    assert len(server.asked) == 3


def test_a_service_that_only_says_hello_is_not_hammered(server: Server, following: tuneserve.Job) -> None:
    # As one that is about to go: each stream ends after how the job stands.
    server.on(EVENTS, Stream([RETRY + event("progress", {"revision": 41}, 41)]))
    with pytest.raises(tuneserve.ConnectionFailed, match="closed again and again"):
        list(following.events(after=41))
    assert len(server.asked) == 3


def test_gives_up_where_every_connection_is_cut(server: Server, following: tuneserve.Job) -> None:
    server.on(EVENTS, Stream([STARTED], cut=True), Answer(cut=0))
    with pytest.raises(tuneserve.ConnectionFailed):
        list(following.events())
    assert len(server.asked) == 3


def test_silence_is_not_waited_for(
    server: Server, following: tuneserve.Job, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PATIENCE_SECONDS", 0.05)
    server.on(EVENTS, Stream([held]))
    with pytest.raises(events.Silence, match=r"nothing came in 0\.05 s"):
        list(following.events())


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (
            Answer(429, {"code": "too_many_streams"}, {"Retry-After": "99"}),
            tuneserve.RateLimited,
            "too_many_streams",
        ),
        (Answer(401, {"code": "invalid_key"}), tuneserve.Unauthorized, "invalid_key"),
        (Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"}), tuneserve.ApiError, "not_json"),
        (Stream([b"data: <html>\n\n"]), tuneserve.ApiError, "not_json"),
        (Stream([b"data: [1]\n\n"]), tuneserve.ApiError, "not_json"),
    ],
)
def test_what_is_no_stream_is_a_clear_error(
    server: Server, following: tuneserve.Job, answer: Answer, error: type[tuneserve.ApiError], code: str
) -> None:
    server.on(EVENTS, answer)
    with pytest.raises(error) as caught:
        list(following.events())
    assert (caught.value.code, len(server.asked)) == (code, 1)


def test_an_endless_line_is_refused(
    server: Server, following: tuneserve.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_LINE_BYTES", 1000)
    server.on(EVENTS, Stream([b"data: ", b"x" * 1001]))
    with pytest.raises(tuneserve.ConnectionFailed, match="longer than 1000 bytes"):
        list(following.events())
