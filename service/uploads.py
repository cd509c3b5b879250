"""Receiving an upload: to a file beside nothing else, hashed on the way, gone when it is done with."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flask import request

from schemas.problems import (
    BadRequest,
    ErrorItem,
    InsufficientStorage,
    Invalid,
    UnsupportedMediaType,
)
from service import context

MULTIPART, OCTETS = "multipart/form-data", "application/octet-stream"
_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Upload:
    file: Path
    digest: str
    name: str | None


@contextmanager
def received() -> Iterator[Upload]:
    """The request's upload as a file, for as long as the block lasts.

    Raises:
        UnsupportedMediaType: neither multipart nor octets.
        BadRequest: a form without a file, or an upload that was cut.
        TooLarge: by werkzeug, over the limit that the application sets.
        InsufficientStorage: the disk is nearly full.
    """
    settings = context.services().settings
    folder = Path(settings.data_folder) / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < settings.min_free_bytes:
        raise InsufficientStorage("insufficient_storage", "The disk is nearly full.")
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", suffix=".part") as target:
        stream, name = _incoming()
        digest, size = _copied(stream, target)
        if request.mimetype == OCTETS and request.content_length not in (None, size):
            raise BadRequest("upload_incomplete", "The upload ended before its length was reached.")
        yield Upload(Path(target.name), f"sha256:{digest}", name)


def _incoming() -> tuple[IO[bytes], str | None]:
    if request.mimetype == OCTETS:
        return request.stream, None
    if request.mimetype != MULTIPART:
        text = f"Upload as {MULTIPART} or {OCTETS}, not {request.mimetype or 'untyped'}."
        raise UnsupportedMediaType("unsupported_media_type", text)
    if "file" not in request.files:
        text = "The form has no file in its field 'file'."
        raise Invalid("missing_field", text, errors=[ErrorItem("/file", "missing_field", text)])
    return request.files["file"].stream, request.form.get("name", request.files["file"].filename)


def _copied(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while piece := source.read(_CHUNK_BYTES):
        target.write(piece)
        digest.update(piece)
        size += len(piece)
    target.flush()
    return digest.hexdigest(), size
