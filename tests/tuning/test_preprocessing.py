"""What is done to images before a net sees them, against the same in NumPy."""

import json
from typing import Any

import keras
import numpy as np
import pytest

from schemas.models import Infeasible
from schemas.preprocessing import Preprocessing
from tuning.data import Array
from tuning.preprocessing import Preparation, Scaling

RNG = np.random.default_rng(0)


def images(*shape: int, low: int = 0, high: int = 256) -> Array:
    return RNG.integers(low, high, shape).astype(np.uint8)


def learned(scaling: str, x: Array) -> Scaling:
    return Scaling.learn(Preprocessing(scaling, None, "keep"), x)


def scaled(scaling: Scaling, x: Array) -> Array:
    found: Array = np.asarray(scaling.layer()(x.astype(np.float32)))
    return found


def prepared(x: Array, image_size: Any = None, color: str = "keep") -> Array:
    return Preparation.of(Preprocessing("unit", image_size, color), x.shape[1:]).apply(x)


# Scaling


def test_unit_brings_the_range_of_all_pixels_to_zero_and_one() -> None:
    x = images(5, 4, 4, 3, low=40, high=250)
    expected = (x.astype(float) - x.min()) / (int(x.max()) - int(x.min()))
    assert scaled(learned("unit", x), x) == pytest.approx(expected, abs=1e-6)


def test_standardize_brings_mean_and_deviation_to_zero_and_one() -> None:
    # So many bytes that neither their sum nor their squares fit into a byte.
    x = images(400, 8, 8, 1, low=100, high=250)
    found = scaled(learned("standardize", x), x)
    assert found == pytest.approx((x.astype(float) - x.mean()) / x.std(), abs=1e-4)


def test_without_scaling_pixels_stay_as_they_are() -> None:
    x = images(5, 4, 4, 3)
    scaling = learned("none", x)
    assert (scaled(scaling, x) == x).all()
    assert (scaling.low, scaling.high) == (x.min(), x.max())


@pytest.mark.parametrize("name", ["unit", "standardize"])
def test_what_was_not_learned_from_is_scaled_alike(name: str) -> None:
    x = np.array([10.0, 20.0], np.float32).reshape(2, 1, 1, 1)
    offset, scale = (10.0, 10.0) if name == "unit" else (15.0, 5.0)
    others = np.array([0.0, 40.0], np.float32).reshape(2, 1, 1, 1)
    assert scaled(learned(name, x), others) == pytest.approx((others - offset) / scale)


def test_features_have_a_unit_each() -> None:
    x = (RNG.normal(size=(50, 3)) * [1.0, 1000.0, 1e-3] + [5.0, -1e4, 0.0]).astype(np.float32)
    unit, standard = (scaled(learned(name, x), x) for name in ("unit", "standardize"))
    assert unit.min(axis=0) == pytest.approx(np.zeros(3), abs=1e-4)
    assert unit.max(axis=0) == pytest.approx(np.ones(3), abs=1e-4)
    assert standard.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-3)
    assert standard.std(axis=0) == pytest.approx(np.ones(3), abs=1e-3)


@pytest.mark.parametrize("name", ["unit", "standardize"])
def test_what_never_changes_becomes_zero(name: str) -> None:
    rows = np.array([[7.0, 1.0], [7.0, 3.0]], np.float32)
    assert scaled(learned(name, rows), rows)[:, 0] == pytest.approx([0.0, 0.0])
    assert (scaled(learned(name, np.full((2, 3, 3, 1), 7.0)), np.full((2, 3, 3, 1), 7.0)) == 0.0).all()


@pytest.mark.parametrize("x", [images(3, 2, 2, 1), RNG.normal(size=(5, 3))], ids=["images", "rows"])
@pytest.mark.parametrize("name", ["unit", "standardize", "none"])
def test_scaling_is_plain_json_in_a_model_file(name: str, x: Array) -> None:
    layer = learned(name, x).layer()
    config = json.loads(json.dumps(layer.get_config()))
    again = keras.layers.Rescaling.from_config(config)
    assert np.asarray(again(x)) == pytest.approx(np.asarray(layer(x)))


# Sizes and colours


def interpolated(x: Array, size: int, axis: int) -> Array:
    """Bilinear along an axis, between the centres of pixels; at the edge, the last pixel."""
    count = x.shape[axis]
    places = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, count - 1)
    share = (places - below).reshape([-1 if one == axis else 1 for one in range(x.ndim)])
    found: Array = x.take(below, axis) * (1 - share) + x.take(above, axis) * share
    return found


@pytest.mark.parametrize("size", [5, 12, [4, 9], [13, 6]])
def test_images_are_resized_between_the_centres_of_their_pixels(size: Any) -> None:
    x = images(3, 8, 6, 3)
    height, width = size if isinstance(size, list) else (size, size)
    expected = interpolated(interpolated(x.astype(float), height, 1), width, 2)
    found = prepared(x, size)
    assert found.shape == (3, height, width, 3)
    assert found == pytest.approx(expected, abs=1e-3)


GREY = np.array([0.2989, 0.5870, 0.1140])


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_is_the_light_of_red_green_and_blue_whatever_alpha_is(channels: int) -> None:
    x = images(4, 5, 5, channels)
    assert prepared(x, color="grayscale") == pytest.approx((x[..., :3] @ GREY)[..., np.newaxis], abs=0.05)


def test_grey_images_get_three_channels_that_are_the_same() -> None:
    x = images(4, 5, 5, 1)
    assert (prepared(x, color="rgb") == np.repeat(x, 3, axis=3)).all()


def test_colours_lose_their_alpha() -> None:
    x = images(4, 5, 5, 4)
    assert (prepared(x, color="rgb") == x[..., :3]).all()


@pytest.mark.parametrize(
    ("channels", "color", "size"),
    [(1, "grayscale", None), (3, "rgb", None), (2, "keep", None), (3, "keep", [5, 6]), (1, "keep", None)],
)
def test_where_nothing_is_to_do_the_images_are_the_same_array(channels: int, color: str, size: Any) -> None:
    x = images(2, 5, 6, channels)
    assert prepared(x, size, color) is x


def test_rows_are_not_prepared() -> None:
    x = RNG.normal(size=(4, 7))
    assert prepared(x) is x
    with pytest.raises(Infeasible):
        prepared(x, 8)


def test_more_images_than_are_prepared_at_once_keep_their_order() -> None:
    x = np.repeat(np.arange(600, dtype=np.float32), 4).reshape(600, 2, 2, 1)
    assert (prepared(x, 1, "rgb")[:, 0, 0, :] == np.arange(600)[:, np.newaxis]).all()


def test_size_and_colour_are_changed_together() -> None:
    x = images(3, 8, 8, 4)
    resized = interpolated(interpolated(x.astype(float), 5, 1), 7, 2)
    expected = (resized[..., :3] @ GREY)[..., np.newaxis]
    assert prepared(x, [5, 7], "grayscale") == pytest.approx(expected, abs=0.05)
