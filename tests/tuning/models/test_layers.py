"""The builder of the family `layers`, held against Keras itself."""

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import missing

from schemas.models.family import Infeasible
from schemas.models.kinds import LAYERS
from schemas.models.layers import Layers, LayersSchema
from tuning.models.layers import CLASSES, build
from tuning.models.materials import Materials

Entry = dict[str, Any]
Shape = tuple[int, ...]


def model(*entries: Entry) -> Layers:
    return Layers(LayersSchema().load({"family": "layers", "layers": list(entries)})["layers"])


def net(made: Layers, shape: Shape, classes: int = 3) -> keras.Model:
    """The builder's layers, with a head such as the service puts on them."""
    pixels = keras.Input(shape, name="pixels")
    return _headed(pixels, build(made, pixels, Materials()), classes)


def in_plain_keras(entries: list[Entry], shape: Shape, classes: int = 3) -> keras.Model | None:
    """The same net without any of our code; None where Keras refuses it."""
    pixels = features = keras.Input(shape, name="pixels")
    try:
        for entry in entries:
            arguments = {key: value for key, value in entry.items() if key != "type"}
            features = getattr(keras.layers, entry["type"])(**arguments)(features)
    except (ValueError, IndexError):
        # Keras itself trips over a PReLU whose shared axes are more than there are.
        return None
    return _headed(pixels, features, classes)


def _headed(pixels: keras.KerasTensor, features: keras.KerasTensor, classes: int) -> keras.Model:
    if len(features.shape) != 2:
        features = keras.layers.Flatten(name="features")(features)
    return keras.Model(pixels, keras.layers.Dense(classes, name="logits")(features))


_FEW = st.integers(1, 4)
_PAIR = _FEW | st.tuples(_FEW, _FEW).map(list)
_STRIDE = st.sampled_from([1, 1, 2, [1, 2]])
_MARGINS = st.integers(0, 2) | st.lists(
    st.integers(0, 3) | st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=2, max_size=2
)
_FLAG = st.booleans()
_PADDING = st.sampled_from(["valid", "same"])
_ACTIVATION = st.sampled_from([None, "relu", "softmax", "gelu"])
_WINDOW = {
    "strides": _STRIDE,
    "padding": _PADDING,
    "dilation_rate": _STRIDE,
    "use_bias": _FLAG,
    "activation": _ACTIVATION,
}
_POOL = ({"pool_size": _PAIR}, {"strides": st.none() | _PAIR, "padding": _PADDING})
_SCALED = {"center": _FLAG, "scale": _FLAG}
_RATE = ({"rate": st.sampled_from([0.0, 0.5])}, {})

# (arguments that Keras must be given, others) of every layer.
ARGUMENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Conv2D": ({"filters": _FEW, "kernel_size": _PAIR}, {**_WINDOW, "groups": st.integers(1, 2)}),
    "SeparableConv2D": ({"filters": _FEW, "kernel_size": _PAIR}, {**_WINDOW, "depth_multiplier": _FEW}),
    "DepthwiseConv2D": ({"kernel_size": _PAIR}, {**_WINDOW, "depth_multiplier": _FEW}),
    "Conv2DTranspose": ({"filters": _FEW, "kernel_size": _PAIR}, _WINDOW),
    "MaxPooling2D": _POOL,
    "AveragePooling2D": _POOL,
    "GlobalAveragePooling2D": ({}, {"keepdims": _FLAG}),
    "GlobalMaxPooling2D": ({}, {"keepdims": _FLAG}),
    "Dense": ({"units": _FEW}, {"use_bias": _FLAG, "activation": _ACTIVATION}),
    "Flatten": ({}, {}),
    "Reshape": ({"target_shape": st.sampled_from([[-1], [-1, 2], [4, -1, 2], [8, 8], [-1, -1]])}, {}),
    "Dropout": _RATE,
    "SpatialDropout2D": _RATE,
    "GaussianDropout": _RATE,
    "AlphaDropout": _RATE,
    "GaussianNoise": ({"stddev": st.sampled_from([0.0, 0.5])}, {}),
    "BatchNormalization": ({}, {**_SCALED, "momentum": st.just(0.9)}),
    "LayerNormalization": ({}, _SCALED),
    "GroupNormalization": ({}, {**_SCALED, "groups": st.sampled_from([-1, 1, 2])}),
    "Activation": ({"activation": st.just("tanh")}, {}),
    "ReLU": ({}, {"max_value": st.sampled_from([None, 6.0])}),
    "LeakyReLU": ({}, {"negative_slope": st.just(0.1)}),
    "ELU": ({}, {"alpha": st.just(0.5)}),
    "PReLU": ({}, {"shared_axes": st.sampled_from([None, [1], [1, 2], [3]])}),
    "Softmax": ({}, {}),
    "ZeroPadding2D": ({}, {"padding": _MARGINS}),
    "Cropping2D": ({}, {"cropping": _MARGINS}),
    "UpSampling2D": (
        {},
        {"size": st.sampled_from([1, 2, [1, 2]]), "interpolation": st.sampled_from(["nearest", "bilinear"])},
    ),
    "ActivityRegularization": ({}, {"l2": st.just(0.1)}),
    "Rescaling": ({"scale": st.just(2.0)}, {"offset": st.just(-1.0)}),
}
# Layers that want a map come before those that make a row, more often than not.
_MAPS = [kind for kind in ARGUMENTS if "2D" in kind and not kind.startswith("Global")]


def _entry(kind: str) -> st.SearchStrategy[Entry]:
    needed, others = ARGUMENTS[kind]
    return st.fixed_dictionaries({"type": st.just(kind), **needed}, optional=others)


_STACKS = st.builds(
    lambda maps, rest: maps + rest,
    st.lists(st.sampled_from(_MAPS).flatmap(_entry), max_size=3),
    st.lists(st.sampled_from(list(ARGUMENTS)).flatmap(_entry), min_size=1, max_size=4),
)


def test_the_stacks_below_have_every_layer() -> None:
    assert set(ARGUMENTS) == set(CLASSES) == set(LAYERS)


def _assert_as_in_plain_keras(stack: list[Entry], shape: Shape) -> None:
    made, plain = model(*stack), in_plain_keras(stack, shape)
    if plain is None:
        with pytest.raises(Infeasible, match="layers"):
            made.count_parameters(shape, 3)
        with pytest.raises(Infeasible, match="layers"):
            net(made, shape)
        return
    ours = net(made, shape)
    assert made.count_parameters(shape, 3) == plain.count_params() == ours.count_params()
    assert ours.layers[-1].input.shape == plain.layers[-1].input.shape


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_STACKS, st.sampled_from([(8, 8, 1), (8, 7, 2), (5, 4, 3), (8,)]))
def test_a_stack_costs_what_it_costs_in_plain_keras_or_is_infeasible(
    stack: list[Entry], shape: Shape
) -> None:
    _assert_as_in_plain_keras(stack, shape)


_CONV = {"type": "Conv2D", "filters": 4, "kernel_size": 3}
_UP = {"type": "Conv2DTranspose", "filters": 4, "kernel_size": [3, 2]}


@pytest.mark.parametrize(
    "layer",
    [
        {**_CONV, "strides": 2, "padding": "same"},
        {**_CONV, "strides": [1, 2]},
        {**_CONV, "dilation_rate": [4, 2]},
        {**_CONV, "dilation_rate": [5, 2]},
        {**_CONV, "strides": [1, 2], "dilation_rate": [2, 1]},
        {**_CONV, "groups": 2, "use_bias": False},
        {**_CONV, "groups": 3},
        {**_CONV, "kernel_size": [9, 7]},
        {**_CONV, "kernel_size": [10, 7]},
        {**_CONV, "kernel_size": 10, "padding": "same"},
        {**_UP, "strides": [2, 5]},
        {**_UP, "strides": [2, 5], "padding": "same"},
        {**_UP, "dilation_rate": 3},
        {**_UP, "strides": 2, "dilation_rate": 2},
        {
            "type": "DepthwiseConv2D",
            "kernel_size": 3,
            "strides": 2,
            "dilation_rate": 2,
            "depth_multiplier": 3,
        },
        {"type": "SeparableConv2D", "filters": 5, "kernel_size": [3, 1], "depth_multiplier": 2},
        {"type": "MaxPooling2D", "padding": "same"},
        {"type": "MaxPooling2D", "pool_size": [9, 7]},
        {"type": "AveragePooling2D", "pool_size": [9, 8]},
        {"type": "AveragePooling2D", "pool_size": 2, "strides": [3, 1]},
        {"type": "Dense", "units": 5},
        {"type": "BatchNormalization", "center": False},
        {"type": "LayerNormalization", "scale": False},
        {"type": "GroupNormalization", "groups": 8},
        {"type": "PReLU", "shared_axes": [1, 3]},
        {"type": "Cropping2D", "cropping": [[4, 4], [3, 3]]},
        {"type": "Cropping2D", "cropping": [[4, 5], [0, 0]]},
        {"type": "ZeroPadding2D", "padding": [[4, 0], 1]},
        {"type": "UpSampling2D", "size": [1, 3]},
        {"type": "Reshape", "target_shape": [21, -1, 3]},
        {"type": "Reshape", "target_shape": [21, 12]},
        {"type": "Reshape", "target_shape": [5, -1]},
    ],
)
@pytest.mark.parametrize("shape", [(9, 7, 4), (8,)])
def test_the_edges_of_every_rule_are_where_keras_has_them(layer: Entry, shape: Shape) -> None:
    _assert_as_in_plain_keras([layer], shape)


@pytest.mark.parametrize("kind", LAYERS)
def test_arguments_and_their_defaults_are_keras(kind: str) -> None:
    theirs = inspect.signature(CLASSES[kind].__init__).parameters
    for name, field in LAYERS[kind]().load_fields.items():
        if name in ("type", "name"):
            continue
        if (kind, name) == ("AveragePooling2D", "pool_size"):
            # Ours has MaxPooling2D's default, Keras has none.
            continue
        default = theirs[name].default
        assert field.required == (default is inspect.Parameter.empty)
        if field.load_default is not missing:
            assert _one(default) == field.load_default


def _one(value: Any) -> Any:
    """(2, 2) as 2: the same on both sides, however deep."""
    return _one(value[0]) if isinstance(value, tuple) else value


ARTICLE_002: list[Entry] = [
    {"type": "Conv2D", "filters": 32, "kernel_size": [3, 3], "activation": "relu"},
    {"type": "MaxPooling2D", "pool_size": [2, 2]},
    {"type": "Flatten"},
    {"type": "Dense", "units": 128, "activation": "relu"},
    {"type": "Dropout", "rate": 0.3},
]
ARTICLE_003: list[Entry] = [
    {
        "type": "Conv2D",
        "filters": 32,
        "kernel_size": [3, 3],
        "activation": "relu",
        "kernel_regularizer": {"l2": 0.001},
    },
    {"type": "MaxPooling2D", "pool_size": [2, 2]},
    {"type": "Dropout", "rate": 0.25},
    {"type": "Flatten"},
    {"type": "Dense", "units": 128, "activation": "relu", "kernel_regularizer": {"l2": 0.001}},
    {"type": "Dropout", "rate": 0.5},
]


def test_the_net_of_the_article_on_grid_search_is_written_line_by_line() -> None:
    made = model(*ARTICLE_002)
    built = net(made, (28, 28, 1), 10)
    kinds = [type(layer).__name__ for layer in built.layers]
    assert kinds == ["InputLayer", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dropout", "Dense"]
    convolution, pooling, _, dense, dropout, _ = built.layers[1:]
    assert (convolution.filters, convolution.kernel_size) == (32, (3, 3))
    assert convolution.activation is dense.activation is keras.activations.relu
    assert pooling.pool_size == pooling.strides == (2, 2)
    assert (dense.units, dropout.rate) == (128, 0.3)
    # 26 x 26 x 32 after the convolution, 13 x 13 x 32 after the pooling.
    expected = (9 + 1) * 32 + (13 * 13 * 32 + 1) * 128 + (128 + 1) * 10
    assert made.count_parameters((28, 28, 1), 10) == built.count_params() == expected


def test_the_net_of_the_article_on_better_cnns_has_its_penalties_and_dropouts() -> None:
    built = net(model(*ARTICLE_003), (28, 28, 1), 10)
    kinds = [type(layer).__name__ for layer in built.layers[1:]]
    assert kinds == ["Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense", "Dropout", "Dense"]
    assert [layer.rate for layer in built.layers if isinstance(layer, keras.layers.Dropout)] == [0.25, 0.5]
    penalised = [built.layers[1], built.layers[5]]
    sums = [0.001 * np.square(layer.kernel.numpy()).sum() for layer in penalised]
    assert [float(loss) for loss in built.losses] == pytest.approx(sums, rel=1e-5)


@pytest.mark.parametrize(
    ("written", "l1", "l2"),
    [("l1", 0.01, 0.0), ("l2", 0.0, 0.01), ("l1_l2", 0.01, 0.01), ({"l1": 0.3, "l2": 0.2}, 0.3, 0.2)],
)
def test_a_regularizer_is_keras_of_that_name_or_of_those_numbers(written: Any, l1: float, l2: float) -> None:
    built = net(model({"type": "Dense", "units": 4, "kernel_regularizer": written}), (8,))
    kernel = built.layers[1].kernel.numpy()
    assert float(sum(built.losses)) == pytest.approx(
        l1 * np.abs(kernel).sum() + l2 * (kernel**2).sum(), rel=1e-5
    )


@pytest.mark.parametrize("written", [None, {}, {"l1": 0.0, "l2": 0.0}])
def test_no_penalty_is_no_regularizer(written: Any) -> None:
    built = net(model({"type": "Dense", "units": 4, "kernel_regularizer": written}), (8,))
    assert built.layers[1].kernel_regularizer is None


def test_repetitions_have_weights_of_their_own_and_names_that_differ() -> None:
    block = {"type": "Conv2D", "filters": 4, "kernel_size": 3, "padding": "same", "name": "conv"}
    made = model({"repeat": 2, "layers": [block, {"repeat": 2, "layers": [{"type": "ReLU", "name": "act"}]}]})
    built = net(made, (8, 8, 4))
    names = [layer.name for layer in built.layers[1:7]]
    assert names == ["conv_0", "act_0_0", "act_0_1", "conv_1", "act_1_0", "act_1_1"]
    first, second = (built.get_layer(name).kernel.numpy() for name in ("conv_0", "conv_1"))
    assert not np.array_equal(first, second)


def test_no_layers_at_all_leave_the_pixels() -> None:
    made = model({"repeat": 0, "layers": [{"type": "Dense", "units": 3}]})
    assert net(made, (4, 4, 1)).count_params() == made.count_parameters((4, 4, 1), 3) == 17 * 3


def test_a_net_too_large_for_memory_is_refused_before_anything_is_built() -> None:
    growing = {"repeat": 100, "layers": [{"type": "UpSampling2D", "size": 256}]}
    with pytest.raises(Infeasible, match="more than"):
        net(model(growing), (8, 8, 1))


# Every layer once, those of maps first; some under names that Keras' files use themselves.
ALL_LAYERS: list[Entry] = [
    {"type": "Rescaling", "scale": 2.0, "offset": -1.0},
    {"type": "ZeroPadding2D", "padding": [[1, 0], [0, 1]]},
    {
        "type": "Conv2D",
        "filters": 4,
        "kernel_size": 3,
        "groups": 1,
        "kernel_regularizer": "l1_l2",
        "name": "vars",
    },
    {"type": "BatchNormalization", "name": "layers"},
    {"type": "ReLU", "max_value": 6},
    {"type": "SpatialDropout2D", "rate": 0.1},
    {"type": "SeparableConv2D", "filters": 4, "kernel_size": [2, 3], "strides": [1, 2], "padding": "same"},
    {"type": "LayerNormalization"},
    {"type": "PReLU", "shared_axes": [1, 2], "alpha_regularizer": {"l1": 0.1}},
    {
        "type": "DepthwiseConv2D",
        "kernel_size": 3,
        "depth_multiplier": 2,
        "padding": "same",
        "dilation_rate": 2,
    },
    {"type": "GroupNormalization", "groups": 2},
    {"type": "UpSampling2D", "size": [1, 2], "interpolation": "bilinear"},
    {"type": "MaxPooling2D", "pool_size": 2, "strides": 1},
    {"type": "Conv2DTranspose", "filters": 3, "kernel_size": 3, "strides": 2, "name": "optimizer"},
    {"type": "AveragePooling2D"},
    {"type": "Cropping2D", "cropping": [1, [0, 1]]},
    {"type": "Conv2D", "filters": 4, "kernel_size": 1, "groups": 1, "activation": "softmax"},
    {"type": "GlobalMaxPooling2D", "keepdims": True},
    {"type": "GlobalAveragePooling2D"},
    {"type": "Reshape", "target_shape": [2, -1]},
    {"type": "Flatten"},
    {"type": "Dense", "units": 6, "activation": "selu", "kernel_initializer": "lecun_normal"},
    {"type": "AlphaDropout", "rate": 0.1},
    {"type": "GaussianNoise", "stddev": 0.1},
    {"type": "GaussianDropout", "rate": 0.1},
    {"type": "ELU"},
    {"type": "LeakyReLU"},
    {"type": "Activation", "activation": "tanh"},
    {"type": "ActivityRegularization", "l2": 0.01},
    {"type": "Dropout", "rate": 0.1},
    {"type": "Softmax"},
]


def test_every_layer_trains_is_saved_and_loads_in_plain_keras(tmp_path: Path) -> None:
    assert {entry["type"] for entry in ALL_LAYERS} == set(LAYERS)
    built = net(model(*ALL_LAYERS), (9, 9, 2))
    built.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    random = np.random.default_rng(0)
    x, y = random.random((16, 9, 9, 2), np.float32), random.integers(0, 3, 16)
    history = built.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    built.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
    assert all(type(layer).__module__.startswith("keras.") for layer in again.layers)
    assert np.array_equal(built.predict(x, verbose=0), again.predict(x, verbose=0))


def test_layers_build_under_the_head_and_the_scaling_of_the_service() -> None:
    """Names of the client's layers and of the service's stand in one net."""
    pixels = keras.Input((8, 8, 3), name="pixels")
    scaled = keras.layers.Rescaling(1 / 255, name="scaling")(
        keras.ops.image.rgb_to_grayscale(pixels[..., :3])
    )
    entries = [
        {"type": "Conv2D", "filters": 2, "kernel_size": 3, "name": f"conv2d_{index}"} for index in range(3)
    ]
    built = _headed(
        pixels,
        build(model(*entries, {"type": "Conv2D", "filters": 2, "kernel_size": 1}), scaled, Materials()),
        3,
    )
    names = [layer.name for layer in built.layers]
    assert len(set(names)) == len(names)
    assert built.output_shape == (None, 3)


def test_a_penalty_on_activity_trains_in_16_bits() -> None:
    """Keras adds losses up as they come, and those of a 16-bit layer have another type."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        dense, penalty = {"type": "Dense", "units": 4}, {"type": "ActivityRegularization", "l2": 0.1}
        made = net(model({"type": "Flatten"}, dense, penalty), (4, 4, 1))
    finally:
        keras.config.set_dtype_policy(before)
    made.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    x, y = np.ones((8, 4, 4, 1), np.float32), np.zeros(8, np.int32)
    history = made.fit(x, y, verbose=0).history
    assert np.isfinite(history["loss"]).all()
