"""One contract over every family: built by its path, scaled inside, exported with raw pixels in front."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from schemas.models import FAMILIES, Infeasible, Model
from schemas.preprocessing import Preprocessing
from schemas.recipe import model_of
from tests.tuning.makers import cnn
from tuning import models
from tuning.models import Materials
from tuning.preprocessing import Preparation, Scaling

SCALING = Scaling(10.0, 200.0, 10.0, 210.0)
NOTHING = Preprocessing("unit", None, "keep")
# A small net of each family, for images of 32 x 32 in colour.
SECTIONS: dict[str, dict[str, Any]] = {
    "cnn": {"blocks": 1, "filters": 2, "dense_units": 4, "batch_norm": True},
    "layers": {"layers": [{"type": "Conv2D", "filters": 2, "kernel_size": 3}, {"type": "MaxPooling2D"}]},
    "resnet": {},
    "xception": {"num_residual_blocks": 2},
    "efficientnet": {"resize": False},
    "transfer": {"backbone": "mobilenet_v3_small", "weights": "none", "dense_units": 4},
    "vit": {"patch_size": 8, "width": 8, "depth": 1, "heads": 2},
    "mlp": {"layers": 1, "units": 4},
}
SHAPE = (32, 32, 3)


def model(family: str) -> Model:
    loaded = FAMILIES[family].schema().load({"family": family, **SECTIONS[family]})
    return model_of(loaded)


def built(family: str, shape: tuple[int, ...] = SHAPE, classes: int = 3) -> keras.Model:
    return models.build(model(family), shape, classes, SCALING, Materials())


def images(shape: tuple[int, ...] = SHAPE, count: int = 4) -> Any:
    return np.random.default_rng(0).integers(0, 255, (count, *shape)).astype(np.uint8)


def test_every_family_of_ours_is_held_to_the_contract() -> None:
    assert set(SECTIONS) == set(FAMILIES)


@pytest.mark.parametrize("family", SECTIONS)
def test_a_net_keeps_the_contract(family: str, tmp_path: Path) -> None:
    """In one test, since some of these nets take seconds to be built."""
    made, classes = model(family), 3
    net = built(family)
    assert net.count_params() == made.count_parameters(SHAPE, classes)
    assert (net.input_shape, net.output_shape) == ((None, *SHAPE), (None, classes))
    # Its layers begin with the scaling, and it takes numbers as they are.
    assert net.layers[1].name == "scaling"
    scaled = np.asarray(keras.Model(net.input, net.layers[1].output)(np.full((1, *SHAPE), 210)))
    assert np.allclose(scaled, 1.0)

    x = images()
    preparation = Preparation.of(NOTHING, SHAPE)
    exported = models.exported(net, made, preparation, classes, SCALING, Materials())
    said, logits = np.asarray(exported(x)), np.asarray(net(x))
    assert said.shape == (4, classes)
    assert np.allclose(said.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(said, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-5)
    exported.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert np.allclose(np.asarray(loaded(x)), said, atol=1e-5)


def test_what_keras_refuses_is_infeasible() -> None:
    with pytest.raises(Infeasible, match="has room for 3 blocks"):
        cnn(blocks=4).count_parameters((8, 8, 1), 3)
    with pytest.raises(Infeasible):
        models.build(cnn(blocks=4), (8, 8, 1), 3, SCALING, Materials())


def test_preparation_stands_in_front_of_what_is_handed_out() -> None:
    preparation = Preparation.of(Preprocessing("unit", 6, "rgb"), (9, 7, 1))
    net = models.build(cnn(), preparation.shape, 3, SCALING, Materials())
    exported = models.exported(net, cnn(), preparation, 3, SCALING, Materials())
    assert (net.input_shape, exported.input_shape) == ((None, 6, 6, 3), (None, 9, 7, 1))
    x = images((9, 7, 1), count=5)
    logits = np.asarray(net(preparation.apply(x)))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(np.asarray(exported(x)), expected, atol=1e-5)


def test_what_is_handed_out_has_no_regularisation_left_to_chance() -> None:
    net = models.build(cnn(dropout=0.9, conv_dropout=0.5), (8, 8, 1), 3, SCALING, Materials())
    x = images((8, 8, 1))
    assert np.array_equal(np.asarray(net(x)), np.asarray(net(x)))
    assert not np.array_equal(np.asarray(net(x, training=True)), np.asarray(net(x)))
