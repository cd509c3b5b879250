"""Data for training: arrays of a data set, and their division into shares."""

import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.recipe import Preprocessing, Split

Array = NDArray[Any]

# Data sets that a process keeps open from trial to trial.
_KEPT = 2


class DatasetUnreadable(RuntimeError):
    """The bytes of a data set are not what they were when it was uploaded."""


@dataclass(frozen=True)
class Arrays:
    """``x`` (N, H, W, C) or (N, F) as uploaded; ``y`` (N,) indexes into ``class_names``."""

    x: Array
    y: Array
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Indices:
    """Which images belong to which share; ascending, disjoint, together all of them."""

    training: Array
    validation: Array
    test: Array


def _digits() -> Arrays:
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = tuple(str(name) for name in digits.target_names)
    return Arrays(digits.images.astype(np.uint8)[..., np.newaxis], digits.target, names)


BUILTIN_LOADERS: dict[str, Callable[[], Arrays]] = {"builtin:digits": _digits}


def open_npz(file: Path) -> Arrays:
    """An upload that was checked when it came in.

    Raises:
        DatasetUnreadable: it cannot be read any more.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            x, y = archive["x"], archive["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetUnreadable(f"the stored data set cannot be read: {error}") from error
    names, labels = np.unique(y, return_inverse=True)
    images = x[..., np.newaxis] if x.ndim == 3 else x
    return Arrays(_compact(images), labels, tuple(str(name) for name in names))


def _compact(x: Array) -> Array:
    """Bytes stay bytes; all else becomes the 32-bit floats that training computes with."""
    return x if x.dtype == np.uint8 else x.astype(np.float32)


class Shelf:
    """Keeps the data sets used last open, so that a warm slot does not read them again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Arrays] = OrderedDict()

    def get(self, digest: str, load: Callable[[], Arrays]) -> Arrays:
        if digest not in self._kept:
            self._kept[digest] = load()
        self._kept.move_to_end(digest)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[digest]


def divide(y: Array, split: Split, seed: int) -> Indices:
    """Divides images at random, the same way for the same seed.

    Stratified, each class is divided on its own by `Split.divide`, so that every share has at least
    one image of every class, however small the class is.

    Args:
        y: labels (N,).
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(y == label) for label in np.unique(y)]
    if not split.stratify:
        groups = [np.arange(len(y))]
    shares = [_shares(rng.permutation(group), split) for group in groups]
    parts = (np.sort(np.concatenate(part)) for part in zip(*shares, strict=True))
    return Indices(*parts)


def _shares(shuffled: Array, split: Split) -> Sequence[Array]:
    training, validation, _ = split.divide(len(shuffled))
    return np.split(shuffled, [training, training + validation])


@dataclass(frozen=True)
class Scaling:
    """``x -> (x - offset) / scale`` for every pixel, learned from the images that are trained on."""

    offset: float
    scale: float

    @classmethod
    def learn(cls, preprocessing: Preprocessing, x: Array) -> "Scaling":
        if preprocessing.scaling == "none":
            return cls(0.0, 1.0)
        if preprocessing.scaling == "unit":
            low, high = float(x.min()), float(x.max())
            return cls(low, (high - low) or 1.0)
        return cls(float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64)) or 1.0)
