"""`/v1/catalog`: what a spec may say, held against the tables that check it."""

from typing import Any

import pytest

from schemas.datasets import BUILTINS
from schemas.models import FAMILIES
from schemas.models.parts import ACTIVATIONS
from schemas.problems import Invalid
from schemas.search import ALGORITHMS
from schemas.specs import load_spec
from schemas.training import OPTIMIZERS, TrainingSchema
from tests.conftest import Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def catalog(api: Api) -> dict[str, Any]:
    answer = api.get("/v1/catalog")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def test_the_catalogue_names_all_that_there_is(catalog: dict[str, Any]) -> None:
    assert [family["name"] for family in catalog["families"]] == list(FAMILIES)
    assert {one["name"]: one["help"] for one in catalog["algorithms"]} == ALGORITHMS
    assert catalog["optimizers"] == list(OPTIMIZERS)
    assert catalog["datasets"] == list(BUILTINS)


def test_every_field_of_a_family_is_described(catalog: dict[str, Any]) -> None:
    for family in catalog["families"]:
        known = FAMILIES[family["name"]].schema().load_fields
        assert set(family["fields"]) == set(known) - {"family"}
        assert family["help"]


def test_every_field_of_a_section_is_described(catalog: dict[str, Any]) -> None:
    assert set(catalog["sections"]["training"]) == set(TrainingSchema().load_fields) - {
        "early_stopping",
        "schedule",
    }
    assert set(catalog["sections"]) == {
        "split",
        "preprocessing",
        "augmentation",
        "training",
        "early_stopping",
        "search",
        "objective",
        "budget",
        "result",
    }


def test_every_field_says_what_it_is(catalog: dict[str, Any]) -> None:
    described = {
        f"{section}.{name}": field
        for section, fields in {**catalog["sections"], **families(catalog)}.items()
        for name, field in fields.items()
    }
    assert [name for name, field in described.items() if not field["help"] or not field["type"]] == []
    assert [name for name, field in described.items() if "default" not in field] == [
        "budget.max_trials",
        "layers.layers",
    ]


def families(catalog: dict[str, Any]) -> dict[str, Any]:
    return {family["name"]: family["fields"] for family in catalog["families"]}


def test_a_field_says_its_range_its_values_and_its_distributions(catalog: dict[str, Any]) -> None:
    cnn = families(catalog)["cnn"]
    assert (cnn["filters"]["min"], cnn["filters"]["max"], cnn["filters"]["default"]) == (1, 4096, 32)
    assert cnn["filters"]["tunable"] == ["int", "choice"]
    assert cnn["dropout"]["tunable"] == ["float", "int", "choice"]
    assert cnn["activation"]["values"] == list(ACTIVATIONS)
    assert cnn["batch_norm"]["tunable"] == ["boolean", "choice"]
    assert catalog["sections"]["budget"]["max_trials"]["tunable"] == []


def test_ranges_and_values_are_the_ones_that_are_checked(catalog: dict[str, Any]) -> None:
    for name, field in families(catalog)["cnn"].items():
        for value in [field["default"], *field.get("values", []), *ends(field)]:
            assert loads(name, value), (name, value)
        if "max" in field:
            assert not loads(name, field["max"] + 1), name
            assert not loads(name, field["min"] - 1), name


def ends(field: dict[str, Any]) -> list[Any]:
    return [field[name] for name in ("min", "max") if name in field]


def loads(name: str, value: Any) -> bool:
    model = {"family": "cnn", name: value}
    try:
        load_spec({"dataset": "builtin:digits", "model": model, "budget": {"max_trials": 1}})
    except Invalid:
        return False
    return True
