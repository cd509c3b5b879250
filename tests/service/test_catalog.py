"""`/v1/catalog`: what a spec may say, held against the tables that check it."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from schemas.datasets import BUILTINS
from schemas.metrics import METRICS
from schemas.models import FAMILIES
from schemas.models.kinds import LAYERS
from schemas.models.parts import ACTIVATIONS
from schemas.problems import Invalid
from schemas.schedules import SCHEDULES
from schemas.search import ALGORITHMS, SEARCHES
from schemas.specs import load_spec
from schemas.stopping import RULES
from schemas.training import OPTIMIZERS, TrainingSchema
from tests.conftest import Api
from tests.specs import published

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def catalog(api: Api) -> dict[str, Any]:
    answer = api.get("/v1/catalog")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def test_the_catalogue_names_all_that_there_is(catalog: dict[str, Any]) -> None:
    assert [family["name"] for family in catalog["families"]] == list(FAMILIES)
    assert [one["name"] for one in catalog["algorithms"]] == list(ALGORITHMS)
    assert [one["name"] for one in catalog["stopping"]] == list(RULES)
    assert [layer["name"] for layer in catalog["layers"]] == list(LAYERS)
    assert [schedule["name"] for schedule in catalog["schedules"]] == list(SCHEDULES)
    assert {one["name"]: one["help"] for one in catalog["metrics"]} == METRICS
    assert catalog["optimizers"] == list(OPTIMIZERS)
    assert catalog["datasets"] == list(BUILTINS)


# Described by themselves.
SECTIONS_OF_A_SEARCH = ("stopping", "coarse", "fine", "then")


@pytest.mark.parametrize(
    ("group", "schemas", "branch"),
    [
        ("families", {name: family.schema for name, family in FAMILIES.items()}, "family"),
        ("layers", LAYERS, "type"),
        ("schedules", SCHEDULES, "type"),
        ("algorithms", ALGORITHMS, "algorithm"),
        ("stopping", RULES, "rule"),
    ],
)
def test_every_field_of_a_branch_is_described(
    catalog: dict[str, Any], group: str, schemas: Any, branch: str
) -> None:
    for one in catalog[group]:
        known = schemas[one["name"]]().load_fields
        assert set(one["fields"]) == set(known) - {branch, *SECTIONS_OF_A_SEARCH}
        assert one["help"]


def test_every_field_of_a_section_is_described(catalog: dict[str, Any]) -> None:
    assert set(catalog["sections"]["training"]) == set(TrainingSchema().load_fields) - {
        "early_stopping",
        "schedule",
    }
    assert set(catalog["sections"]) == {
        "spec",
        "repeat",
        "regularizer",
        "split",
        "preprocessing",
        "augmentation",
        "training",
        "early_stopping",
        "coarse",
        "fine",
        "objective",
        "budget",
        "plateau",
        "result",
    }


def test_every_field_says_what_it_is(catalog: dict[str, Any]) -> None:
    described = fields_of(catalog)
    assert [name for name, field in described.items() if not field["type"]] == []
    assert [name for name, field in described.items() if not is_a_line(field["help"])] == []
    required = {name for name, field in described.items() if "default" not in field}
    assert required == REQUIRED


def is_a_line(text: str) -> bool:
    return len(text) > 10 and "\n" not in text and text.endswith((".", "]]."))


def fields_of(catalog: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every field that there is, by section (or family, layer, schedule, ...) and name."""
    branches = [one for group in ("families", "layers", "algorithms") for one in catalog[group]]
    sections = {**catalog["sections"], **{one["name"]: one["fields"] for one in branches}}
    for group in ("schedules", "stopping"):
        sections |= {f"{group} {one['name']}": one["fields"] for one in catalog[group]}
    return {f"{name}.{one}": field for name, found in sections.items() for one, field in found.items()}


REQUIRED = {
    "spec.dataset",
    "budget.max_trials",
    "plateau.trials",
    "layers.layers",
    "repeat.repeat",
    "repeat.layers",
    "Conv2D.kernel_size",
    "Conv2D.filters",
    "SeparableConv2D.kernel_size",
    "SeparableConv2D.filters",
    "DepthwiseConv2D.kernel_size",
    "Conv2DTranspose.kernel_size",
    "Conv2DTranspose.filters",
    "Dense.units",
    "Reshape.target_shape",
    "Dropout.rate",
    "SpatialDropout2D.rate",
    "GaussianDropout.rate",
    "AlphaDropout.rate",
    "GaussianNoise.stddev",
    "Activation.activation",
    "Rescaling.scale",
}

# A score has no limits; ids and names are free.
LIMITLESS = {
    "spec.name",
    "spec.labels",
    "spec.dataset",
    "objective.target",
    "transfer.job",
    "layers.layers",
    "repeat.layers",
    *(f"{layer}.name" for layer in LAYERS),
    *(f"{algorithm}.{name}" for algorithm in SEARCHES for name in ("enqueue", "warm_start")),
}


def test_every_field_says_what_it_may_be(catalog: dict[str, Any]) -> None:
    free = {
        name
        for name, field in fields_of(catalog).items()
        if field["type"] != "boolean" and not field.get("values") and not {"min", "max"} <= set(field)
    }
    assert free == LIMITLESS


def test_the_document_has_the_same_fields_and_defaults(catalog: dict[str, Any], app: Flask) -> None:
    """The catalogue and the document are read off the same schemas by two ways."""
    document = published(app)
    for layer in [one for group in ("layers", "schedules") for one in catalog[group]]:
        name = "".join(word[0].upper() + word[1:] for word in layer["name"].split("_"))
        properties = document["components"]["schemas"][name]["properties"]
        assert set(properties) - {"type"} == set(layer["fields"]), layer["name"]
        for one, field in layer["fields"].items():
            assert "default" not in field or properties[one].get("default") == field["default"], (name, one)


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


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "layers"])
def test_ranges_and_values_are_the_ones_that_are_checked(catalog: dict[str, Any], family: str) -> None:
    needed = {"family": family, **({"job": "job_01k"} if family == "transfer" else {})}
    for name, field in families(catalog)[family].items():
        held_to(name, field, needed, lambda model: {"model": model})


def test_ranges_and_values_of_schedules_are_the_ones_that_are_checked(catalog: dict[str, Any]) -> None:
    # Below the highest rate that there is, a cycle may have any lowest one.
    for schedule in catalog["schedules"]:
        for name, field in schedule["fields"].items():
            held_to(
                name,
                field,
                {"type": schedule["name"]},
                lambda made: {"training": {"schedule": made, "learning_rate": 100.0}},
            )


def test_ranges_and_values_of_layers_are_the_ones_that_are_checked(catalog: dict[str, Any]) -> None:
    for layer in catalog["layers"]:
        fields = layer["fields"]
        needed = {name: least(field) for name, field in fields.items() if "default" not in field}
        for name, field in fields.items():
            made = {"type": layer["name"], **needed}
            held_to(name, field, made, lambda one: {"model": {"family": "layers", "layers": [one]}})


@pytest.mark.parametrize(
    "section", ["preprocessing", "augmentation", "training", "split", "budget", "result"]
)
def test_ranges_and_values_of_sections_are_the_ones_that_are_checked(
    catalog: dict[str, Any], section: str
) -> None:
    needed = {"budget": {"max_trials": 1}, "split": {"test": 0, "validation": 0.01}}.get(section, {})
    for name, field in catalog["sections"][section].items():
        held_to(name, field, needed, lambda made: {section: made})


OPEN_RATE = {"training": {"learning_rate": {"type": "float", "min": 0.001, "max": 0.01}}}


def test_ranges_and_values_of_algorithms_are_the_ones_that_are_checked(catalog: dict[str, Any]) -> None:
    for algorithm in catalog["algorithms"]:
        needed = {"algorithm": algorithm["name"]}
        for name, field in algorithm["fields"].items():
            held_to(name, field, needed, lambda made: {**OPEN_RATE, "search": made})


def test_ranges_and_values_of_stopping_rules_are_the_ones_that_are_checked(catalog: dict[str, Any]) -> None:
    for rule in catalog["stopping"]:
        for name, field in rule["fields"].items():
            held_to(name, field, {"rule": rule["name"]}, lambda made: {"search": {"stopping": made}})


@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_ranges_and_values_of_stages_are_the_ones_that_are_checked(
    catalog: dict[str, Any], stage: str
) -> None:
    for name, field in catalog["sections"][stage].items():
        held_to(
            name,
            field,
            {},
            lambda made: {**OPEN_RATE, "search": {"algorithm": "coarse_to_fine", stage: made}},
        )


def test_ranges_of_a_plateau_are_the_ones_that_are_checked(catalog: dict[str, Any]) -> None:
    for name, field in catalog["sections"]["plateau"].items():
        held_to(name, field, {"trials": 1}, lambda made: {"budget": {"max_trials": 1, "plateau": made}})


def held_to(
    name: str,
    field: dict[str, Any],
    needed: dict[str, Any],
    changes: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """What the catalogue says of a field is what the service holds it to.

    Args:
        needed: what else the section has to have.
        changes: makes a spec's changes of a section.
    """
    listed = (lambda value: [value]) if field["type"] == "list" else (lambda value: value)
    inside = [field["default"]] if "default" in field else []
    inside += [listed(value) for value in field.get("values", [])]
    outside: list[Any] = [listed("no such name")] if "values" in field else []
    if "max" in field and name != "target_shape":
        above = field.get("exclusive_min", False)
        inside += [listed(field["max"]), listed(1e-9 if above else field["min"])]
        outside += [listed(field["max"] + 1), listed(field["min"] - (0 if above else 1))]
    assert [value for value in inside if not loads(changes({**needed, name: value}))] == [], (name, needed)
    assert [value for value in outside if loads(changes({**needed, name: value}))] == [], (name, needed)


def least(field: dict[str, Any]) -> Any:
    """A value that a field takes."""
    if field["type"] == "list":
        return [1]
    return field["values"][0] if "values" in field else field["min"]


def loads(changes: dict[str, Any]) -> bool:
    least = {"dataset": "builtin:digits", "model": {"family": "cnn"}, "budget": {"max_trials": 1}}
    try:
        load_spec({**least, **changes})
    except Invalid:
        return False
    return True
