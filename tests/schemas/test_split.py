"""How images are divided: shares, folds, and what a spec may ask for."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.split import MAX_FOLDS, Split, SplitSchema
from tests.schemas.faults import faults


def new_split(validation: float = 0.2, test: float = 0.1, folds: int = 1, stratify: bool = True) -> Split:
    return Split(validation, test, folds, stratify)


def test_without_a_word_a_fifth_scores_and_a_tenth_is_kept() -> None:
    assert SplitSchema().load({}) == Split(validation=0.2, test=0.1, folds=1, stratify=True)


@pytest.mark.parametrize(
    ("split", "count", "expected"),
    [
        (new_split(), 100, (70, 20, 10)),
        (new_split(test=0.0), 100, (80, 20, 0)),
        (new_split(), 3, (1, 1, 1)),
        (new_split(0.01, 0.01), 10, (8, 1, 1)),
        # With folds `validation` has no meaning: a fifth of the 90 that are no test.
        (new_split(0.5, 0.1, folds=5), 100, (72, 18, 10)),
        (new_split(test=0.0, folds=2), 5, (3, 2, 0)),
        (new_split(test=0.0, folds=3), 2, (2, 0, 0)),
    ],
)
def test_images_are_divided_by_shares(split: Split, count: int, expected: tuple[int, int, int]) -> None:
    assert split.divide(count) == expected


@given(st.floats(0.01, 0.6), st.floats(0, 0.3), st.integers(3, 10_000))
def test_a_division_loses_no_image_and_gives_every_share_one(
    validation: float, test: float, count: int
) -> None:
    found = new_split(validation, test).divide(count)
    assert sum(found) == count
    assert found[1] >= 1
    assert (found[2] >= 1) is (test > 0)


@given(st.floats(0, 0.5), st.integers(2, MAX_FOLDS), st.integers(2, 2_000))
def test_folds_share_what_is_no_test_as_equally_as_can_be(test: float, folds: int, count: int) -> None:
    split = new_split(test=test, folds=folds)
    training, validation, kept = split.divide(count)
    assume(validation >= 1)
    for index in range(folds + 1):
        sizes = split.fold_sizes(count - kept, index)
        assert sum(sizes) == count - kept
        assert len(sizes) == folds
        # `divide` speaks of the smallest fold, and no other is larger by more than one image.
        assert validation == min(sizes) >= max(sizes) - 1
    assert training + validation + kept == count


def test_what_is_left_over_goes_to_other_folds_for_every_class() -> None:
    split = new_split(test=0.0, folds=3)
    assert [split.fold_sizes(4, index) for index in range(3)] == [[2, 1, 1], [1, 2, 1], [1, 1, 2]]
    # So the first fold of three classes of four has four images, not six.
    assert split.sizes([4, 4, 4]) == (8, 4, 0)


def test_stratified_sizes_are_the_sum_over_the_classes() -> None:
    assert new_split().sizes([10, 3]) == (7 + 1, 2 + 1, 1 + 1)
    assert new_split(stratify=False).sizes([10, 3]) == new_split(stratify=False).divide(13)


@given(st.lists(st.integers(10, 60), min_size=1, max_size=6), st.integers(1, 5), st.booleans())
def test_sizes_lose_no_image(counts: list[int], folds: int, stratify: bool) -> None:
    found = new_split(folds=folds, stratify=stratify).sizes(counts)
    assert sum(found) == sum(counts)
    assert min(found) >= 1


@pytest.mark.parametrize(
    ("split", "pointer", "code"),
    [
        ({"validation": 0}, "/validation", "value_out_of_range"),
        ({"validation": 0.95}, "/validation", "value_out_of_range"),
        ({"test": -0.1}, "/test", "value_out_of_range"),
        ({"test": 1}, "/test", "value_out_of_range"),
        ({"validation": 0.5, "test": 0.5}, "/validation", "value_out_of_range"),
        ({"folds": 0}, "/folds", "value_out_of_range"),
        ({"folds": MAX_FOLDS + 1}, "/folds", "value_out_of_range"),
        ({"folds": 2.5}, "/folds", "invalid_type"),
        ({"folds": "5"}, "/folds", "invalid_type"),
        ({"folds": {"type": "int", "min": 2, "max": 5}}, "/folds", "invalid_type"),
        ({"stratify": 1}, "/stratify", "invalid_type"),
        ({"train": 0.7}, "/train", "unknown_field"),
    ],
)
def test_a_split_that_cannot_be_is_refused(split: dict[str, Any], pointer: str, code: str) -> None:
    assert faults(SplitSchema, split) == [(pointer, code)]


def test_with_folds_the_share_for_validation_takes_nothing_away() -> None:
    split = SplitSchema().load({"validation": 0.5, "test": 0.5, "folds": 3})
    assert split.divide(60) == (20, 10, 30)
