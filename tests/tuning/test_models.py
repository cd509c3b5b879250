"""Model families: one contract over each, with what the estimate says of them held against Keras."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.models import ACTIVATIONS, Model
from schemas.recipe import Preprocessing
from tests.tuning.makers import MAX_PARAMETERS, cnn
from tuning import models
from tuning.data import Scaling
from tuning.models import BUILDERS, Infeasible

SCALING = Scaling(10.0, 200.0)
MAKERS: dict[str, Callable[..., Model]] = {"cnn": cnn}
CONFIGURATIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "cnn": st.fixed_dictionaries(
        {
            "blocks": st.integers(1, 3),
            "filters": st.integers(1, 6),
            "filter_growth": st.integers(1, 3),
            "kernel_size": st.integers(1, 5),
            "activation": st.sampled_from(ACTIVATIONS),
            "batch_norm": st.booleans(),
            "dense_units": st.sampled_from([0, 1, 7]),
            "dropout": st.sampled_from([0.0, 0.5]),
            "l2": st.sampled_from([0.0, 0.1]),
        }
    )
}
SHAPES = ((8, 8, 1), (9, 13, 3))


def _build(model: Model, shape: tuple[int, ...] = (8, 8, 1), classes: int = 3) -> keras.Model:
    return models.build(model, shape, classes, SCALING, MAX_PARAMETERS)


def test_every_family_is_held_to_the_contract() -> None:
    assert set(MAKERS) == set(CONFIGURATIONS) == set(BUILDERS)


@pytest.mark.parametrize("family", BUILDERS)
class TestContract:
    @settings(max_examples=10, deadline=None)
    @given(data=st.data())
    def test_the_count_of_parameters_is_kerass_and_logits_come_out(self, family: str, data: Any) -> None:
        model = MAKERS[family](**data.draw(CONFIGURATIONS[family]))
        shape, classes = data.draw(st.sampled_from(SHAPES)), data.draw(st.integers(2, 5))
        built = _build(model, shape, classes)
        assert built.count_params() == model.count_parameters(shape, classes)
        assert built.input_shape == (None, *shape)
        assert built.output_shape == (None, classes)

    def test_it_takes_raw_pixels_and_scales_them(self, family: str) -> None:
        built = _build(MAKERS[family]())
        x = np.full((2, 8, 8, 1), 210, np.uint8)
        probe = keras.Model(built.input, built.get_layer("scaling").output)
        assert np.allclose(probe(x), 1.0)

    def test_too_many_parameters_are_infeasible(self, family: str) -> None:
        model = MAKERS[family]()
        count = model.count_parameters((8, 8, 1), 3)
        models.build(model, (8, 8, 1), 3, SCALING, count)
        with pytest.raises(Infeasible, match="parameters"):
            models.build(model, (8, 8, 1), 3, SCALING, count - 1)

    def test_probabilities_sum_to_one_and_keep_the_order(self, family: str) -> None:
        built = _build(MAKERS[family]())
        x = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 1)).astype(np.uint8)
        probabilities = np.asarray(models.with_probabilities(built)(x))
        assert probabilities.shape == (5, 3)
        assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
        assert (probabilities >= 0).all()
        assert (probabilities.argmax(axis=1) == np.asarray(built(x)).argmax(axis=1)).all()

    def test_dropout_is_off_when_it_is_used(self, family: str) -> None:
        built = _build(MAKERS[family](dropout=0.9))
        x = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 1)).astype(np.uint8)
        assert np.allclose(built(x), built(x))


class TestCnn:
    def test_a_map_too_small_to_be_halved_is_infeasible(self) -> None:
        with pytest.raises(Infeasible, match="has room for 3 blocks"):
            _build(cnn(blocks=4))

    def test_a_narrow_image_bounds_the_blocks(self) -> None:
        with pytest.raises(Infeasible):
            _build(cnn(blocks=2), (64, 2, 1))

    def test_filters_grow_from_block_to_block(self) -> None:
        built = _build(cnn(blocks=3, filters=2, filter_growth=3))
        assert [built.get_layer(f"conv_{block}").filters for block in range(3)] == [2, 6, 18]

    def test_every_choice_is_in_the_model(self) -> None:
        model = cnn(activation="gelu", batch_norm=True, dropout=0.3, l2=0.01, kernel_size=5)
        built = _build(model)
        assert built.get_layer("conv_0").kernel_size == (5, 5)
        assert built.get_layer("dense").activation is keras.activations.gelu
        assert built.get_layer("norm_0") is not None
        assert built.get_layer("dropout").rate == 0.3
        assert float(built.get_layer("conv_0").kernel_regularizer.l2) == pytest.approx(0.01)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_every_activation_is_known_to_keras(self, activation: str) -> None:
        assert keras.activations.get(activation) is not None

    def test_without_hidden_layer_there_is_none(self) -> None:
        names = [layer.name for layer in _build(cnn(dense_units=0)).layers]
        assert "dense" not in names


def test_scaling_of_every_kind_is_finite_in_the_model() -> None:
    x = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 1)).astype(np.uint8)
    for name in ("unit", "standardize", "none"):
        scaling = Scaling.learn(Preprocessing(name), x)
        built = models.build(cnn(), (8, 8, 1), 3, scaling, MAX_PARAMETERS)
        assert np.isfinite(np.asarray(built(x))).all()
