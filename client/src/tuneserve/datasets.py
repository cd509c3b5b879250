"""Data sets: images or rows of features with their classes, kept by the service."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from tuneserve.paths import api_path
from tuneserve.records import Document, Record

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


class Datasets:
    """The data sets of a project, as `client.datasets`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def upload(
        self,
        x: "ArrayLike",
        y: "ArrayLike",
        *,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Dataset:
        """Upload arrays; the same arrays again give the data set that is already there.

        Args:
            x: Numbers, (N, H, W) or (N, H, W, C) raw pixels, or (N, F) features.
            y: Classes, (N,) or (N, 1), integers or strings.
            class_names: Name of each class, where `y` holds integers from 0.
            name: For people; not unique.

        Raises:
            ValueError: The arrays do not go together.
            Invalid: The service cannot use them; the message says why.
        """
        images, labels = _arrays(x, y, class_names)
        # On disk, not in memory: the arrays may be as large as memory allows.
        with tempfile.TemporaryFile(suffix=".npz") as file:
            _pack(file, images, labels)
            return self._send(file, name)

    def upload_file(self, path: str | os.PathLike[str], *, name: str | None = None) -> Dataset:
        """Upload an npz file that holds `x` and `y`; its name is that of the file unless given."""
        with Path(path).open("rb") as file:
            return self._send(file, name or Path(path).stem)

    def _send(self, file: BinaryIO, name: str | None) -> Dataset:
        document = self._client.post(
            api_path("datasets"),
            content=file,
            params={"name": name} if name else {},
            headers={"Content-Type": "application/octet-stream"},
            timeout=max(self._client.timeout, UPLOAD_TIMEOUT_SECONDS),
        )
        return Dataset.parse(document)


def _pack(file: BinaryIO, x: "Array", y: "Array") -> None:
    import numpy as np

    np.savez(file, x=x, y=y)


def _arrays(x: "ArrayLike", y: "ArrayLike", class_names: Sequence[str] | None) -> tuple["Array", "Array"]:
    import numpy as np

    images, labels = np.asarray(x), _labels(np.asarray(y))
    if images.dtype.kind not in "buif" or images.ndim not in (2, 3, 4):
        shape = f"{images.dtype} of shape {images.shape}"
        raise ValueError(f"x must be numbers, (N, H, W), (N, H, W, C) or (N, F), not {shape}")
    if len(images) != len(labels):
        raise ValueError(f"x has {len(images)} samples but y has {len(labels)} labels")
    return images, labels if class_names is None else _named(labels, class_names)


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
