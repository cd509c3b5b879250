"""Specs made from the published document: what it takes, the service takes; one mistake, and neither does."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from flask import Flask
from jsonschema.exceptions import best_match

from schemas.augmentation import FLIPS, AugmentationSchema
from schemas.models import FAMILIES
from schemas.models.kinds import LAYERS
from schemas.problems import pointer
from schemas.recipe import SECTIONS
from schemas.schedules import SCHEDULES
from schemas.search import ALGORITHMS
from schemas.settings import Settings
from schemas.specs import load_spec
from schemas.stopping import RULES
from schemas.training import OPTIMIZERS
from service.app import create_app
from store.tables import JobRow
from tests.conftest import Api
from tests.service.rows import count, problem
from tests.specs import (
    MISTAKES,
    OPEN,
    SCHEDULE_FIELDS,
    Json,
    Path,
    checker,
    examples,
    is_open,
    layers_of,
    leaves,
    mistaken,
    published,
    resolve,
    searched,
    specs,
)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# 200 specs together.
COUNTS = {family: 60 if family == "layers" else 20 for family in FAMILIES}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    folder = tmp_path_factory.mktemp("published")
    made = create_app(Settings(f"sqlite:///{folder}/tuneserve.db", "redis://", data_folder=str(folder)))
    return published(made)


@pytest.fixture(scope="module")
def valid(document: Mapping[str, Any]) -> Mapping[str, list[Json]]:
    """Specs of every family."""
    return {family: examples(specs(document, family), count, family) for family, count in COUNTS.items()}


@pytest.fixture(scope="module")
def wrong(document: Mapping[str, Any]) -> Mapping[str, list[list[Any]]]:
    """[mistake, spec, path] of every family."""
    return {
        family: examples(specs(document, family).flatmap(mistaken), count, family)
        for family, count in COUNTS.items()
    }


@on_sqlite
@pytest.mark.parametrize("family", COUNTS)
def test_what_the_document_takes_the_service_takes(
    api: Api, document: Mapping[str, Any], valid: Mapping[str, list[Json]], family: str
) -> None:
    accepts = checker(document)
    for spec in valid[family]:
        assert best_match(accepts.iter_errors(spec)) is None, spec
        answer = api.post("/v1/jobs:validate", json=spec)
        assert answer.status_code == 200, spec
        assert answer.json["valid"], (answer.json["errors"], spec)
        resolved = answer.json["spec"]
        assert best_match(accepts.iter_errors(resolved)) is None, resolved
        assert load_spec(resolved).resolved == resolved


@on_sqlite
@pytest.mark.parametrize("family", COUNTS)
def test_one_mistake_is_refused_at_its_place(
    app: Flask, api: Api, document: Mapping[str, Any], wrong: Mapping[str, list[list[Any]]], family: str
) -> None:
    accepts = checker(document)
    for mistake, spec, path in wrong[family]:
        answer = api.post("/v1/jobs:validate", json=spec).json
        assert not answer["valid"], (mistake, spec)
        assert answer["errors"], (mistake, spec)
        assert [one for one in answer["errors"] if not is_there(spec, one)] == [], (mistake, spec)
        assert names_place(answer["errors"], path), (mistake, path, answer["errors"], spec)
        refused = api.post("/v1/jobs", json=spec)
        assert problem(refused, 422, refused.json["code"])["errors"] == answer["errors"]
        assert accepts.is_valid(spec) is not MISTAKES[mistake].is_known, (mistake, spec)
    assert count(app, JobRow) == 0


def names_place(errors: list[Mapping[str, Any]], path: Path) -> bool:
    """Whether an error points at what is wrong, or at something in it."""
    place = pointer(*path)
    return any(one["pointer"] == place or one["pointer"].startswith(f"{place}/") for one in errors)


def is_there(spec: Json, error: Mapping[str, Any]) -> bool:
    """Whether an error points at something of the spec; at something missing, if that is what is wrong."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in error["pointer"].split("/")[1:]]
    if error["code"] == "missing_field":
        missing = parts.pop()
        return find(spec, parts) is not None and find(spec, [*parts, missing]) is None
    return not parts or find(spec, parts[:-1], contains=parts[-1]) is not None


def find(value: Json, parts: list[str], contains: str | None = None) -> Json | None:
    """What parts of a pointer lead to; None if nothing is there, or it does not contain a name."""
    for part in parts:
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    names = map(str, range(len(value))) if isinstance(value, list) else value
    return value if contains is None or contains in (names or ()) else None


def test_every_kind_of_mistake_is_made(wrong: Mapping[str, list[list[Any]]]) -> None:
    made = [mistake for found in wrong.values() for mistake, *_ in found]
    assert len(made) == 200
    assert set(made) == set(MISTAKES)


def test_everything_is_reached(valid: Mapping[str, list[Json]]) -> None:
    found = [spec for specs in valid.values() for spec in specs]
    assert len(found) == 200
    assert wanted() - {one for spec in found for one in said(spec)} == set()


def wanted() -> set[str]:
    """All that a generated spec may say, of what matters."""
    return {
        *FAMILIES,
        *LAYERS,
        "repeat",
        *(f"schedule {name}" for name in (*SCHEDULES, "open")),
        *OPTIMIZERS,
        *AugmentationSchema().load_fields,
        *FLIPS,
        *ALGORITHMS,
        "order",
        *RULES,
        "enqueue",
        "then",
        "plateau",
        *OPEN,
        *(f"{section} asks {parent}" for section in SECTIONS for parent in SECTIONS),
        "step",
        "log",
        "reverse_log",
        "default",
        "early_stopping",
        "folds",
    }


def said(spec: Json) -> Iterator[str]:
    """What of `wanted` a spec says."""
    yield from spec["augmentation"]
    yield from [name for name in ("folds",) if spec.get("split", {}).get(name, 1) > 1]
    yield from said_of_search(spec.get("search", {}))
    yield from [name for name in ("plateau",) if spec["budget"].get(name)]
    yield from [name for name in ("early_stopping",) if spec["training"].get(name)]
    for layer in layers_of(spec):
        yield layer.get("type", "repeat")
    if "schedule" in spec["training"]:
        kind = spec["training"]["schedule"]["type"]
        yield "schedule open" if is_open(kind) else f"schedule {kind}"
    for path, value in leaves(spec):
        if is_open(value):
            yield from said_of_open(str(path[0]), value)
        elif isinstance(value, str):
            yield value


def said_of_search(search: Json) -> Iterator[str]:
    yield from [one for _, one in leaves(search) if isinstance(one, str)]
    yield from [name for name in ("enqueue",) if any(searched({"search": search}).get(name, []))]
    yield from [
        name for name in ("order", "then") if searched({"search": search}).get(name) or search.get(name)
    ]


def said_of_open(section: str, value: Json) -> Iterator[str]:
    yield value["type"]
    yield from [one for one in value.get("values", []) if isinstance(one, str)]
    yield value.get("sampling", "linear")
    yield from [name for name in ("step", "default") if value.get(name) is not None]
    for parent in value.get("when", {}):
        yield f"{section} asks {parent.split('.')[0]}"


def test_the_generator_knows_the_fields_of_every_schedule(document: Mapping[str, Any]) -> None:
    published = [resolve(document, one) for one in training(document)["schedule"]["oneOf"]]
    kinds = {
        one["properties"]["type"]["enum"][0]: one for one in published if "enum" in one["properties"]["type"]
    }
    known = {name: {"type", *fields} for name, fields in SCHEDULE_FIELDS.items()}
    assert known == {name: set(one["properties"]) for name, one in kinds.items()}


def training(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document["components"]["schemas"]["Training"]["properties"]
    return found
