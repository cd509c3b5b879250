"""A real HTTP server on loopback that answers as a test tells it and keeps what it was asked."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    """What to answer; `cut` closes the connection after that many bytes of the body."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


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
        self.answer(self.server.next_answer(self.command, address.path))

    do_POST = do_GET

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
        self.routes: dict[str, list[Answer]] = defaultdict(list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def on(self, route: str, *answers: Answer) -> None:
        """Such as `on("GET /v1/jobs", Answer(503), Answer(200, {...}))`."""
        self.routes[route] = list(answers)

    def next_answer(self, method: str, path: str) -> Answer:
        answers = self.routes[f"{method} {path}"]
        if not answers:
            return Answer(404, {"code": "not_found", "title": "Not Found", "detail": path})
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def count(self, method: str) -> int:
        return sum(asked.method == method for asked in self.asked)
