"""What the tests of the SDK share: a real server, a client of it, and a job's document."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from sdk_server import Server

from tuneserve import Client, events, retries, waiting


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    for name in ("URL", "API_KEY", "PROFILE", "CONFIG"):
        monkeypatch.delenv(f"TUNESERVE_{name}", raising=False)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / "no-config"))


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of the client, short enough for tests; what the service asks for is kept."""
    monkeypatch.setattr(retries, "BACKOFF_SECONDS", 0.002)
    monkeypatch.setattr(events, "REOPEN_SECONDS", 0.002)
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "IDLE_POLL_SECONDS", 0.02)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, "tns_k_s", timeout=5) as client:
        yield client


@pytest.fixture
def job() -> Any:
    """Makes a job's document, changed as the test says."""

    def make(state: str = "running", **changes: Any) -> dict[str, Any]:
        document = {
            "id": "job_1",
            "name": "letters",
            "labels": {"team": "vision"},
            "state": state,
            "stop_reason": None,
            "spec": {"seed": 0},
            "progress": {
                "max_trials": 10,
                "completed": 6,
                "stopped": 1,
                "epochs": 81,
                "elapsed_seconds": 93.1,
            },
            "best": {
                "trial": 5,
                "score": 0.981,
                "epoch": 7,
                "hyperparameters": {"training.learning_rate": 0.00093},
            },
            "error": None,
            "warnings": [],
            "revision": 41,
        }
        return {**document, **changes}

    return make
