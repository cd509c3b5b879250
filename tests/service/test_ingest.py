"""An uploaded npz, checked before anything is kept: cases 1 to 8 and their neighbours, each with its code."""

import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from schemas.datasets import Dataset
from schemas.problems import Invalid
from service.ingest import ingested
from tests.service.rows import npz, npz_of

MANY = 2**30
X = np.arange(160, dtype="uint8").reshape(10, 4, 4)
Y = np.arange(10) % 2


def described(content: bytes, folder: Path, max_bytes: int = MANY) -> Dataset:
    file = folder / "upload.npz"
    file.write_bytes(content)
    with ingested(file, "sha256:00", "letters", max_bytes) as found:
        assert found.file == file, "an npz is kept as it came"
        return found.dataset


def refused(content: bytes, folder: Path, max_bytes: int = MANY) -> Invalid:
    with pytest.raises(Invalid) as caught:
        described(content, folder, max_bytes)
    assert caught.value.status == 422
    assert [item.code for item in caught.value.errors] == [caught.value.code]
    return caught.value


def member(shape: tuple[int, ...], dtype: str, data: bytes = b"") -> bytes:
    """An npy file whose header declares whatever it likes."""
    target = io.BytesIO()
    npy.write_array_header_1_0(target, {"descr": dtype, "fortran_order": False, "shape": shape})
    return target.getvalue() + data


def header(text: str) -> bytes:
    """An npy file with this text as its header."""
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


def archive(compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as opened:
        for name, content in members.items():
            opened.writestr(f"{name}.npy", content)
    return target.getvalue()


def lying(name: str, declared: bytes, held: bytes) -> bytes:
    """An npz in which one member is said to be as long as ``declared``, but holds only ``held``."""
    content = archive(zipfile.ZIP_DEFLATED, **{"x": npy_of(X), "y": npy_of(Y), name: held})
    at = content.index(f"{name}.npy".encode(), content.index(b"PK\x01\x02")) - 46
    return content[: at + 24] + struct.pack("<I", len(declared)) + content[at + 28 :]


def npy_of(array: Any) -> bytes:
    target = io.BytesIO()
    np.save(target, array)
    return target.getvalue()


def with_pixel(value: float, *places: tuple[int, ...], dtype: str = "float32", order: Any = "C") -> Any:
    x = np.asarray(X, dtype=dtype, order=order)
    for place in places:
        x[place] = value
    return x


# What is taken


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (X, (4, 4, 1)),
        (X[..., None], (4, 4, 1)),
        (np.zeros((10, 4, 6, 3), "float32"), (4, 6, 3)),
        (np.zeros((10, 7)), (7,)),
        (np.asfortranarray(X), (4, 4, 1)),
        (X.astype(">i2"), (4, 4, 1)),
        (X.astype("float16"), (4, 4, 1)),
    ],
)
def test_images_and_rows_of_features_are_taken(x: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    found = described(npz(x), tmp_path)
    assert (found.shape, found.samples, found.kind, found.name) == (shape, 10, "npz", "letters")
    assert found.dtype == str(x.dtype)


def test_compressed_or_not_is_the_same(tmp_path: Path) -> None:
    plain, packed = described(npz(), tmp_path), described(npz(compress=True), tmp_path)
    assert (plain.classes, plain.shape) == (packed.classes, packed.shape)


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (Y, ["0", "1"]),
        (Y.astype("uint64"), ["0", "1"]),
        (np.array(["cat", "dog"] * 5), ["cat", "dog"]),
        (np.array([b"cat", b"d\xf6g"] * 5), ["cat", "dög"]),
        (np.array(["ключ", "\N{SNAKE}"] * 5), ["ключ", "\N{SNAKE}"]),
        (np.arange(10), [str(index) for index in range(10)]),
    ],
)
def test_labels_are_numbers_or_names(y: Any, names: list[str], tmp_path: Path) -> None:
    found = described(npz(y=y), tmp_path)
    assert [one.name for one in found.classes] == names
    assert sum(one.count for one in found.classes) == 10


def test_other_arrays_are_not_read_and_said_to_be(tmp_path: Path) -> None:
    found = described(npz(note=np.array([object()])), tmp_path)
    assert [warning["code"] for warning in found.warnings] == ["arrays_ignored"]
    assert "note.npy" in found.warnings[0]["detail"]


def test_classes_of_very_different_sizes_are_warned_of(tmp_path: Path) -> None:
    y = np.array([0] * 99 + [1])
    found = described(npz(np.zeros((100, 2, 2)), y), tmp_path)
    assert [warning["code"] for warning in found.warnings] == ["classes_unbalanced"]


# What is refused


@pytest.mark.parametrize(
    ("x", "y", "code", "pointer"),
    [
        # 1: object arrays are pickles
        (np.array([object()] * 10), Y, "dataset_object_dtype", "/x"),
        (X, np.array(["a", None] * 5), "dataset_object_dtype", "/y"),
        (np.zeros(10, [("a", "O")]), Y, "dataset_object_dtype", "/x"),
        # 4: lengths
        (X[:9], Y, "dataset_length_mismatch", "/y"),
        (X, Y[:9], "dataset_length_mismatch", "/y"),
        # 5: types that are no pixels and no labels
        (X.astype("complex64"), Y, "dataset_dtype_unsupported", "/x"),
        (X.astype("U3"), Y, "dataset_dtype_unsupported", "/x"),
        (X.astype("S3"), Y, "dataset_dtype_unsupported", "/x"),
        (X.astype("datetime64[s]"), Y, "dataset_dtype_unsupported", "/x"),
        (X.astype("timedelta64[s]"), Y, "dataset_dtype_unsupported", "/x"),
        (X.astype("bool"), Y, "dataset_dtype_unsupported", "/x"),
        (X.astype("longdouble"), Y, "dataset_dtype_unsupported", "/x"),
        (np.zeros((10, 4, 4), [("r", "u1"), ("g", "u1")]), Y, "dataset_dtype_unsupported", "/x"),
        (X, Y.astype("complex64"), "dataset_dtype_unsupported", "/y"),
        (X, Y.astype("datetime64[s]"), "dataset_dtype_unsupported", "/y"),
        (X, np.zeros(10, [("a", "i4")]), "dataset_dtype_unsupported", "/y"),
        # 6: pixels that are no numbers
        (with_pixel(np.nan, (3, 1, 2)), Y, "dataset_non_finite", "/x"),
        (with_pixel(np.inf, (9, 3, 3)), Y, "dataset_non_finite", "/x"),
        (with_pixel(-np.inf, (0, 0, 0), dtype="float16"), Y, "dataset_non_finite", "/x"),
        (with_pixel(np.nan, (3, 1, 2), dtype=">f8"), Y, "dataset_non_finite", "/x"),
        # 7: nothing to tell apart
        (X, np.zeros(10, int), "dataset_single_class", "/y"),
        (X, np.array(["a"] * 10), "dataset_single_class", "/y"),
        (X[:1], Y[:1], "dataset_too_small", "/x"),
        (X[:0], Y[:0], "dataset_too_small", "/x"),
        # 8: labels that are no classes
        (X, Y.astype(float), "dataset_bad_labels", "/y"),
        (X, Y.astype("float16"), "dataset_bad_labels", "/y"),
        (X, Y - 1, "dataset_bad_labels", "/y"),
        (X, Y + 1, "dataset_bad_labels", "/y"),
        (X, Y * 2, "dataset_bad_labels", "/y"),
        (X, Y.astype("uint64") * (2**64 - 1), "dataset_bad_labels", "/y"),
        (X, Y[:, None], "dataset_bad_labels", "/y"),
        (X, np.array(["a", "b" * 201] * 5), "dataset_bad_labels", "/y"),
        (X, np.array(["a\x00b", "c"] * 5), "dataset_bad_labels", "/y"),
        # shapes that are no images
        (np.zeros(10), Y, "dataset_shape_mismatch", "/x"),
        (np.zeros((10, 2, 2, 2, 2)), Y, "dataset_shape_mismatch", "/x"),
        (np.zeros((10, 0, 4)), Y, "dataset_shape_mismatch", "/x"),
        (np.array(3), Y, "dataset_shape_mismatch", "/x"),
        (np.zeros((10, 1, 5000), "u1"), Y, "image_too_many_pixels", "/x"),
    ],
)
def test_arrays_that_are_no_labelled_images_are_refused(
    x: Any, y: Any, code: str, pointer: str, tmp_path: Path
) -> None:
    found = refused(npz(x, y), tmp_path)
    assert (found.code, found.errors[0].pointer) == (code, pointer)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        # 2: a header that declares terabytes
        (archive(x=member((10**6, 10**6), "<f4"), y=npy_of(Y)), "dataset_shape_mismatch"),
        (archive(x=npy_of(X), y=member((10**12,), "<i8")), "dataset_shape_mismatch"),
        (archive(x=member((-10, 4, 4), "|u1", bytes(160)), y=npy_of(Y)), "dataset_shape_mismatch"),
        (archive(x=member((-10, -4, 4), "|u1", bytes(160)), y=npy_of(Y)), "dataset_shape_mismatch"),
        (archive(x=member((10, 4, 4), "|u1", bytes(159)), y=npy_of(Y)), "dataset_shape_mismatch"),
        (archive(x=member((10, 4, 4), "|u1", bytes(161)), y=npy_of(Y)), "dataset_shape_mismatch"),
        # 3: no npz
        (b"", "dataset_not_npz"),
        (b"\x80\x04\x95" + b"cos\nsystem\n(S'true'\ntR.", "dataset_not_npz"),
        (npy_of(X), "dataset_not_npz"),
        (b"PK\x03\x04" + bytes(100), "dataset_not_npz"),
        (b"PK\x05\x06" + bytes(18), "dataset_too_small"),
        (npz()[:-30], "dataset_not_npz"),
        (npz()[30:], "dataset_not_npz"),
        (archive(x=b"\x80\x04cos\nsystem\n.", y=npy_of(Y)), "dataset_not_npz"),
        (archive(x=b"", y=npy_of(Y)), "dataset_not_npz"),
        (archive(x=header("{'descr': '|u1'"), y=npy_of(Y)), "dataset_not_npz"),
        (archive(x=header("__import__('os').system('true')"), y=npy_of(Y)), "dataset_not_npz"),
        (
            archive(x=header("{'descr': 'zz', 'fortran_order': False, 'shape': (1,)}"), y=npy_of(Y)),
            "dataset_not_npz",
        ),
        (archive(x=header("(" * 110), y=npy_of(Y)), "dataset_not_npz"),
        # 4: x or y missing
        (npz_of({"x": X}), "dataset_length_mismatch"),
        (npz_of({"y": Y}), "dataset_length_mismatch"),
        (npz_of({"X": X, "Y": Y}), "dataset_length_mismatch"),
        (npz_of({"x_train": X, "y_train": Y}), "dataset_length_mismatch"),
    ],
)
def test_what_is_no_npz_of_x_and_y_is_refused(content: bytes, code: str, tmp_path: Path) -> None:
    assert refused(content, tmp_path).code == code


def test_a_header_of_terabytes_is_small_and_costs_nothing(tmp_path: Path) -> None:
    content = archive(x=member((10**6, 10**6), "<f4"), y=member((10**6,), "<i8"))
    assert len(content) < 600
    assert refused(content, tmp_path).code == "dataset_shape_mismatch"


@pytest.mark.parametrize(
    ("places", "order", "count", "first"),
    [
        ([(3, 1, 2)], "C", 1, "x[3, 1, 2]"),
        ([(9, 3, 3), (3, 1, 2)], "C", 2, "x[3, 1, 2]"),
        ([(3, 1, 2)], "F", 1, "x[3, 1, 2]"),
    ],
)
def test_pixels_that_are_not_finite_are_counted_and_the_first_is_named(
    places: list[tuple[int, ...]], order: str, count: int, first: str, tmp_path: Path
) -> None:
    found = refused(npz(with_pixel(np.nan, *places, order=order)), tmp_path)
    assert found.detail.startswith(f"{count} pixels")
    assert found.detail.endswith(f"the first is {first}.")


def test_a_pixel_far_into_a_large_array_is_found(tmp_path: Path) -> None:
    x = np.zeros((10, 512, 512), "float64")
    x[8, 511, 7] = np.nan
    assert "x[8, 511, 7]" in refused(npz(x), tmp_path).detail


def test_what_is_small_only_while_compressed_is_refused(tmp_path: Path) -> None:
    content = npz(np.zeros((20_000, 32, 32), "u1"), np.arange(20_000) % 2, compress=True)
    assert len(content) < 200_000
    assert refused(content, tmp_path, 2**20).code == "archive_too_large_uncompressed"


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(npz())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(signature, at + 1)
    assert refused(bytes(content), tmp_path).code == "archive_unsupported"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_unpacks_without_limit_is_not_taken(compression: int, tmp_path: Path) -> None:
    content = archive(compression, x=npy_of(X), y=npy_of(Y))
    assert refused(content, tmp_path).code == "archive_unsupported"


def test_damaged_data_is_refused(tmp_path: Path) -> None:
    x = npy_of(np.arange(16_000, dtype="<u2").reshape(10, 40, 40))
    content = bytearray(archive(zipfile.ZIP_DEFLATED, x=x, y=npy_of(Y)))
    content[200:260] = bytes(60)
    assert refused(bytes(content), tmp_path).code == "dataset_not_npz"


def test_a_lying_size_of_the_images_is_refused(tmp_path: Path) -> None:
    declared = member((10, 4, 4), "|u1", bytes(160))
    assert refused(lying("x", declared, declared[:-100]), tmp_path).code in (
        "dataset_shape_mismatch",
        "dataset_not_npz",
    )


def test_a_lying_size_of_the_labels_is_refused(tmp_path: Path) -> None:
    declared = npy_of(Y)
    assert refused(lying("y", declared, declared[:-16]), tmp_path).code in (
        "dataset_shape_mismatch",
        "dataset_not_npz",
    )


def test_a_lying_size_that_cuts_a_number_is_refused(tmp_path: Path) -> None:
    declared = npy_of(X.astype("float64"))
    assert refused(lying("x", declared, declared[:-3]), tmp_path).code in (
        "dataset_shape_mismatch",
        "dataset_not_npz",
    )


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    y = np.array(["a", "b"] * 5)
    y.view("uint32")[0] = 0x110000
    assert refused(npz(y=y), tmp_path).code == "dataset_bad_labels"


def test_an_archive_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    content = archive(x=npy_of(X), y=npy_of(Y), **{"\N{SNAKE}": b""})
    assert (
        refused(content.replace("\N{SNAKE}".encode(), b"\xff\xff\xff\xff"), tmp_path).code
        == "dataset_not_npz"
    )


VALID = (
    npz(),
    npz(compress=True),
    npz(y=np.array(["cat", "dog"] * 5)),
    archive(zipfile.ZIP_DEFLATED, x=npy_of(X), y=npy_of(Y)),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_no_damage_is_a_crash(tmp_path: Path, content: bytes, changes: list[tuple[float, int]]) -> None:
    damaged = bytearray(content)
    for share, value in changes:
        damaged[int(share * len(damaged))] = value
    with suppress(Invalid):
        assert described(bytes(damaged), tmp_path).samples > 1


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["x", "y"]), st.binary(max_size=200), st.booleans())
def test_no_member_is_a_crash(tmp_path: Path, name: str, content: bytes, magic: bool) -> None:
    damaged = (b"\x93NUMPY\x01\x00" if magic else b"") + content
    arrays = {"x": npy_of(X), "y": npy_of(Y), name: damaged}
    with suppress(Invalid):
        found = described(archive(**arrays), tmp_path)
        assert found.samples == sum(one.count for one in found.classes)


def test_the_checksums_of_a_damaged_file_are_looked_at(tmp_path: Path) -> None:
    content = npz()
    at = content.index(X.tobytes())
    damaged = content[:at] + b"\xff" + content[at + 1 :]
    assert refused(damaged, tmp_path).code == "dataset_not_npz"
