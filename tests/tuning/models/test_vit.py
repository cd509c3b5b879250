"""The family `vit`: what Keras builds is what was counted, and it learns."""

from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from schemas.models.family import Infeasible
from schemas.models.vit import Vit
from tuning.models.materials import Materials
from tuning.models.vit import build


def net(model: Vit, shape: tuple[int, ...], classes: int = 10) -> keras.Model:
    pixels = keras.Input(shape)
    features = build(model, pixels, Materials())
    assert features.shape == (None, model.width)
    return keras.Model(pixels, keras.layers.Dense(classes, name="logits")(features))


@pytest.mark.parametrize(
    ("model", "shape", "classes"),
    [
        (Vit(4, 8, 1, 1, 0.0), (8, 8, 1), 2),
        (Vit(1, 8, 1, 16, 0.1), (8, 8, 1), 3),
        (Vit(3, 16, 2, 3, 0.1), (8, 8, 3), 10),
        (Vit(4, 24, 3, 5, 0.5), (9, 13, 2), 7),
        (Vit(5, 9, 1, 4, 0.0), (28, 28, 1), 10),
        (Vit(7, 33, 2, 2, 0.2), (32, 17, 4), 100),
        (Vit(64, 8, 1, 2, 0.1), (64, 65, 1), 5),
        (Vit(1, 8, 1, 1, 0.1), (64, 64, 1), 2),
        (Vit(4, 64, 4, 4, 0.1), (28, 28, 1), 10),
    ],
)
def test_the_count_of_parameters_is_kerass(model: Vit, shape: tuple[int, ...], classes: int) -> None:
    built = net(model, shape, classes)
    assert built.count_params() == model.count_parameters(shape, classes)
    assert built.output_shape == (None, classes)


@pytest.mark.parametrize(
    ("model", "shape"),
    [(Vit(9, 8, 1, 1, 0.0), (8, 8, 1)), (Vit(1, 8, 1, 1, 0.0), (65, 64, 1)), (Vit(1, 8, 1, 1, 0.0), (8,))],
)
def test_what_cannot_be_counted_cannot_be_built(model: Vit, shape: tuple[int, ...]) -> None:
    with pytest.raises(Infeasible) as counted:
        model.count_parameters(shape, 10)
    with pytest.raises(Infeasible) as built:
        net(model, shape)
    assert str(built.value) == str(counted.value)


@pytest.mark.parametrize("shape", [(8, 12, 2), (7, 10, 2)])
def test_patches_are_the_squares_of_the_image_row_by_row(shape: tuple[int, int, int]) -> None:
    built = net(Vit(4, 8, 1, 1, 0.0), shape)
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    patches = np.asarray(keras.Model(built.input, built.get_layer("patches").output)(image))
    padded = np.zeros((8, 12, 2), np.float32)
    down, across = (8 - shape[0]) // 2, (12 - shape[1]) // 2
    padded[down : down + shape[0], across : across + shape[1]] = image[0]
    expected = [padded[r : r + 4, c : c + 4].ravel() for r in (0, 4) for c in (0, 4, 8)]
    assert np.array_equal(patches[0], expected)


def test_it_knows_where_a_patch_is() -> None:
    keras.utils.set_random_seed(0)
    built = net(Vit(4, 16, 1, 2, 0.0), (8, 8, 1))
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[:, :4, :4] = np.random.default_rng(0).normal(size=(4, 4, 1))
    moved = np.roll(image, 4, axis=2)
    assert not np.allclose(built(image), built(moved), atol=1e-5)
    embedding = built.get_layer("embedding")
    embedding.bias.assign(np.zeros(embedding.bias.shape))
    assert np.allclose(built(image), built(moved), atol=1e-5)


def test_dropout_is_on_in_training_only() -> None:
    built = net(Vit(4, 16, 2, 2, 0.5), (8, 8, 1))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    assert np.array_equal(built(x), built(x))
    assert not np.allclose(built(x, training=True), built(x, training=True))


def test_it_is_saved_and_loaded_by_plain_keras(tmp_path: Path) -> None:
    built = net(Vit(3, 16, 2, 3, 0.1), (8, 8, 3))
    built.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    assert np.allclose(built(x), loaded(x), atol=1e-6)
    assert all(type(layer).__module__.startswith("keras.") for layer in built.layers)


def test_it_learns_digits() -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = digits.images[order, ..., np.newaxis] / 16.0, digits.target[order]
    keras.utils.set_random_seed(0)
    made = net(Vit(4, 48, 2, 4, 0.1), (8, 8, 1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.Adam(0.002), loss, metrics=["accuracy"], jit_compile=False)
    made.fit(x[:1400], y[:1400], batch_size=32, epochs=6, verbose=0)
    assert made.evaluate(x[1400:], y[1400:], verbose=0)[1] > 0.9
