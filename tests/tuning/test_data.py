"""Data: what is loaded, and how it is divided."""

import socket
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.datasets import BUILTINS
from schemas.split import Split
from tuning.data import (
    BUILTIN_LOADERS,
    Arrays,
    DatasetUnavailable,
    DatasetUnreadable,
    Indices,
    Shelf,
    divide,
    open_npz,
)
from tuning.downloads import patient

SPLIT = Split(validation=0.2, test=0.1, folds=1, stratify=True)


def _parts(indices: Indices) -> list[list[int]]:
    return [list(part) for part in (indices.training, indices.validation, indices.test)]


class TestDivide:
    @settings(max_examples=60, deadline=None)
    @given(
        counts=st.lists(st.integers(3, 30), min_size=2, max_size=5),
        validation=st.floats(0.01, 0.45),
        test=st.floats(0.0, 0.3),
        seed=st.integers(0, 10),
    )
    def test_shares_are_disjoint_complete_and_hold_every_class(
        self, counts: list[int], validation: float, test: float, seed: int
    ) -> None:
        y = np.repeat(np.arange(len(counts)), counts)
        split = Split(validation, test, folds=1, stratify=True)
        if split.divide(min(counts))[0] < 1:
            return
        indices = divide(y, split, seed)[0]
        parts = _parts(indices)
        assert sorted(parts[0] + parts[1] + parts[2]) == list(range(len(y)))
        assert tuple(len(part) for part in parts) == split.sizes(counts)
        for part in parts[: 3 if test else 2]:
            assert set(y[part]) == set(y)

    def test_classes_of_three_images_are_in_every_share(self) -> None:
        y = np.repeat(np.arange(4), 3)
        for part in _parts(divide(y, SPLIT, 0)[0]):
            assert sorted(y[part]) == [0, 1, 2, 3]

    def test_without_stratifying_shares_are_disjoint_and_complete(self) -> None:
        y = np.repeat([0, 1], [95, 5])
        split = Split(0.2, 0.1, folds=1, stratify=False)
        parts = _parts(divide(y, split, 0)[0])
        assert sorted(parts[0] + parts[1] + parts[2]) == list(range(100))
        assert [len(part) for part in parts] == [70, 20, 10]

    def test_without_a_test_share_there_is_none(self) -> None:
        indices = divide(np.repeat([0, 1], 10), Split(0.2, 0.0, folds=1, stratify=True), 0)[0]
        assert len(indices.test) == 0
        assert len(indices.training) + len(indices.validation) == 20

    def test_the_same_seed_divides_the_same_way(self) -> None:
        y = np.arange(60) % 3
        assert _parts(divide(y, SPLIT, 0)[0]) == _parts(divide(y, SPLIT, 0)[0])
        assert _parts(divide(y, SPLIT, 0)[0]) != _parts(divide(y, SPLIT, 1)[0])

    def test_proportions_are_kept(self) -> None:
        y = np.repeat([0, 1], [80, 20])
        indices = divide(y, SPLIT, 0)[0]
        assert np.bincount(y[indices.validation]).tolist() == [16, 4]
        assert np.bincount(y[indices.test]).tolist() == [8, 2]

    def test_indices_are_ascending(self) -> None:
        for part in _parts(divide(np.arange(60) % 3, SPLIT, 3)[0]):
            assert part == sorted(part)


class TestFolds:
    @settings(max_examples=60, deadline=None)
    @given(
        counts=st.lists(st.integers(6, 30), min_size=2, max_size=5),
        folds=st.integers(2, 5),
        test=st.floats(0.0, 0.15),
        seed=st.integers(0, 10),
        stratify=st.booleans(),
    )
    def test_each_image_is_for_the_test_or_in_the_validation_of_one_fold(
        self, counts: list[int], folds: int, test: float, seed: int, stratify: bool
    ) -> None:
        y = np.repeat(np.arange(len(counts)), counts)
        split = Split(0.2, test, folds, stratify)
        divided = divide(y, split, seed)
        assert len(divided) == folds
        kept = list(divided[0].test)
        assert bool(kept) is (test > 0)
        assert sorted([*kept, *(i for fold in divided for i in fold.validation)]) == list(range(len(y)))
        for fold in divided:
            training, validation, tested = _parts(fold)
            assert tested == kept
            assert sorted(training + validation + kept) == list(range(len(y)))
            assert (training, validation) == (sorted(training), sorted(validation))
            if stratify:
                assert set(y[training]) == set(y[validation]) == set(y)
        assert tuple(len(part) for part in _parts(divided[0])) == split.sizes(counts)

    @settings(max_examples=40, deadline=None)
    @given(
        counts=st.lists(st.integers(5, 30), min_size=1, max_size=6),
        folds=st.integers(2, 5),
    )
    def test_folds_are_nearly_equal_as_a_whole_and_in_each_class(self, counts: list[int], folds: int) -> None:
        y = np.repeat(np.arange(len(counts)), counts)
        divided = divide(y, Split(0.2, 0.0, folds, stratify=True), 0)
        for label in range(len(counts)):
            sizes = [int((y[fold.validation] == label).sum()) for fold in divided]
            assert max(sizes) - min(sizes) <= 1

    def test_the_test_share_is_the_same_whatever_the_folds(self) -> None:
        y = np.arange(60) % 3
        shares = [divide(y, replace(SPLIT, folds=folds), 0)[0].test.tolist() for folds in (1, 2, 5)]
        assert shares[0] == shares[1] == shares[2]

    def test_the_same_seed_divides_the_same_way(self) -> None:
        y, split = np.arange(60) % 3, replace(SPLIT, folds=3)
        first, again, other = ([_parts(fold) for fold in divide(y, split, seed)] for seed in (0, 0, 1))
        assert first == again != other


class TestBuiltins:
    def test_every_builtin_has_a_loader(self) -> None:
        assert set(BUILTIN_LOADERS) == set(BUILTINS)

    def _holds(self, name: str) -> None:
        told, loaded = BUILTINS[name], BUILTIN_LOADERS[name]()
        assert loaded.x.shape == (told.samples, *told.shape)
        assert str(loaded.x.dtype) == told.dtype
        assert loaded.x.nbytes == told.bytes
        assert loaded.class_names == tuple(one.name for one in told.classes)
        assert np.bincount(loaded.y).tolist() == [one.count for one in told.classes]

    def test_what_is_told_of_digits_is_what_is_loaded(self) -> None:
        self._holds("builtin:digits")

    @pytest.mark.parametrize("name", [name for name in BUILTINS if name != "builtin:digits"])
    def test_what_is_told_of_the_others_is_what_keras_has(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Keras downloads them; here a copy with the facts of the real one stands in its cache's place."""
        told = BUILTINS[name]
        labels = np.repeat(np.arange(len(told.classes)), [one.count for one in told.classes])
        shape = told.shape if told.shape[-1] == 3 else told.shape[:2]
        images = np.zeros((told.samples, *shape), np.uint8)
        # CIFAR's labels stand in a column of their own.
        y = labels[:, np.newaxis] if told.shape[-1] == 3 else labels
        parts = (images[:100], y[:100].astype(np.uint8)), (images[100:], y[100:].astype(np.uint8))
        module = getattr(keras.datasets, name.removeprefix("builtin:"))
        monkeypatch.setattr(module, "load_data", lambda: parts)
        self._holds(name)

    @pytest.mark.parametrize("error", [Exception("URL fetch failure on x: None -- gone\nmore"), OSError()])
    def test_one_that_cannot_be_downloaded_says_so(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
        with pytest.raises(DatasetUnavailable, match="builtin:mnist cannot be downloaded here") as caught:
            BUILTIN_LOADERS["builtin:mnist"]()
        assert "\n" not in str(caught.value)
        assert str(caught.value).split(": ")[-1].strip()

    def test_a_network_that_says_nothing_is_not_waited_for(self) -> None:
        before = socket.getdefaulttimeout()
        with (
            socket.create_server(("127.0.0.1", 0)) as deaf,
            patient(0.05),
            socket.create_connection(deaf.getsockname()) as line,
            pytest.raises(TimeoutError),
        ):
            line.recv(1)
        assert socket.getdefaulttimeout() == before


class TestOpenNpz:
    def _open(self, tmp_path: Path, x: object, y: object) -> Arrays:
        np.savez(tmp_path / "data.npz", x=np.asarray(x), y=np.asarray(y))
        return open_npz(tmp_path / "data.npz")

    def test_integer_labels_are_indexes_into_names(self, tmp_path: Path) -> None:
        x = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
        arrays = self._open(tmp_path, x, [0, 2, 1])
        assert arrays.x.shape == (3, 4, 4, 1)
        assert arrays.x.dtype == np.uint8
        assert (arrays.x[..., 0] == x).all()
        assert (arrays.y.tolist(), arrays.class_names) == ([0, 2, 1], ("0", "1", "2"))

    def test_labels_of_text_are_the_class_names(self, tmp_path: Path) -> None:
        arrays = self._open(tmp_path, np.zeros((3, 4, 4, 3)), ["zebra", "aïe", "zebra"])
        assert (arrays.y.tolist(), arrays.class_names) == ([1, 0, 1], ("aïe", "zebra"))

    def test_floats_become_32_bits_with_their_values(self, tmp_path: Path) -> None:
        arrays = self._open(tmp_path, np.full((2, 4, 4, 3), 0.5), [0, 1])
        assert (str(arrays.x.dtype), float(arrays.x[0, 0, 0, 0])) == ("float32", 0.5)

    @pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
    def test_a_damaged_file_is_unreadable(self, tmp_path: Path, kept: float) -> None:
        file = tmp_path / "data.npz"
        rng = np.random.default_rng(0)
        np.savez_compressed(file, x=rng.random((9, 8, 8)), y=np.arange(9))
        content = file.read_bytes()
        file.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
        with pytest.raises(DatasetUnreadable):
            open_npz(file)

    def test_flipped_bytes_are_unreadable(self, tmp_path: Path) -> None:
        file = tmp_path / "data.npz"
        np.savez_compressed(file, x=np.random.default_rng(0).random((9, 8, 8)), y=np.arange(9))
        content = bytearray(file.read_bytes())
        for index in range(400, 600):
            content[index] ^= 0xFF
        file.write_bytes(content)
        with pytest.raises(DatasetUnreadable):
            open_npz(file)

    def test_a_missing_file_or_array_is_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetUnreadable):
            open_npz(tmp_path / "nothing.npz")
        np.savez(tmp_path / "data.npz", x=np.zeros((2, 4, 4)))
        with pytest.raises(DatasetUnreadable):
            open_npz(tmp_path / "data.npz")


class TestShelf:
    def _arrays(self) -> Arrays:
        return Arrays(np.zeros((1, 2, 2, 1)), np.zeros(1, int), ("a",))

    def test_a_data_set_is_loaded_once(self) -> None:
        shelf, loads = Shelf(), []

        def load() -> Arrays:
            loads.append(1)
            return self._arrays()

        assert shelf.get("a", load) is shelf.get("a", load)
        assert len(loads) == 1

    def test_only_the_last_used_stay(self) -> None:
        shelf = Shelf()
        first = shelf.get("a", self._arrays)
        second = shelf.get("b", self._arrays)
        assert shelf.get("a", self._arrays) is first
        shelf.get("c", self._arrays)
        assert shelf.get("a", self._arrays) is first
        assert shelf.get("b", self._arrays) is not second

    def test_a_load_that_fails_is_tried_again(self) -> None:
        shelf = Shelf()

        def fail() -> Arrays:
            raise DatasetUnreadable("no")

        with pytest.raises(DatasetUnreadable):
            shelf.get("a", fail)
        assert len(shelf.get("a", self._arrays).y) == 1
