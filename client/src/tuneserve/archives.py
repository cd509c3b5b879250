"""Archives to upload: arrays as npz, folders of class folders as zip.

The same content makes the same bytes, whenever and wherever it is packed: members are sorted and carry one
fixed time. So the service knows it by its digest, and nothing is sent twice.
"""

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can say."""

PIECE_BYTES = 2**22
"""So much of an array or a file is in memory at a time."""

COMPRESSED = frozenset({".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"})
"""Images that would not become smaller by being compressed once more."""
IMAGES = COMPRESSED | {".bmp"}
"""What the service reads."""

JUNK = frozenset({"__macosx", "desktop.ini", "thumbs.db"})
"""What file managers leave behind."""

MOST_FOLDERS = 16
"""Folders inside each other."""

SHARES = frozenset({"test", "testing", "train", "training", "val", "valid", "validation"})
"""What folders are called in data that has been divided already."""


def write_npz(file: BinaryIO, arrays: Mapping[str, "Array"]) -> None:
    """Write arrays as `numpy.savez` would, in pieces, in C order and with the lower byte first.

    Views, memory maps and arrays in another order are not copied as a whole.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            # Its final size is not known to zipfile when the member begins.
            with archive.open(_member(f"{name}.npy"), "w", force_zip64=True) as member:
                _write_npy(member, array)


def _write_npy(member: Any, array: "Array") -> None:
    import numpy as np
    from numpy.lib import format as npy

    dtype = array.dtype.newbyteorder("<")
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
    npy.write_array_header_1_0(member, header)
    pieces: Any = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_dtypes=[dtype],
        casting="equiv",
        order="C",
        buffersize=max(PIECE_BYTES // max(dtype.itemsize, 1), 1),
    )
    for piece in pieces:
        member.write(piece.tobytes())


def write_class_folders(file: BinaryIO, folder: Path) -> None:
    """Write a zip of the images in a folder of class folders, `cats/1.png`, `dogs/2.jpg`.

    Folders in a class folder are of that class. Hidden files are left out. Of a folder that holds nothing but
    one folder of class folders, that is taken.

    Raises:
        ValueError: The folder is something else; the message names what is in the way.
    """
    root = folder.resolve()
    images = sorted(_images(root))
    with zipfile.ZipFile(file, "w") as archive:
        for name, path in images:
            info = _member(name)
            if path.suffix.lower() not in COMPRESSED:
                info.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(info, "w") as member:
                shutil.copyfileobj(source, member, PIECE_BYTES)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EARLIEST)
    # Otherwise the system that packs would be told.
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info


def _images(root: Path) -> Iterator[tuple[str, Path]]:
    """(name in the archive, file) of every image."""
    top, folders = _class_folders(root)
    for folder in folders:
        files = list(_below(folder, root))
        others = [path for path in files if not _is_image(path)]
        if others:
            are = "is no image" if len(others) == 1 else "are no images"
            raise ValueError(f"{_shown(others, root)} {are}; images are {', '.join(sorted(IMAGES))}")
        if not files:
            raise ValueError(f"{folder.name} has no images")
        for path in files:
            yield _text(path.relative_to(top)), path


def _below(folder: Path, root: Path, depth: int = 0) -> Iterator[Path]:
    """The files of a folder and of the folders in it."""
    if depth > MOST_FOLDERS:
        raise ValueError(f"{_shown([folder], root)} lies too deep, or is a link to a folder around it")
    folders, files = _inside(folder, root)
    yield from files
    for inner in folders:
        yield from _below(inner, root, depth + 1)


def _class_folders(root: Path) -> tuple[Path, list[Path]]:
    """The folder that the class folders are in, and these."""
    top = root
    folders, files = _inside(root, root)
    if len(folders) == 1 and not any(map(_is_image, files)):
        inner, others = _inside(folders[0], root)
        if inner and not any(map(_is_image, others)):
            top, folders, files = folders[0], inner, others
    images = [path for path in files if _is_image(path)]
    wanted = "put the images of each class into a folder that is called like the class"
    if images and folders:
        are = "is" if len(images) == 1 else "are"
        raise ValueError(f"{_shown(images, root)} {are} beside the class folders; {wanted}")
    if images:
        raise ValueError(f"{root.name} has no class folders, but images; {wanted}")
    if not folders:
        raise ValueError(f"{root.name} has no class folders; {wanted}")
    if len(folders) > 1 and {folder.name.lower() for folder in folders} <= SHARES:
        names = ", ".join(folder.name for folder in folders)
        text = "put all images of a class into one folder: a job's `split` divides them"
        raise ValueError(f"{names} are shares of divided data, not classes; {text}")
    return top, folders


def _inside(folder: Path, root: Path) -> tuple[list[Path], list[Path]]:
    """Folders and files, without hidden ones.

    Raises:
        ValueError: A link to something outside `root`, or to nothing.
    """
    found = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.name.lower() not in JUNK)
    for path in found:
        if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(root)):
            where = "outside of the folder" if path.exists() else "nothing"
            raise ValueError(f"{_shown([path], root)} is a link to {where}; put the file itself there")
    return [path for path in found if path.is_dir()], [path for path in found if path.is_file()]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGES


def _shown(paths: list[Path], root: Path) -> str:
    """The first three, and how many more."""
    names = ", ".join(_text(path.relative_to(root)) for path in paths[:3])
    return f"{names} and {len(paths) - 3} more" if len(paths) > 3 else names


def _text(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} has a name that is not UTF-8") from None
    return name
