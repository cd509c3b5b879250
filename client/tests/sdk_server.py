"""A real HTTP server on loopback that answers as a test tells it and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    """What to answer.

    `cut` closes the connection after that many bytes of the body. With `ranges` a part is given where a
    part is asked for, of the file that `ETag` in the headers names.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = False

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


@dataclass
class Stream:
    """A chunked answer: its pieces as they are sent, then its end, or with `cut` none.

    A threading.Event among the pieces is waited for; it is how a stream stays open.
    """

    pieces: Sequence[bytes | threading.Event] = ()
    cut: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})


@dataclass
class Asked:
    """A request as the server saw it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, address.path, parse_qs(address.query), dict(self.headers), body)
        self.server.asked.append(asked)
        answer = self.server.next_answer(self.command, address.path)
        if isinstance(answer, Stream):
            self.stream(answer)
        else:
            self.answer(self.part(answer) if answer.ranges else answer)

    do_POST = do_PATCH = do_DELETE = do_GET

    def stream(self, answer: Stream) -> None:
        self.close_connection = answer.cut
        self.send_response(200)
        for name, value in {**answer.headers, "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in answer.pieces:
            if isinstance(piece, threading.Event):
                piece.wait(10)
            else:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not answer.cut:
            self.wfile.write(b"0\r\n\r\n")

    def part(self, answer: Answer) -> Answer:
        wanted, tag = self.headers.get("Range"), answer.headers["ETag"]
        if wanted is None or self.headers.get("If-Range", tag) != tag:
            return answer
        content, start = answer.content(), int(wanted.removeprefix("bytes=").removesuffix("-"))
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return replace(
            answer, status=206, body=content[start:], headers={**answer.headers, "Content-Range": span}
        )

    def answer(self, answer: Answer) -> None:
        self.close_connection = answer.cut is not None
        if answer.cut == 0:
            return
        content = answer.content()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: answer.cut])

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Answers of a route are given in turn; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Asked] = []
        self.routes: dict[str, list[Answer | Stream]] = defaultdict(list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def on(self, route: str, *answers: Answer | Stream) -> None:
        """Such as `on("GET /v1/jobs", Answer(503), Answer(200, {...}))`."""
        self.routes[route] = list(answers)

    def next_answer(self, method: str, path: str) -> Answer | Stream:
        answers = self.routes[f"{method} {path}"]
        if not answers:
            return Answer(404, {"code": "not_found", "title": "Not Found", "detail": path})
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def handle_error(self, *_: object) -> None:
        """Nothing: clients hang up as they please."""

    def asked_for(self, route: str) -> list[Asked]:
        """The requests for a route, such as `GET /v1/jobs`."""
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == route]

    def count(self, method: str) -> int:
        return sum(asked.method == method for asked in self.asked)


def event(kind: str, data: Mapping[str, Any], id: int | None = None) -> bytes:
    """A server-sent event, as the service writes it."""
    line = "" if id is None else f"id: {id}\n"
    return f"event: {kind}\n{line}data: {json.dumps(data)}\n\n".encode()
