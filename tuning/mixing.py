"""Augmentation that mixes two images and their labels: mixup and cutmix.

It changes the labels too, so it is done where batches are made, and not in front of the net.
"""

import math
from typing import Any

import keras
import numpy as np

from tuning.data import Array


class Mixing(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of mixed images, shuffled anew in each epoch, for `keras.Model.fit` with ``shuffle=False``.

    A batch is (x, y) or, with weights, (x, y, weights): x (batch, ...) as 32-bit floats; y (batch, classes)
    the shares of the classes, which sum to 1. The partner of each image comes from the same batch. With both
    alphas given, each batch is mixed in one of the two ways, by chance; with none, not at all.

    An image's own weight counts for its share of the mixed image: the loss of a mixed image is
    the mix of the two images' weighted losses. For this y and weights are mixed together.

    Everything follows from ``seed``, the epoch and the place of the batch, whoever asks for it and when.

    Args:
        x: inputs (N, H, W, C) or (N, F).
        y: labels (N,), whole numbers below ``classes``.
        mixup: alpha of mixup; 0 for none.
        cutmix: alpha of cutmix; 0 for none. Only for images.
        weights: of the images (N,).
        epoch: the first epoch, counted from 0, for a training that goes on.

    Raises:
        ValueError: cutmix of rows of features.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        classes: int,
        batch_size: int,
        seed: int,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        weights: Array | None = None,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        if cutmix and x.ndim != 4:
            raise ValueError("cutmix takes images, not rows of features")
        self.x, self.y, self.weights = x, y, weights
        self.one_hot = np.eye(classes, dtype=np.float32)
        self.batch_size, self.seed = batch_size, seed
        self.ways = [(mix, alpha) for mix, alpha in ((_mixup, mixup), (_cutmix, cutmix)) if alpha]
        self.epoch = epoch
        self.began = False
        self._shuffle()

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Array, ...]:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        rng = np.random.default_rng([self.seed, self.epoch, 1 + index])
        x = self.x[chosen].astype(np.float32)
        if not self.ways:
            return self._batch(x, chosen, chosen, np.ones(len(chosen)))
        mix, alpha = self.ways[rng.integers(len(self.ways))]
        places = rng.permutation(len(chosen))
        mixed, shares = mix(x, x[places], alpha, rng)
        return self._batch(mixed, chosen, chosen[places], shares)

    def on_epoch_begin(self) -> None:
        self.began = True

    def on_epoch_end(self) -> None:
        """Shuffles for the next epoch.

        Keras also says so before the first epoch of each `fit`: only an epoch that began has an end.
        """
        if self.began:
            self.epoch, self.began = self.epoch + 1, False
            self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng([self.seed, self.epoch, 0]).permutation(len(self.x))

    def _batch(self, x: Array, own: Array, partners: Array, shares: Array) -> tuple[Array, ...]:
        """The batch of images ``x``, which are ``own`` by ``shares`` and ``partners`` for the rest."""
        if self.weights is None:
            return x, self._labels(own, partners, shares)
        first, second = shares * self.weights[own], (1.0 - shares) * self.weights[partners]
        weights = first + second
        # Images that count for nothing still have labels.
        counted = np.divide(first, weights, out=shares.copy(), where=weights > 0)
        return x, self._labels(own, partners, counted), weights.astype(np.float32)

    def _labels(self, own: Array, partners: Array, shares: Array) -> Array:
        share = shares[:, np.newaxis].astype(np.float32)
        labels: Array = share * self.one_hot[self.y[own]] + (1 - share) * self.one_hot[self.y[partners]]
        return labels


def _mixup(x: Array, partner: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Two images blended (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization").

    Each image has a share of its own, not each batch.

    Returns:
        The blended images, and the share (batch,) of each that is its own.
    """
    shares = rng.beta(alpha, alpha, len(x))
    share = shares.astype(np.float32).reshape(-1, *[1] * (x.ndim - 1))
    return share * x + (1 - share) * partner, shares


def _cutmix(x: Array, partner: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """A box of one image pasted on another (Yun et al. 2019, "CutMix: Regularization Strategy to Train
    Strong Classifiers with Localizable Features").

    Each image has a box of its own, not each batch. It has the image's proportions and a centre anywhere, so
    that the border may cut it off: the label goes by the area that is really covered.

    Returns:
        The images, and the share (batch,) of each that is still its own.
    """
    count, height, width = x.shape[:3]
    sides = np.sqrt(1.0 - rng.beta(alpha, alpha, count))
    rows, columns = _covered(height, sides, rng), _covered(width, sides, rng)
    box = rows[:, :, np.newaxis] & columns[:, np.newaxis, :]
    mixed = np.where(box[..., np.newaxis], partner, x)
    return mixed, 1.0 - box.mean(axis=(1, 2))


def _covered(side: int, shares: Array, rng: np.random.Generator) -> Array:
    """Which of ``side`` places (batch, side) a stretch of this share of them covers, around any centre."""
    lengths = np.round(shares * side).astype(int)
    starts = rng.integers(side, size=len(shares)) - lengths // 2
    places: Any = np.arange(side)
    covered: Array = (places >= starts[:, np.newaxis]) & (places < (starts + lengths)[:, np.newaxis])
    return covered
