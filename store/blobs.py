"""Blobs: bytes under a path, written once, on disk or in S3-compatible storage (obstore)."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from schemas.problems import Unavailable

CHUNK_BYTES = 2**20


class BlobStore:
    """Blobs at a URL that obstore knows; ``file:///folder`` makes the folder.

    Opens nothing before the first use: obstore's threads do not outlive a fork.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        if url.startswith("file://"):
            self._store = from_url(url, mkdir=True)
        else:
            self._store = from_url(url)

    def put(self, path: str, source: Path) -> None:
        """Stores a file whole, or not at all.

        Raises:
            Unavailable: `storage_unavailable`.
        """
        try:
            obstore.put(self._store, path, source)
        except (BaseError, OSError) as error:
            raise _away(error) from error

    def read(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``end``, in pieces.

        Raises:
            Unavailable: `storage_unavailable`; also when the blob is gone.
        """
        try:
            for at in range(start, end, CHUNK_BYTES):
                upto = min(at + CHUNK_BYTES, end)
                yield bytes(obstore.get_range(self._store, path, start=at, end=upto))
        except (BaseError, OSError) as error:
            raise _away(error) from error

    def fetch(self, path: str, target: Path) -> None:
        """Copies a blob to a file, which is there whole or not at all.

        Raises:
            Unavailable: `storage_unavailable`.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                for piece in obstore.get(self._store, path).stream(min_chunk_size=CHUNK_BYTES):
                    file.write(piece)
            os.replace(name, target)
        except (BaseError, OSError) as error:
            Path(name).unlink(missing_ok=True)
            raise _away(error) from error

    def answers(self) -> bool:
        """Whether the storage can be read."""
        try:
            obstore.list_with_delimiter(self._store, prefix="health")
        except (BaseError, OSError):
            return False
        return True

    def delete(self, path: str) -> None:
        """Deletes a blob; one that is not there is no error."""
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise _away(error) from error

    def delete_under(self, folder: str) -> None:
        """Deletes every blob below a folder, named anywhere or not.

        Raises:
            Unavailable: `storage_unavailable`.
        """
        try:
            for some in obstore.list(self._store, prefix=folder):
                obstore.delete(self._store, [one["path"] for one in some])
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise _away(error) from error


def sha256_of(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _away(error: Exception) -> Unavailable:
    return Unavailable("storage_unavailable", "The storage does not answer; try again later.")
