"""``tuneserve-server up``: the whole service in one data folder."""

import fcntl
import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from redis import Redis
from redis.exceptions import RedisError

from schemas.settings import Settings
from service.cli import parts
from service.cli.supervisor import Part, Supervisor, say
from store import keys, workers
from store.database import Database
from tasks.app import CONTROL, TRIALS

# The system's limit is 108 bytes, and some leave room for less.
_LONGEST_SOCKET_PATH = 100
_LOOK_SECONDS = 0.1
_START_SECONDS = 30.0
# A proxy that is set for the outside world cannot reach this machine's own loopback.
_DIRECT = build_opener(ProxyHandler({}))


class CannotStart(Exception):
    """Said to the person who typed `up`."""


def run(settings: Settings) -> int:
    """Runs all parts until a signal comes; the exit code of the command."""
    folder = Path(settings.data_folder)
    try:
        with _locked(folder) as lock, _bound(settings) as listener:
            return _run(settings, folder, lock, listener)
    except CannotStart as error:
        say(str(error))
        return 1


@contextmanager
def _locked(folder: Path) -> Iterator[IO[str]]:
    """The data folder, for this process alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            known = lock.read().strip() or "unknown"
            raise CannotStart(f"Tuneserve is running in {folder} already: {known}") from None
        yield lock


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """The API's socket, bound here: port 0 gets its number, and a restarted API keeps it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise CannotStart(f"Cannot listen on {where}: {error.strerror}") from None
        listener.listen(128)
        yield listener


def _run(settings: Settings, folder: Path, lock: IO[str], listener: socket.socket) -> int:
    settings = replace(settings, port=listener.getsockname()[1])
    url = f"http://{_in_url(settings.host)}:{settings.port}"
    _note(lock, url)
    supervisor = Supervisor()
    supervisor.watch_signals()
    try:
        settings = _start_broker(supervisor, settings, folder)
        _prepare_database(settings, folder)
        say(f"Tuneserve listens on {url}")
        say(f"Admin key: {folder / 'admin.key'}")
        say(f"Logs: {folder / 'logs'}")
        _start_parts(supervisor, settings, folder, listener)
        if _until_ready(supervisor, settings, url):
            say(f"Ready: {_slots(settings)} slots, {url}/v1/docs/")
        while not supervisor.stopping.wait(_LOOK_SECONDS):
            supervisor.look()
    finally:
        say("Stopping.")
        supervisor.stop()
        say("Stopped.")
    return 0


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _note(lock: IO[str], url: str) -> None:
    lock.seek(0)
    lock.truncate()
    lock.write(f"{url} (process {os.getpid()})")
    lock.flush()


def _start_broker(supervisor: Supervisor, settings: Settings, folder: Path) -> Settings:
    """The embedded Valkey, unless the environment names a broker."""
    if "TUNESERVE_BROKER_URL" in os.environ:
        return settings
    path = _socket_path(folder)
    path.unlink(missing_ok=True)
    (folder / "valkey").mkdir(exist_ok=True)
    command = parts.valkey(folder / "valkey", path)
    supervisor.start(_part("valkey", command, settings, folder))
    _until_answering(supervisor, path)
    return replace(settings, broker_url=f"redis+socket://{path}")


def _socket_path(folder: Path) -> Path:
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tuneserve-{name}.sock"


def _until_answering(supervisor: Supervisor, path: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    with Redis(unix_socket_path=str(path)) as client:
        while time.monotonic() < until and not supervisor.stopping.is_set():
            try:
                client.ping()
                return
            except RedisError:
                time.sleep(_LOOK_SECONDS)
    raise CannotStart("Valkey does not answer; see its log.")


def _prepare_database(settings: Settings, folder: Path) -> None:
    """Migrates, and makes the first key; its text goes to a file that only the owner reads."""
    database = Database(settings.database_url)
    database.migrate()
    file = folder / "admin.key"
    with database.write() as session:
        if not keys.every(session):
            _, text = keys.create(session, keys.DEFAULT_PROJECT, "first", [keys.ADMIN])
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                out.write(text + "\n")
    database.close()


def _start_parts(supervisor: Supervisor, settings: Settings, folder: Path, listener: socket.socket) -> None:
    number = listener.fileno()
    api = _part("api", parts.api(settings, f"fd://{number}"), settings, folder)
    api.pass_fds = (number,)
    supervisor.start(api)
    for queue in (CONTROL, TRIALS):
        supervisor.start(_part(f"{queue}-worker", parts.worker(queue), settings, folder))


def _part(name: str, command: list[str], settings: Settings, folder: Path) -> Part:
    (folder / "logs").mkdir(exist_ok=True)
    environment = {**os.environ, **settings.to_environment(), "PYTHONUNBUFFERED": "1"}
    return Part(name, command, environment, folder / "logs" / f"{name}.log")


def _until_ready(supervisor: Supervisor, settings: Settings, url: str) -> bool:
    """Waits until a job could be taken; False when a signal comes first."""
    while not supervisor.stopping.wait(_LOOK_SECONDS):
        supervisor.look()
        if _answers(url) and _slots(settings):
            return True
    return False


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(f"{url}/readyz", timeout=2) as response:
            return bool(json.load(response)["status"] == "ok")
    except (URLError, OSError, ValueError):
        return False


def _slots(settings: Settings) -> int:
    """Slots of the workers that are warm."""
    database = Database(settings.database_url)
    try:
        with database.read() as session:
            return sum(worker.slots for worker in workers.alive(session))
    finally:
        database.close()
