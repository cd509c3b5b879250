"""Data sets: images or rows of features with their classes, kept by the service."""

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from tuneserve.archives import write_class_folders, write_npz
from tuneserve.errors import Forbidden, Invalid, MissingExtra
from tuneserve.html import dataset_html
from tuneserve.paths import api_path
from tuneserve.progress import ProgressOption, transfer
from tuneserve.records import Document, Record
from tuneserve.responses import items_of

if TYPE_CHECKING:
    from numpy import ndarray
    from numpy.typing import ArrayLike

    from tuneserve.client import Client

    Array = ndarray[Any, Any]

UPLOAD_TIMEOUT_SECONDS = 300.0
"""The service reads and checks the whole data set before it answers."""


@dataclass(frozen=True, kw_only=True)
class DatasetClass(Record):
    """One class of a data set and how many samples it has."""

    name: str
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class Dataset(Record):
    """A data set; `shape` is that of one sample, `digest` that of the content."""

    id: str
    name: str | None = None
    digest: str = ""
    kind: str = ""
    shape: tuple[int, ...] = ()
    samples: int = 0
    classes: tuple[DatasetClass, ...] = ()
    dtype: str = ""
    bytes: int = 0
    warnings: tuple[Any, ...] = ()
    create_time: datetime | None = None

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a data set with its classes."""
        classes = [DatasetClass.parse(one) for one in document.get("classes") or ()]
        return super().parse({**document, "classes": classes})

    def _repr_html_(self) -> str:
        return dataset_html(self)


class Datasets:
    """The data sets of a project, as `client.datasets`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def upload(
        self,
        source: "str | os.PathLike[str] | ArrayLike | None" = None,
        y: "ArrayLike | None" = None,
        *,
        x: "ArrayLike | None" = None,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
        progress: ProgressOption = "auto",
    ) -> Dataset:
        """Upload arrays, a file or a folder; what the service has already is not sent again.

        Of bytes that are there already the data set is given as it is: it keeps the name that it has, which
        the answer tells, and `name` changes nothing.

        Args:
            source: A folder of class folders (`cats/1.png`, `dogs/2.jpg`), a zip of one, or an npz with `x`
                and `y`; or the same as `x`.
            x: Numbers, (N, H, W) or (N, H, W, C) raw pixels, or (N, F) features; tensors and lists as well.
            y: Classes, (N,) or (N, 1), integers or strings.
            class_names: Name of each class, where `y` holds integers from 0.
            name: For people; not unique. Only of what is new. A file or folder gives its own.
            progress: "auto" shows a bar if stderr is a terminal; True always does, False never.

        Raises:
            ValueError: The arrays do not go together, or the file or folder is of another kind.
            OSError: The file or folder cannot be read.
            MissingExtra: Arrays, and NumPy is not installed.
            Invalid: The service cannot use them; the message says why.
        """
        if isinstance(source, (str, os.PathLike)):
            if x is not None or y is not None or class_names is not None:
                raise ValueError("a file or folder has its own classes: leave x, y and class_names out")
            path = Path(source)
            with _packed_path(path) as file:
                return self._send(file, name or path.resolve().stem, progress)
        if source is not None and x is not None:
            raise ValueError("give x once, not as source as well")
        images = x if source is None else source
        if images is None or y is None:
            raise ValueError("give a file, a folder, or both x= and y=")
        with _packed_arrays(*_arrays(images, y, class_names)) as file:
            return self._send(file, name, progress)

    def upload_file(
        self, path: str | os.PathLike[str], *, name: str | None = None, progress: ProgressOption = "auto"
    ) -> Dataset:
        """Upload a file or folder: `upload` under its earlier name."""
        return self.upload(path, name=name, progress=progress)

    def get(self, id: str) -> Dataset:
        """The data set with this id; raises `NotFound`."""
        return Dataset.parse(self._client.get(api_path("datasets", id)))

    def list(self, *, digest: str | None = None, page_size: int = 50) -> Iterator[Dataset]:
        """The uploads, newest first, fetched page after page (at most 200 a page).

        Args:
            digest: Only that of these bytes, `sha256:...`.
        """
        found = self._client.pages(api_path("datasets"), digest=digest, page_size=page_size)
        return map(Dataset.parse, found)

    def delete(self, id: str | Dataset) -> None:
        """Remove an upload.

        Raises:
            Conflict: An unfinished job uses it.
        """
        self._client.delete(api_path("datasets", id.id if isinstance(id, Dataset) else id))

    def _send(self, file: BinaryIO, name: str | None, progress: ProgressOption) -> Dataset:
        return self._known(_digest(file)) or self._post(file, name, progress)

    def _known(self, digest: str) -> Dataset | None:
        """The data set of these bytes, if the service has it."""
        try:
            found = self._client.get(api_path("datasets"), digest=digest, page_size=1)
        except (Invalid, Forbidden):
            # An older service, which does not know the filter; or a key that may write only.
            return None
        # A service that passes over the filter answers with any data set.
        listed = map(Dataset.parse, items_of(found))
        return next((dataset for dataset in listed if dataset.digest == digest), None)

    def _post(self, file: BinaryIO, name: str | None, progress: ProgressOption) -> Dataset:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        with transfer(name or "data set", size, progress) as moved:
            document = self._client.post(
                api_path("datasets"),
                content=cast("BinaryIO", Counted(file, moved)),
                params={"name": name} if name else {},
                headers={"Content-Type": "application/octet-stream"},
                timeout=max(self._client.timeout, UPLOAD_TIMEOUT_SECONDS),
            )
        return Dataset.parse(document)


class Counted(io.RawIOBase):
    """A file that tells how far it is read; what is read again is taken back first."""

    def __init__(self, file: BinaryIO, moved: Callable[[int], None]) -> None:
        self._file = file
        self._moved = moved

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._moved(len(data))
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        before = self._file.tell()
        after = self._file.seek(offset, whence)
        if after != before:
            self._moved(after - before)
        return after

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


@contextmanager
def _packed_path(path: Path) -> Iterator[BinaryIO]:
    """A file as it is, a folder as a zip."""
    if path.is_dir():
        with tempfile.TemporaryFile(suffix=".zip") as packed:
            write_class_folders(cast("BinaryIO", packed), path)
            yield cast("BinaryIO", packed)
        return
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            hint = "; an npz is made by numpy.savez(file, x=..., y=...)" if path.suffix == ".npy" else ""
            raise ValueError(f"{path.name} is neither an npz nor a zip file{hint}")
        yield file


@contextmanager
def _packed_arrays(x: "Array", y: "Array") -> Iterator[BinaryIO]:
    # On disk, not in memory: the arrays may be as large as memory allows.
    with tempfile.TemporaryFile(suffix=".npz") as packed:
        write_npz(cast("BinaryIO", packed), {"x": x, "y": y})
        yield cast("BinaryIO", packed)


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    return "sha256:" + hashlib.file_digest(cast("Any", file), "sha256").hexdigest()


def _arrays(x: "ArrayLike", y: "ArrayLike", class_names: Sequence[str] | None) -> tuple["Array", "Array"]:
    images, labels = _array(x), _labels(_array(y))
    if images.dtype.kind not in "buif" or images.ndim not in (2, 3, 4):
        shape = f"{images.dtype} of shape {images.shape}"
        raise ValueError(f"x must be numbers, (N, H, W), (N, H, W, C) or (N, F), not {shape}")
    if len(images) != len(labels):
        raise ValueError(f"x has {len(images)} samples but y has {len(labels)} labels")
    return images, labels if class_names is None else _named(labels, class_names)


def _array(given: Any) -> "Array":
    """An array of the same memory where that can be had, as of tensors and memory maps."""
    np = _numpy()
    if callable(getattr(given, "detach", None)):
        # A tensor of PyTorch, which may be part of a graph, or on another device.
        given = given.detach().cpu()
    array: Array = np.asarray(given)
    return array


def _numpy() -> ModuleType:
    try:
        import numpy
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise MissingExtra("numpy", "uploading arrays") from None
    return numpy


def _labels(y: "Array") -> "Array":
    # Keras' own CIFAR loaders give (N, 1).
    labels = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if labels.ndim != 1:
        raise ValueError(f"y must be (N,), one class a sample, not {y.shape}")
    if labels.dtype.kind not in "OT":
        return labels
    # Python strings in an array would be pickled, and no service should open a pickle.
    if not all(isinstance(label, str) for label in labels):
        raise ValueError("y must hold integers, or strings only")
    return labels.astype(str)


def _named(labels: "Array", class_names: Sequence[str]) -> "Array":
    import numpy as np

    if labels.dtype.kind not in "ui":
        raise ValueError("class_names goes with integer labels; y already has names")
    if len(set(class_names)) != len(class_names):
        raise ValueError("class_names has the same name twice")
    if labels.size and not 0 <= labels.min() <= labels.max() < len(class_names):
        span = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"y goes from {span}, but class_names has {len(class_names)} names")
    return np.asarray(class_names, dtype=str)[labels]
