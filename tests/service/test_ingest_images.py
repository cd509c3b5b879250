"""An uploaded zip of class folders: what becomes of real images, and what is refused with which code."""

import io
import resource
import struct
import time
import tracemalloc
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from schemas.datasets import Dataset
from schemas.problems import InsufficientStorage, Invalid, UnsupportedMediaType
from service.ingest import archives, ingested
from service.ingest.images import MAX_PIXELS
from service.ingest.refusals import MAX_NAMED
from service.ingest.zips import common_size

MANY = 2**30
GREY = np.arange(48, dtype="uint8").reshape(6, 8)
COLOURS = np.arange(144, dtype="uint8").reshape(6, 8, 3)


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    """A file of an image, or of pixels (H, W) or (H, W, C)."""
    target = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(target, kind, **options)
    return target.getvalue()


def plain(width: int, height: int, colour: Any = 7, mode: str = "L", **options: Any) -> bytes:
    return encoded(Image.new(mode, (width, height), colour), **options)


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return target.getvalue()


def classes(*more: str, **files: bytes) -> dict[str, bytes]:
    """Two classes of two images each, and what else is given, as ``a_1=...`` for ``a/1``."""
    found = {f"{label}/{number}.png": encoded(GREY) for label in "ab" for number in (1, 2)}
    return found | {name: encoded(GREY) for name in more} | {k.replace("_", "/"): v for k, v in files.items()}


def taken(
    content: bytes, folder: Path, max_bytes: int = MANY, spare_bytes: int = 0
) -> tuple[Dataset, Any, Any]:
    """The data set, and `x` and `y` as a worker would load them."""
    file = folder / "upload"
    file.write_bytes(content)
    try:
        with (
            ingested(file, "sha256:00", "pets", max_bytes, spare_bytes) as found,
            np.load(found.file, allow_pickle=False) as arrays,
        ):
            return found.dataset, arrays["x"], arrays["y"]
    finally:
        assert list(folder.iterdir()) == [file], "nothing is left behind"


def refused(content: bytes, folder: Path, max_bytes: int = MANY) -> Invalid:
    with pytest.raises(Invalid) as caught:
        taken(content, folder, max_bytes)
    assert caught.value.status == 422
    assert caught.value.errors[0].code == caught.value.code
    return caught.value


def pixels_of(one: bytes, folder: Path) -> Any:
    """What becomes of one file, as an image of each of two classes."""
    return taken(zipped({"a/1": one, "b/1": one}), folder)[1][0]


# What is taken


@pytest.mark.parametrize(("pixels", "channels"), [(GREY, 1), (COLOURS, 3)])
def test_pixels_and_labels_are_those_of_the_files(pixels: Any, channels: int, tmp_path: Path) -> None:
    files = {"dog/1.png": pixels, "cat/2.png": pixels + 1, "cat/10.png": pixels + 2}
    content = zipped({name: encoded(image) for name, image in files.items()})
    found, x, y = taken(content, tmp_path)
    # By class, then by name.
    np.testing.assert_array_equal(x, np.stack([pixels + 2, pixels + 1, pixels]))
    assert y.tolist() == ["cat", "cat", "dog"]
    assert (found.kind, found.dtype, found.shape) == ("zip", "uint8", (6, 8, channels))
    assert [(one.name, one.count) for one in found.classes] == [("cat", 2), ("dog", 1)]
    assert (found.samples, found.bytes, found.digest) == (3, len(content), "sha256:00")
    assert list(found.warnings) == []


def test_the_order_of_the_archive_does_not_matter(tmp_path: Path) -> None:
    files = {f"{label}/{number}.png": encoded(GREY + number) for label in "cab" for number in range(3)}
    _, x, y = taken(zipped(files), tmp_path)
    _, other_x, other_y = taken(zipped(dict(reversed(files.items())), zipfile.ZIP_DEFLATED), tmp_path)
    np.testing.assert_array_equal(x, other_x)
    np.testing.assert_array_equal(y, other_y)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP"])
def test_lossless_formats_keep_every_pixel(kind: str, tmp_path: Path) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = GREY if kind == "GIF" else COLOURS
    np.testing.assert_array_equal(pixels_of(encoded(pixels, kind, **options), tmp_path), pixels)


def test_a_jpeg_is_taken_whatever_its_name(tmp_path: Path) -> None:
    found = pixels_of(encoded(Image.new("RGB", (64, 48), (200, 30, 90)), "JPEG"), tmp_path)
    assert found.shape == (48, 64, 3)
    assert np.abs(found.astype(int) - (200, 30, 90)).max() < 4


def test_of_a_film_the_first_picture_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 6), level) for level in (10, 200)]
    film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert set(pixels_of(film, tmp_path).ravel().tolist()) == {10}


def painted(mode: str, colour: Any, **options: Any) -> bytes:
    return encoded(Image.new(mode, (4, 4), colour), **options)


def palette_image(colours: list[int], **options: Any) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette(colours)
    return encoded(image, **options)


@pytest.mark.parametrize(
    ("file", "pixel"),
    [
        (painted("1", 1), 255),
        (painted("L", 77), 77),
        (encoded(np.full((4, 4), 0x1234, "uint16")), 0x12),
        (painted("LA", (77, 255)), 77),
        # Half of black over white.
        (painted("LA", (0, 128)), 127),
        (painted("RGB", (1, 2, 3)), [1, 2, 3]),
        (painted("RGBA", (1, 2, 3, 255)), [1, 2, 3]),
        (painted("RGBA", (255, 0, 0, 0)), [255, 255, 255]),
        (painted("RGB", (1, 2, 3), transparency=(1, 2, 3)), [255, 255, 255]),
        (palette_image([0, 0, 0, 9, 8, 7]), [9, 8, 7]),
        (palette_image([0, 0, 0, 9, 9, 9]), 9),
        (palette_image([0, 0, 0, 9, 8, 7], transparency=1), [255, 255, 255]),
        (palette_image([0, 0, 0, 9, 8, 7], kind="GIF"), [9, 8, 7]),
        (palette_image([0, 0, 0, 9, 8, 7], kind="BMP"), [9, 8, 7]),
        (painted("CMYK", (0, 0, 0, 255), kind="JPEG"), [0, 0, 0]),
    ],
)
def test_every_mode_becomes_bytes_of_grey_or_colour(file: bytes, pixel: Any, tmp_path: Path) -> None:
    assert pixels_of(file, tmp_path)[0, 0].tolist() == pixel


def test_one_image_in_colour_makes_all_of_them_so(tmp_path: Path) -> None:
    found, x, _ = taken(zipped(classes(a_3=encoded(COLOURS))), tmp_path)
    assert found.shape == (6, 8, 3)
    np.testing.assert_array_equal(x[2], COLOURS)
    np.testing.assert_array_equal(x[0], np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_images_stand_as_the_camera_was_held(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.kron(np.array([[0, 80], [160, 240]], "uint8"), np.ones((8, 16), "uint8")))
    options = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    found = pixels_of(encoded(image, kind, exif=exif, **options), tmp_path)
    if found.ndim == 3:
        found = found[..., 0]
    corners = [round(int(found[at]) / 80) for at in ((0, 0), (0, -1), (-1, 0), (-1, -1))]
    # What each of EXIF's eight values means for the corners 0 1 / 2 3 of the stored image.
    expected = ["0123", "1032", "3210", "2301", "0213", "2031", "3120", "1302"]
    assert "".join(map(str, corners)) == expected[orientation - 1]
    assert found.shape == ((16, 32) if orientation < 5 else (32, 16))


def test_a_damaged_note_of_the_camera_is_no_damage(tmp_path: Path) -> None:
    assert pixels_of(encoded(GREY, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"), tmp_path).shape == (6, 8)


# Folders


@pytest.mark.parametrize("prefix", ["", "pets/", "./", "./pets/"])
def test_one_top_folder_is_allowed(prefix: str, tmp_path: Path) -> None:
    files = {f"{prefix}{name}": content for name, content in classes("a/more/3.png").items()}
    found, _, y = taken(zipped(files), tmp_path)
    assert [one.name for one in found.classes] == ["a", "b"]
    assert y.tolist() == ["a"] * 3 + ["b"] * 2


def test_what_systems_leave_behind_is_skipped_and_counted(tmp_path: Path) -> None:
    junk = ["__MACOSX/a/._1.png", "a/.DS_Store", "b/Thumbs.db", ".git/x", "a/.hidden/1.png"]
    folders = {"a/": b"", "empty/": b""}
    found, _, _ = taken(zipped({**folders, **classes(), **dict.fromkeys(junk, b"junk")}), tmp_path)
    assert (found.samples, [one.name for one in found.classes]) == (4, ["a", "b"])
    assert found.warnings[0]["code"] == "files_skipped"
    assert found.warnings[0]["detail"].startswith("5 files")


def test_names_of_classes_are_any_text_and_one_in_every_spelling(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "café/1.png") for form in ("NFC", "NFD")]
    found, _, y = taken(zipped(classes(*names, "ключ/1", "\N{SNAKE}/1")), tmp_path)
    assert [one.name for one in found.classes] == sorted(["a", "b", "café", "ключ", "\N{SNAKE}"])
    assert Counter(y.tolist())["café"] == 2
    assert [one.name for one in found.classes] == np.unique(y).tolist()


@pytest.mark.parametrize(
    ("files", "code", "pointer"),
    [
        (classes("3.png"), "image_without_class", "/3.png"),
        (classes("README.txt"), "image_without_class", "/README.txt"),
        ({"p/a/1": b"", "p/2": b""}, "image_without_class", "/p/2"),
        (classes("\n/1.png"), "dataset_bad_labels", "/\N{REPLACEMENT CHARACTER}/1.png"),
        (classes(" /1.png"), "dataset_bad_labels", "/ /1.png"),
        ({f"{label * 201}/1.png": encoded(GREY) for label in "ab"}, "dataset_bad_labels", "/" + "a" * 200),
        ({f"{label}/1.png": encoded(GREY) for label in ("train", "Test")}, "dataset_bad_labels", ""),
        ({f"{label}/cat/1": encoded(GREY) for label in ("train", "val")}, "dataset_bad_labels", ""),
        ({"a/1.png": encoded(GREY), "a/2.png": encoded(GREY)}, "dataset_single_class", ""),
        ({"a/1.png": encoded(GREY)}, "dataset_too_small", ""),
        ({}, "dataset_too_small", ""),
        ({"a/": b"", "b/": b""}, "dataset_too_small", ""),
        ({"../a/1.png": b""}, "archive_unsafe_path", "/../a/1.png"),
        ({"a/../../1.png": b""}, "archive_unsafe_path", "/a/../../1.png"),
        ({"__MACOSX/../x": b""}, "archive_unsafe_path", "/__MACOSX/../x"),
        ({"/a/1.png": b""}, "archive_unsafe_path", "//a/1.png"),
        ({"C:/a/1.png": b""}, "archive_unsafe_path", "/C:/a/1.png"),
        ({"c:a/1.png": b""}, "archive_unsafe_path", "/c:a/1.png"),
        ({"a\\1.png": b""}, "archive_unsafe_path", "/a\\1.png"),
        ({"\\\\host\\1.png": b""}, "archive_unsafe_path", "/\\\\host\\1.png"),
    ],
)
def test_what_is_no_folder_of_classes_is_refused(
    files: dict[str, bytes], code: str, pointer: str, tmp_path: Path
) -> None:
    found = refused(zipped(files), tmp_path)
    assert (found.code, found.errors[0].pointer) == (code, pointer)


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    content = zipped(classes("b/X.png")).replace(b"b/X.png", b"b/\x00.png")
    assert refused(content, tmp_path).code == "archive_unsafe_path"


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140777])
def test_links_and_devices_are_refused(mode: int, tmp_path: Path) -> None:
    target = io.BytesIO(zipped(classes()))
    with zipfile.ZipFile(target, "a") as opened:
        link = zipfile.ZipInfo("b/link.png")
        link.external_attr = mode << 16
        opened.writestr(link, "/etc/passwd")
    found = refused(target.getvalue(), tmp_path)
    assert (found.code, found.errors[0].pointer) == ("archive_link_member", "/b/link.png")


# One size


def test_images_of_the_size_that_most_have_stay_as_they_are(tmp_path: Path) -> None:
    found, x, _ = taken(zipped(classes(b_3=plain(16, 12, 99), b_4=plain(3, 90, 50))), tmp_path)
    assert found.shape == (6, 8, 1)
    np.testing.assert_array_equal(x[:4], np.stack([GREY] * 4))
    assert (set(x[4].ravel().tolist()), set(x[5].ravel().tolist())) == ({99}, {50})
    assert [one["code"] for one in found.warnings] == ["images_resized"]
    assert found.warnings[0]["detail"] == "2 of 6 images, of 3 sizes, were made 8 x 6 pixels."


def test_large_photographs_of_many_sizes_become_small(tmp_path: Path) -> None:
    sizes = [(600, 400), (900, 600), (1200, 800)]
    files = {f"{label}/{width}.jpg": (width, height) for label in "ab" for width, height in sizes}
    photos = {name: plain(*size, (9, 99, 199), "RGB", kind="JPEG") for name, size in files.items()}
    found, x, _ = taken(zipped(photos), tmp_path)
    assert found.shape == (171, 256, 3)
    assert np.abs(x.astype(int) - (9, 99, 199)).max() < 4


def test_a_turned_image_is_stretched_as_it_stands(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    left_dark = np.hstack([np.zeros((40, 40), "uint8"), np.full((40, 40), 255, "uint8")])
    _, x, _ = taken(zipped(classes(b_3=encoded(left_dark, exif=exif))), tmp_path)
    assert x[4][0].max() < 40, "what was left is on top"
    assert x[4][-1].min() > 215


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({(28, 28): 9}, (28, 28)),
        ({(28, 28): 6, (300, 300): 5}, (28, 28)),
        ({(3000, 2000): 6, (30, 30): 5}, (3000, 2000)),
        ({(10, 20): 1, (20, 10): 1}, (10, 10)),
        ({(20, 10): 1, (10, 20): 1}, (10, 10)),
        ({(10, 20): 1, (30, 40): 1, (50, 60): 1}, (30, 40)),
        ({(4000, 2): 1, (4002, 2): 1}, (256, 1)),
    ],
)
def test_the_one_size_is_the_common_one_or_else_the_medians(
    sizes: dict[tuple[int, int], int], expected: tuple[int, int]
) -> None:
    assert common_size(Counter(sizes)) == expected


# Bad images


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header declares so many pixels."""
    content = bytearray(plain(1, 1))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zipfile.crc32(content[12:29]))  # type: ignore[attr-defined]
    return bytes(content)


def webp_bomb(width: int, height: int) -> bytes:
    """A WebP whose canvas is said to be so large."""
    exif = Image.Exif()
    exif[0x0112] = 1
    content = bytearray(painted("RGBA", (1, 2, 3, 4), kind="WEBP", exif=exif, lossless=True))
    assert content[12:16] == b"VP8X"
    content[24:27] = (width - 1).to_bytes(3, "little")
    content[27:30] = (height - 1).to_bytes(3, "little")
    return bytes(content)


def gif_bomb() -> bytes:
    content = bytearray(plain(4, 4, kind="GIF"))
    content[6:10] = b"\xff" * 4
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (bomb(50_000, 50_000), "image_too_many_pixels"),
        (bomb(4097, 4096), "image_too_many_pixels"),
        (webp_bomb(16_000, 16_000), "image_too_many_pixels"),
        (gif_bomb(), "image_too_many_pixels"),
        (bomb(0, 5), "image_corrupt"),
        (b"SIMPLE  =                    T" + bytes(2850), "image_format_not_allowed"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image_format_not_allowed"),
        (encoded(GREY, "TIFF"), "image_format_not_allowed"),
        (encoded(GREY, "PPM"), "image_format_not_allowed"),
        (encoded(GREY, "ICO"), "image_format_not_allowed"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image_format_not_allowed"),
        (b"some text", "image_format_not_allowed"),
        (b"", "image_format_not_allowed"),
        (encoded(COLOURS, "JPEG")[:-200], "image_corrupt"),
        (plain(64, 64, kind="JPEG")[:-40], "image_corrupt"),
        (encoded(COLOURS)[:-40], "image_corrupt"),
        (encoded(COLOURS, "WEBP")[:-10], "image_corrupt"),
        (encoded(COLOURS, "BMP")[:-10], "image_corrupt"),
        (b"\x89PNG\r\n\x1a\n", "image_corrupt"),
        (b"\xff\xd8\xff", "image_corrupt"),
        (zipped({"x": b""}), "archive_nested"),
        (zipped({}), "archive_nested"),
        (b"\x1f\x8b\x08" + bytes(20), "archive_nested"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "archive_nested"),
        (b"Rar!\x1a\x07\x01\x00", "archive_nested"),
        (bytes(257) + b"ustar\x0000" + bytes(248), "archive_nested"),
    ],
)
def test_what_is_no_image_is_refused_and_named(content: bytes, code: str, tmp_path: Path) -> None:
    found = refused(zipped(classes(b_3=content)), tmp_path)
    assert (found.code, found.errors[0].pointer) == (code, "/b/3")
    assert found.detail.startswith("b/3: ")


def test_many_bad_files_are_told_at_once(tmp_path: Path) -> None:
    two = refused(zipped(classes(a_3=b"text", b_3=b"text")), tmp_path)
    assert [item.pointer for item in two.errors] == ["/a/3", "/b/3"]
    assert two.detail.endswith("(1 more)")
    bad = {f"b/{number:02}.jpg": plain(64, 64, kind="JPEG")[:-40] for number in range(30)}
    found = refused(zipped(classes() | bad), tmp_path)
    assert [item.pointer for item in found.errors] == [f"/b/{number:02}.jpg" for number in range(MAX_NAMED)]
    assert {item.code for item in found.errors} == {"image_corrupt"}
    assert found.detail.endswith(f"(at least {MAX_NAMED} more)")


def test_a_large_image_is_taken_up_to_the_limit(tmp_path: Path) -> None:
    side = round(MAX_PIXELS**0.5)
    found, x, _ = taken(zipped(classes(b_3=plain(side, side, 200))), tmp_path)
    assert found.shape == (6, 8, 1)
    assert set(x[4].ravel().tolist()) == {200}


def test_images_that_stay_large_have_the_sides_of_an_npz(tmp_path: Path) -> None:
    assert refused(zipped({"a/1": plain(5000, 1), "b/1": plain(5000, 1)}), tmp_path).code == (
        "image_too_many_pixels"
    )


# Bad archives


@pytest.mark.parametrize(
    "content",
    [
        bytes(257) + b"ustar\x0000" + bytes(248),
        b"Rar!\x1a\x07\x01\x00" + bytes(20),
        b"7z\xbc\xaf\x27\x1c" + bytes(20),
        b"\x1f\x8b\x08" + bytes(20),
        b"BZh9" + bytes(20),
        b"\xfd7zXZ\x00" + bytes(20),
        b"\x28\xb5\x2f\xfd" + bytes(20),
    ],
)
def test_other_archives_are_of_another_type(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        taken(content, tmp_path)
    assert caught.value.code == "unsupported_media_type"


def marked(content: bytes, local: int, central: int, value: bytes) -> bytes:
    """A zip with a field of every member's two headers changed."""
    changed = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = changed.find(signature)
        while at >= 0:
            changed[at + offset : at + offset + len(value)] = value
            at = changed.find(signature, at + 1)
    return bytes(changed)


@pytest.mark.parametrize(
    "content",
    [
        marked(zipped(classes()), 6, 8, b"\x01"),
        marked(zipped(classes()), 8, 10, struct.pack("<H", 98)),
        marked(zipped(classes()), 8, 10, struct.pack("<H", 9)),
        marked(zipped(classes()), 4, 6, b"\xff"),
        zipped(classes(), zipfile.ZIP_LZMA),
        zipped(classes(), zipfile.ZIP_BZIP2),
    ],
)
def test_encrypted_archives_and_other_compressions_are_unsupported(content: bytes, tmp_path: Path) -> None:
    assert refused(content, tmp_path).code == "archive_unsupported"


def test_what_is_small_only_while_compressed_is_refused(tmp_path: Path) -> None:
    content = zipped(classes(b_3=bytes(10**6)), zipfile.ZIP_DEFLATED)
    assert refused(content, tmp_path, max_bytes=10**6).code == "archive_too_large_uncompressed"


def test_images_that_are_large_only_as_arrays_are_refused(tmp_path: Path) -> None:
    content = zipped({f"{label}/1.png": plain(1000, 1000) for label in "ab"})
    found = refused(content, tmp_path, max_bytes=10**6)
    assert found.code == "archive_too_large_uncompressed"
    assert "2 images of 1000 x 1000" in found.detail


def test_pixels_that_would_take_hours_are_refused_though_they_become_few(tmp_path: Path) -> None:
    content = zipped({f"{n % 2}/{n}.png": plain(4000 + n, 4000) for n in range(4)})
    assert len(content) < 2**18
    found = refused(content, tmp_path, max_bytes=6 * 10**7)
    assert found.code == "archive_too_large_uncompressed"
    assert "64,024,000 pixels" in found.detail


def lying(name: str, content: bytes, declared: int) -> bytes:
    """A zip in which a deflated member is said to have ``declared`` bytes."""
    whole = bytearray(zipped(classes() | {name: content}, zipfile.ZIP_DEFLATED))
    at = whole.index(name.encode(), whole.index(b"PK\x01\x02")) - 46
    whole[at + 24 : at + 28] = struct.pack("<I", declared)
    return bytes(whole)


@pytest.mark.parametrize("declared", [0, 10, 100, 5000])
def test_a_member_longer_than_it_says_is_refused_at_once(declared: int, tmp_path: Path) -> None:
    content = lying("b/3.png", encoded(GREY) + bytes(2**24), declared)
    tracemalloc.start()
    found = refused(content, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.code, found.errors[0].pointer) == ("archive_too_large_uncompressed", "/b/3.png")
    assert peak < 2**21


def test_a_member_whose_checksum_is_wrong_is_corrupt(tmp_path: Path) -> None:
    content = zipped(classes(b_3=encoded(GREY, "BMP")))
    at = content.index(GREY[::-1].tobytes()[:8])
    found = refused(content[:at] + b"\xff" + content[at + 1 :], tmp_path)
    assert (found.code, found.errors[0].pointer) == ("image_corrupt", "/b/3")


def directory_of(entries: int, claimed: int) -> bytes:
    """A zip that is a directory only, of so many entries, whose end claims another number."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, claimed, claimed, entries * 47, 0, 0)
    return entry * entries + end


@pytest.mark.parametrize("claimed", [0, 1, 65_535])
@pytest.mark.parametrize("entries", [archives.MAX_FILES + 1, 10**6, 2 * 10**6])
def test_a_million_members_are_refused_by_the_directory_alone(
    entries: int, claimed: int, tmp_path: Path
) -> None:
    content = directory_of(entries, claimed)
    start = time.perf_counter()
    assert refused(content, tmp_path).code == "archive_too_many_files"
    assert time.perf_counter() - start < 2


def test_no_room_on_the_disk_is_told_before_it_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InsufficientStorage):
        taken(zipped(classes()), tmp_path, spare_bytes=2**62)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(zipped({f"{label}/1.png": plain(1000, 1000) for label in "ab"}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(InsufficientStorage), ingested(file, "", "", MANY):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("offset", [1000, 2**32 - 2])
def test_members_outside_of_the_file_are_damage(offset: int, tmp_path: Path) -> None:
    content = bytearray(zipped(classes()))
    content[-6:-2] = struct.pack("<I", offset)
    assert refused(bytes(content), tmp_path).code == "dataset_not_npz"


def test_memory_does_not_grow_with_the_upload(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 512, 512), "uint8")
    content = zipped({f"{n % 2}/{n}.bmp": encoded(image, "BMP") for n, image in enumerate(x)})
    (tmp_path / "upload").write_bytes(content)
    tracemalloc.start()
    with ingested(tmp_path / "upload", "", "", MANY) as found:
        _, peak = tracemalloc.get_traced_memory()
        assert found.file.stat().st_size > x.nbytes
    tracemalloc.stop()
    assert peak < 2**21


# Anything at all


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=20), max_size=6, unique=True), st.sampled_from(["", "p/", "a/b/"]))
def test_no_name_is_a_crash(tmp_path: Path, names: list[str], prefix: str) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for name in names:
            with suppress(UnicodeEncodeError):
                opened.writestr(zipfile.ZipInfo(prefix + name), encoded(GREY))
    with suppress(Invalid):
        found, x, y = taken(target.getvalue(), tmp_path)
        assert len(x) == len(y) == found.samples
        assert [one.name for one in found.classes] == np.unique(y).tolist()


VALID = (
    zipped(classes()),
    zipped(classes(), zipfile.ZIP_DEFLATED),
    zipped({f"{label}/1": encoded(COLOURS, kind) for label in "ab" for kind in ("JPEG", "WEBP", "GIF")}),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_no_damage_is_a_crash(tmp_path: Path, content: bytes, changes: list[tuple[float, int]]) -> None:
    damaged = bytearray(content)
    for share, value in changes:
        damaged[int(share * len(damaged))] = value
    with suppress(Invalid, UnsupportedMediaType):
        found, x, _ = taken(bytes(damaged), tmp_path)
        assert len(x) == found.samples


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_no_damaged_image_is_a_crash(tmp_path: Path, kind: str, changes: list[tuple[float, int]]) -> None:
    damaged = bytearray(encoded(COLOURS, kind))
    for share, value in changes:
        damaged[int(share * len(damaged))] = value
    with suppress(Invalid):
        assert taken(zipped(classes(b_3=bytes(damaged))), tmp_path)[0].samples == 5


def test_a_zip_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = zipped(classes())
    for end in range(0, len(content), 7):
        assert refused(content[:end], tmp_path).code == "dataset_not_npz"
