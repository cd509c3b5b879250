"""The family `mlp`, held against what Keras builds."""

import keras
import numpy as np
import pytest

from schemas.models.mlp import Mlp
from tuning.models import Materials
from tuning.models.mlp import build


def net(model: Mlp, shape: tuple[int, ...], classes: int = 3) -> keras.Model:
    pixels = keras.Input(shape)
    return keras.Model(pixels, keras.layers.Dense(classes, name="logits")(build(model, pixels, Materials())))


@pytest.mark.parametrize("layers", [0, 1, 4])
@pytest.mark.parametrize("units", [1, 9])
@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 7, 3), (64,), (1,)])
def test_the_count_of_parameters_is_kerass(layers: int, units: int, shape: tuple[int, ...]) -> None:
    model = Mlp(layers, units, "relu", 0.5, 0.1)
    assert net(model, shape).count_params() == model.count_parameters(shape, 3)


def test_every_choice_is_in_the_model() -> None:
    made = net(Mlp(2, 5, "tanh", 0.25, 0.01), (6,))
    for index in range(2):
        dense = made.get_layer(f"dense_{index}")
        assert (dense.units, dense.activation) == (5, keras.activations.tanh)
        assert float(dense.kernel_regularizer.l2) == pytest.approx(0.01)
        assert made.get_layer(f"dropout_{index}").rate == 0.25


def test_without_hidden_layers_it_is_linear() -> None:
    made = net(Mlp(0, 5, "relu", 0.0, 0.0), (2, 2, 1))
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 1)).astype("float32")
    kernel, bias = made.layers[-1].get_weights()
    assert np.allclose(np.asarray(made(x)), x.reshape(4, 4) @ kernel + bias, atol=1e-6)
