"""The whole service, as `tuneserve-server up` starts it, with real processes to lose."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from tests.conftest import DATABASES, fresh_database, wait_until
from tuneserve import Client

SERVER = Path(sys.executable).parent / "tuneserve-server"
# Short, so that a test sees a lost worker's trial taken up again; long enough for a busy machine.
QUICK = {
    "TUNESERVE_LEASE_SECONDS": "6",
    "TUNESERVE_RECONCILE_SECONDS": "0.5",
    "TUNESERVE_RESEND_SECONDS": "2",
    "TUNESERVE_STOP_SECONDS": "10",
}


@dataclass
class Service:
    """A running `up`; what it says is kept in ``said``."""

    folder: Path
    environment: dict[str, str]
    slots: int = 2
    process: "subprocess.Popen[str] | None" = None
    extra: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self) -> "Service":
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [SERVER, "up", "--data", self.folder, "--port", "0", "--slots", str(self.slots)],
                env=self.environment,
                stderr=log,
                text=True,
            )
        wait_until(lambda: "Ready" in self.said or self.process.poll() is not None, 90, "ready")
        assert "Ready" in self.said, self.said
        return self

    def stop(self, number: int = signal.SIGINT) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(40)

    def add_worker(self) -> "subprocess.Popen[bytes]":
        """One more trial worker, on the same database and broker."""
        environment = {
            **self.environment,
            "TUNESERVE_DATA_FOLDER": str(self.folder),
            "TUNESERVE_BROKER_URL": f"redis+socket://{self.folder / 'valkey.sock'}",
            "TUNESERVE_SLOTS": str(self.slots),
        }
        log = (self.folder / "logs" / "second-worker.log").open("w")
        worker = subprocess.Popen(
            [SERVER, "worker", "--queues", "trials"], env=environment, stdout=log, stderr=log
        )
        self.extra.append(worker)
        return worker

    @property
    def log(self) -> Path:
        return self.folder.parent / "up.log"

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def url(self) -> str:
        found = re.search(r"listens on (\S+)", self.said)
        assert found is not None
        return found[1]

    @property
    def key(self) -> str:
        return (self.folder / "admin.key").read_text().strip()

    def client(self) -> Client:
        return Client(self.url, self.key)

    def worker(self) -> psutil.Process:
        """The trial worker's parent process."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if child.cmdline()[-1] == "trials")

    def slot_processes(self) -> list[psutil.Process]:
        return self.worker().children()

    def part(self, word: str) -> psutil.Process:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if word in " ".join(child.cmdline()))

    def broker(self) -> "Redis":
        return Redis(unix_socket_path=str(self.folder / "valkey.sock"))

    def close(self) -> None:
        for process in [*self.extra, *([self.process] if self.process else [])]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(40)


@contextmanager
def running(
    folder: Path, database_url: str, surroundings: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """A service that is ready, with more in its environment if need be; stopped afterwards."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNESERVE_")}
    more = {**QUICK, "TUNESERVE_DATABASE_URL": database_url, **(surroundings or {})}
    service = Service(folder / "service", {**clean, **more})
    try:
        yield service.start()
    finally:
        service.close()


@pytest.fixture
def service(tmp_path: Path, database_url: str) -> Iterator[Service]:
    """A service for one test, which may break what it likes of it."""
    with running(tmp_path, database_url) as started:
        yield started


@pytest.fixture(scope="module")
def surroundings() -> dict[str, str]:
    """What an operator would put into the shared service's environment; a file may have its own."""
    return {}


@pytest.fixture(scope="module", params=DATABASES)
def shared_service(
    request: pytest.FixtureRequest, surroundings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service for the tests of one file, which leave it as it was: to start one takes seconds."""
    folder = tmp_path_factory.mktemp("shared")
    with (
        fresh_database(request, request.param, folder) as url,
        running(folder, url, surroundings) as started,
    ):
        yield started


@pytest.fixture
def long_spec() -> dict[str, Any]:
    """Trials of some seconds each, so that a fault falls into one."""
    return {
        "dataset": "builtin:digits",
        "model": {"family": "cnn", "filters": 16, "blocks": 2, "dense_units": 32},
        "training": {
            "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-2, "sampling": "log"},
            "epochs": 25,
            "batch_size": 32,
        },
        "budget": {"max_trials": 4},
    }


def states(job: Any) -> list[str]:
    return [trial.state for trial in job.trials()]
