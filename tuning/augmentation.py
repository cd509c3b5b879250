"""Augmentation: random layers in front of the net, in training only.

They are no part of the net: what is handed out knows nothing of them. Keras' own layers are used where they
do what `schemas.augmentation` promises. Where they do not (Keras 3.15), that is said beside them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from schemas.augmentation import Augmentation
from tuning.preprocessing import Scaling

# What an image shows beyond its border: its border pixels go on. A plain background stays plain whatever
# its value is, which "constant" would have to know, and nothing is seen twice, as with Keras' "reflect".
_BEYOND = "nearest"
# The layers between see pixels in this range.
_UNIT = (0.0, 1.0)
# Whatever the policy: 16 bits cannot hold all pixels, nor (in bfloat16) all places of a large image.
_DTYPE = "float32"
# Shares of the image's area that are erased: Keras' default (Zhong et al. 2020 go up to 0.4).
_ERASED = (0.02, 0.33)


class Augmenting(layers.Layer):  # type: ignore[misc]
    """Applies the layers of an augmentation to pixels (batch, H, W, C) or rows (batch, F), if training.

    Gives floats of the same shape. When not training, the values come out as they went in. In between,
    pixels are ``(x - offset) / spread``, so that no layer has to know their range: some of Keras' (those
    of colour) are wrong in any other than [0, 1].

    Random numbers come from generators that are seeded when the layer is made, from
    `keras.utils.set_random_seed`; they are no weights.

    Args:
        offset: the least value of a pixel.
        spread: the range of pixel values; a list for rows, one for each feature.
    """

    def __init__(self, augmentation: Augmentation, offset: float, spread: Any, **kwargs: Any) -> None:
        super().__init__(dtype=_DTYPE, **kwargs)
        self.offset = offset
        self.spread = np.asarray(spread, np.float32)
        self.steps = _steps(augmentation)

    def build(self, input_shape: Sequence[int | None]) -> None:
        for step in self.steps:
            step.build(input_shape)

    def call(self, pixels: Any, training: bool = False) -> Any:
        pixels = ops.cast(pixels, self.compute_dtype)
        if not training:
            return pixels
        unit = (pixels - self.offset) / self.spread
        for step in self.steps:
            unit = step(unit, training=True)
        return unit * self.spread + self.offset

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Sequence[int | None]:
        return input_shape


def augmented(net: keras.Model, augmentation: Augmentation, scaling: Scaling) -> keras.Model:
    """Pixels -> augmentation -> ``net``, for training; its weights are those of ``net``, not copies.

    ``net`` itself if no layer is active.

    Args:
        scaling: what was learned from the inputs that are trained on; it knows the range of their values.

    Raises:
        Infeasible: such inputs cannot be augmented so.
    """
    shape = net.input_shape[1:]
    augmentation.fits(shape)
    if not augmentation.is_active:
        return net
    pixels = keras.Input(shape=shape, name="pixels")
    changed = Augmenting(augmentation, *_range(scaling, shape), name="augmentation")(pixels)
    return keras.Model(pixels, net(changed), name=net.name)


def _range(scaling: Scaling, shape: Sequence[int]) -> tuple[float, Any]:
    """Offset and spread of the inputs' values. Features have units of their own, and so a spread each."""
    spread = np.asarray(scaling.high) - np.asarray(scaling.low)
    if len(shape) == 3:
        return scaling.low, float(spread) or 1.0
    is_scaled = bool(np.ndim(scaling.scale))
    return 0.0, scaling.scale if is_scaled else np.where(spread == 0, 1.0, spread)


class RandomCropping(layers.Layer):  # type: ignore[misc]
    """A part of each image (batch, H, W, C), from a random place, brought back to the full size.

    `keras.layers.RandomCrop` takes the same place for the whole batch.

    Args:
        share: how much of each side is cut away.
    """

    def __init__(self, share: float, **kwargs: Any) -> None:
        super().__init__(dtype=_DTYPE, **kwargs)
        self.kept = 1.0 - share
        self.generator = keras.random.SeedGenerator()
        # TensorFlow's XLA has no affine transformations; Keras' layers that use them say so too.
        self.supports_jit = False

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        count, height, width, _ = ops.shape(images)
        x, y = self._starts(count, width), self._starts(count, height)
        one, zero = ops.ones_like(x), ops.zeros_like(x)
        kept = self.kept * one
        transform = ops.concatenate([kept, zero, x, zero, kept, y, zero, zero], axis=1)
        return ops.image.affine_transform(images, transform, interpolation="bilinear", fill_mode=_BEYOND)

    def _starts(self, count: Any, side: int) -> Any:
        """Where the centre of the first pixel comes from, for each image: (count, 1), in pixels."""
        first = keras.random.uniform((count, 1), 0.0, (1.0 - self.kept) * side, seed=self.generator)
        return first + (self.kept - 1.0) / 2.0


def _steps(augmentation: Augmentation) -> list[layers.Layer]:
    """First what moves pixels, then what changes them, at last what hides them."""
    made = [layers.RandomFlip(mode, dtype=_DTYPE) for mode in _FLIPS[augmentation.flip]]
    amounts = ((make, getattr(augmentation, name)) for name, make in _MAKERS.items())
    return made + [make(amount) for make, amount in amounts if amount]


# In Keras "horizontal_and_vertical" is one decision for both: half of the four ways never come up.
_FLIPS = {
    "none": (),
    "horizontal": ("horizontal",),
    "vertical": ("vertical",),
    "horizontal_and_vertical": ("horizontal", "vertical"),
}


def _contrast(amount: float) -> layers.Layer:
    """A single number would only ever raise the contrast in Keras."""
    return layers.RandomContrast((amount, amount), value_range=_UNIT, dtype=_DTYPE)


def _color_jitter(amount: float) -> layers.Layer:
    """Hue by a quarter of the others, as in SimCLR (Chen et al. 2020, appendix A).

    To Keras a hue of 1 is half a turn to either side, and a saturation of 0.5 is none.
    """
    return layers.RandomColorJitter(
        value_range=_UNIT,
        brightness_factor=amount,
        contrast_factor=(amount, amount),
        saturation_factor=(0.5 - amount / 2, 0.5 + amount / 2),
        hue_factor=amount / 2,
        dtype=_DTYPE,
    )


def _erasing(amount: float) -> layers.Layer:
    """A single number would be halved on average in Keras. Grey: the middle of the range of pixels."""
    return layers.RandomErasing(
        (amount, amount), scale=_ERASED, fill_value=0.5, value_range=_UNIT, dtype=_DTYPE
    )


_MAKERS: dict[str, Callable[[float], layers.Layer]] = {
    "rotation": lambda amount: layers.RandomRotation(amount, fill_mode=_BEYOND, dtype=_DTYPE),
    "zoom": lambda amount: layers.RandomZoom(amount, fill_mode=_BEYOND, dtype=_DTYPE),
    "translation": lambda amount: layers.RandomTranslation(amount, amount, fill_mode=_BEYOND, dtype=_DTYPE),
    "crop": RandomCropping,
    "brightness": lambda amount: layers.RandomBrightness(amount, value_range=_UNIT, dtype=_DTYPE),
    "contrast": _contrast,
    "color_jitter": _color_jitter,
    "noise": lambda amount: layers.GaussianNoise(amount, dtype=_DTYPE),
    "erasing": _erasing,
}
