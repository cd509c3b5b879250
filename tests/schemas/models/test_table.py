"""The table of families: how one is chosen, and what each is held to."""

from dataclasses import is_dataclass
from typing import Any

import pytest

from schemas.models import FAMILIES, Model, ModelSchema
from schemas.pairs import Pair
from schemas.tunables import Tunable
from tests.schemas.faults import faults

# What a family needs beside its name.
NEEDED: dict[str, dict[str, Any]] = {"layers": {"layers": [{"type": "Flatten"}]}}
# Families by the fields that they have.
FIELDS = {name: family.schema().load_fields for name, family in FAMILIES.items()}
TUNABLE = [
    (name, field)
    for name, found in FIELDS.items()
    for field, kind in found.items()
    if isinstance(kind, (Tunable, Pair))
]


def section(family: str, **more: Any) -> dict[str, Any]:
    return {"family": family, **NEEDED.get(family, {}), **more}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_known_by_the_name_its_value_has(name: str) -> None:
    family = FAMILIES[name]
    assert family.name == family.schema.makes.family == name
    assert issubclass(family.schema.makes, Model)
    assert is_dataclass(family.schema.makes)
    assert ModelSchema().load(section(name))["family"] == name
    assert (family.schema.__doc__ or "").strip()


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_written_out_loads_to_the_same(name: str) -> None:
    loaded = ModelSchema().load(section(name))
    assert ModelSchema().load(ModelSchema().dump(loaded)) == loaded


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({}, [("/family", "missing_field")]),
        ({"family": "lambda"}, [("/family", "value_not_allowed")]),
        ({"family": 3}, [("/family", "invalid_type")]),
        ({"family": None}, [("/family", "invalid_type")]),
        ({"family": ["cnn"]}, [("/family", "invalid_type")]),
        ({"family": {"type": "choice", "values": ["cnn", "mlp"]}}, [("/family", "invalid_type")]),
        ({"type": "choice", "values": ["cnn", "mlp"]}, [("/family", "missing_field")]),
        ([], [("", "invalid_type")]),
        ("cnn", [("", "invalid_type")]),
        (None, [("", "invalid_type")]),
    ],
)
def test_what_names_no_family_is_refused_at_its_place(model: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(ModelSchema, model) == expected


def test_a_misspelt_family_comes_with_a_hint() -> None:
    with pytest.raises(Exception, match="Did you mean 'resnet'"):
        ModelSchema().load({"family": "resnt"})


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("strange", ["module", "class_name", "registered_name", "state"])
def test_a_family_takes_no_code_and_no_fields_of_the_service(name: str, strange: str) -> None:
    assert faults(ModelSchema, section(name, **{strange: "os"})) == [(f"/{strange}", "unknown_field")]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_field_of_another_family_is_unknown(name: str) -> None:
    others = {field for other in FAMILIES for field in FIELDS[other]} - set(FIELDS[name])
    assert others
    for field in sorted(others):
        assert faults(ModelSchema, section(name, **{field: 1})) == [(f"/{field}", "unknown_field")]


@pytest.mark.parametrize(("name", "field"), TUNABLE)
def test_a_structure_where_a_value_belongs_is_refused(name: str, field: str) -> None:
    assert faults(ModelSchema, section(name, **{field: {"a": 1}})) == [(f"/{field}/type", "missing_field")]
    wrong = faults(ModelSchema, section(name, **{field: {"type": "Dense"}}))
    assert wrong == [(f"/{field}/type", "value_not_allowed")]
    assert faults(ModelSchema, section(name, **{field: [[1]]}))[0][0].startswith(f"/{field}")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            {"family": "layers", "layers": {"type": "choice", "values": [1, 2]}},
            [("/layers", "invalid_type")],
        ),
        (
            {"family": "layers", "layers": [{"type": "choice", "values": ["Dense", "Flatten"]}]},
            [("/layers/0/type", "layer_not_allowed")],
        ),
        (
            {"family": "layers", "layers": [{"type": {"type": "choice", "values": ["Dense", "Flatten"]}}]},
            [("/layers/0/type", "invalid_type")],
        ),
        (
            {
                "family": "layers",
                "layers": [{"repeat": 2, "layers": {"type": "choice", "values": [1, 2]}}],
            },
            [("/layers/0/layers", "invalid_type")],
        ),
        (
            {
                "family": "transfer",
                "backbone": "job",
                "job": {"type": "choice", "values": ["job_a", "job_b"]},
            },
            [("/job", "invalid_type")],
        ),
    ],
)
def test_a_distribution_where_a_structure_belongs_is_refused(
    model: Any, expected: list[tuple[str, str]]
) -> None:
    assert faults(ModelSchema, model) == expected
