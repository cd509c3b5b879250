"""Preprocessing: part of the model that is handed out, done once before training.

The net is trained on prepared images: what resizing and colours cost is not paid in every step. The very same
layers stand in front of the net in the exported model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from schemas.preprocessing import Preprocessing
from tuning.data import Array
from tuning.devices import for_prediction

# Images that are prepared at once.
_BATCH = 256


@dataclass(frozen=True)
class Scaling:
    """``x -> (x - offset) / scale``, learned from the inputs that are trained on.

    One number each for all pixels of images; one for each feature of rows, since features have units of
    their own. ``low`` and ``high`` are the ends of the inputs' values.
    """

    offset: Any
    scale: Any
    low: Any
    high: Any

    @classmethod
    def learn(cls, preprocessing: Preprocessing, x: Array) -> "Scaling":
        """From prepared inputs (N, H, W, C) or (N, F)."""
        axis = None if x.ndim == 4 else 0
        low, high = x.min(axis=axis), x.max(axis=axis)
        ends = _plain(low), _plain(high)
        if preprocessing.scaling == "none":
            return cls(0.0, 1.0, *ends)
        if preprocessing.scaling == "unit":
            spread = high.astype(np.float64) - low
            return cls(_plain(low), _plain(np.where(spread == 0, 1.0, spread)), *ends)
        deviation = x.std(axis=axis, dtype=np.float64)
        mean = x.mean(axis=axis, dtype=np.float64)
        return cls(_plain(mean), _plain(np.where(deviation == 0, 1.0, deviation)), *ends)

    def layer(self) -> keras.layers.Layer:
        scale, offset = np.asarray(self.scale), np.asarray(self.offset)
        # Whole numbers above 256 are not exact in 16 bits: what comes in raw is scaled in 32.
        return keras.layers.Rescaling(
            _plain(1.0 / scale), _plain(-offset / scale), dtype="float32", name="scaling"
        )


def _plain(value: Any) -> Any:
    """A float, or a list of them: what a model file can hold."""
    return np.asarray(value, dtype=np.float64).tolist()


@dataclass(frozen=True)
class Preparation:
    """Resizing and colours, for raw inputs of one shape (H, W, C) or (F,)."""

    preprocessing: Preprocessing
    raw_shape: tuple[int, ...]

    @classmethod
    def of(cls, preprocessing: Preprocessing, raw_shape: Sequence[int]) -> "Preparation":
        return cls(preprocessing, tuple(raw_shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a prepared input.

        Raises:
            Infeasible: these inputs cannot be prepared so.
        """
        return self.preprocessing.prepared(self.raw_shape)

    def layers(self, pixels: keras.KerasTensor) -> keras.KerasTensor:
        """Raw pixels (batch, *raw_shape) to prepared ones (batch, *shape)."""
        if self.shape == self.raw_shape:
            return pixels
        if self.shape[:2] != self.raw_shape[:2]:
            pixels = keras.layers.Resizing(*self.shape[:2], name="resizing")(pixels)
        channels = pixels.shape[-1]
        if channels == self.shape[-1]:
            return pixels
        if channels == 1:
            return keras.layers.Concatenate(name="rgb")([pixels] * 3)
        if self.shape[-1] == 3:
            # What is left of red, green, blue and alpha.
            return pixels[..., :3]
        return keras.ops.image.rgb_to_grayscale(pixels[..., :3])

    def apply(self, x: Array) -> Array:
        """Raw inputs (N, *raw_shape) to prepared ones (N, *shape); the same array if nothing is to do.

        Raises:
            Infeasible: they would take more memory than there may be.
        """
        if self.shape == self.raw_shape:
            return x
        self.preprocessing.fits(len(x), self.raw_shape)
        pixels = keras.Input(shape=self.raw_shape)
        model = keras.Model(pixels, self.layers(pixels))
        for_prediction(model)
        prepared: Array = model.predict(x, batch_size=_BATCH, verbose=0)
        return prepared
