"""The family `resnet`, held against Keras Tuner's own `HyperResNet`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras_tuner import HyperParameters
from keras_tuner.applications import HyperResNet

from schemas.models.family import Infeasible
from schemas.models.resnet import CONV3_DEPTHS, CONV4_DEPTHS, POOLINGS, VERSIONS, ResNet, ResNetSchema
from tuning.models.materials import NORM_MOMENTUM, Materials
from tuning.models.resnet import build, fixed

V2 = ResNet(version="v2", conv3_depth=4, conv4_depth=6, pooling="avg")
NEXT = replace(V2, version="next")


def built(model: ResNet, shape: tuple[int, ...] = (16, 12, 1), classes: int = 3) -> keras.Model:
    pixels = keras.Input(shape, name="pixels")
    scaled = keras.layers.Rescaling(1.0, name="scaling")(pixels)
    logits = keras.layers.Dense(classes, name="logits")(build(model, scaled, Materials()))
    return keras.Model(pixels, logits)


def keras_tuners(model: ResNet, shape: tuple[int, ...]) -> keras.Model:
    return HyperResNet(include_top=False, input_shape=shape).build(fixed(model))


def images(shape: tuple[int, ...], count: int = 32) -> Any:
    return np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")


def run(net: keras.Model, x: Any) -> Any:
    """What the net says of x; without `predict`, which compiles a net that is asked once."""
    return np.asarray(net(x, training=False))


def settle(net: keras.Model, x: Any) -> None:
    """Gives the normalisations x's own statistics: otherwise a fresh deep net says nearly the same of all."""
    kinds = {keras.layers.BatchNormalization: "momentum", keras.layers.Dropout: "rate"}
    of = [(layer, kinds[type(layer)]) for layer in net.layers if type(layer) in kinds]
    before = [getattr(layer, name) for layer, name in of]
    for layer, name in of:
        setattr(layer, name, 0.0)
    net(x, training=True)
    for (layer, name), value in zip(of, before, strict=True):
        setattr(layer, name, value)


def assert_same(said: Any, expected: Any) -> None:
    """Equal to a hundredth of the differences between images, and there are such differences."""
    spread = expected.std(axis=0).mean()
    assert spread > 1e-3
    np.testing.assert_allclose(said, expected, rtol=0, atol=0.01 * spread)


def test_names_values_and_defaults_are_keras_tuners() -> None:
    space = HyperParameters()
    HyperResNet(include_top=False, input_shape=(8, 8, 1)).build(space)
    loaded = ResNetSchema().load({"family": "resnet"})
    assert {one.name: one.default for one in space.space} == {**vars(V2)}
    assert ResNet(**{name: value for name, value in loaded.items() if name != "family"}) == V2
    values = {one.name: tuple(one.values) for one in space.space}
    ours = {"version": VERSIONS, "conv3_depth": CONV3_DEPTHS, "conv4_depth": CONV4_DEPTHS}
    assert values == {**ours, "pooling": POOLINGS}


@pytest.mark.parametrize(
    ("version", "conv3_depth", "conv4_depth", "shape"),
    [
        ("v1", 4, 6, (16, 12, 1)),
        ("v1", 8, 23, (1, 1, 3)),
        ("v2", 4, 36, (1, 2, 3)),
        ("v2", 8, 6, (33, 16, 4)),
        ("next", 4, 23, (1, 1, 1)),
        ("next", 8, 6, (9, 32, 3)),
    ],
)
def test_the_count_of_parameters_is_kerass(
    version: str, conv3_depth: int, conv4_depth: int, shape: tuple[int, ...]
) -> None:
    model = ResNet(version, conv3_depth, conv4_depth, "max")
    net = built(model, shape, classes=7)
    assert net.count_params() == model.count_parameters(shape, 7)
    assert net.output_shape == (None, 7)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_net_is_keras_tuners(version: str, pooling: str) -> None:
    model, x = replace(V2, version=version, pooling=pooling), images((24, 17, 3))
    theirs = keras_tuners(model, (24, 17, 3))
    settle(theirs, x)
    pixels = keras.Input((24, 17, 3))
    ours = keras.Model(pixels, build(model, pixels, Materials()))
    ours.set_weights(theirs.get_weights())
    assert_same(run(ours, x), run(theirs, x))


@pytest.mark.parametrize("version", VERSIONS)
def test_it_loads_in_plain_keras_in_safe_mode(version: str, tmp_path: Path) -> None:
    net, x = built(replace(V2, version=version)), images((16, 12, 1))
    settle(net, x)
    net.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_same(run(loaded, x), run(net, x))
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in loaded.layers)
    assert [layer.name for layer in loaded.layers[:2]] == ["pixels", "scaling"]


def test_keras_tuners_own_next_does_not_load_in_safe_mode(tmp_path: Path) -> None:
    """What the clone is for: when this fails, Keras Tuner has mended it, and the clone can go."""
    keras_tuners(NEXT, (8, 8, 1)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="Lambda"):
        keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)


def test_every_layer_is_called_once() -> None:
    """The clone stands in the place of Keras Tuner's net, with nothing of it left."""
    net = built(NEXT)
    assert net.get_layer("scaling").output.shape == (None, 16, 12, 1)
    assert net.get_layer("avg_pool").output.shape == (None, 2048)


@pytest.mark.parametrize("version", VERSIONS)
def test_normalisation_is_fit_for_small_data_sets(version: str) -> None:
    net = built(replace(V2, version=version))
    norms = [layer for layer in net.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {NORM_MOMENTUM}


def test_next_learns() -> None:
    """A gradient comes through the sum that stands for the groups."""
    net, x = built(NEXT), images((16, 12, 1), count=8)
    before = net.get_layer("conv1_conv").get_weights()[0]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("sgd", loss, run_eagerly=True)
    net.fit(x, np.arange(8) % 3, verbose=0)
    assert not np.array_equal(net.get_layer("conv1_conv").get_weights()[0], before)


def test_rows_of_features_are_no_images() -> None:
    with pytest.raises(Infeasible, match="resnet takes images"):
        build(V2, keras.Input((64,)), Materials())
