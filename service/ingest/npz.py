"""An uploaded npz: the headers of its arrays, then its labels, then every pixel."""

import io
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from schemas.datasets import Dataset, LabelClass
from service.ingest.archives import unpacked_limit
from service.ingest.labels import MAX_LABEL, MAX_SIDE, class_warnings, require_classes, require_samples
from service.ingest.refusals import refuse

_CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class Header:
    """What an array's header declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def bytes(self) -> int:
        count = 1
        for side in self.shape:
            count *= side
        return count * self.dtype.itemsize


def describe_npz(archive: zipfile.ZipFile, file: Path, digest: str, name: str, max_bytes: int) -> Dataset:
    """What an uploaded npz holds.

    Args:
        max_bytes: the most that the arrays may take, uncompressed.

    Raises:
        Invalid: a `dataset_...` code that says what is wrong.
    """
    members = {entry.filename: entry for entry in archive.infolist()}
    for array in ("x", "y"):
        if f"{array}.npy" not in members:
            raise refuse("dataset_length_mismatch", f"The npz has no array {array}.", array)
    headers = {array: _header(archive, members[f"{array}.npy"], array) for array in ("x", "y")}
    x, y = headers["x"], headers["y"]
    if x.bytes + y.bytes > unpacked_limit(file, max_bytes):
        raise refuse("archive_too_large_uncompressed", "The arrays are too large uncompressed.")
    _check_images(x)
    _check_labels(y)
    if x.shape[0] != y.shape[0]:
        text = f"x has {x.shape[0]} images, y {y.shape[0]} labels."
        raise refuse("dataset_length_mismatch", text, "y")
    require_samples(y.shape[0], "x")
    classes = _classes(archive, y)
    _check_pixels(archive, x)
    return Dataset(
        id="",
        name=name,
        kind="npz",
        digest=digest,
        shape=(*x.shape[1:], 1) if len(x.shape) == 3 else x.shape[1:],
        samples=x.shape[0],
        classes=classes,
        dtype=str(x.dtype),
        bytes=file.stat().st_size,
        warnings=_warnings(classes, set(members) - {"x.npy", "y.npy"}),
    )


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, array: str) -> Header:
    with archive.open(member) as stream:
        header = _read_header(stream, array)
        length = member.file_size - stream.tell()
    if header.dtype.hasobject:
        text = "Arrays of Python objects are not read; save numbers or strings."
        raise refuse("dataset_object_dtype", text, array)
    if header.bytes != length:
        text = f"{array} declares {header.shape} of {header.dtype}, but has {length} bytes."
        raise refuse("dataset_shape_mismatch", text, array)
    return header


def _read_header(stream: IO[bytes], array: str) -> Header:
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError) as error:
        raise refuse("dataset_not_npz", f"{array} is not an npy array.", array) from error
    return Header(tuple(int(side) for side in shape), dtype, bool(fortran))


def _check_images(x: Header) -> None:
    if x.dtype.kind not in "uif" or x.dtype.itemsize > 8:
        text = f"Pixels are numbers (integers or floats), not {x.dtype}."
        raise refuse("dataset_dtype_unsupported", text, "x")
    if len(x.shape) not in (2, 3, 4):
        text = f"x is (N, H, W), (N, H, W, C) or (N, F), not {x.shape}."
        raise refuse("dataset_shape_mismatch", text, "x")
    if any(side < 1 for side in x.shape[1:]):
        raise refuse("dataset_shape_mismatch", f"x has an empty side: {x.shape}.", "x")
    if len(x.shape) > 2 and max(x.shape[1:3]) > MAX_SIDE:
        raise refuse("image_too_many_pixels", f"A side has more than {MAX_SIDE} pixels.", "x")


def _check_labels(y: Header) -> None:
    if len(y.shape) != 1:
        text = f"y is one label an image, (N,), not {y.shape}."
        raise refuse("dataset_bad_labels", text, "y")
    if y.dtype.kind in "f":
        text = "Labels are class numbers from 0, or names; these are real numbers."
        raise refuse("dataset_bad_labels", text, "y")
    if y.dtype.kind not in "uiUS":
        raise refuse("dataset_dtype_unsupported", f"Labels cannot be {y.dtype}.", "y")


def _classes(archive: zipfile.ZipFile, header: Header) -> tuple[LabelClass, ...]:
    with archive.open("y.npy") as stream:
        content = stream.read()
    try:
        y = npy.read_array(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise refuse("dataset_shape_mismatch", "y is shorter than it declares.", "y") from error
    try:
        # Sorting a text beyond Unicode is an error of the interpreter's own.
        names, counts = np.unique(y, return_counts=True)
        names.tolist()
    except (ValueError, SystemError) as error:
        raise refuse("dataset_bad_labels", "A class name is no text.", "y") from error
    if header.dtype.kind in "ui":
        _check_numbers(names)
    require_classes(names.tolist(), "y")
    texts = [name.decode("latin-1") if isinstance(name, bytes) else str(name) for name in names]
    if any("\x00" in text or len(text) > MAX_LABEL for text in texts):
        raise refuse("dataset_bad_labels", "A class name is too long, or holds a NUL.", "y")
    return tuple(LabelClass(text, int(count)) for text, count in zip(texts, counts, strict=True))


def _check_numbers(names: Any) -> None:
    if names[0] < 0:
        raise refuse("dataset_bad_labels", f"A label is negative: {names[0]}.", "y")
    if int(names[-1]) != len(names) - 1:
        missing = next(number for number, name in enumerate(names) if int(name) != number)
        text = f"Labels must count from 0 without gaps; there is no {missing}. Names would do, too."
        raise refuse("dataset_bad_labels", text, "y")


def _check_pixels(archive: zipfile.ZipFile, header: Header) -> None:
    """Reads all of x, so that a damaged file is found now; floats must be finite."""
    bad, first, seen = 0, -1, 0
    for piece in _pieces(archive, header):
        if header.dtype.kind == "f":
            wrong = np.flatnonzero(~np.isfinite(piece))
            if len(wrong) and first < 0:
                first = seen + int(wrong[0])
            bad += len(wrong)
        seen += len(piece)
    if seen * header.dtype.itemsize != header.bytes:
        # The archive's directory may lie about a member's size.
        text = f"x declares {header.shape}, but holds {seen} values."
        raise refuse("dataset_shape_mismatch", text, "x")
    if bad:
        shape = header.shape[::-1] if header.fortran else header.shape
        where = [int(i) for i in np.unravel_index(first, shape)]
        where = where[::-1] if header.fortran else where
        text = f"{bad} pixels are NaN or infinite; the first is x{where}."
        raise refuse("dataset_non_finite", text, "x")


def _pieces(archive: zipfile.ZipFile, header: Header) -> Iterator[Any]:
    """The values of x, flat, some megabytes at a time."""
    whole = _CHUNK_BYTES // header.dtype.itemsize * header.dtype.itemsize
    with archive.open("x.npy") as stream:
        _read_header(stream, "x")
        while data := stream.read(whole):
            if len(data) % header.dtype.itemsize:
                raise refuse("dataset_shape_mismatch", "x ends in the middle of a value.", "x")
            yield np.frombuffer(data, dtype=header.dtype)


def _warnings(classes: tuple[LabelClass, ...], extra: set[str]) -> list[dict[str, Any]]:
    found = class_warnings(classes)
    if extra:
        names = ", ".join(sorted(extra)[:5])
        found.insert(0, {"code": "arrays_ignored", "detail": f"Only x and y are read, not {names}."})
    return found
