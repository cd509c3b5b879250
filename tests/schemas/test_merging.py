"""Changes of a spec: RFC 7396, and what another variant does to the fields of the one before."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.merging import merged

# The examples of RFC 7396, appendix A.
RFC_7396: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("document", "patch", "result"), RFC_7396)
def test_a_patch_does_what_rfc_7396_says(document: Any, patch: Any, result: Any) -> None:
    assert merged(document, patch) == result


def placed(place: str, value: Any) -> Any:
    """A document with a value at a place."""
    for name in reversed(place.split(".")):
        value = {name: value}
    return value


# Where variants stand, and what tells them apart there.
VARIANTS = [
    ("model", "family"),
    ("search", "algorithm"),
    ("search.then", "algorithm"),
    ("search.stopping", "rule"),
    ("search.then.stopping", "rule"),
    *((f"{section}.x", "type") for section in ("preprocessing", "augmentation", "model", "training")),
    ("training.x.y", "type"),
]


@pytest.mark.parametrize(("place", "name"), VARIANTS)
def test_another_variant_replaces_the_whole_object(place: str, name: str) -> None:
    document = placed(place, {name: "one", "own": 1, "both": 2})

    def patched(**patch: Any) -> Any:
        return merged(document, placed(place, patch))

    assert patched(**{name: "two", "both": 3}) == placed(place, {name: "two", "both": 3})
    assert patched(**{name: "one", "both": 3}) == placed(place, {name: "one", "own": 1, "both": 3})
    assert patched(both=3) == placed(place, {name: "one", "own": 1, "both": 3})


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *(("labels", name) for name in ("family", "algorithm", "rule", "type")),
        ("search.coarse", "algorithm"),
        ("search.fine", "algorithm"),
        ("search", "rule"),
        ("search", "type"),
        ("budget", "type"),
        ("model.x", "family"),
    ],
)
def test_elsewhere_the_same_name_is_a_field_like_any_other(place: str, name: str) -> None:
    document = placed(place, {name: "one", "own": 1})
    assert merged(document, placed(place, {name: "two"})) == placed(place, {name: "two", "own": 1})


def test_a_fixed_value_is_opened_and_an_open_one_is_fixed() -> None:
    opened, drawn = {"type": "int", "min": 1, "max": 3}, {"type": "choice", "values": [1, 2]}

    def patched(before: Any, patch: Any) -> Any:
        return merged({"model": {"blocks": before}}, {"model": {"blocks": patch}})["model"]["blocks"]

    assert patched(2, opened) == opened
    assert patched(opened, 2) == 2
    assert patched(opened, {"max": 5}) == {**opened, "max": 5}
    assert patched(opened, drawn) == drawn


def test_the_default_algorithm_gives_way_to_another() -> None:
    search = {"algorithm": "grid", "order": "outside_in", "enqueue": []}
    assert merged({"search": search}, {"search": {"algorithm": "tpe"}}) == {"search": {"algorithm": "tpe"}}
    assert merged({"search": search}, {"search": None}) == {}


def test_neither_the_document_nor_the_patch_is_changed() -> None:
    document, patch = {"a": {"b": 1}}, {"a": {"c": {"d": None}}}
    merged(document, patch)
    assert (document, patch) == ({"a": {"b": 1}}, {"a": {"c": {"d": None}}})


names = st.sampled_from(["a", "type", "rule", "family", "model", "search", "stopping"])
values = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["x", "y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(values, values)
def test_a_patch_applied_again_changes_no_more(document: Any, patch: Any) -> None:
    once = merged(document, patch)
    assert merged(once, patch) == once


@given(values)
def test_an_empty_patch_of_an_object_changes_nothing(document: Any) -> None:
    assert merged(document, {}) == (document if isinstance(document, dict) else {})
