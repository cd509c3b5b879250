"""One log line a request, whatever a client writes into it: case 23, through the real server."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from schemas.settings import Settings
from service.cli import parts
from store import keys
from store.database import Database
from tests.conftest import wait_until

FORGED = '{"event": "forged", "level": "critical"}'
BREAKS = ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]
TEXTS = [
    *(f"a{one}{FORGED}{one}b" for one in BREAKS),
    "\x1b[2J\x1b]0;title\x07\x08\x7f",
    "<script>alert(1)</script> %s {} %(x)s \\n \\",
    "\N{SNAKE}\t\u202e\ufeff",
]


@dataclass
class Server:
    """gunicorn with the API, and what it has written to standard error."""

    address: str
    log: Path
    key: str

    def request(self, method: str, path: str, document: Any = None) -> tuple[Any, list[str]]:
        """(the answer, the lines that were logged meanwhile).

        A line ends wherever any reader of lines might end it; the answer comes after its line.
        """
        before = len(self.log.read_bytes())
        connection = HTTPConnection(self.address, timeout=30)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(document) if document else None, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer, self.log.read_bytes()[before:].decode().splitlines()


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    log = tmp_path / "api.log"
    environment = {
        **os.environ,
        "TUNESERVE_DATABASE_URL": settings.database_url,
        "TUNESERVE_BROKER_URL": settings.broker_url,
        "TUNESERVE_DATA_FOLDER": settings.data_folder,
        "TUNESERVE_LOG_LEVEL": "DEBUG",
    }
    with log.open("w") as target:
        process = subprocess.Popen(parts.api(settings, "127.0.0.1:0"), env=environment, stderr=target)
    wait_until(lambda: "Booting worker" in log.read_text(), 30, "the server listens")
    found = re.search(r"Listening at: http://(\S+)", log.read_text())
    assert found is not None
    yield Server(found[1], log, new_key(settings.database_url))
    process.terminate()
    process.wait(20)


def new_key(url: str) -> str:
    database = Database(url)
    with database.write() as session:
        _, text = keys.create(session, keys.DEFAULT_PROJECT, "test", [keys.WRITE])
    database.close()
    return text


def requests(spec: dict[str, Any]) -> Iterator[tuple[str, str, Any, int]]:
    """(method, path, body, status) of requests that carry what might end a line or begin another."""
    for text in TEXTS:
        yield "POST", "/v1/jobs", {**spec, "name": text, "labels": {"team": text}}, 202
        yield "POST", "/v1/jobs:validate", {**spec, text: 1}, 200
        yield "GET", f"/v1/jobs?q={quote(text)}", None, 200
        yield "GET", f"/v1/jobs?{quote(text)}=1", None, 422
        yield "GET", f"/v1/jobs/{quote(text)}", None, 404
        yield "GET", f"/{quote(text)}", None, 404
    yield "POST", "/v1/jobs", {**spec, "name": "a\x00b"}, 422
    yield "GET", "/v1/jobs/%0A", None, 404
    yield "DELETE", f"/v1/jobs/%0D%0A{quote(FORGED)}%00", None, 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_text_of_a_client_makes_a_second_log_line(server: Server, spec: dict[str, Any]) -> None:
    for method, path, document, status in requests(spec):
        answer, lines = server.request(method, path, document)
        assert answer.status == status, (method, path, document)
        assert len(lines) == 1, (path, lines)
        line = json.loads(lines[0])
        assert (line["event"], line["level"]) == ("request", "info")
        assert (line["method"], line["path"]) == (method, unquote(path.partition("?")[0]))
        assert line["status"] == status
        assert line["request_id"] == answer.headers["X-Request-ID"]
