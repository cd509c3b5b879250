"""What people call a job: any text; the keys of labels are short names."""

from typing import Any

import pytest

from schemas.fields import StrictSchema
from schemas.labels import labels_field, name_field
from tests.schemas.faults import faults


class Described(StrictSchema):
    name = name_field()
    labels = labels_field()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"name": "", "labels": {}},
        {"name": "<b>letters</b>\n\N{SNAKE}", "labels": {"team": "vision", "a.b/c-d_1": ""}},
        {"name": "x" * 200, "labels": {"k" * 63: "v" * 255}},
        {"labels": {f"k{number}": "v" for number in range(64)}},
    ],
)
def test_names_and_labels_are_kept_as_they_are(document: dict[str, Any]) -> None:
    assert Described().load(document) == document


@pytest.mark.parametrize(
    ("document", "place", "code"),
    [
        ({"name": "x" * 201}, "/name", "invalid_value"),
        ({"name": None}, "/name", "invalid_type"),
        ({"name": 3}, "/name", "invalid_type"),
        ({"name": "a\x00b"}, "/name", "invalid_value"),
        ({"labels": []}, "/labels", "invalid_type"),
        ({"labels": {"team": 1}}, "/labels/team", "invalid_type"),
        ({"labels": {"a:b": "v"}}, "/labels/a:b", "invalid_value"),
        ({"labels": {"": "v"}}, "/labels/", "invalid_value"),
        ({"labels": {"k" * 64: "v"}}, f"/labels/{'k' * 64}", "invalid_value"),
        ({"labels": {"k": "v" * 256}}, "/labels/k", "invalid_value"),
        ({"labels": {f"k{number}": "v" for number in range(65)}}, "/labels", "invalid_value"),
    ],
)
def test_what_is_no_name_and_no_label_is_refused(document: dict[str, Any], place: str, code: str) -> None:
    assert faults(Described, document) == [(place, code)]
