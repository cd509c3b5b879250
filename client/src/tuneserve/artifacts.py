"""Artifacts: the files of a job, and how one comes to this machine whole or not at all."""

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tuneserve.errors import DigestMismatch
from tuneserve.records import Record


@dataclass(frozen=True, kw_only=True)
class Artifact(Record):
    """A file of a job; `bytes` is its size, `sha256` the digest of its content in hex."""

    name: str
    sha256: str
    bytes: int | None = None
    media_type: str | None = None
    create_time: datetime | None = None


def save(artifact: Artifact, chunks: Iterable[bytes], path: str | os.PathLike[str]) -> Path:
    """Write the content to `path`, a file or a directory, and return the file.

    Raises:
        DigestMismatch: The content is not the published one; `path` is as it was before.
    """
    target = target_of(artifact, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target) as partial:
        digest = _write(chunks, partial)
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


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    # In the same directory, since only a rename within one file system is atomic.
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _write(chunks: Iterable[bytes], path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
