"""Data for training: arrays of a data set, and their division into shares."""

import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from schemas.datasets import BUILTINS
from schemas.split import Split
from tuning.downloads import patient

Array = NDArray[Any]

# Data sets that a process keeps open from trial to trial.
_KEPT = 2


# Seconds without a byte from the network after which a download has failed.
_PATIENCE = 30.0


class DatasetUnreadable(RuntimeError):
    """The bytes of a data set are not what they were when it was uploaded."""


class DatasetUnavailable(RuntimeError):
    """A built-in data set that has to be downloaded cannot be."""


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


def _keras(name: str) -> Callable[[], Arrays]:
    """A loader of one of Keras' data sets; both of its parts as one, since the spec divides."""

    def load() -> Arrays:
        module = getattr(keras.datasets, name)
        try:
            with patient(_PATIENCE):
                (x, y), (more_x, more_y) = module.load_data()
        except Exception as error:
            # Keras raises a bare Exception where a download fails.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DatasetUnavailable(f"builtin:{name} cannot be downloaded here: {reason}") from error
        images, labels = np.concatenate([x, more_x]), np.concatenate([y, more_y]).reshape(-1)
        names = tuple(one.name for one in BUILTINS[f"builtin:{name}"].classes)
        return Arrays(images.reshape(*images.shape[:3], -1), labels.astype(np.int64), names)

    return load


BUILTIN_LOADERS: dict[str, Callable[[], Arrays]] = {
    "builtin:digits": _digits,
    **{f"builtin:{name}": _keras(name) for name in ("mnist", "fashion_mnist", "cifar10", "cifar100")},
}


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


def divide(y: Array, split: Split, seed: int) -> list[Indices]:
    """Divides images at random, the same way for the same seed: once, or once for each fold.

    Stratified, each class is divided on its own by `Split.divide`, so that every share has at least
    one image of every class, however small the class is. The test share is the same for all folds, each
    of the other images is in the validation share of exactly one.

    Args:
        y: labels (N,).
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(y == label) for label in np.unique(y)]
    if not split.stratify:
        groups = [np.arange(len(y))]
    shuffled = [rng.permutation(group) for group in groups]
    return [_indices(shuffled, split, fold) for fold in range(split.folds)]


def _indices(shuffled: Sequence[Array], split: Split, fold: int) -> Indices:
    shares = [_shares(group, split, fold, index) for index, group in enumerate(shuffled)]
    parts = (np.sort(np.concatenate(part)) for part in zip(*shares, strict=True))
    return Indices(*parts)


def _shares(shuffled: Array, split: Split, fold: int, index: int) -> Sequence[Array]:
    """Training, validation and test of one class."""
    training, validation, test = split.divide(len(shuffled))
    if split.folds == 1:
        return np.split(shuffled, [training, training + validation])
    seen, kept = np.split(shuffled, [len(shuffled) - test])
    ends = np.cumsum(split.fold_sizes(len(seen), index))
    folds = np.split(seen, ends[:-1])
    others = [part for place, part in enumerate(folds) if place != fold]
    return [np.concatenate(others), folds[fold], kept]
