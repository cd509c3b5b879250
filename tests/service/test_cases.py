"""Bad specs over HTTP: cases 15 to 22, each with its status, its code and its place, and no job behind it.

The neighbours of each case stand in `tests/schemas`; here it is held that what is found there is told.
"""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask

from store.tables import JobRow
from tests.conftest import Api
from tests.service.rows import count, problem

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

THOUSAND = {"type": "int", "min": 1, "max": 1000}
RATE = {"type": "float", "min": 0.001, "max": 0.1}
LAYERS = {"/model": {"family": "layers", "layers": [{"type": "Flatten"}, {"type": "Dense", "units": 8}]}}
GRID = {
    "/model/filters": THOUSAND,
    "/model/dense_units": THOUSAND,
    "/training/batch_size": THOUSAND,
    "/training/learning_rate": 0.01,
    "/search": {"algorithm": "grid"},
}
NEVER = {
    "/training/learning_rate": {**RATE, "when": {"training.optimizer": ["sgdd"]}},
    "/training/optimizer": {"type": "choice", "values": ["sgd", "adam"]},
}
CIRCLE = {
    "/model/filters": {"type": "choice", "values": [8, 9], "when": {"model.blocks": [1]}},
    "/model/blocks": {"type": "choice", "values": [1, 2], "when": {"model.filters": [8]}},
}


def layer(index: int, **fields: Any) -> dict[str, Any]:
    """A net of layers in which one has more fields, or others."""
    return {**LAYERS, **{f"/model/layers/{index}/{name}": value for name, value in fields.items()}}


# (what is put where, the code, the place)
CASES: dict[str, tuple[Mapping[str, Any], str, str]] = {
    "15 grid of 10^9": (GRID, "search_space_too_large", "/search/algorithm"),
    "16 filters": ({"/model/filters": 10**9}, "value_out_of_range", "/model/filters"),
    "16 epochs": ({"/training/epochs": 10**9}, "value_out_of_range", "/training/epochs"),
    "16 trials": ({"/budget/max_trials": 10**9}, "value_out_of_range", "/budget/max_trials"),
    "16 batch": ({"/training/batch_size": 10**9}, "value_out_of_range", "/training/batch_size"),
    "16 open filters": (
        {"/model/filters": {**THOUSAND, "max": 10**9}},
        "value_out_of_range",
        "/model/filters/max",
    ),
    "16 parameters": ({"/model/filters": 4096, "/model/dense_units": 65536}, "model_too_large", "/model"),
    "17 min = max": (
        {"/training/learning_rate": {**RATE, "max": 0.001}},
        "invalid_range",
        "/training/learning_rate/max",
    ),
    "17 min > max": ({"/model/filters": {**THOUSAND, "min": 1001}}, "invalid_range", "/model/filters/max"),
    "17 step 0": ({"/model/filters": {**THOUSAND, "step": 0}}, "invalid_range", "/model/filters/step"),
    "17 negative step": (
        {"/training/learning_rate": {**RATE, "step": -0.01}},
        "invalid_range",
        "/training/learning_rate/step",
    ),
    "17 log from 0": (
        {"/model/dropout": {"type": "float", "min": 0, "max": 0.5, "sampling": "log"}},
        "invalid_range",
        "/model/dropout/min",
    ),
    "17 empty choice": (
        {"/model/filters": {"type": "choice", "values": []}},
        "invalid_range",
        "/model/filters/values",
    ),
    "17 mixed kinds": (
        {"/model/filters": {"type": "choice", "values": [8, "x"]}},
        "invalid_range",
        "/model/filters/values",
    ),
    "17 a cycle downwards": (
        {"/training/learning_rate": RATE, "/training/schedule": {"type": "cyclical", "low": 0.2}},
        "invalid_range",
        "/training/schedule/low",
    ),
    "18 text for a number": ({"/training/epochs": "1"}, "invalid_type", "/training/epochs"),
    "18 a part of an epoch": ({"/training/epochs": 3.7}, "invalid_type", "/training/epochs"),
    "20 near a name": ({"/trainign": {}}, "unknown_field", "/trainign"),
    "20 state": ({"/state": "succeeded"}, "unknown_field", "/state"),
    "20 id": ({"/id": "job_x"}, "unknown_field", "/id"),
    "20 project": ({"/project": "other"}, "unknown_field", "/project"),
    "20 deep": ({"/training/learningrate": 1}, "unknown_field", "/training/learningrate"),
    "21 Lambda": (layer(1, type="Lambda"), "layer_not_allowed", "/model/layers/1/type"),
    "21 TFSMLayer": (layer(1, type="TFSMLayer"), "layer_not_allowed", "/model/layers/1/type"),
    "21 module": (layer(1, module="os"), "layer_not_allowed", "/model/layers/1/module"),
    "21 class_name": (layer(0, class_name="Lambda"), "layer_not_allowed", "/model/layers/0/class_name"),
    "21 registered_name": (
        layer(0, registered_name="x>Y"),
        "layer_not_allowed",
        "/model/layers/0/registered_name",
    ),
    "21 name": (layer(1, name="../../x"), "invalid_name", "/model/layers/1/name"),
    "21 activation": (layer(1, activation="os.system"), "value_not_allowed", "/model/layers/1/activation"),
    "22 nothing": (
        {"/training/learning_rate": {**RATE, "when": {"training.nowhere": [1]}}},
        "invalid_condition",
        "/training/learning_rate/when/training.nowhere",
    ),
    "22 never": (
        NEVER,
        "invalid_condition",
        "/training/learning_rate/when/training.optimizer",
    ),
    "22 circle": (CIRCLE, "invalid_condition", "/model/blocks/when"),
}

# What the detail says beside, where the case asks for it.
HINTS = {
    "15 grid of 10^9": "1,000,000,000",
    "20 near a name": "Did you mean 'training'?",
    "20 deep": "Did you mean 'learning_rate'?",
    "21 activation": "relu",
}


def changed(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with values put at pointers."""
    made: dict[str, Any] = {**copy.deepcopy(dict(spec))}
    for pointer, value in changes.items():
        *path, last = pointer.split("/")[1:]
        place: Any = made
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = copy.deepcopy(value)
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_bad_spec_is_refused_with_its_code_at_its_place(
    app: Flask, api: Api, spec: dict[str, Any], case: str
) -> None:
    changes, code, place = CASES[case]
    document = problem(api.post("/v1/jobs", json=changed(spec, changes)), 422, code)
    assert [(one["pointer"], one["code"]) for one in document["errors"]] == [(place, code)]
    assert HINTS.get(case, "") in document["errors"][0]["detail"]
    assert count(app, JobRow) == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"seed": NaN}', 400, "invalid_json"),
        ('{"seed": -Infinity}', 400, "invalid_json"),
        ('{"seed": 1e400}', 400, "invalid_json"),
        ('{"seed": 1, "seed": 2}', 400, "duplicate_key"),
        ("[" * 10_000 + "]" * 10_000, 400, "json_too_deep"),
        (json.dumps({"name": "x" * 10_000_000}), 413, "upload_too_large"),
    ],
    ids=["18 NaN", "18 Infinity", "18 1e400", "19 duplicate", "19 deep", "19 ten megabytes"],
)
def test_a_bad_body_is_refused_as_a_whole(app: Flask, api: Api, body: str, status: int, code: str) -> None:
    document = problem(api.post("/v1/jobs", data=body, content_type="application/json"), status, code)
    assert "errors" not in document
    assert count(app, JobRow) == 0
