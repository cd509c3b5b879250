"""What the SDK costs: its import, waiting for a job, and the memory of a large upload.

Prints: seconds of `import tuneserve`, of `import httpx2` alone, and of `tuneserve --help`; what the service
is asked, and answers, in a minute of `job.wait` on an idle job, by events and by polls; megabytes by which
the client's process grows in an upload of 200 MB, from a file and from arrays.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median

import httpx2

from benchmarks.running import Running, service
from tuneserve import Client, WaitTimeout
from tuneserve.events import PATIENCE_SECONDS

TRIES = 10
IDLE_SECONDS = 60.0
UPLOAD_BYTES = 200 * 10**6

SPEC = {"dataset": "builtin:digits", "model": {"family": "cnn"}, "budget": {"max_trials": 1}}

IMPORT = """
import time
began = time.perf_counter()
import {name}
print(time.perf_counter() - began)
"""

UPLOAD = """
import re, sys
from pathlib import Path
import numpy as np
from tuneserve import Client

def peak():
    # Not ru_maxrss, which begins with that of the process that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000

def forget():
    # The peak is what there is now.
    Path("/proc/self/clear_refs").write_text("5")

url, key, source, file, count = sys.argv[1:]
with Client(url, key, max_retries=0) as client:
    # What the first request loads is no part of the upload.
    client.info()
    if source == "arrays":
        x = np.random.default_rng(0).integers(0, 256, (int(count), 64, 64, 3), dtype="uint8")
        y = np.arange(len(x)) % 10
        forget()
        before = peak()
        client.datasets.upload(x=x, y=y)
    else:
        forget()
        before = peak()
        client.datasets.upload(file)
    print(peak() - before)
"""


class Counted(httpx2.HTTPTransport):
    """Counts requests and the bytes of answers; without events, it answers as an older service would."""

    def __init__(self, has_events: bool) -> None:
        super().__init__()
        self.has_events = has_events
        self.requests = self.full = self.bytes = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if not self.has_events and request.url.path.endswith("/events"):
            return httpx2.Response(404, json={"code": "not_found", "title": "Not Found"})
        self.requests += 1
        response = super().handle_request(request)
        self.full += response.status_code == 200
        self.bytes += sum(len(name) + len(value) + 4 for name, value in response.headers.raw)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = Body(self, response.stream)
        return response


class Body(httpx2.SyncByteStream):
    """A body whose bytes are counted as they come."""

    def __init__(self, counted: Counted, stream: httpx2.SyncByteStream) -> None:
        self._counted = counted
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._counted.bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        self._stream.close()


def import_seconds(name: str) -> float:
    """Median of fresh processes."""
    command = [sys.executable, "-c", IMPORT.format(name=name)]
    return median(float(subprocess.check_output(command)) for _ in range(TRIES))


def help_seconds() -> float:
    """Median of fresh processes, from their start to their end."""
    command = [str(Path(sys.executable).parent / "tuneserve"), "--help"]
    taken = []
    for _ in range(TRIES):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    return median(taken)


def idle_cost(running: Running, url: str, key: str, has_events: bool) -> tuple[int, int, int]:
    """Requests, full answers and bytes of answers in a minute of waiting for a paused job."""
    idle = running.client.jobs.create(SPEC).pause()
    while idle.reload().progress.running:
        time.sleep(0.1)
    transport = Counted(has_events)
    with Client(url, key, transport=transport) as client:
        job = client.jobs.get(idle.id)
        began = transport.requests, transport.full, transport.bytes

        def wait() -> None:
            # Longer than is measured: the last part of a limited time is always polled.
            with suppress(WaitTimeout):
                job.wait(IDLE_SECONDS + PATIENCE_SECONDS + 5, progress=False, raise_on_failure=False)

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(IDLE_SECONDS)
        ended = transport.requests, transport.full, transport.bytes
        idle.cancel()
        waiting.join()
    requests, full, size = (after - before for before, after in zip(began, ended, strict=True))
    return requests, full, size


def upload_megabytes(url: str, key: str, source: str, file: Path) -> float:
    """By how much a process of its own grows at most."""
    count = UPLOAD_BYTES // (64 * 64 * 3)
    command = [sys.executable, "-c", UPLOAD, url, key, source, str(file), str(count)]
    return float(subprocess.check_output(command))


def write_file(file: Path) -> None:
    """Other images than those of the arrays, so that both are sent."""
    import numpy as np

    shape = (UPLOAD_BYTES // (64 * 64 * 3), 64, 64, 3)
    x = np.random.default_rng(1).integers(0, 256, shape, dtype="uint8")
    np.savez(file, x=x, y=np.arange(len(x)) % 10)


def main() -> None:
    for name in ("tuneserve", "httpx2"):
        print(f"import {name}: median {import_seconds(name):.3f} s of {TRIES} processes")
    print(f"tuneserve --help: median {help_seconds():.3f} s of {TRIES}")
    with service() as running, tempfile.TemporaryDirectory(prefix="tns-bench-") as folder:
        url, key = running.client.url, running.client._http.headers["Authorization"].removeprefix("Bearer ")
        for has_events in (True, False):
            requests, full, size = idle_cost(running, url, key, has_events)
            how = "events" if has_events else "polls"
            print(
                f"job.wait on an idle job, by {how}: {requests} requests a minute,"
                f" {full} of them answered in full, {size / 1000:.1f} kB"
            )
        file = Path(folder) / "images.npz"
        write_file(file)
        for source in ("file", "arrays"):
            grown = upload_megabytes(url, key, source, file)
            print(f"upload of {UPLOAD_BYTES // 10**6} MB from {source}: the process grows by {grown:.0f} MB")


if __name__ == "__main__":
    main()
