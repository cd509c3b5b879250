"""The published contract: a valid document that says neither more nor less than the schemas check."""

import copy
import re
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from schemas.problems import Invalid
from schemas.specs import load_spec
from tests.conftest import Api
from tests.service.rows import add_trials, complete, npz, posted, upload

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# The routes of api.md that exist so far.
ROUTES = {
    "/v1/jobs": {"get", "post"},
    "/v1/jobs:validate": {"post"},
    "/v1/jobs/{job_id}": {"get"},
    "/v1/jobs/{job_id}:cancel": {"post"},
    "/v1/jobs/{job_id}/best": {"get"},
    "/v1/jobs/{job_id}/trials": {"get"},
    "/v1/jobs/{job_id}/trials/{number}": {"get"},
    "/v1/jobs/{job_id}/trials/{number}:cancel": {"post"},
    "/v1/jobs/{job_id}/artifacts": {"get"},
    "/v1/jobs/{job_id}/artifacts/{name}": {"get"},
    "/v1/datasets": {"get", "post"},
    "/v1/datasets/{dataset_id}": {"get", "delete"},
    "/v1/catalog": {"get"},
    "/v1/info": {"get"},
    "/healthz": {"get"},
    "/readyz": {"get"},
}
OPEN = {"/healthz", "/readyz"}

LEAST: dict[str, Any] = {
    "dataset": "builtin:digits",
    "model": {"family": "cnn"},
    "budget": {"max_trials": 1},
}
VALID: list[dict[str, Any]] = [
    {},
    {"name": "letters", "labels": {"team": "vision"}, "seed": 0, "priority": 9, "dataset": "ds_01k"},
    {"split": {"validation": 0.3, "test": 0, "stratify": False}},
    {"preprocessing": {"scaling": {"type": "choice", "values": ["unit", "none"]}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1, "max": 9, "step": 2, "default": 3}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, 32], "ordered": True}}},
    {
        "model": {
            "family": "cnn",
            "dropout": 0,
            "l2": {"type": "float", "min": 1e-5, "max": 1, "sampling": "log"},
        }
    },
    {"model": {"family": "cnn", "dropout": {"type": "float", "min": 0.3, "max": 0.7, "step": 0.1}}},
    {"model": {"family": "cnn", "l2": {"type": "int", "min": 0, "max": 5}}},
    {"model": {"family": "cnn", "batch_norm": {"type": "boolean", "default": None, "when": None}}},
    {"model": {"family": "cnn", "batch_norm": {"type": "choice", "values": [True, False]}}},
    {"training": {"early_stopping": None}},
    {"training": {"early_stopping": {"patience": {"type": "int", "min": 1, "max": 5}}}},
    {
        "training": {
            "epochs": 3.0,
            "momentum": {"type": "choice", "values": [0, 0.5], "when": {"training.epochs": [3]}},
        }
    },
    {"search": {"algorithm": "grid"}},
    {"objective": {"metric": "val_loss", "direction": "minimize", "target": 0.1}},
    {"objective": {"direction": None, "target": None}},
    {"budget": {"max_trials": 3, "max_seconds": None, "max_trial_seconds": 60.5, "max_failed_trials": 1}},
    {"result": {"refit": False, "exports": ["keras"]}},
]
INVALID: list[dict[str, Any]] = [
    {"model": {"family": "lambda"}},
    {"model": {}},
    {"model": {"family": "cnn", "module": "os"}},
    {"model": {"family": "cnn", "filters": 0}},
    {"model": {"family": "cnn", "filters": 10**9}},
    {"model": {"family": "cnn", "filters": 3.7}},
    {"model": {"family": "cnn", "filters": "32"}},
    {"model": {"family": "cnn", "filters": None}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 0, "max": 10**9}}},
    {"model": {"family": "cnn", "filters": {"type": "float", "min": 1, "max": 9}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1, "max": 9, "stepp": 2}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1, "max": 9, "step": 0}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16]}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, 16]}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, "a"]}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, 10**9]}}},
    {"model": {"family": "cnn", "activation": "os.system"}},
    {"model": {"family": "cnn", "batch_norm": 1}},
    {"state": "running"},
    {"id": "job_x"},
    {"training": {"learning_rate": 0}},
    {"training": {"learning_rate": {"type": "float", "min": 0.1, "max": 10**9}}},
    {"training": {"learning_rate": {"type": "float", "min": "0.1", "max": 1}}},
    {"training": {"learning_rate": {"type": "float", "min": 0.1, "max": 1, "sampling": "cubic"}}},
    {"training": {"momentum": {"type": "choice", "values": [0, 0.5], "when": {"training.epochs": []}}}},
    {"training": {"early_stopping": {"patienc": 1}}},
    {"search": {"algorithm": "magic"}},
    {"objective": {"metric": "accuracy"}},
    {"budget": {"max_trials": 10**9}},
    {"budget": {}},
    {"result": {"exports": ["pickle"]}},
    {"result": {"exports": []}},
    {"seed": -1},
    {"name": 5},
    {"labels": {"team": 1}},
    {"dataset": "../../etc"},
    {"dataset": "ds_x; DROP"},
    {"split": {"validation": 0}},
]


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/v1/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    found: dict[str, Any] = answer.json
    return found


@pytest.fixture
def accepts(document: dict[str, Any]) -> Draft202012Validator:
    """The published schema of a job's spec."""
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**body, "components": document["components"]})


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy({**LEAST, **changes})


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    methods = ("get", "post", "put", "patch", "delete")
    return [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in methods
        if method in item
    ]


def schema_of(document: dict[str, Any], path: str, method: str, status: str) -> Draft202012Validator:
    """The published schema of an answer."""
    answer = document["paths"][path][method]["responses"][status]
    return Draft202012Validator(
        {**answer["content"]["application/json"]["schema"], "components": document["components"]}
    )


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_route_is_in_the_document(document: dict[str, Any]) -> None:
    found: dict[str, set[str]] = {}
    for path, method, _ in operations(document):
        found.setdefault(path, set()).add(method)
    assert found == ROUTES


def test_every_registered_route_is_documented(app: Flask, document: dict[str, Any]) -> None:
    documented = {(path, method) for path, method, _ in operations(document)}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("docs.", "api-docs.")):
            continue
        path = str(rule)
        for kind in ("id", "name", "number"):
            path = path.replace(f"<{kind}:", "{").replace(">", "}")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert (path, method.lower()) in documented


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    assert [(path, method) for path, method, found in operations(document) if not found.get("summary")] == []
    names = [found.get("operationId") for _, _, found in operations(document) if "operationId" in found]
    assert len(set(names)) == len(names)


def test_errors_are_documented_as_problems(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, found in operation["responses"].items():
            if status[0] in "123" or (path, status) == ("/readyz", "503"):
                continue
            answer = resolved(document, found)
            assert set(answer.get("content", {})) == {"application/problem+json"}, (path, method, status)
            schema = resolved(document, answer["content"]["application/problem+json"]["schema"])
            assert {"type", "title", "status", "detail", "code", "request_id"} <= set(schema["properties"])


def test_every_operation_documents_an_error(document: dict[str, Any]) -> None:
    silent = [
        (path, method)
        for path, method, operation in operations(document)
        if path not in OPEN and all(status[0] in "123" for status in operation["responses"])
    ]
    assert silent == []


def resolved(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to."""
    while "$ref" in found:
        target: Any = document
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    return found


def test_keys_are_documented_where_they_are_asked_for(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, _, operation in operations(document):
        needs = operation.get("security", document.get("security"))
        assert needs == ([] if path in OPEN else [{"key": []}])


def test_an_upload_is_documented_in_both_its_forms(document: dict[str, Any]) -> None:
    upload = document["paths"]["/v1/datasets"]["post"]
    assert set(upload["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream"}
    assert {"200", "201"} <= set(upload["responses"])


def test_the_published_spec_is_a_valid_schema(accepts: Draft202012Validator) -> None:
    Draft202012Validator.check_schema(accepts.schema)


def test_the_published_spec_takes_what_the_service_takes(accepts: Draft202012Validator) -> None:
    assert all(load_spec(changed(changes)) for changes in VALID)
    assert [changes for changes in VALID if not accepts.is_valid(changed(changes))] == []


def test_the_published_spec_takes_what_was_resolved(accepts: Draft202012Validator) -> None:
    resolved = [load_spec(changed(changes)).resolved for changes in VALID]
    assert [spec for spec in resolved if not accepts.is_valid(spec)] == []


def test_the_published_spec_refuses_what_the_service_refuses(accepts: Draft202012Validator) -> None:
    assert [changes for changes in INVALID if not is_refused(changed(changes))] == []
    assert [changes for changes in INVALID if accepts.is_valid(changed(changes))] == []


def is_refused(spec: dict[str, Any]) -> bool:
    try:
        load_spec(spec)
    except Invalid:
        return True
    return False


def test_answers_fit_their_published_schemas(
    app: Flask, api: Api, document: dict[str, Any], spec: dict[str, Any]
) -> None:
    job = posted(api, spec)["id"]
    dataset = upload(api, npz()).json
    add_trials(app, job, 2)
    complete(app, job, 0, 0.9)
    answers = {
        ("/v1/jobs/{job_id}", "200"): api.get(f"/v1/jobs/{job}").json,
        ("/v1/jobs", "200"): api.get("/v1/jobs").json,
        ("/v1/jobs/{job_id}/best", "200"): api.get(f"/v1/jobs/{job}/best").json,
        ("/v1/jobs/{job_id}/trials", "200"): api.get(f"/v1/jobs/{job}/trials").json,
        ("/v1/jobs/{job_id}/trials/{number}", "200"): api.get(f"/v1/jobs/{job}/trials/0").json,
        ("/v1/datasets", "200"): api.get("/v1/datasets").json,
        ("/v1/datasets/{dataset_id}", "200"): dataset,
        ("/v1/catalog", "200"): api.get("/v1/catalog").json,
        ("/v1/info", "200"): api.get("/v1/info").json,
        ("/readyz", "200"): api.get("/readyz").json,
    }
    for (path, status), answer in answers.items():
        found = schema_of(document, path, "get", status).iter_errors(answer)
        assert [(path, error.message) for error in found] == []
    validated = api.post("/v1/jobs:validate", json=spec).json
    assert schema_of(document, "/v1/jobs:validate", "post", "200").is_valid(validated)


def test_the_page_works_offline_and_under_a_sub_path(app: Flask) -> None:
    client = app.test_client()
    page = client.get("/v1/docs/")
    assert page.status_code == 200
    linked = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert linked
    assert [link for link in linked if re.match("/|[a-z]+:", link)] == []
    assert "../openapi.json" in page.text
    assert client.get("/v1/docs/swagger-ui-bundle.js").status_code == 200
    assert client.get("/v1/docs").status_code in (301, 302, 308)
