"""Opening a zip from a stranger: what it may be, how large its directory, what its members are."""

import copy
import io
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from schemas.problems import ErrorItem, UnsupportedMediaType
from service.ingest.refusals import DAMAGE, bad_file, refuse, refuse_files

MAX_FILES = 200_000
# Uncompressed, against what came over the wire: images seldom shrink to less than this.
MAX_EXPANSION = 200
# zipfile reads the whole directory into memory, and makes some 700 bytes of each entry.
_MAX_DIRECTORY_BYTES = 2**26
_ENTRY = b"PK\x01\x02"
# bzip2 and LZMA are unpacked by zipfile with no limit: some kilobytes of them can be gigabytes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DRIVE = re.compile(r"[A-Za-z]:")
_SLACK = 2**16

_ZIP = "zip"
_KINDS = {
    _ZIP: (0, (b"PK\x03\x04", b"PK\x05\x06")),
    "tar": (257, (b"ustar",)),
    "gzip": (0, (b"\x1f\x8b",)),
    "bzip2": (0, (b"BZh",)),
    "xz": (0, (b"\xfd7zXZ\x00",)),
    "zstd": (0, (b"\x28\xb5\x2f\xfd",)),
    "rar": (0, (b"Rar!\x1a\x07",)),
    "7z": (0, (b"7z\xbc\xaf\x27\x1c",)),
}
# So many bytes tell an archive.
PREFIX_BYTES = 262


def archive_kind(prefix: bytes) -> str | None:
    """Which archive a file is, by its first bytes; None if it is none."""
    for kind, (at, signatures) in _KINDS.items():
        if prefix[at:].startswith(signatures):
            return kind
    return None


def require_zip(file: Path) -> None:
    """Raises UnsupportedMediaType: an archive of another kind."""
    with file.open("rb") as stream:
        kind = archive_kind(stream.read(PREFIX_BYTES))
    if kind not in (None, _ZIP):
        raise UnsupportedMediaType("unsupported_media_type", f"Upload an npz or a zip; this is {kind}.")


@contextmanager
def opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose directory is small enough to be read, and whose members can all be unpacked.

    Raises:
        Invalid: `dataset_not_npz` for what is no zip, or damaged (in the block, too);
            `archive_too_many_files`; `archive_unsupported`.
    """
    try:
        with _Guarded(io.FileIO(file)) as stream, zipfile.ZipFile(stream) as archive:
            _require_readable(archive.infolist())
            yield archive
    except NotImplementedError as error:
        raise refuse("archive_unsupported", "The archive is of a newer kind of zip.") from error
    except DAMAGE as error:
        text = "The file is neither an npz nor a zip of class folders, or it is damaged."
        raise refuse("dataset_not_npz", text) from error


class _Guarded(io.BufferedReader):
    """Refuses a large directory in the very read in which zipfile asks for it, whatever the end of the
    archive says of the number of its entries."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size and size > _MAX_DIRECTORY_BYTES:
            raise _too_many()
        data = super().read(size)
        if data.startswith(_ENTRY) and data.count(_ENTRY) > MAX_FILES:
            raise _too_many()
        return data


def _too_many() -> Exception:
    text = f"An archive has at most {MAX_FILES} entries; pack many images as an npz."
    return refuse("archive_too_many_files", text)


def _require_readable(entries: list[zipfile.ZipInfo]) -> None:
    if any(not 0 <= entry.header_offset < 2**63 for entry in entries):
        raise zipfile.BadZipFile("a member lies outside of the file")
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise refuse("archive_unsupported", "The archive is encrypted.")
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise refuse("archive_unsupported", "Members are stored or deflated; this has another compression.")


def unpacked_limit(file: Path, max_bytes: int, slack: int = 2**20) -> int:
    """The most bytes that may come out of an upload."""
    return min(max_bytes, MAX_EXPANSION * file.stat().st_size + slack)


def danger(entry: zipfile.ZipInfo) -> ErrorItem | None:
    """What makes a member no plain file at a plain place. Nothing is ever unpacked to its name; but what
    has such a name was made to harm, or by a tool that others will choke on."""
    # zipfile cuts `filename` at a NUL.
    name = entry.orig_filename
    if "\x00" in name or "\\" in name or name.startswith("/") or _DRIVE.match(name):
        return bad_file("archive_unsafe_path", name, "paths are relative, with / between folders.")
    if ".." in name.split("/"):
        return bad_file("archive_unsafe_path", name, "a path must not lead upwards.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return bad_file("archive_link_member", name, "links and devices are not taken.")
    return None


def opened_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """A member up to its real end, a little beyond the one that the directory tells: zipfile would stop
    there, and find no more than a wrong checksum."""
    patient = copy.copy(entry)
    patient.file_size += _SLACK
    return archive.open(patient)


def content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """All of a member, its checksum compared.

    Raises:
        Invalid: `archive_too_large_uncompressed`, it is longer than the directory says.
        BadZipFile and its like: it is damaged.
    """
    with opened_member(archive, entry) as stream:
        data = stream.read(entry.file_size + 1)
    if len(data) > entry.file_size:
        text = "it is longer than the archive's directory says."
        raise refuse_files([bad_file("archive_too_large_uncompressed", entry.filename, text)])
    return data
