"""The family `cnn`, held against what Keras builds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.models import Infeasible
from schemas.models.cnn import ATTENTIONS, HEADS, POOLINGS, Cnn
from schemas.models.parts import ACTIVATIONS, INITIALIZERS
from tests.tuning.makers import cnn
from tuning.models import Materials
from tuning.models.cnn import build

FLAGS = st.booleans()
CONFIGURATIONS = st.builds(
    Cnn,
    blocks=st.integers(1, 3),
    convs_per_block=st.integers(1, 2),
    filters=st.sampled_from([1, 3, 17]),
    filter_growth=st.integers(1, 3),
    kernel_size=st.integers(1, 5),
    activation=st.sampled_from(ACTIVATIONS),
    pooling=st.sampled_from(POOLINGS),
    batch_norm=FLAGS,
    residual=FLAGS,
    attention=st.sampled_from(ATTENTIONS),
    head=st.sampled_from(HEADS),
    dense_layers=st.integers(0, 2),
    dense_units=st.sampled_from([0, 1, 7]),
    conv_dropout=st.sampled_from([0.0, 0.25]),
    dropout=st.sampled_from([0.0, 0.5]),
    l2=st.sampled_from([0.0, 0.1]),
    initializer=st.sampled_from(INITIALIZERS),
)


def net(model: Cnn, shape: tuple[int, ...] = (8, 8, 1), classes: int = 3) -> keras.Model:
    pixels = keras.Input(shape)
    return keras.Model(pixels, keras.layers.Dense(classes, name="logits")(build(model, pixels, Materials())))


def names(model: Cnn) -> list[str]:
    return [layer.name for layer in net(model).layers]


# A build takes a tenth of a second: to make a failing example smaller would take minutes.
@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    model=CONFIGURATIONS,
    shape=st.sampled_from([(8, 8, 1), (9, 13, 3), (5, 16, 2), (1, 1, 1)]),
    classes=st.integers(2, 5),
)
def test_the_count_of_parameters_is_kerass(model: Cnn, shape: tuple[int, ...], classes: int) -> None:
    """Of any combination of fields; and what cannot be counted cannot be built."""
    try:
        expected = model.count_parameters(shape, classes)
    except Infeasible:
        with pytest.raises(ValueError, match=r"."):
            net(model, shape, classes)
        return
    made = net(model, shape, classes)
    assert made.count_params() == expected
    assert made.output_shape == (None, classes)


def test_filters_grow_from_block_to_block() -> None:
    made = net(cnn(blocks=3, filters=2, filter_growth=3))
    assert [made.get_layer(f"conv_{block}_0").filters for block in range(3)] == [2, 6, 18]


def test_every_choice_is_in_the_model() -> None:
    made = net(cnn(activation="gelu", dropout=0.3, l2=0.01, kernel_size=5, initializer="he_normal"))
    convolution, dense = made.get_layer("conv_0_0"), made.get_layer("dense_0")
    assert convolution.kernel_size == (5, 5)
    assert made.get_layer("activation_0_0").activation is dense.activation is keras.activations.gelu
    assert made.get_layer("dropout_0").rate == 0.3
    for layer in (convolution, dense):
        assert float(layer.kernel_regularizer.l2) == pytest.approx(0.01)
        assert isinstance(layer.kernel_initializer, keras.initializers.HeNormal)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_known_to_keras(activation: str) -> None:
    assert np.isfinite(np.asarray(keras.activations.get(activation)(np.array([-1.0, 0.0, 2.0])))).all()


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_every_initializer_begins_elsewhere(initializer: str) -> None:
    keras.utils.set_random_seed(0)
    kernel = net(cnn(initializer=initializer)).get_layer("conv_0_0").get_weights()[0]
    assert kernel.std() > 0


@pytest.mark.parametrize(
    ("changes", "layer"),
    [
        ({"batch_norm": True}, "norm_0_0"),
        ({"pooling": "max"}, "pool_0"),
        ({"pooling": "average"}, "pool_0"),
        ({"residual": True}, "add_0"),
        ({"attention": "squeeze_excite"}, "weigh_0"),
        ({"attention": "self"}, "attention"),
        ({"head": "flatten"}, "flatten"),
        ({"head": "global_average"}, "global_average"),
        ({"head": "global_max"}, "global_max"),
        ({"conv_dropout": 0.1}, "conv_dropout_0"),
        ({"dense_layers": 2}, "dense_1"),
        ({"convs_per_block": 2}, "conv_0_1"),
    ],
)
def test_what_is_asked_for_is_there(changes: dict[str, Any], layer: str) -> None:
    assert layer in names(cnn(**changes))


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"batch_norm": False}, "norm_"),
        ({"pooling": "stride"}, "pool_"),
        ({"residual": False}, "add_"),
        ({"attention": "none"}, "attention"),
        ({"attention": "self"}, "weigh_"),
        ({"conv_dropout": 0.0}, "conv_dropout"),
        ({"dense_units": 0}, "dense_"),
        ({"dense_layers": 0}, "dense_"),
    ],
)
def test_what_is_not_asked_for_is_not_there(changes: dict[str, Any], start: str) -> None:
    assert not [name for name in names(cnn(**changes)) if name.startswith(start)]


@pytest.mark.parametrize(("pooling", "sides"), [("max", [4, 2]), ("average", [4, 2]), ("stride", [5, 3])])
def test_each_block_halves_the_map(pooling: str, sides: list[int]) -> None:
    made = net(cnn(blocks=2, pooling=pooling, head="global_max"), (9, 9, 1))
    maps = [layer.output.shape[1:3] for layer in made.layers if len(layer.output.shape) == 4]
    assert list(dict.fromkeys(maps)) == [(9, 9), *[(side, side) for side in sides]]


def test_a_shortcut_adds_what_entered_the_block() -> None:
    """Without a kernel of its own, where the channels are the same: the block then only adds to its input."""
    made = net(cnn(filters=2, residual=True, activation="linear"), (8, 8, 2))
    for layer in made.layers:
        if layer.name.startswith("conv_"):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype("float32")
    added = keras.Model(made.input, made.get_layer("add_0").output)(x)
    assert np.allclose(np.asarray(added), x, atol=1e-6)


def test_excitation_weighs_each_channel_between_0_and_1() -> None:
    made = net(cnn(filters=6, attention="squeeze_excite"))
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    weights = np.asarray(keras.Model(made.input, made.get_layer("excite_0").output)(x))
    assert weights.shape == (3, 1, 1, 6)
    assert ((weights > 0) & (weights < 1)).all()
    entered = np.asarray(keras.Model(made.input, made.get_layer("activation_0_0").output)(x))
    weighed = np.asarray(keras.Model(made.input, made.get_layer("weigh_0").output)(x))
    assert np.allclose(weighed, entered * weights, atol=1e-6)


def test_self_attention_lets_places_see_each_other() -> None:
    made = net(cnn(blocks=1, kernel_size=1, attention="self"))
    seen = keras.Model(made.input, made.get_layer("map").output)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype("float32")
    other = x.copy()
    other[0, 7, 7] += 5.0
    assert not np.allclose(np.asarray(seen(x))[0, 0, 0], np.asarray(seen(other))[0, 0, 0], atol=1e-6)
    # Without it, a kernel of 1 x 1 sees no other place.
    blind = net(cnn(blocks=1, kernel_size=1))
    pooled = keras.Model(blind.input, blind.get_layer("pool_0").output)
    assert np.array_equal(np.asarray(pooled(x))[0, 0, 0], np.asarray(pooled(other))[0, 0, 0])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_it_loads_in_plain_keras_in_safe_mode(attention: str, tmp_path: Path) -> None:
    made = net(cnn(blocks=2, attention=attention, residual=True, pooling="stride", batch_norm=True))
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    assert np.allclose(np.asarray(loaded(x)), np.asarray(made(x)), atol=1e-6)


def test_rows_of_features_are_no_images() -> None:
    with pytest.raises(Infeasible, match="cnn takes images"):
        replace(cnn()).count_parameters((64,), 3)
