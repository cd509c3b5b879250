"""An upload, checked before anything is kept, and turned into what workers read: an npz of `x` and `y`.

Headers are read before arrays and images, so that a file that claims terabytes costs nothing; and both are
read in pieces, so that the API stays small however large the upload is.
"""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.datasets import Dataset
from service.ingest import archives, zips
from service.ingest.npz import describe_npz
from service.ingest.refusals import refuse

__all__ = ["Ingested", "ingested", "refuse"]


@dataclass(frozen=True)
class Ingested:
    """What an upload holds, and the npz to keep: the upload itself, or what was made of it."""

    dataset: Dataset
    file: Path


@contextmanager
def ingested(file: Path, digest: str, name: str, max_bytes: int, spare_bytes: int = 0) -> Iterator[Ingested]:
    """An uploaded npz or zip of class folders, for as long as the block lasts.

    Args:
        max_bytes: the most that it may take, uncompressed.
        spare_bytes: what must stay free on the disk.

    Raises:
        UnsupportedMediaType: another kind of archive.
        Invalid: a `dataset_...`, `archive_...` or `image_...` code that says what is wrong.
        InsufficientStorage: the disk has no room for the images as arrays.
    """
    archives.require_zip(file)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix="images-", suffix=".npz") as target:
        yield _ingested(file, Path(target.name), digest, name, max_bytes, spare_bytes)


def _ingested(file: Path, target: Path, digest: str, name: str, max_bytes: int, spare_bytes: int) -> Ingested:
    with archives.opened(file) as archive:
        if _is_npz(archive):
            return Ingested(describe_npz(archive, file, digest, name, max_bytes), file)
        plan, warnings = zips.convert(archive, file, target, max_bytes, spare_bytes)
    return Ingested(zips.describe(plan, file, digest, name, warnings), target)


def _is_npz(archive: zipfile.ZipFile) -> bool:
    """By what is in it: arrays lie at the top, images in folders."""
    return any(name.endswith(".npy") and "/" not in name for name in archive.namelist())
