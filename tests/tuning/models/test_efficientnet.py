"""The family `efficientnet`, held against `keras.applications` and Keras Tuner's table of sizes."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras_tuner.src.applications.efficientnet import EFFICIENTNET_IMG_SIZE

from schemas.models.efficientnet import POOLINGS, VERSIONS, EfficientNet
from schemas.models.family import Infeasible
from tests.tuning.models.test_resnet import assert_same, run, settle
from tuning.models.efficientnet import build
from tuning.models.materials import NORM_MOMENTUM, Materials, WeightsUnavailable
from tuning.models.pretrained import pretrained

B0 = EfficientNet(version="B0", pooling="avg", top_dropout_rate=0.2, weights="none", resize=False)
PRETRAINED = replace(B0, weights="imagenet")
SIDE = 32

# ImageNet's, as its weights hold them.
MEANS, DEVIATIONS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def built(
    model: EfficientNet,
    shape: tuple[int, ...] = (SIDE, SIDE, 1),
    classes: int = 3,
    materials: Materials | None = None,
) -> keras.Model:
    pixels = keras.Input(shape, name="pixels")
    scaled = keras.layers.Rescaling(1.0, name="scaling")(pixels)
    logits = keras.layers.Dense(classes, name="logits")(build(model, scaled, materials or Materials()))
    return keras.Model(pixels, logits)


def features(model: EfficientNet, shape: tuple[int, ...], materials: Materials) -> keras.Model:
    pixels = keras.Input(shape)
    return keras.Model(pixels, build(model, pixels, materials))


def images(channels: int, count: int = 32) -> Any:
    """In [0, 1], as the service scales them."""
    return np.random.default_rng(0).uniform(size=(count, SIDE, SIDE, channels)).astype("float32")


def for_application(x: Any) -> Any:
    """Pixels that Keras' application makes of what its own pretrained graph makes of x.

    That graph divides once more by the roots of the deviations, after its normalisation.
    """
    return 255 * (MEANS + (x - MEANS) / np.sqrt(DEVIATIONS))


def layers_of(net: keras.Model, kind: type[keras.layers.Layer]) -> list[Any]:
    return [layer for layer in net.layers if isinstance(layer, kind)]


@pytest.fixture(scope="module")
def application() -> keras.Model:
    """A B0 that stands for the one trained on ImageNet: its normalisation is ImageNet's."""
    net = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg"
    )
    (normalization,) = layers_of(net, keras.layers.Normalization)
    normalization.set_weights([MEANS, DEVIATIONS, np.array(0)])
    normalization.finalize_state()
    settle(net, for_application(images(3)))
    return net


@pytest.fixture(scope="module")
def operators(application: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Materials:
    """An operator's folder with its weights."""
    folder = tmp_path_factory.mktemp("weights")
    application.save_weights(folder / "efficientnet_b0.weights.h5")
    return Materials(weights_folder=folder)


def test_sizes_are_keras_tuners() -> None:
    assert {name: version.side for name, version in VERSIONS.items()} == EFFICIENTNET_IMG_SIZE


@pytest.mark.parametrize(
    ("version", "channels"),
    [("B0", 1), ("B0", 3), ("B1", 2), ("B2", 4), ("B3", 1), ("B4", 2), ("B5", 1), ("B6", 4), ("B7", 1)],
)
def test_the_count_of_parameters_is_kerass(version: str, channels: int) -> None:
    model, shape = replace(B0, version=version), (SIDE, 40, channels)
    net = built(model, shape, classes=7)
    assert net.count_params() == model.count_parameters(shape, 7)
    assert net.output_shape == (None, 7)


@pytest.mark.parametrize("version", ["B0", "B1"])
def test_images_are_resized_to_what_the_version_was_made_for(version: str) -> None:
    model = replace(B0, version=version, resize=True)
    net = built(model, (8, 6, 1))
    side = EFFICIENTNET_IMG_SIZE[version]
    assert net.get_layer("stem_conv_pad").input.shape == (None, side, side, 1)
    assert net.count_params() == model.count_parameters((8, 6, 1), 3)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (B0, (31, 40, 3)),
        (PRETRAINED, (SIDE, SIDE, 2)),
        (replace(PRETRAINED, resize=True), (8, 8, 4)),
        (B0, (64,)),
    ],
)
def test_what_counts_as_infeasible_is_not_built(model: EfficientNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(Infeasible) as counted:
        model.count_parameters(shape, 3)
    with pytest.raises(Infeasible, match=str(counted.value)):
        build(model, keras.Input(shape), Materials())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_net_is_kerass(pooling: str) -> None:
    theirs = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 1), pooling=pooling
    )
    ours = features(replace(B0, pooling=pooling), (SIDE, SIDE, 1), Materials())
    x = images(1)
    settle(theirs, 255 * x)
    ours.set_weights(theirs.get_weights())
    assert_same(run(ours, x), run(theirs, 255 * x))


def test_weights_none_asks_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert built(B0).count_params() > 4_000_000


def test_normalisation_from_scratch_is_fit_for_small_data_sets() -> None:
    norms = layers_of(built(B0), keras.layers.BatchNormalization)
    assert {layer.momentum for layer in norms} == {NORM_MOMENTUM}


class TestPretrained:
    def test_features_are_those_of_the_operators_weights(
        self, application: keras.Model, operators: Materials
    ) -> None:
        x = images(3)
        ours = features(PRETRAINED, (SIDE, SIDE, 3), operators)
        assert_same(run(ours, x), run(application, for_application(x)))

    def test_other_families_get_the_same_net(self, application: keras.Model, operators: Materials) -> None:
        """Keras' own application, given the same file, leaves the division out."""

        def make(weights: str | None) -> keras.Model:
            shape = (SIDE, SIDE, 3)
            return keras.applications.EfficientNetB0(
                include_top=False, weights=weights, input_shape=shape, pooling="avg"
            )

        x = images(3)
        made = pretrained("EfficientNetB0", operators, make)
        assert_same(run(made, 255 * x), run(application, for_application(x)))

    def test_a_single_channel_is_taken_three_times(self, operators: Materials) -> None:
        x = images(1)
        gray = run(features(PRETRAINED, (SIDE, SIDE, 1), operators), x)
        colour = run(features(PRETRAINED, (SIDE, SIDE, 3), operators), np.repeat(x, 3, -1))
        assert_same(gray, colour)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_the_count_of_parameters_is_kerass(self, channels: int, operators: Materials) -> None:
        net = built(PRETRAINED, (SIDE, SIDE, channels), materials=operators)
        assert net.count_params() == PRETRAINED.count_parameters((SIDE, SIDE, channels), 3)

    def test_what_normalisation_has_seen_stays(self, operators: Materials) -> None:
        net = built(PRETRAINED, materials=operators)
        norms = layers_of(net, keras.layers.BatchNormalization)
        assert NORM_MOMENTUM not in {layer.momentum for layer in norms}

    def test_it_loads_in_plain_keras_in_safe_mode(self, operators: Materials, tmp_path: Path) -> None:
        net, x = built(PRETRAINED, materials=operators), images(1)
        net.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        assert_same(run(loaded, x), run(net, x))

    def test_a_file_that_cannot_be_read_is_no_weights(self, tmp_path: Path) -> None:
        (tmp_path / "efficientnetb0_notop.h5").write_bytes(b"half of a download")
        with pytest.raises(WeightsUnavailable, match="EfficientNetB0"):
            build(PRETRAINED, keras.Input((SIDE, SIDE, 3)), Materials(weights_folder=tmp_path))

    def test_a_file_of_another_net_is_no_weights(self, tmp_path: Path) -> None:
        other = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Conv2D(2, 3)])
        other.save_weights(tmp_path / "efficientnet_b0.weights.h5")
        with pytest.raises(WeightsUnavailable, match="EfficientNetB0"):
            build(PRETRAINED, keras.Input((SIDE, SIDE, 3)), Materials(weights_folder=tmp_path))
