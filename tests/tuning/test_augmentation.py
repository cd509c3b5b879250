"""Augmentation: each layer does what its field says, in training only, whatever the range of pixels."""

from typing import Any

import keras
import numpy as np
import pytest

from schemas.augmentation import LAYERS, Augmentation
from schemas.models.family import Infeasible
from tuning.augmentation import augmented
from tuning.data import Array
from tuning.preprocessing import Scaling

AMOUNTS: dict[str, Any] = {
    "flip": "horizontal_and_vertical",
    "rotation": 0.2,
    "zoom": 0.3,
    "translation": 0.2,
    "crop": 0.3,
    "brightness": 0.2,
    "contrast": 0.4,
    "noise": 0.1,
    "color_jitter": 0.4,
    "erasing": 0.5,
}
RANGES = ((0.0, 255.0), (0.0, 16.0), (-3.0, 5.0))


def scaling(low: float = 0.0, high: float = 1.0) -> Scaling:
    return Scaling(low, high - low, low, high)


def probe(shape: tuple[int, ...], given: Scaling | None = None, **fields: Any) -> keras.Model:
    """A net that gives back what the augmentation made of its input."""
    pixels = keras.Input(shape)
    net = keras.Model(pixels, keras.layers.Identity()(pixels))
    return augmented(net, Augmentation(**fields), given or scaling())


def trained(x: Array, given: Scaling | None = None, **fields: Any) -> Array:
    """What a net sees of ``x`` in training."""
    return np.asarray(probe(x.shape[1:], given, **fields)(x, training=True))


def noise(count: int = 64, shape: tuple[int, ...] = (12, 10, 3)) -> Array:
    return np.random.default_rng(0).uniform(0.0, 1.0, (count, *shape)).astype(np.float32)


def blob(row: float, column: float, side: int = 33) -> Array:
    """A soft spot (side, side, 1) at a place counted from the image's centre."""
    places = np.arange(side) - side // 2
    rows, columns = np.meshgrid(places - row, places - column, indexing="ij")
    return np.exp(-(rows**2 + columns**2) / 8.0)[..., np.newaxis].astype(np.float32)


def centres(images: Array) -> tuple[Array, Array]:
    """Row and column of the centre of mass of each image, counted from the middle."""
    places = np.arange(images.shape[1]) - images.shape[1] // 2
    mass = images.sum(axis=(1, 2, 3))
    rows = (images.sum(axis=(2, 3)) * places).sum(axis=1) / mass
    return rows, (images.sum(axis=(1, 3)) * places).sum(axis=1) / mass


def test_there_is_an_amount_here_for_every_layer() -> None:
    assert set(AMOUNTS) == set(LAYERS)


@pytest.mark.parametrize("name", AMOUNTS)
@pytest.mark.parametrize("ends", RANGES)
class TestEachLayer:
    def test_changes_pixels_in_training_and_only_then(self, name: str, ends: tuple[float, float]) -> None:
        x = ends[0] + (ends[1] - ends[0]) * noise()
        made = probe(x.shape[1:], scaling(*ends), **{name: AMOUNTS[name]})
        changed = np.asarray(made(x, training=True))
        assert changed.shape == x.shape
        assert changed.dtype == np.float32
        assert np.abs(changed - x).max() > 0.05 * (ends[1] - ends[0])
        assert np.array_equal(np.asarray(made(x, training=False)), x)
        assert np.array_equal(np.asarray(made(x)), x)

    def test_does_the_same_in_every_range_of_pixels(self, name: str, ends: tuple[float, float]) -> None:
        x, spread = noise(8), ends[1] - ends[0]
        keras.utils.set_random_seed(1)
        expected = trained(x, **{name: AMOUNTS[name]})
        keras.utils.set_random_seed(1)
        seen = trained(ends[0] + spread * x, scaling(*ends), **{name: AMOUNTS[name]})
        assert np.allclose((seen - ends[0]) / spread, expected, atol=1e-4)


@pytest.mark.parametrize("name", AMOUNTS)
def test_the_seed_decides_and_every_step_is_another(name: str) -> None:
    x, made = noise(16), []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        net = probe(x.shape[1:], **{name: AMOUNTS[name]})
        made.append([np.asarray(net(x, training=True)) for _ in range(2)])
    assert np.array_equal(made[0], made[1])
    assert not np.allclose(made[0][0], made[2][0])
    assert not np.allclose(made[0][0], made[0][1])


@pytest.mark.parametrize("name", sorted(set(AMOUNTS) - {"noise"}))
def test_all_but_noise_stay_in_the_range(name: str) -> None:
    seen = trained(noise(), **{name: AMOUNTS[name]})
    assert seen.min() >= -1e-6
    assert seen.max() <= 1 + 1e-6


def _ways(x: Array) -> list[Array]:
    return [x, x[:, :, ::-1], x[:, ::-1], x[:, ::-1, ::-1]]


@pytest.mark.parametrize(
    ("flip", "ways"),
    [("horizontal", (0, 1)), ("vertical", (0, 2)), ("horizontal_and_vertical", (0, 1, 2, 3))],
)
def test_a_flip_only_flips_and_in_all_its_ways(flip: str, ways: tuple[int, ...]) -> None:
    x = noise(64)
    seen = trained(x, flip=flip)
    found = [np.isclose(seen, way, atol=1e-6).all(axis=(1, 2, 3)).sum() for way in _ways(x)]
    assert sum(found) == len(x)
    assert {way for way, times in enumerate(found) if times} == set(ways)
    assert min(times for times in found if times) > len(x) / len(ways) / 3


@pytest.mark.parametrize("amount", [0.05, 0.2])
def test_a_rotation_stays_within_its_angle_to_either_side(amount: float) -> None:
    x = np.stack([blob(0, 8)] * 128)
    rows, columns = centres(trained(x, rotation=amount))
    turned = np.arctan2(rows, columns) / (2 * np.pi)
    assert np.abs(turned).max() <= amount + 0.005
    assert turned.max() > 0.8 * amount
    assert turned.min() < -0.8 * amount
    assert np.hypot(rows, columns) == pytest.approx(8, abs=0.3)


def test_a_translation_stays_within_its_share_of_the_sides() -> None:
    x = np.stack([blob(0, 0)] * 128)
    for shift in centres(trained(x, translation=0.2)):
        assert np.abs(shift).max() <= 0.2 * 33 + 0.1
        assert shift.max() > 0.15 * 33
        assert shift.min() < -0.15 * 33


def test_a_zoom_stays_within_its_factor_and_keeps_proportions() -> None:
    x = np.stack([blob(4, 4)] * 128)
    rows, columns = centres(trained(x, zoom=0.2))
    shown = 4 / rows
    assert 0.79 <= shown.min() < 0.85
    assert 1.15 < shown.max() <= 1.21
    assert rows == pytest.approx(columns, abs=0.05)


@pytest.mark.parametrize("amount", [0.25, 0.5, 0.9])
def test_a_crop_shows_a_part_of_the_right_size_from_another_place_for_each_image(amount: float) -> None:
    # Pixels that say where they come from: their column and their row.
    rows, columns = np.meshgrid(np.arange(20.0), np.arange(40.0), indexing="ij")
    x = np.stack([np.stack([rows, columns], axis=-1)] * 64).astype(np.float32)
    seen = trained(x, scaling(0, 40), crop=amount)
    for axis, side in ((1, 20), (2, 40)):
        lines = seen[:, :, 0, 0] if axis == 1 else seen[:, 0, :, 1]
        # Near the border there is nothing between a pixel's centre and the image's edge.
        assert np.diff(lines[:, 5:-5]) == pytest.approx(1 - amount, abs=0.02)
        starts = lines[:, side // 2] - (side // 2 + 0.5) * (1 - amount) + 0.5
        assert starts.min() >= -0.01
        assert starts.max() <= amount * side + 0.01
        assert np.ptp(starts) > 0.8 * amount * side


def test_brightness_shifts_all_pixels_of_an_image_alike() -> None:
    x = 0.4 + 0.2 * noise()
    moved = trained(x, brightness=0.2) - x
    assert np.ptp(moved, axis=(1, 2, 3)).max() < 1e-5
    shifts = moved.mean(axis=(1, 2, 3))
    assert np.abs(shifts).max() <= 0.2
    assert shifts.max() > 0.15
    assert shifts.min() < -0.15


def test_contrast_is_lowered_and_raised_about_the_mean_of_each_channel() -> None:
    x = 0.4 + 0.2 * noise()
    seen = trained(x, contrast=0.4)
    assert seen.mean(axis=(1, 2)) == pytest.approx(x.mean(axis=(1, 2)), abs=1e-5)
    factors = seen.std(axis=(1, 2, 3)) / x.std(axis=(1, 2, 3))
    assert 0.6 <= factors.min() < 0.7
    assert 1.3 < factors.max() <= 1.4


def test_noise_has_the_deviation_asked_for_and_no_bias() -> None:
    x = np.full((64, 12, 10, 3), 7.0, np.float32)
    added = trained(x, scaling(-20, 30), noise=0.1) - x
    assert added.std() == pytest.approx(0.1 * 50, rel=0.03)
    assert added.mean() == pytest.approx(0.0, abs=0.2)


def test_noise_on_rows_goes_by_the_scale_of_each_feature() -> None:
    x = np.zeros((20_000, 3), np.float32)
    given = Scaling([0.0, 5.0, -1.0], [1.0, 100.0, 0.01], -1.0, 105.0)
    assert trained(x, given, noise=0.2).std(axis=0) == pytest.approx([0.2, 20.0, 0.002], rel=0.03)


def test_noise_on_rows_without_scaling_goes_by_each_features_range() -> None:
    x = np.zeros((20_000, 3), np.float32)
    given = Scaling(0.0, 1.0, [-10.0, 0.0, 5.0], [10.0, 1000.0, 5.0])
    assert trained(x, given, noise=0.1).std(axis=0) == pytest.approx([2.0, 100.0, 0.1], rel=0.03)


@pytest.mark.parametrize("amount", [0.3, 1.0])
def test_erasing_greys_a_rectangle_in_the_share_of_images_asked_for(amount: float) -> None:
    x = np.full((400, 32, 32, 3), 200.0, np.float32)
    seen = trained(x, scaling(100, 200), erasing=amount)
    erased = (seen != 200.0).all(axis=-1)
    assert np.unique(seen[erased]) == pytest.approx([150.0])
    assert erased.any(axis=(1, 2)).mean() == pytest.approx(amount, abs=0.08)
    for patch in erased[erased.any(axis=(1, 2))]:
        rows, columns = patch.any(axis=1), patch.any(axis=0)
        assert (patch == np.outer(rows, columns)).all()
        # A patch's edges fall between pixels.
        assert 0.01 <= patch.mean() <= 0.36


def test_color_jitter_changes_colours_and_not_only_brightness() -> None:
    x = np.full((64, 4, 4, 3), [0.7, 0.5, 0.4], np.float32)
    seen = trained(x, color_jitter=0.4)[:, 0, 0]
    red_over_green, green_over_blue = seen[:, 0] - seen[:, 1], seen[:, 1] - seen[:, 2]
    assert red_over_green.std() > 0.05
    assert green_over_blue.std() > 0.05
    saturations = np.ptp(seen, axis=1) / seen.max(axis=1)
    assert saturations.min() < 3 / 7 < saturations.max()


def _net(shape: tuple[int, ...] = (12, 10, 3)) -> keras.Model:
    pixels = keras.Input(shape)
    features = keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")(pixels)
    features = keras.layers.BatchNormalization()(features)
    features = keras.layers.Dropout(0.5)(keras.layers.Flatten()(features))
    return keras.Model(pixels, keras.layers.Dense(3, dtype="float32")(features), name="small")


def _compiled(net: keras.Model) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
    return net


class TestAugmented:
    def test_without_layers_it_is_the_net_itself(self) -> None:
        net = _net()
        assert augmented(net, Augmentation(), scaling()) is net
        assert augmented(net, Augmentation(mixup=0.2, cutmix=1.0), scaling()) is net

    def test_it_has_the_weights_and_penalties_of_the_net_and_no_more(self) -> None:
        net = _net()
        made = augmented(net, Augmentation(**AMOUNTS), scaling())
        assert len(made.weights) == len(net.weights)
        assert all(one is other for one, other in zip(made.weights, net.weights, strict=True))
        assert made.count_params() == net.count_params()
        assert len(made.losses) == len(net.losses) == 1

    def test_training_it_trains_the_net_and_validation_sees_pixels_as_they_are(self) -> None:
        net, x = _net(), (255 * noise(96)).astype(np.uint8)
        y = np.arange(96) % 3
        before = [np.array(weights) for weights in net.get_weights()]
        made = _compiled(augmented(net, Augmentation(**AMOUNTS), scaling(0, 255)))
        history = made.fit(x, y, epochs=2, verbose=0, validation_data=(x[:32], y[:32])).history
        assert np.isfinite(history["loss"]).all()
        after = net.get_weights()
        assert not np.allclose(before[0], after[0])
        assert all(np.array_equal(*pair) for pair in zip(made.get_weights(), after, strict=True))
        loss, accuracy = _compiled(net).evaluate(x[:32], y[:32], verbose=0)
        assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)
        assert history["val_accuracy"][-1] == pytest.approx(accuracy)

    def test_a_training_can_be_repeated(self) -> None:
        ends = []
        for _ in range(2):
            keras.utils.set_random_seed(5)
            made = _compiled(augmented(_net(), Augmentation(**AMOUNTS), scaling()))
            made.fit(noise(96), np.arange(96) % 3, epochs=2, verbose=0)
            ends.append(made.get_weights())
        assert all(np.array_equal(*pair) for pair in zip(*ends, strict=True))

    def test_keras_does_not_try_xla_on_what_xla_cannot_do(self) -> None:
        for name in ("rotation", "zoom", "translation", "crop"):
            made = augmented(_net(), Augmentation(**{name: 0.1}), scaling())
            made.compile("adam", "sparse_categorical_crossentropy", jit_compile="auto")
            assert not made.jit_compile

    def test_mixed_precision_costs_no_pixels(self) -> None:
        x = np.array([65_000.0, 65_001.0], np.float32).reshape(2, 1, 1, 1) * np.ones((2, 4, 4, 3), np.float32)
        keras.config.set_dtype_policy("mixed_float16")
        try:
            made = probe((4, 4, 3), scaling(0, 70_000), **AMOUNTS)
            tail = keras.Model(made.input, made.get_layer("augmentation").output)
            assert np.array_equal(np.asarray(tail(x, training=False)), x)
            seen = np.asarray(tail(x, training=True))
        finally:
            keras.config.set_dtype_policy("float32")
        assert seen.dtype == np.float32
        assert np.isfinite(seen).all()

    def test_images_of_one_value_have_no_range_and_still_train(self) -> None:
        x = np.full((8, 12, 10, 3), 9.0, np.float32)
        assert np.isfinite(trained(x, Scaling(9.0, 1.0, 9.0, 9.0), **AMOUNTS)).all()

    @pytest.mark.parametrize(
        ("shape", "fields"),
        [((4,), {"rotation": 0.1}), ((4,), {"cutmix": 1.0}), ((8, 8, 1), {"color_jitter": 0.1})],
    )
    def test_what_does_not_suit_the_inputs_is_infeasible(
        self, shape: tuple[int, ...], fields: dict[str, float]
    ) -> None:
        with pytest.raises(Infeasible):
            probe(shape, **fields)
