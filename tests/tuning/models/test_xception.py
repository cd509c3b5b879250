"""The family `xception`, held against Keras Tuner's own `HyperXception`."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner import HyperParameters
from keras_tuner.applications import HyperXception

from schemas.models.family import Infeasible
from schemas.models.xception import (
    ACTIVATIONS,
    FILTERS,
    KERNEL_SIZES,
    POOLINGS,
    STRIDES,
    Xception,
    XceptionSchema,
)
from tests.tuning.models.test_resnet import assert_same, images, run, settle
from tuning.models.materials import NORM_MOMENTUM, Materials
from tuning.models.resnet import fixed
from tuning.models.xception import build

SMALL = Xception(
    activation="relu",
    conv2d_num_filters=32,
    kernel_size=3,
    initial_strides=2,
    sep_num_filters=16,
    num_residual_blocks=2,
    pooling="avg",
    dropout_rate=0.5,
)

MODELS = st.builds(
    Xception,
    activation=st.sampled_from(ACTIVATIONS),
    conv2d_num_filters=st.sampled_from(FILTERS),
    kernel_size=st.sampled_from(KERNEL_SIZES),
    initial_strides=st.sampled_from(STRIDES),
    # With as many as the first convolution has, there is no convolution around the first block.
    sep_num_filters=st.sampled_from([1, 7, 32, 64]),
    num_residual_blocks=st.integers(1, 3),
    pooling=st.sampled_from(POOLINGS),
    dropout_rate=st.just(0.1),
)


def built(model: Xception, shape: tuple[int, ...] = (9, 12, 1), classes: int = 3) -> keras.Model:
    pixels = keras.Input(shape, name="pixels")
    scaled = keras.layers.Rescaling(1.0, name="scaling")(pixels)
    logits = keras.layers.Dense(classes, name="logits")(build(model, scaled, Materials()))
    return keras.Model(pixels, logits)


def test_names_values_and_defaults_are_keras_tuners() -> None:
    space = HyperParameters()
    HyperXception(input_shape=(8, 8, 1), classes=2).build(space)
    theirs = {one.name: one.default for one in space.space}
    ours = XceptionSchema().load({"family": "xception"})
    assert ours.pop("family") == "xception"
    # The dense part knows the classes; the learning rate is not the family's.
    left_out = {"num_dense_layers", "dense_use_bn", "learning_rate"}
    assert theirs.items() - ours.items() == {(name, theirs[name]) for name in left_out}
    assert ours.keys() == theirs.keys() - left_out
    values = {one.name: tuple(one.values) for one in space.space if hasattr(one, "ordered")}
    assert values["activation"] == ACTIVATIONS
    assert values["pooling"] == POOLINGS
    assert values["conv2d_num_filters"] == FILTERS
    assert values["kernel_size"] == KERNEL_SIZES
    assert set(values["initial_strides"]) < set(STRIDES)


@settings(max_examples=30, deadline=None)
@given(
    model=MODELS,
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 4)),
    classes=st.integers(2, 5),
)
def test_the_count_of_parameters_is_kerass(
    model: Xception, shape: tuple[int, int, int], classes: int
) -> None:
    net = built(model, shape, classes)
    assert net.count_params() == model.count_parameters(shape, classes)
    assert net.output_shape == (None, classes)


def test_keras_tuners_default_counts_as_keras_counts() -> None:
    loaded = XceptionSchema().load({"family": "xception"})
    loaded.pop("family")
    model = Xception(**loaded)
    assert built(model, (28, 28, 1), 10).count_params() == model.count_parameters((28, 28, 1), 10)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_net_is_keras_tuners(activation: str, pooling: str) -> None:
    model, x = replace(SMALL, activation=activation, pooling=pooling), images((9, 12, 3))
    theirs = HyperXception(include_top=False, input_shape=(9, 12, 3)).build(fixed(model))
    settle(theirs, x)
    pixels = keras.Input((9, 12, 3))
    ours = keras.Model(pixels, build(model, pixels, Materials()))
    ours.set_weights(theirs.get_weights())
    assert_same(run(ours, x), run(theirs, x))


def test_features_are_dropped_in_training_only() -> None:
    pixels = keras.Input((9, 12, 1))
    net = keras.Model(pixels, build(replace(SMALL, dropout_rate=0.9), pixels, Materials()))
    x = images((9, 12, 1), count=32)
    np.testing.assert_array_equal(net(x, training=False), net(x, training=False))
    assert np.mean(np.asarray(net(x, training=True)) == 0) > 0.8


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_loads_in_plain_keras_in_safe_mode(activation: str, tmp_path: Path) -> None:
    net, x = built(replace(SMALL, activation=activation)), images((9, 12, 1))
    settle(net, x)
    net.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_same(run(loaded, x), run(net, x))


def test_normalisation_is_fit_for_small_data_sets() -> None:
    norms = [layer for layer in built(SMALL).layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {NORM_MOMENTUM}


def test_rows_of_features_are_no_images() -> None:
    with pytest.raises(Infeasible, match="xception takes images"):
        build(SMALL, keras.Input((64,)), Materials())
