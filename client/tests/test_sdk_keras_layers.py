"""Keras models of one's own, held against what the service builds from them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from schemas.models.arguments import ACTIVATIONS, BIAS_INITIALIZERS, INITIALIZERS, LAYER_NAME
from schemas.models.kinds import LAYERS
from schemas.models.layers import Layers, LayersSchema
from tuneserve import CannotExpress
from tuneserve import keras_layers as ours
from tuneserve.keras_layers import layers_from_keras
from tuning.models.layers import build
from tuning.models.materials import Materials

Entries = list[dict[str, Any]]


def sequential(*layers: Any, shape: tuple[int, ...] = (12, 12, 3), head: Any = None) -> keras.Model:
    """A model with a head."""
    return keras.Sequential([keras.Input(shape), *layers, L.Flatten(), head or L.Dense(3, "softmax")])


def entries(*layers: Any, **options: Any) -> Entries:
    """The entries of some layers, without the `Flatten` that `sequential` puts behind them."""
    found: Entries = layers_from_keras(sequential(*layers, **options))["layers"]
    assert found[-1] == {"type": "Flatten"}
    return found[:-1]


def by_service(model: dict[str, Any], like: keras.Model) -> keras.Model:
    """What the service's own builder makes of `spec["model"]`, with the head of the model it came from."""
    made = Layers(LayersSchema().load(model)["layers"])
    pixels = keras.Input(like.input_shape[1:])
    features = build(made, pixels, Materials())
    if len(features.shape) != 2:
        features = L.Flatten()(features)
    head = L.Dense(like.output_shape[-1], "softmax")(features)
    assert made.count_parameters(like.input_shape[1:], like.output_shape[-1]) == like.count_params()
    return keras.Model(pixels, head)


def inner(model: keras.Model) -> list[Any]:
    """The layers without inputs, those of models inside the model in their place."""
    found: list[Any] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += inner(layer)
        elif not isinstance(layer, L.InputLayer):
            found.append(layer)
    return found


def told(layer: Any) -> dict[str, Any]:
    """A layer's configuration, without names, seeds and the ways to write a penalty."""
    config = {k: v for k, v in layer.get_config().items() if k not in ("name", "dtype", "seed")}
    if config.get("axis") == len(layer.output.shape) - 1:
        config["axis"] = -1
    for name, value in config.items():
        if name.endswith("_initializer"):
            value["config"].pop("seed", None)
        if name.endswith("_regularizer") and value:
            config[name] = {"l1": 0.0, "l2": 0.0, **value["config"]}
    return config


def lenet() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.Conv2D(6, 5, activation="tanh", padding="same"),
            L.AveragePooling2D(2),
            L.Conv2D(16, (5, 3), strides=(1, 2), activation="tanh", use_bias=False),
            L.AveragePooling2D((2, 1), strides=2),
            L.Flatten(),
            L.Dense(120, activation=keras.activations.tanh),
            L.Dense(84, kernel_initializer=keras.initializers.LecunNormal(seed=3)),
            L.Activation("swish"),
            L.Dense(10, activation="softmax"),
        ]
    )


def vgg() -> keras.Model:
    layers: list[Any] = [keras.Input((16, 16, 3))]
    for filters in (4, 8):
        for _ in range(2):
            layers += [
                L.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", kernel_regularizer="l2"),
                L.BatchNormalization(momentum=0.9, axis=3),
                L.ReLU(),
            ]
        layers += [L.MaxPooling2D(), L.SpatialDropout2D(0.25)]
    head = [L.GlobalAveragePooling2D(), L.Dropout(0.5, seed=1), L.Dense(4), L.Softmax()]
    return keras.Sequential(layers + head)


def depthwise() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            L.ZeroPadding2D(((0, 1), (1, 0))),
            L.SeparableConv2D(8, 3, depth_multiplier=2, pointwise_regularizer=keras.regularizers.L1(0.02)),
            L.LayerNormalization(epsilon=1e-5),
            L.PReLU(shared_axes=[1, 2]),
            L.DepthwiseConv2D(3, dilation_rate=2, depthwise_initializer="orthogonal"),
            L.GroupNormalization(4, scale=False),
            L.LeakyReLU(negative_slope=0.1),
            L.Conv2DTranspose(4, (3, 2), strides=2),
            L.UpSampling2D((1, 2), interpolation="bilinear"),
            L.Cropping2D(2),
            L.GlobalMaxPooling2D(keepdims=True),
            L.Reshape((-1,)),
            L.Dense(5),
        ]
    )


def functional() -> keras.Model:
    """A chain with models inside, one in the other."""
    stem = keras.Sequential([L.Conv2D(4, 3, name="first"), L.BatchNormalization()], name="stem")
    pixels = keras.Input((9, 9, 4))
    block = keras.Model(pixels, L.ELU(0.5)(L.Conv2D(4, 3, groups=2)(pixels)), name="block")
    image = keras.Input((11, 11, 3))
    features = L.Flatten()(keras.Sequential([block])(stem(image)))
    return keras.Model(image, L.Activation("softmax")(L.Dense(3)(features)))


@pytest.mark.parametrize("make", [lenet, vgg, depthwise, functional])
def test_the_service_builds_the_same_net(make: Any) -> None:
    model = make()
    built = by_service(layers_from_keras(model), model)
    assert built.count_params() == model.count_params()
    body = inner(built)[:-1]
    for one, other in zip(inner(model), body, strict=False):
        assert one.output.shape == other.output.shape
        assert told(one) == told(other)
    built.set_weights(model.get_weights())
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), "float32")
    expected = model(images, training=False)
    if make is depthwise:
        # Its head gives logits.
        expected = keras.ops.softmax(expected)
    assert np.allclose(built(images, training=False), expected, atol=1e-5)


def test_defaults_are_left_out_and_names_of_people_are_kept() -> None:
    found = entries(
        L.Conv2D(8, (3, 3), name="stem"),
        L.MaxPooling2D(),
        L.BatchNormalization(name="norm-1"),
        L.ReLU(name="logits"),
        L.ReLU(name="a b"),
        L.Conv2D(8, (3, 1), kernel_regularizer=keras.regularizers.L1L2(0.5, 0.0), name="conv2d_77"),
    )
    assert found == [
        {"type": "Conv2D", "name": "stem", "filters": 8, "kernel_size": 3},
        {"type": "MaxPooling2D"},
        {"type": "BatchNormalization", "name": "norm-1"},
        {"type": "ReLU"},
        {"type": "ReLU"},
        {"type": "Conv2D", "filters": 8, "kernel_size": [3, 1], "kernel_regularizer": {"l1": 0.5}},
    ]


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(4, 3, dilation_rate=2, bias_initializer="ones", bias_regularizer="l1", activation="relu6"),
        L.Conv2D(4, 3, kernel_initializer="truncated_normal", bias_initializer="random_uniform"),
        L.AveragePooling2D(3, padding="same"),
        L.MaxPooling2D(3, strides=(2, 1)),
        L.Dense(4, activation="softmax"),
        L.GaussianDropout(0.1),
        L.AlphaDropout(0.1),
        L.GaussianNoise(0.1),
        L.ReLU(6, negative_slope=0.1, threshold=0.5),
        L.Softmax(),
        L.ActivityRegularization(l1=0.1),
        L.PReLU(),
        L.ZeroPadding2D((1, 2)),
        L.Cropping2D(((1, 2), (1, 2))),
        L.BatchNormalization(center=False, scale=False, epsilon=0.01),
        L.Activation("linear"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_arguments_come_back_from_the_service_as_they_were(layer: Any) -> None:
    model = sequential(layer)
    built = by_service(layers_from_keras(model), model)
    assert told(inner(built)[0]) == told(layer)


def test_a_model_that_is_not_built_yet() -> None:
    model = keras.Sequential([L.Conv2D(4, 3), L.BatchNormalization(), L.Flatten(), L.Dense(3)])
    kinds = [layer["type"] for layer in layers_from_keras(model)["layers"]]
    assert kinds == ["Conv2D", "BatchNormalization", "Flatten"]


def test_scaling_in_front() -> None:
    conv = {"type": "Conv2D", "filters": 4, "kernel_size": 3}
    assert entries(L.Rescaling(1 / 255), L.Conv2D(4, 3)) == [conv]
    around_zero = {"type": "Rescaling", "scale": 2.0, "offset": -1.0}
    assert entries(L.Rescaling(1 / 127.5, offset=-1), L.Conv2D(4, 3)) == [around_zero, conv]
    later = {"type": "Rescaling", "scale": 0.5}
    assert entries(L.Conv2D(4, 3), L.Rescaling(0.5)) == [conv, later]
    with pytest.warns(UserWarning, match="mean is left out: set preprocessing={'scaling': 'standardize'}"):
        found = entries(L.Normalization(name="mean"), L.Rescaling(0.5))
    assert found == [later]


@pytest.mark.parametrize("head", [L.Dense(3), L.Dense(1, "sigmoid"), L.Dense(3, "softmax", name="classes")])
def test_heads_are_left_out(head: Any) -> None:
    assert layers_from_keras(sequential(head=head))["layers"] == [{"type": "Flatten"}]


def test_a_model_without_a_head_says_so() -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(64, "relu", name="features")])
    with pytest.raises(CannotExpress, match=r"features \(Dense\): is the last layer.*has_head=False"):
        layers_from_keras(model)
    kept = layers_from_keras(model, has_head=False)["layers"]
    assert kept == [{"type": "Flatten"}, {"type": "Dense", "units": 64, "activation": "relu"}]


def test_a_convolution_is_no_head() -> None:
    model = keras.Sequential([keras.Input((3, 3, 1)), L.Conv2D(4, 3, name="classes"), L.Softmax(name="end")])
    with pytest.raises(CannotExpress, match=r"end \(Softmax\): is the last layer"):
        layers_from_keras(model)


def test_a_name_that_two_models_inside_have_is_not_carried() -> None:
    parts = [keras.Sequential([L.ReLU(name="act"), L.ReLU(name=name)]) for name in ("one", "two")]
    names = [layer.get("name") for layer in entries(*parts)]
    assert names == [None, "one", None, "two"]


class Mine(L.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs


class Dense(L.Dense):
    """Called like Keras' own."""


class Whole(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (L.RandomFlip(name="flip"), "flip (RandomFlip): augments images: that is the spec's `augmentation`"),
        (L.RandAugment((0, 255), name="a"), "a (RandAugment): augments images"),
        (
            L.Resizing(8, 8, name="r"),
            "r (Resizing): changes the size of images: that is `preprocessing.image",
        ),
        (Mine(name="m"), "m (Mine): is no layer of Keras itself"),
        (Dense(3, name="d"), "d (Dense): is no layer of Keras itself"),
        (L.Lambda(lambda x: x, name="l"), "l (Lambda): is code"),
        (L.Conv2D(3, 3, kernel_constraint="max_norm", name="c"), "c (Conv2D): kernel_constraint=MaxNorm("),
        (L.Conv2D(3, 3, activity_regularizer="l2", name="c"), "c (Conv2D): activity_regularizer=L2(l2=0.01)"),
        (L.Conv2D(3, 3, data_format="channels_first"), "data_format='channels_first' is not in the family"),
        (
            L.Conv2D(3, 3, kernel_initializer="zeros"),
            "kernel_initializer=Zeros() is not in the family, which",
        ),
        (L.Conv2D(3, 3, kernel_initializer=keras.initializers.Orthogonal(2.0)), "Orthogonal(gain=2.0)"),
        (L.Conv2D(3, 3, bias_initializer=keras.initializers.Constant(0.1)), "bias_initializer=Constant("),
        (L.Dense(3, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()), "OrthogonalRegularizer("),
        (
            L.Dense(3, activation="exponential"),
            "activation='exponential' is not in the family, which has elu",
        ),
        (L.Dense(3, activation=lambda x: x), "activation=a function of your own is not in the family"),
        (L.Dense(3, activation=L.LeakyReLU(0.1)), "activation=LeakyReLU("),
        (L.BatchNormalization(axis=1), "axis=1 is not in the family"),
        (L.BatchNormalization(gamma_initializer="zeros"), "gamma_initializer=Zeros()"),
        (L.BatchNormalization(synchronized=True), "synchronized=True"),
        (L.BatchNormalization(renorm=True), "renorm=True"),
        (L.LayerNormalization(axis=[1, 2]), "axis=[1, 2]"),
        (L.PReLU(alpha_initializer="ones"), "alpha_initializer=Ones()"),
        (L.Dropout(0.1, noise_shape=(1, 1, 1, 3)), "noise_shape="),
        (L.Rescaling([0.1, 0.2, 0.3]), "scale=[0.1, 0.2, 0.3]"),
        (L.Conv2D(3, 3, trainable=False, name="c"), "c (Conv2D): is frozen"),
        (L.UnitNormalization(name="u"), "u (UnitNormalization): is not in the family"),
    ],
)
def test_what_cannot_be_expressed_is_named_with_the_reason(layer: Any, reason: str) -> None:
    with pytest.raises(CannotExpress) as caught:
        layers_from_keras(sequential(L.ReLU(), layer))
    lines = str(caught.value).splitlines()
    assert lines[0] == "the family `layers` cannot express this model:"
    assert reason in lines[1]
    assert len(lines) == 2


def test_all_layers_that_cannot_be_expressed_are_named() -> None:
    model = keras.Sequential([L.Resizing(8, 8), Mine(), L.Conv2D(3, 3), L.RandomZoom(0.1), L.Flatten()])
    with pytest.raises(CannotExpress) as caught:
        layers_from_keras(model)
    places = [line.strip().split(":")[0] for line in str(caught.value).splitlines()[1:]]
    kinds = sorted(place.partition("(")[2].rstrip(")") for place in places)
    assert kinds == ["Flatten", "Mine", "RandomZoom", "Resizing"]


def _head(image: Any, features: Any) -> keras.Model:
    return keras.Model(image, L.Dense(3)(L.Flatten()(features)))


def residual() -> keras.Model:
    image = keras.Input((8, 8, 3))
    return _head(image, L.Add(name="sum")([L.Conv2D(3, 3, padding="same")(image), image]))


def operation() -> keras.Model:
    image = keras.Input((8, 8, 3))
    return _head(image, L.Conv2D(3, 3)(image) * 2.0)


def shared() -> keras.Model:
    image, conv = keras.Input((8, 8, 3)), L.Conv2D(3, 3, name="twice")
    return _head(image, conv(conv(image)))


def as_in_prediction() -> keras.Model:
    image = keras.Input((8, 8, 3))
    return _head(image, L.BatchNormalization(name="still")(image, training=False))


def two_outputs() -> keras.Model:
    image = keras.Input((8, 8, 3))
    flat = L.Flatten()(image)
    return keras.Model(image, [L.Dense(3, name="a")(flat), L.Dense(3, name="b")(flat)])


def two_inputs() -> keras.Model:
    one, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    return _head([one, other], L.Concatenate(name="both")([one, other]))


def within() -> keras.Model:
    image = keras.Input((8, 8, 3))
    inside = L.Add(name="sum")([L.Conv2D(3, 3, padding="same")(image), image])
    return keras.Sequential([keras.Model(image, inside, name="inner"), L.Flatten(), L.Dense(3)])


@pytest.mark.parametrize(
    ("make", "reasons"),
    [
        (residual, ["sum (Add): joins branches", "(InputLayer): goes to several layers"]),
        (operation, ["(Multiply): is an operation, no layer"]),
        (shared, ["twice (Conv2D): is used 2 times with the same weights"]),
        (as_in_prediction, ["still (BatchNormalization): is called with training=False"]),
        (two_outputs, ["2 outputs (a, b); the family has one"]),
        (two_inputs, ["both (Concatenate): joins branches", "2 inputs ("]),
        (within, ["inner/sum (Add): joins branches"]),
    ],
)
def test_what_is_no_chain_is_refused(make: Any, reasons: list[str]) -> None:
    with pytest.raises(CannotExpress) as caught:
        layers_from_keras(make())
    for reason in reasons:
        assert str(caught.value).count(reason) == 1


def test_what_is_no_model_that_lists_its_layers() -> None:
    with pytest.raises(CannotExpress, match="Whole is a class of your own"):
        layers_from_keras(Whole())
    with pytest.raises(TypeError, match="a Keras model is needed, not a dict"):
        layers_from_keras({})
    with pytest.raises(CannotExpress, match="no layer is left"):
        layers_from_keras(keras.Sequential([keras.Input((8,)), L.Dense(3)]))
    with pytest.raises(CannotExpress, match="it has no layers"):
        layers_from_keras(keras.Sequential([]))
    with pytest.raises(CannotExpress, match="202 layers; a list has at most 200"):
        layers_from_keras(keras.Sequential([*(L.ReLU() for _ in range(201)), L.Flatten(), L.Dense(3)]))


def test_the_tables_are_those_of_the_service() -> None:
    assert set(ACTIVATIONS) == ours.ACTIVATIONS
    assert set(INITIALIZERS) == ours.INITIALIZERS
    assert set(BIAS_INITIALIZERS) == ours.BIAS_INITIALIZERS
    assert list(LAYERS) == list(ours.ARGUMENTS)
    for kind, arguments in ours.ARGUMENTS.items():
        fields = LAYERS[kind]().load_fields
        theirs = {
            name: ours.NEEDED if field.required else field.load_default
            for name, field in fields.items()
            if name not in ("type", "name")
        }
        assert arguments == theirs


@pytest.mark.parametrize(
    "name", ["a", "stem", "a-b_1", "pixels", "logits", "rgb_to_grayscale_1", "get_item", "1a"]
)
def test_a_name_is_carried_where_the_service_takes_it(name: str) -> None:
    found = entries(L.Conv2D(4, 3, name=name), L.ReLU())
    assert ("name" in found[0]) == bool(LAYER_NAME.regex.match(name))
