"""The family `transfer` against real nets: counts, what learns when, and what is handed out."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from schemas.models import Infeasible, Model, ModelSchema
from schemas.models.backbones import BACKBONES
from schemas.preprocessing import Preprocessing
from schemas.recipe import model_of
from tuning import models
from tuning.models import Materials, WeightsUnavailable
from tuning.models.transfer import thaw
from tuning.preprocessing import Preparation, Scaling

Array = NDArray[Any]

# Pixels are left as they are; and those of the digits, which go up to 16, are brought to [0, 1].
AS_THEY_ARE = Scaling(0.0, 1.0, 0.0, 1.0)
DIGITS = Scaling(0.0, 16.0, 0.0, 16.0)

# The nets that are built in a second or so.
LIGHT = [
    "vgg16",
    "resnet50",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_v2_b0",
]
SMALL = "mobilenet_v3_small"
CNN = {"blocks": 1, "filters": 16, "dense_units": 64, "dropout": 0.2, "batch_norm": True}


def model(family: str, **fields: Any) -> Any:
    return model_of(ModelSchema().load({"family": family, **fields}))  # type: ignore[no-untyped-call]


def transfer(backbone: str, **fields: Any) -> Any:
    return model("transfer", backbone=backbone, job="job_1", **fields)


def built(
    made: Model, shape: tuple[int, ...], classes: int = 3, materials: Materials | None = None
) -> keras.Model:
    return models.build(made, shape, classes, AS_THEY_ARE, materials or Materials())


def exported(
    net: keras.Model, made: Model, classes: int, materials: Materials, scaling: Scaling = AS_THEY_ARE
) -> keras.Model:
    preparation = Preparation.of(Preprocessing("unit", None, "keep"), net.input_shape[1:])
    return models.exported(net, made, preparation, classes, scaling, materials)


def fit(net: keras.Model, x: Array, y: Array, rate: float, *, epochs: int = 1, batch: int = 32) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(rate), loss=loss)
    net.fit(x, y, epochs=epochs, batch_size=batch, verbose=0)


def accuracy(net: keras.Model, x: Array, y: Array) -> float:
    return float((net.predict(x, verbose=0).argmax(axis=1) == y).mean())


def folder_of(folder: Path, name: str) -> Materials:
    """An operator's folder with weights for a backbone: random ones, since there is no network."""
    folder.mkdir(exist_ok=True)
    application = getattr(keras.applications, BACKBONES[name].application)
    side = BACKBONES[name].smallest
    net = application(weights=None, include_top=False, input_shape=(side, side, 3))
    net.save_weights(folder / f"{name}.weights.h5")
    return Materials(weights_folder=folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    return folder_of(tmp_path_factory.mktemp("weights"), SMALL)


@dataclass(frozen=True)
class Earlier:
    """A net that has learned the first 1200 digits (8, 8, 1), and what was handed out of it."""

    net: keras.Model
    materials: Materials
    x: Array
    y: Array
    # The digits at twice the size and in colours (N, 16, 16, 3).
    large: Array


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x, y = digits.images[..., None].astype("float32"), digits.target
    made = model("cnn", **CNN)
    net = models.build(made, (8, 8, 1), 10, DIGITS, Materials())
    fit(net, x[:1200], y[:1200], 1e-3, epochs=10)
    file = tmp_path_factory.mktemp("earlier") / "model.keras"
    exported(net, made, 10, Materials(), DIGITS).save(file)
    large = np.repeat(np.kron(x, np.ones((1, 2, 2, 1), "float32")), 3, axis=-1)
    return Earlier(net, Materials(earlier_model=file), x, y, large)


class TestBackbones:
    @pytest.mark.parametrize("name", LIGHT)
    def test_the_table_says_what_keras_builds(self, name: str) -> None:
        backbone = BACKBONES[name]
        shape = (backbone.smallest, backbone.smallest, 2)
        application = getattr(keras.applications, backbone.application)
        net = application(weights=None, include_top=False, input_shape=shape)
        assert net.count_params() == backbone.count_parameters(2)
        assert net.output_shape[-1] == backbone.features

    @pytest.mark.parametrize("name", BACKBONES)
    def test_keras_takes_no_smaller_images(self, name: str) -> None:
        backbone = BACKBONES[name]
        application = getattr(keras.applications, backbone.application)
        for shape in ((backbone.smallest - 1, 99, 3), (99, backbone.smallest - 1, 3)):
            with pytest.raises(ValueError, match="size must be at least"):
                application(weights=None, include_top=False, input_shape=shape)


class TestCount:
    @pytest.mark.parametrize(
        ("fields", "shape"),
        [
            ({}, (32, 32, 1)),
            ({"dense_units": 7}, (33, 40, 3)),
            ({"pooling": "max", "dense_units": 1024, "activation": "tanh"}, (40, 33, 3)),
        ],
    )
    def test_of_a_backbone_that_has_learned(
        self, small: Materials, fields: dict[str, Any], shape: tuple[int, ...]
    ) -> None:
        made = transfer(SMALL, **fields)
        assert built(made, shape, 4, small).count_params() == made.count_parameters(shape, 4)

    @pytest.mark.parametrize(("name", "channels"), [(SMALL, 1), ("vgg16", 4), ("efficientnet_b0", 5)])
    def test_of_one_that_has_not(self, name: str, channels: int) -> None:
        made, shape = transfer(name, weights="none", dense_units=3), (37, 32, channels)
        net = built(made, shape, 4)
        assert net.count_params() == made.count_parameters(shape, 4)
        assert net.output_shape == (None, 4)

    @pytest.mark.parametrize("dense_units", [0, 6])
    def test_of_an_earlier_job(self, earlier: Earlier, dense_units: int) -> None:
        features = CNN["dense_units"]
        known = earlier.net.count_params() - (features + 1) * 10
        made = replace(
            transfer("job", dense_units=dense_units), earlier_parameters=known, earlier_features=features
        )
        net = built(made, (16, 16, 3), 4, earlier.materials)
        assert net.count_params() == made.count_parameters((16, 16, 3), 4)

    @pytest.mark.parametrize(
        ("name", "weights", "shape"),
        [
            ("xception", "none", (70, 80, 3)),
            (SMALL, "imagenet", (32, 31, 3)),
            (SMALL, "imagenet", (32, 32, 2)),
            (SMALL, "none", (32,)),
        ],
    )
    def test_what_cannot_be_built_is_the_same_for_both(
        self, name: str, weights: str, shape: tuple[int, ...]
    ) -> None:
        made = transfer(name, weights=weights)
        with pytest.raises(Infeasible) as counted:
            made.count_parameters(shape, 3)
        # No folder of weights: it is found out before they are looked for.
        with pytest.raises(Infeasible) as refused:
            built(made, shape)
        assert str(refused.value) == str(counted.value)


class TestConvention:
    @pytest.mark.parametrize(
        ("name", "module"),
        [
            ("mobilenet_v2", keras.applications.mobilenet_v2),
            ("vgg16", keras.applications.vgg16),
            ("densenet121", keras.applications.densenet),
            (SMALL, keras.applications.mobilenet_v3),
        ],
    )
    def test_the_backbone_sees_what_its_authors_showed_it(
        self, tmp_path: Path, name: str, module: Any
    ) -> None:
        made = transfer(name)
        net = built(made, (32, 32, 3), materials=folder_of(tmp_path, name))
        assert net.count_params() == made.count_parameters((32, 32, 3), 3)
        pixels = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype("float32")
        shown = keras.Model(net.input, net.get_layer("backbone_input").output).predict(pixels, verbose=0)
        np.testing.assert_allclose(shown, module.preprocess_input(pixels * 255.0), atol=1e-3)


class TestThaw:
    def _moved(self, net: keras.Model, x: Array, y: Array) -> dict[str, bool]:
        """Which weights of the backbone a few steps move, by their paths."""
        weights = net.get_layer("backbone").weights
        before = [np.array(weight) for weight in weights]
        fit(net, x[:64], y[:64], 1e-2, batch=16)
        return {
            weight.path: not np.array_equal(old, np.array(weight))
            for old, weight in zip(before, weights, strict=True)
        }

    def test_of_a_frozen_backbone_nothing_moves(self, earlier: Earlier) -> None:
        net = built(transfer("job"), (8, 8, 1), 10, earlier.materials)
        thaw(net, 0.0)
        head = np.array(net.get_layer("logits").kernel)
        assert set(self._moved(net, earlier.x, earlier.y).values()) == {False}
        assert not np.array_equal(head, np.array(net.get_layer("logits").kernel))

    def test_the_last_layers_learn_first(self, earlier: Earlier) -> None:
        net = built(transfer("job"), (8, 8, 1), 10, earlier.materials)
        # A convolution, its normalisation, a dense layer: a third of them is the last.
        thaw(net, 1 / 3)
        moved = self._moved(net, earlier.x, earlier.y)
        assert {path.split("/")[-2] for path, has in moved.items() if has} == {"dense_0"}

    def test_all_learn_but_for_the_norms_of_what_was_trained(self, earlier: Earlier) -> None:
        net = built(transfer("job"), (8, 8, 1), 10, earlier.materials)
        thaw(net, 1.0)
        moved = self._moved(net, earlier.x, earlier.y)
        assert {path.split("/")[-2] for path, has in moved.items() if has} == {"conv_0_0", "dense_0"}
        assert not any(has for path, has in moved.items() if "norm" in path)
        assert any(path.endswith("moving_mean") for path in moved)

    def test_freezing_comes_back(self, earlier: Earlier) -> None:
        net = built(transfer("job"), (8, 8, 1), 10, earlier.materials)
        thaw(net, 1.0)
        thaw(net, 0.0)
        assert net.get_layer("backbone").trainable_weights == []

    def test_the_norms_of_an_application_stay_too(self, small: Materials) -> None:
        net = built(transfer(SMALL), (32, 32, 3), materials=small)
        thaw(net, 1.0)
        layers = [layer for layer in net.get_layer("backbone").layers if layer.weights]
        assert {layer.trainable for layer in layers if "bn" in layer.name} == {False}
        assert {layer.trainable for layer in layers if "bn" not in layer.name} == {True}

    def test_without_weights_the_norms_learn_quickly(self) -> None:
        net = built(transfer(SMALL, weights="none"), (32, 32, 1))
        thaw(net, 1.0)
        norms = [
            layer
            for layer in net.get_layer("backbone").layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        assert {norm.momentum for norm in norms} == {models.NORM_MOMENTUM}
        assert all(norm.trainable for norm in norms)
        thaw(net, 0.5)
        assert not norms[0].trainable
        assert norms[-1].trainable

    def test_the_share_is_of_the_layers_with_weights(self, small: Materials) -> None:
        net = built(transfer(SMALL), (32, 32, 3), materials=small)
        with_weights = [layer for layer in net.get_layer("backbone").layers if layer.weights]
        thaw(net, 0.1)
        thawed = with_weights[-round(0.1 * len(with_weights)) :]
        expected = {weight.path for layer in thawed if "bn" not in layer.name for weight in layer.weights}
        assert expected
        assert {weight.path for weight in net.get_layer("backbone").trainable_weights} == expected


class TestEarlierJob:
    def test_its_features_are_those_of_the_earlier_net(self, earlier: Earlier) -> None:
        net = models.build(transfer("job"), (8, 8, 1), 10, DIGITS, earlier.materials)
        theirs = keras.Model(earlier.net.input, earlier.net.get_layer("logits").input)
        ours = keras.Model(net.input, net.get_layer("logits").input)
        np.testing.assert_allclose(ours(earlier.x[:8]), theirs(earlier.x[:8]), rtol=1e-5, atol=1e-5)

    def test_images_of_another_size_and_colour_are_brought_to_what_it_knows(self, earlier: Earlier) -> None:
        net = models.build(transfer("job"), (16, 16, 3), 10, DIGITS, earlier.materials)
        net.get_layer("logits").set_weights(earlier.net.get_layer("logits").get_weights())
        held = slice(1500, None)
        assert accuracy(net, earlier.large[held], earlier.y[held]) == pytest.approx(
            accuracy(earlier.net, earlier.x[held], earlier.y[held]), abs=0.01
        )

    def test_one_channel_is_repeated_for_a_net_of_colours(self, tmp_path: Path) -> None:
        made = model("mlp", layers=0)
        colours = built(made, (4, 4, 3))
        exported(colours, made, 3, Materials()).save(tmp_path / "model.keras")
        net = built(transfer("job"), (8, 8, 1), 3, Materials(earlier_model=tmp_path / "model.keras"))
        seen = keras.Model(net.input, net.get_layer("logits").input)(np.full((1, 8, 8, 1), 0.25, "float32"))
        np.testing.assert_allclose(seen, np.full((1, 48), 0.25), rtol=1e-6)

    def test_it_learns_from_few_images_sooner_than_a_new_net(self, earlier: Earlier) -> None:
        few, held = slice(1200, 1500), slice(1500, None)
        keras.utils.set_random_seed(0)
        started = models.build(transfer("job", dropout=0.0), (16, 16, 3), 10, DIGITS, earlier.materials)
        thaw(started, 0.0)
        fit(started, earlier.large[few], earlier.y[few], 1e-2, batch=8)
        anew = []
        # A new net likes other rates than a head alone: the best of several.
        for rate in (1e-3, 3e-3, 1e-2):
            net = models.build(model("cnn", **CNN), (16, 16, 3), 10, DIGITS, Materials())
            fit(net, earlier.large[few], earlier.y[few], rate, batch=8)
            anew.append(accuracy(net, earlier.large[held], earlier.y[held]))
        assert accuracy(started, earlier.large[held], earlier.y[held]) > max(anew)

    def test_of_an_earlier_transfer_every_layer_counts(self, earlier: Earlier, tmp_path: Path) -> None:
        made = transfer("job", dense_units=6)
        net = built(made, (8, 8, 1), 3, earlier.materials)
        exported(net, made, 3, earlier.materials).save(tmp_path / "model.keras")
        again = built(transfer("job"), (8, 8, 1), 5, Materials(earlier_model=tmp_path / "model.keras"))
        # Of four layers with weights, three of them in the net inside the net: the last two.
        thaw(again, 0.5)
        learners = {weight.path.split("/")[-2] for weight in again.get_layer("backbone").trainable_weights}
        assert learners == {"dense_0", "dense"}

    @pytest.mark.parametrize("shape", [(64,), (8, 8, 2)])
    def test_other_inputs_than_it_can_take_are_refused(
        self, earlier: Earlier, shape: tuple[int, ...]
    ) -> None:
        with pytest.raises(Infeasible, match="the earlier job's model takes"):
            built(transfer("job"), shape, 3, earlier.materials)

    def test_no_model_is_told_of(self) -> None:
        with pytest.raises(WeightsUnavailable, match="no model to start from"):
            built(transfer("job"), (8, 8, 1))

    @pytest.mark.parametrize("content", [None, b"", b"no model"])
    def test_a_model_that_cannot_be_read_is_told_of(self, tmp_path: Path, content: bytes | None) -> None:
        file = tmp_path / "model.keras"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(WeightsUnavailable, match="cannot be read") as caught:
            built(transfer("job"), (8, 8, 1), 3, Materials(earlier_model=file))
        assert str(tmp_path) not in str(caught.value)

    def test_a_model_of_somebody_else_is_told_of(self, tmp_path: Path) -> None:
        pixels = keras.Input((8, 8, 1))
        keras.Model(pixels, keras.layers.Flatten()(pixels)).save(tmp_path / "model.keras")
        with pytest.raises(WeightsUnavailable, match="not one that this service has made"):
            built(transfer("job"), (8, 8, 1), 3, Materials(earlier_model=tmp_path / "model.keras"))


# Plain Keras in a process of its own, in which none of our packages can be imported.
_PLAIN = """
import json, sys
for name in ("schemas", "tuning", "tasks", "service", "store"):
    sys.modules[name] = None
import keras, numpy
for file, pixels in json.loads(sys.argv[1]).items():
    net = keras.saving.load_model(file, safe_mode=True)
    print("answer", json.dumps(net.predict(numpy.load(pixels), verbose=0).tolist()))
"""


class TestExport:
    def test_plain_keras_loads_it_and_says_the_same(self, earlier: Earlier, tmp_path: Path) -> None:
        cases = {
            "job": (transfer("job", dense_units=5), earlier.large[:4], earlier.materials),
            # Blue first: the only convention that needs more than a factor and an offset.
            "vgg16": (transfer("vgg16"), np.kron(earlier.x[:4], np.ones((1, 4, 4, 1), "float32")), None),
        }
        expected, files = [], {}
        for name, (made, pixels, materials) in cases.items():
            had = materials or folder_of(tmp_path / "weights", name)
            net = models.build(made, pixels.shape[1:], 10, DIGITS, had)
            # The order of the weights is not to depend on what learns.
            thaw(net, 0.5)
            exported(net, made, 10, had, DIGITS).save(tmp_path / f"{name}.keras")
            np.save(tmp_path / f"{name}.npy", pixels)
            files[str(tmp_path / f"{name}.keras")] = str(tmp_path / f"{name}.npy")
            expected.append(keras.ops.softmax(net.predict(pixels, verbose=0)))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-c", _PLAIN, json.dumps(files)]
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        answers = [json.loads(line[7:]) for line in ran.stdout.splitlines() if line.startswith("answer ")]
        for one, other in zip(expected, answers, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
