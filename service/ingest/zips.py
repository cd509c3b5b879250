"""An uploaded zip of class folders, turned into the npz that workers read.

Twice through the archive: the headers of all images say whether they fit, their common size and how much
room they take; then the pixels go to the npz one image at a time, so that the API stays small.
"""

import shutil
import statistics
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.lib import format as npy

from schemas.datasets import Dataset, LabelClass
from schemas.problems import ErrorItem, InsufficientStorage
from service.ingest.archives import (
    PREFIX_BYTES,
    archive_kind,
    content,
    opened_member,
    unpacked_limit,
)
from service.ingest.folders import Member, members
from service.ingest.images import (
    MAX_IMAGE_BYTES,
    BadImage,
    Header,
    Size,
    read_header,
    read_pixels,
)
from service.ingest.labels import MAX_SIDE, class_warnings, require_classes, require_samples
from service.ingest.refusals import DAMAGE, MAX_NAMED, bad_file, refuse, refuse_files

# Images of many sizes become no larger than this: what classifiers are commonly trained on.
MAX_COMMON_SIDE = 256
# Small archives may hold drawings in few colours, which shrink to nearly nothing.
_SLACK_BYTES = 2**28
_LABELS_AT_ONCE = 4096


@dataclass(frozen=True)
class Plan:
    """What the npz will hold: ``members`` in their order, as images of one size."""

    members: Sequence[Member]
    size: Size
    grey: bool
    resized: int
    sizes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels of one image."""
        return (self.size[1], self.size[0], 1 if self.grey else 3)

    @property
    def label_width(self) -> int:
        return max(len(member.label) for member in self.members)

    @property
    def bytes(self) -> int:
        height, width, channels = self.shape
        return len(self.members) * (height * width * channels + 4 * self.label_width)

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        counts = Counter(member.label for member in self.members)
        return tuple(LabelClass(name, count) for name, count in sorted(counts.items()))


def convert(
    archive: zipfile.ZipFile, file: Path, target: Path, max_bytes: int, spare_bytes: int
) -> tuple[Plan, list[dict[str, Any]]]:
    """Writes the images of ``archive`` to ``target`` as an npz; and what is worth a warning.

    Args:
        max_bytes: the most that files, or images as arrays, may take uncompressed; so many pixels, too.
        spare_bytes: what must stay free on the disk.

    Raises:
        Invalid: an `archive_...`, `image_...` or `dataset_...` code; bad files are named.
        InsufficientStorage: there is no room for the arrays.
    """
    limit = unpacked_limit(file, max_bytes, _SLACK_BYTES)
    if sum(entry.file_size for entry in archive.infolist()) > limit:
        raise refuse("archive_too_large_uncompressed", "The files are too large uncompressed.")
    found, skipped = members(archive.NameToInfo.values())
    require_samples(len(found))
    require_classes(sorted({member.label for member in found}))
    headers = _headers(archive, found)
    plan = _planned(found, headers)
    _require_room(plan, limit, target, spare_bytes)
    _require_patience(headers, limit)
    with _room():
        _write(archive, plan, target)
    return plan, [*_warnings(plan, skipped), *class_warnings(plan.classes)]


def _headers(archive: zipfile.ZipFile, found: Sequence[Member]) -> Counter[Header]:
    headers: Counter[Header] = Counter()

    def look(member: Member) -> None:
        headers[_header(archive, member.entry)] += 1

    _refuse_bad(_tried(member, look) for member in found)
    return headers


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Header:
    if entry.file_size > MAX_IMAGE_BYTES:
        raise BadImage("image_too_many_pixels", f"it has more than {MAX_IMAGE_BYTES:,} bytes.")
    with opened_member(archive, entry) as stream:
        if kind := archive_kind(stream.read(PREFIX_BYTES)):
            raise BadImage("archive_nested", f"it is an archive ({kind}); only images are taken.")
        stream.seek(0)
        return read_header(stream)


def _tried(member: Member, work: Callable[[Member], None]) -> ErrorItem | None:
    """What was wrong with a file, if anything."""
    try:
        work(member)
    except BadImage as error:
        return bad_file(error.code, member.path, error.detail)
    except DAMAGE:
        return bad_file("image_corrupt", member.path, "its bytes in the archive are damaged.")
    return None


def _refuse_bad(tried: Iterator[ErrorItem | None]) -> None:
    """Goes on after a bad file, so that a person hears of many at once."""
    if bad := list(islice((item for item in tried if item is not None), MAX_NAMED + 1)):
        raise refuse_files(bad)


def _require_patience(headers: Counter[Header], limit: int) -> None:
    """Many large images may become small ones; unpacking them takes its time all the same."""
    pixels = sum(header.size[0] * header.size[1] * count for header, count in headers.items())
    if pixels > limit:
        text = f"The images have {pixels:,} pixels together; with this upload, at most {limit:,} are taken."
        raise refuse("archive_too_large_uncompressed", text)


def _planned(found: Sequence[Member], headers: Counter[Header]) -> Plan:
    sizes: Counter[Size] = Counter()
    for header, count in headers.items():
        sizes[header.size] += count
    size = common_size(sizes)
    if max(size) > MAX_SIDE:
        raise refuse("image_too_many_pixels", f"A side of the images has more than {MAX_SIDE} pixels.")
    grey = all(header.is_grey for header in headers)
    return Plan(found, size, grey, len(found) - sizes[size], len(sizes))


def common_size(sizes: Counter[Size]) -> Size:
    """The one size, (width, height): that of most of the images, if more than half have it, so that their
    pixels stay as they are; or else the medians of widths and heights, the longer one 256 at most."""
    size, count = sizes.most_common(1)[0]
    if 2 * count > sizes.total():
        return size
    width = statistics.median_low(width for width, _ in sizes.elements())
    height = statistics.median_low(height for _, height in sizes.elements())
    scale = min(1.0, MAX_COMMON_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _require_room(plan: Plan, limit: int, target: Path, spare_bytes: int) -> None:
    if plan.bytes > limit:
        width, height = plan.size
        text = f"{len(plan.members)} images of {width} x {height} pixels take {plan.bytes:,} bytes as arrays."
        raise refuse("archive_too_large_uncompressed", f"{text} Make them smaller.")
    # Once here and once in the storage, which is often the same disk.
    if shutil.disk_usage(target.parent).free - 2 * plan.bytes < spare_bytes:
        raise InsufficientStorage("insufficient_storage", "The disk has no room for the images as arrays.")


@contextmanager
def _room() -> Iterator[None]:
    """What the system says of a write that fails, as the 507 that it is."""
    try:
        yield
    except OSError as error:
        raise InsufficientStorage("insufficient_storage", "The disk is full.") from error


def _write(archive: zipfile.ZipFile, plan: Plan, target: Path) -> None:
    shape = (len(plan.members), *(plan.shape[:2] if plan.grey else plan.shape))
    with zipfile.ZipFile(target, "w") as npz:
        with npz.open("x.npy", "w", force_zip64=True) as stream:
            _write_header(stream, "|u1", shape)
            _refuse_bad(_tried(member, _writer(archive, plan, stream)) for member in plan.members)
        with npz.open("y.npy", "w", force_zip64=True) as stream:
            _write_header(stream, f"<U{plan.label_width}", shape[:1])
            for one in plan.classes:
                _write_labels(stream, one, 4 * plan.label_width)


def _writer(archive: zipfile.ZipFile, plan: Plan, stream: Any) -> Callable[[Member], None]:
    def write(member: Member) -> None:
        pixels = read_pixels(content(archive, member.entry), plan.size, plan.grey)
        with _room():
            stream.write(pixels.tobytes())

    return write


def _write_header(stream: Any, dtype: str, shape: tuple[int, ...]) -> None:
    npy.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})


def _write_labels(stream: Any, one: LabelClass, width: int) -> None:
    label = one.name.encode("utf-32-le").ljust(width, b"\x00")
    for start in range(0, one.count, _LABELS_AT_ONCE):
        stream.write(label * min(_LABELS_AT_ONCE, one.count - start))


def _warnings(plan: Plan, skipped: int) -> Iterator[dict[str, Any]]:
    if skipped:
        text = f"{skipped} files that are hidden, or left by a system, were skipped."
        yield {"code": "files_skipped", "detail": text}
    if plan.resized:
        width, height = plan.size
        text = (
            f"{plan.resized} of {len(plan.members)} images, of {plan.sizes} sizes, were made"
            f" {width} x {height} pixels."
        )
        yield {"code": "images_resized", "detail": text}


def describe(plan: Plan, file: Path, digest: str, name: str, warnings: list[dict[str, Any]]) -> Dataset:
    """The data set that an uploaded zip became. ``bytes`` are those of the upload, as ``digest`` is."""
    return Dataset(
        id="",
        name=name,
        kind="zip",
        digest=digest,
        shape=plan.shape,
        samples=len(plan.members),
        classes=plan.classes,
        dtype="uint8",
        bytes=file.stat().st_size,
        warnings=warnings,
    )
