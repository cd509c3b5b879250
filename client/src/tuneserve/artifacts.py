"""Artifacts: the files of a job, and how one comes to this machine whole or not at all."""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tuneserve.errors import ConnectionFailed, DigestMismatch, TuneserveError
from tuneserve.progress import ProgressOption, transfer
from tuneserve.records import Record
from tuneserve.responses import error_of
from tuneserve.retries import seconds_before_retry

if TYPE_CHECKING:
    import httpx2

    from tuneserve.client import Client

Moved = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Artifact(Record):
    """A file of a job; `bytes` is its size, `sha256` the digest of its content in hex."""

    name: str
    sha256: str
    bytes: int | None = None
    media_type: str | None = None
    create_time: datetime | None = None


def download(
    client: "Client",
    address: str,
    artifact: Artifact,
    path: str | os.PathLike[str],
    progress: ProgressOption = "auto",
) -> Path:
    """Write the content at `address` to `path`, a file or a directory, and return the file.

    A connection that is cut is opened again, and the download goes on where it was.

    Raises:
        ConnectionFailed: It was cut too often without a byte more.
        DigestMismatch: The content is not the published one; `path` is as it was before.
    """
    target = target_of(artifact, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target) as partial:
        with partial.open("xb") as file, transfer(artifact.name, artifact.bytes, progress) as moved:
            digest = _Download(client, address, artifact, file, moved).run()
        if digest != artifact.sha256.lower():
            raise DigestMismatch(f"{artifact.name}: got sha256 {digest}, not {artifact.sha256}")
        partial.replace(target)
    return target


def target_of(artifact: Artifact, path: str | os.PathLike[str]) -> Path:
    """The file that `path` stands for: in a directory, the artifact keeps its own name."""
    separators = tuple(filter(None, (os.sep, os.altsep)))
    is_directory = Path(path).is_dir() or os.fspath(path).endswith(separators)
    # Only the last part: the name comes from the service and must stay in the directory.
    return Path(path) / Path(artifact.name).name if is_directory else Path(path)


class _Download:
    """One file on its way: what is here already, and how the rest is asked for."""

    def __init__(
        self, client: "Client", address: str, artifact: Artifact, file: BinaryIO, moved: Moved
    ) -> None:
        self._client = client
        self._address = address
        self._artifact = artifact
        self._file = file
        self._moved = moved
        self._digest = hashlib.sha256()
        self._size = 0
        self._etag = ""

    def run(self) -> str:
        """Fetch all of it, over as many connections as it takes; the SHA-256 in hex."""
        attempt, furthest = 0, 0
        while True:
            try:
                self._fetch()
                return self._digest.hexdigest()
            except TuneserveError as error:
                # Where each connection brings some of it, the file arrives in the end.
                attempt = 0 if self._size > furthest else attempt
                furthest = max(furthest, self._size)
                delay = seconds_before_retry(error, attempt)
                if delay is None or attempt >= self._client.max_retries:
                    raise
            time.sleep(delay)
            attempt += 1

    def _fetch(self) -> None:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", **self._rest()}
        with self._client.stream(self._address, headers=headers, follow_redirects=True) as response:
            self._check(response)
            if not self._goes_on(response):
                self._start_over()
            self._etag = response.headers.get("ETag", "")
            for chunk in response.iter_bytes():
                self._digest.update(chunk)
                self._file.write(chunk)
                self._size += len(chunk)
                self._moved(len(chunk))

    def _rest(self) -> dict[str, str]:
        # Only of the very same file: a weak tag, or none, does not promise the same bytes.
        if not self._size or not self._etag.startswith('"'):
            return {}
        return {"Range": f"bytes={self._size}-", "If-Range": self._etag}

    def _check(self, response: "httpx2.Response") -> None:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html" and self._artifact.media_type != kind:
            response.read()
            raise error_of(response)

    def _goes_on(self, response: "httpx2.Response") -> bool:
        begins = f"bytes {self._size}-"
        if response.status_code != 206:
            return False
        if not response.headers.get("Content-Range", "").startswith(begins):
            self._start_over()
            raise ConnectionFailed(f"{self._artifact.name}: got another part than was asked for")
        return True

    def _start_over(self) -> None:
        self._moved(-self._size)
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self._size = 0


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    # In the same directory, since only a rename within one file system is atomic.
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
