"""Data sets: built-in ones are known by heart."""

from datetime import UTC, datetime

import pytest

from schemas.datasets import BUILTIN_PREFIX, BUILTINS, Dataset, DatasetSchema, LabelClass


def uploaded() -> Dataset:
    return Dataset(
        id="ds_1",
        name="letters",
        kind="npz",
        digest="sha256:00",
        shape=(28, 28, 1),
        samples=5,
        classes=(LabelClass("a", 3), LabelClass("b", 2)),
        dtype="uint8",
        bytes=100,
        warnings=({"code": "arrays_ignored", "detail": "z"},),
        create_time=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize("name", BUILTINS)
def test_a_built_in_data_set_counts_its_images_by_class(name: str) -> None:
    found = BUILTINS[name]
    assert found.id == name
    assert name.startswith(BUILTIN_PREFIX)
    assert found.samples == sum(one.count for one in found.classes)
    assert found.kind == "builtin"


def test_digits_are_1797_images_of_8_by_8() -> None:
    digits = BUILTINS["builtin:digits"]
    assert (digits.samples, tuple(digits.shape), len(digits.classes)) == (1797, (8, 8, 1), 10)


def test_the_smallest_class_is_found() -> None:
    assert uploaded().smallest_class == LabelClass("b", 2)
    assert BUILTINS["builtin:digits"].smallest_class.name == "8"


def test_a_data_set_is_answered_with_all_that_is_known() -> None:
    assert DatasetSchema().dump(uploaded()) == {
        "id": "ds_1",
        "name": "letters",
        "kind": "npz",
        "digest": "sha256:00",
        "shape": [28, 28, 1],
        "samples": 5,
        "classes": [{"name": "a", "count": 3}, {"name": "b", "count": 2}],
        "dtype": "uint8",
        "bytes": 100,
        "warnings": [{"code": "arrays_ignored", "detail": "z"}],
        "create_time": "2026-01-01T00:00:00Z",
    }
