"""A service of its own for a benchmark."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tuneserve import Client


@dataclass
class Running:
    client: Client
    process: psutil.Process

    def api_processes(self) -> list[psutil.Process]:
        """gunicorn's worker, which answers; its parent only watches."""
        parents = [p for p in self.process.children() if "gunicorn" in " ".join(p.cmdline())]
        return [child for parent in parents for child in parent.children()]


@contextmanager
def service(*options: str, **settings: str) -> Iterator[Running]:
    """`tuneserve-server up` in a temporary folder, ready, and gone afterwards.

    Args:
        settings: by the names that they have in the environment.
    """
    with tempfile.TemporaryDirectory(prefix="tns-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        log = folder / "up.log"
        server = Path(sys.executable).parent / "tuneserve-server"
        command = [server, "up", "--data", folder / "data", "--port", "0", *options]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TUNESERVE_")}
        with log.open("w") as stream:
            process = subprocess.Popen(command, stderr=stream, env={**clean, **settings})
        try:
            url = _url(log, process)
            key = (folder / "data" / "admin.key").read_text().strip()
            with Client(url, key) as client:
                yield Running(client, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _url(log: Path, process: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + 120
    while "Ready" not in log.read_text():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(log.read_text())
        time.sleep(0.1)
    found = re.search(r"listens on (\S+)", log.read_text())
    assert found is not None
    return found[1]
