"""Mixing of images and labels: shares that sum to one, and batches that follow from the seed."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning.data import Array
from tuning.mixing import Mixing

CLASSES = 4
WAYS = ({}, {"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0})


def marked(count: int = 40, shape: tuple[int, ...] = (7, 9, 2)) -> tuple[Array, Array]:
    """Images that are nothing but their own number, from 1; labels in turn."""
    numbers = np.arange(1, count + 1, dtype=np.float32)
    return np.ones((count, *shape), np.float32) * numbers.reshape(-1, *[1] * len(shape)), np.arange(
        count
    ) % CLASSES


def batches(mixing: Mixing) -> list[tuple[Array, ...]]:
    return [mixing[index] for index in range(len(mixing))]


def same(one: list[tuple[Array, ...]], other: list[tuple[Array, ...]]) -> bool:
    pairs = ((a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True))
    return all(np.array_equal(a, b) for a, b in pairs)


def next_epoch(mixing: Mixing) -> None:
    mixing.on_epoch_begin()
    mixing.on_epoch_end()


@pytest.mark.parametrize("ways", WAYS)
class TestBatches:
    @settings(max_examples=20, deadline=None)
    @given(
        count=st.integers(1, 30),
        batch_size=st.integers(1, 12),
        seed=st.integers(0, 2**32),
        weighted=st.booleans(),
    )
    def test_hold_every_image_once_with_labels_that_sum_to_one(
        self, ways: dict[str, float], count: int, batch_size: int, seed: int, weighted: bool
    ) -> None:
        x, y = marked(count)
        weights = np.linspace(0.0, 3.0, count) if weighted else None
        made = batches(Mixing(x.astype(np.uint8), y, CLASSES, batch_size, seed, weights=weights, **ways))
        assert [len(batch[0]) for batch in made[:-1]] == [batch_size] * (len(made) - 1)
        assert sum(len(batch[0]) for batch in made) == count
        for batch in made:
            assert [part.dtype for part in batch] == [np.float32] * (3 if weighted else 2)
            assert batch[0].shape[1:] == x.shape[1:]
            assert batch[1].shape == (len(batch[0]), CLASSES)
            assert batch[1].min() >= 0
            assert batch[1].sum(axis=1) == pytest.approx(1.0, abs=1e-6)

    def test_follow_from_the_seed_and_the_epoch(self, ways: dict[str, float]) -> None:
        x, y = marked()
        first, again = (Mixing(x, y, CLASSES, 16, 7, **ways) for _ in range(2))
        begun = batches(first)
        assert same(begun, [again[index] for index in (2, 1, 0)][::-1])
        assert not same(begun, batches(Mixing(x, y, CLASSES, 16, 8, **ways)))
        next_epoch(first)
        assert not same(begun, batches(first))
        assert same(batches(first), batches(Mixing(x, y, CLASSES, 16, 7, epoch=1, **ways)))

    def test_leave_the_data_as_they_are(self, ways: dict[str, float]) -> None:
        x, y = marked()
        kept = x.copy(), y.copy()
        batches(Mixing(x, y, CLASSES, 16, 0, **ways))
        assert np.array_equal(x, kept[0])
        assert np.array_equal(y, kept[1])


def test_without_a_way_to_mix_images_are_shuffled_only() -> None:
    x, y = marked()
    made = batches(Mixing(x, y, CLASSES, 16, 0))
    numbers = np.concatenate([batch[0][:, 0, 0, 0] for batch in made]).astype(int)
    labels = np.concatenate([batch[1] for batch in made]).argmax(axis=1)
    assert sorted(numbers) == list(range(1, 41))
    assert list(numbers) != sorted(numbers)
    assert np.array_equal(labels, y[numbers - 1])


def _own_and_partner(seed: int, classes: int, **ways: Any) -> tuple[Array, Array]:
    """A batch of two images, of value 0 and class 0 and of value 1 and class 1, many times."""
    x = np.stack([np.zeros((10, 10, 1)), np.ones((10, 10, 1))]).astype(np.float32)
    made = [Mixing(x, np.arange(2), classes, 2, seed + at, **ways)[0] for at in range(300)]
    return np.concatenate([batch[0] for batch in made]), np.concatenate([batch[1] for batch in made])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_mixup_blends_pixels_by_the_share_of_the_label(alpha: float) -> None:
    x, y = _own_and_partner(0, 2, mixup=alpha)
    assert np.ptp(x, axis=(1, 2, 3)).max() == 0
    assert x[:, 0, 0, 0] == pytest.approx(y[:, 1], abs=1e-6)
    # Half of the partners are the image itself; of the others the share is Beta(alpha, alpha).
    mixed = y[(y > 0).all(axis=1), 1] if alpha > 0.5 else y[:, 1]
    assert mixed.mean() == pytest.approx(0.5, abs=0.06)
    if alpha > 0.5:
        assert mixed.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.25)


def test_mixup_gives_each_image_a_share_of_its_own() -> None:
    _, y = Mixing(*marked(), CLASSES, 40, 0, mixup=1.0)[0]
    assert len(np.unique(y.max(axis=1).round(5))) > 25


def test_cutmix_pastes_a_box_and_the_label_goes_by_its_area() -> None:
    x, y = _own_and_partner(0, 2, cutmix=1.0)
    assert set(np.unique(x)) == {0.0, 1.0}
    assert x.mean(axis=(1, 2, 3)) == pytest.approx(y[:, 1], abs=1e-6)
    for image in x[..., 0]:
        # Either image may be the one that the box was pasted on.
        assert any(
            np.array_equal(box, np.outer(box.any(axis=1), box.any(axis=0))) for box in (image > 0, image < 1)
        )
    assert len(np.unique(y[:, 1])) > 20


def test_cutmix_can_paste_anywhere() -> None:
    x = np.stack([np.zeros((10, 10, 1)), np.ones((10, 10, 1))]).astype(np.float32)
    seen = np.concatenate([Mixing(x, np.arange(2), 2, 2, seed, cutmix=1.0)[0][0] for seed in range(300)])
    assert (seen.mean(axis=0) > 0.3).all()
    assert (seen.mean(axis=0) < 0.7).all()


def test_with_both_ways_each_batch_is_mixed_in_one() -> None:
    x, y = marked(400)
    whole = 0
    for images, _ in batches(Mixing(x, y, CLASSES, 4, 0, mixup=8.0, cutmix=1.0)):
        flat = np.ptp(images, axis=(1, 2, 3)) == 0
        blended = images[flat][:, 0, 0, 0] % 1 != 0
        whole += bool(blended.any())
        assert not (blended.any() and not flat.all())
    assert 25 < whole < 75


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_the_loss_of_a_mixed_image_is_the_mix_of_the_weighted_losses(way: str) -> None:
    # As many classes as images: a label says which images are in it.
    x, y = marked(12)[0], np.arange(12)
    rng = np.random.default_rng(0)
    weights, losses = rng.uniform(0.1, 5.0, 12), rng.uniform(0.1, 3.0, 12)
    _, shares = Mixing(x, y, 12, 12, 3, **{way: 1.0})[0]
    _, labels, mixed = Mixing(x, y, 12, 12, 3, weights=weights, **{way: 1.0})[0]
    assert mixed * (labels @ losses) == pytest.approx(shares @ (weights * losses), rel=1e-4)
    assert not np.allclose(labels, shares)


def test_equal_weights_change_nothing() -> None:
    x, y = marked(12)
    plain = Mixing(x, y, CLASSES, 12, 3, cutmix=1.0)[0]
    weighted = Mixing(x, y, CLASSES, 12, 3, cutmix=1.0, weights=np.full(12, 2.0))[0]
    assert weighted[1] == pytest.approx(plain[1], abs=1e-6)
    assert weighted[2] == pytest.approx(2.0)


def test_rows_of_features_take_mixup_and_no_cutmix() -> None:
    x, y = marked(10, (3,))
    made, labels = Mixing(x, y, CLASSES, 10, 0, mixup=1.0)[0]
    assert made.shape == (10, 3)
    assert labels.sum(axis=1) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="rows of features"):
        Mixing(x, y, CLASSES, 10, 0, cutmix=1.0)


class _Followed(Mixing):
    """Remembers which batches were asked for, and in which epoch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked: list[tuple[int, int]] = []

    def __getitem__(self, index: int) -> tuple[Array, ...]:
        self.asked.append((self.epoch, index))
        return super().__getitem__(index)


def _net(shape: tuple[int, ...]) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    net = keras.Sequential(layers)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"], jit_compile=False)
    return net


class TestFit:
    def test_every_epoch_of_keras_is_one_here_also_in_a_second_fit(self) -> None:
        mixing = _Followed(*marked(), CLASSES, 16, 0, mixup=0.2)
        net = _net((7, 9, 2))
        for epochs in (range(2), range(2, 5)):
            mixing.asked.clear()
            net.fit(mixing, epochs=len(epochs), shuffle=False, verbose=0)
            expected = [(epoch, index) for epoch in epochs for index in range(3)]
            # Before it begins, Keras looks at the first batches to know their shapes.
            assert mixing.asked[-len(expected) :] == expected

    @pytest.mark.parametrize("ways", WAYS[1:])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_a_net_learns_from_mixed_images_and_the_same_each_time(
        self, ways: dict[str, float], weighted: bool
    ) -> None:
        rng = np.random.default_rng(0)
        y = np.arange(200) % CLASSES
        x = rng.normal(0.0, 0.5, (200, 4, 4, 1))
        x[np.arange(200), y] += 1.0
        weights, ends = np.where(y == 0, 2.0, 1.0) if weighted else None, []
        for _ in range(2):
            net = _net((4, 4, 1))
            net.fit(Mixing(x, y, CLASSES, 20, 1, weights=weights, **ways), epochs=8, shuffle=False, verbose=0)
            ends.append(np.asarray(net(x)))
        assert np.array_equal(*ends)
        assert (ends[0].argmax(axis=1) == y).mean() > 0.9
