"""The spec of a job: every default written out, every mistake told at its place."""

import copy
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.jobs import JobQuerySchema
from schemas.problems import Invalid
from schemas.search import MAX_GRID_SIZE
from schemas.specs import JobSpec, JobSpecSchema, load_spec
from service.bodies import parse_json

FULL: dict[str, Any] = {
    "name": "letters\n<b>",
    "labels": {"team": "vision"},
    "seed": 0,
    "priority": 5,
    "dataset": "ds_01k",
    "split": {"validation": 0.2, "test": 0.1, "stratify": True},
    "preprocessing": {"scaling": {"type": "choice", "values": ["unit", "none"]}},
    "model": {
        "family": "cnn",
        "blocks": {"type": "int", "min": 1, "max": 3},
        "filters": {"type": "choice", "values": [16, 32, 64], "ordered": True, "default": 32},
        "batch_norm": {"type": "boolean"},
        "dropout": {"type": "float", "min": 0.3, "max": 0.7, "step": 0.1},
    },
    "training": {
        "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
        "learning_rate": {"type": "float", "min": 1e-5, "max": 1e-1, "sampling": "log"},
        "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"training.optimizer": ["sgd"]}},
        "epochs": 20,
        "early_stopping": {"patience": 3},
    },
    "search": {"algorithm": "random"},
    "objective": {"metric": "val_accuracy", "target": 0.99},
    "budget": {"max_trials": 30, "parallel_trials": 4, "max_seconds": 3600},
    "result": {"refit": True, "exports": ["keras"]},
}
LEAST: dict[str, Any] = {
    "dataset": "builtin:digits",
    "model": {"family": "cnn"},
    "budget": {"max_trials": 1},
}


def changed(path: str, value: Any, base: dict[str, Any] = LEAST) -> dict[str, Any]:
    """A copy of a spec with one value replaced, by its JSON pointer."""
    spec = copy.deepcopy(base)
    *parents, name = path.removeprefix("/").split("/")
    place = spec
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
    return spec


def refused(spec: Any) -> dict[str, str]:
    """Pointer to code of everything wrong with a spec."""
    with pytest.raises(Invalid) as caught:
        load_spec(spec)
    assert caught.value.status == 422
    return {item.pointer: item.code for item in caught.value.errors}


def taken(spec: Any) -> JobSpec | None:
    """The spec; None if it was refused in the proper way."""
    try:
        return load_spec(spec)
    except Invalid:
        return None


def hint(spec: Any, pointer: str) -> str:
    with pytest.raises(Invalid) as caught:
        load_spec(spec)
    return next(item.detail for item in caught.value.errors if item.pointer == pointer)


def best_of(runs: int, call: Callable[[], Any]) -> float:
    """Seconds of the fastest of some runs: a busy machine must not fail a test."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def grid_of(size: int) -> dict[str, Any]:
    """A grid search over 10^9 or 10^12 configurations."""
    thousand = {"type": "int", "min": 1, "max": 1000}
    names = ["/model/filters", "/training/batch_size", "/training/epochs", "/model/dense_units"]
    spec = changed("/search/algorithm", "grid")
    for name in names[: len(str(size)) // 3]:
        spec = changed(name, thousand, spec)
    return spec


# What is resolved


@pytest.mark.parametrize("spec", [FULL, LEAST])
def test_a_resolved_spec_loads_to_the_same_resolved_spec(spec: dict[str, Any]) -> None:
    once = load_spec(spec)
    twice = load_spec(json.loads(json.dumps(once.resolved)))
    assert twice.resolved == once.resolved
    assert twice == once
    assert twice.digest == once.digest


def test_every_default_is_written_out() -> None:
    resolved = load_spec(LEAST).resolved
    assert set(resolved) == set(JobSpecSchema().load_fields)
    assert resolved["model"]["filters"] == 32
    assert resolved["training"]["optimizer"] == "adam"
    assert resolved["objective"] == {"metric": "val_accuracy", "direction": "maximize", "target": None}
    assert resolved["result"] == {"refit": True, "exports": ["keras"]}


def test_what_was_given_is_kept() -> None:
    resolved = load_spec(FULL).resolved
    assert resolved["name"] == FULL["name"]
    assert (
        resolved["training"]["learning_rate"] | FULL["training"]["learning_rate"]
        == (resolved["training"]["learning_rate"])
    )


def test_the_digest_does_not_depend_on_the_spelling() -> None:
    backwards = dict(reversed(FULL.items()))
    spelled = changed("/training/epochs", 20.0, FULL)
    assert load_spec(backwards).digest == load_spec(spelled).digest == load_spec(FULL).digest
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", load_spec(FULL).digest)


def test_a_default_written_out_is_the_default() -> None:
    assert load_spec(changed("/training/epochs", 10)).digest == load_spec(LEAST).digest


@pytest.mark.parametrize(("path", "value"), [("/seed", 1), ("/model/filters", 33), ("/budget/max_trials", 2)])
def test_the_digest_depends_on_what_a_result_depends_on(path: str, value: Any) -> None:
    assert load_spec(changed(path, value)).digest != load_spec(LEAST).digest


@pytest.mark.parametrize(
    ("path", "value"),
    [("/name", "x"), ("/labels", {"team": "vision"}), ("/priority", 9), ("/dataset", "ds_01k")],
)
def test_the_digest_does_not_depend_on_what_no_result_does(path: str, value: Any) -> None:
    assert load_spec(changed(path, value)).digest == load_spec(LEAST).digest


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "filters": st.integers(1, 4096)
            | st.just({"type": "int", "min": 1, "max": 4096, "sampling": "log"}),
            "dropout": st.floats(0, 0.99) | st.just({"type": "choice", "values": [0, 0.5]}),
            "batch_norm": st.booleans() | st.just({"type": "boolean", "default": True}),
            "l2": st.floats(0, 10) | st.just({"type": "float", "min": 0, "max": 1e-3}),
        },
    )
)
def test_any_model_survives_being_resolved_as_json(model: dict[str, Any]) -> None:
    once = load_spec(changed("/model", {"family": "cnn", **model}))
    assert load_spec(json.loads(json.dumps(once.resolved))) == once


def test_the_space_holds_the_open_values_by_their_paths() -> None:
    assert [one.name for one in load_spec(FULL).space] == [
        "preprocessing.scaling",
        "model.blocks",
        "model.filters",
        "model.batch_norm",
        "model.dropout",
        "training.optimizer",
        "training.learning_rate",
        "training.momentum",
    ]


# Case 15: grids too large to mean


@pytest.mark.parametrize(("size", "shown"), [(10**9, "1,000,000,000"), (10**12, "1,000,000,000,000")])
def test_a_grid_too_large_is_refused_with_its_number_at_once(size: int, shown: str) -> None:
    spec = grid_of(size)
    assert refused(spec) == {"/search/algorithm": "search_space_too_large"}
    assert shown in hint(spec, "/search/algorithm")
    assert best_of(5, lambda: refused(spec)) < 0.05


def test_a_grid_just_small_enough_is_taken() -> None:
    spec = grid_of(10**6)
    assert load_spec(spec).space.grid_size() == MAX_GRID_SIZE
    assert refused(changed("/model/batch_norm", {"type": "boolean"}, spec)) == {
        "/search/algorithm": "search_space_too_large"
    }


def test_the_same_space_may_be_searched_at_random() -> None:
    assert load_spec(changed("/search/algorithm", "random", grid_of(10**12))).space.size() == 10**12


def test_every_value_open_validates_quickly() -> None:
    spec = copy.deepcopy(FULL)
    for path, field in (
        ("/model/kernel_size", 15),
        ("/model/dense_units", 4096),
        ("/training/batch_size", 512),
    ):
        spec = changed(path, {"type": "int", "min": 1, "max": field}, spec)
    spec = changed("/model/filter_growth", {"type": "choice", "values": [1, 2]}, spec)
    spec = changed("/model/activation", {"type": "choice", "values": ["relu", "elu"]}, spec)
    assert best_of(3, lambda: load_spec(spec).space.grid_size()) < 0.1


def test_crossing_conditions_do_not_make_validation_slow() -> None:
    spec = crossing()
    start = time.perf_counter()
    load_spec(spec).space.size()
    assert time.perf_counter() - start < 2


def crossing() -> dict[str, Any]:
    """Nine parents, and three children that each ask all of them for other values."""
    listed: dict[str, list[Any]] = {
        "model.blocks": [1, 2, 3, 4],
        "model.filters": [8, 16, 32, 64],
        "model.filter_growth": [1, 2, 3, 4],
        "model.kernel_size": [3, 5, 7, 9],
        "model.activation": ["relu", "elu", "gelu", "tanh"],
        "model.dense_units": [0, 8, 16, 32],
        "model.l2": [0.0, 0.1, 0.2, 0.3],
        "training.batch_size": [8, 16, 32, 64],
        "training.epochs": [1, 2, 3, 4],
        "training.learning_rate": [0.1, 0.2, 0.3, 0.4],
    }
    spec = LEAST
    for name, values in listed.items():
        spec = changed(name.replace(".", "/"), {"type": "choice", "values": values}, spec)
    children = ("training/momentum", "model/dropout", "training/early_stopping/min_delta")
    for index, child in enumerate(children):
        when = {name: values[index : index + 2] for name, values in listed.items()}
        spec = changed(child, {"type": "choice", "values": [0.1, 0.2], "when": when}, spec)
    return spec


# Case 16: numbers out of all proportion


@pytest.mark.parametrize(
    "path",
    [
        "/model/filters",
        "/model/blocks",
        "/model/kernel_size",
        "/model/dense_units",
        "/training/epochs",
        "/training/batch_size",
        "/training/learning_rate",
        "/training/early_stopping/patience",
        "/budget/max_trials",
        "/budget/parallel_trials",
        "/budget/max_seconds",
        "/seed",
        "/priority",
    ],
)
@pytest.mark.parametrize("value", [10**9 * 10, -1, 10**300, -(10**30)])
def test_numbers_out_of_proportion_are_out_of_range(path: str, value: int) -> None:
    assert refused(changed(path, value)) == {path: "value_out_of_range"}


def test_a_range_reaching_out_of_proportion_is_out_of_range_at_its_end() -> None:
    filters = {"type": "int", "min": 1, "max": 10**9}
    assert refused(changed("/model/filters", filters)) == {"/model/filters/max": "value_out_of_range"}


# Case 17: ranges without sense


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"type": "float", "min": 0.5, "max": 0.5}, "/max"),
        ({"type": "float", "min": 0.7, "max": 0.3}, "/max"),
        ({"type": "float", "min": 0.1, "max": 0.5, "step": 0}, "/step"),
        ({"type": "float", "min": 0.1, "max": 0.5, "step": -0.1}, "/step"),
        ({"type": "float", "min": 0, "max": 0.5, "sampling": "log"}, "/min"),
        ({"type": "choice", "values": []}, "/values"),
        ({"type": "choice", "values": [0.1]}, "/values"),
        ({"type": "choice", "values": [0.1, 0.1]}, "/values"),
    ],
)
def test_a_range_without_sense_is_invalid_at_its_place(value: Any, place: str) -> None:
    assert refused(changed("/model/dropout", value)) == {f"/model/dropout{place}": "invalid_range"}


# Case 18: what is no number


@pytest.mark.parametrize("value", ["1", "0.1", True, [1], {}, None])
def test_what_is_no_number_is_refused_where_a_number_stands(value: Any) -> None:
    assert set(refused(changed("/training/epochs", value)).values()) <= {"invalid_type", "missing_field"}
    assert set(refused(changed("/training/learning_rate", value)).values()) <= {
        "invalid_type",
        "missing_field",
    }
    assert refused(changed("/seed", value)) == {"/seed": "invalid_type"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused_even_past_the_parser(value: float) -> None:
    assert refused(changed("/training/learning_rate", value)) == {"/training/learning_rate": "invalid_type"}
    bounds = {"type": "float", "min": 0.1, "max": value}
    assert refused(changed("/model/dropout", bounds)) == {"/model/dropout/max": "invalid_type"}


def test_3_7_epochs_are_refused_and_3_0_are_three() -> None:
    assert refused(changed("/training/epochs", 3.7)) == {"/training/epochs": "invalid_type"}
    assert load_spec(changed("/training/epochs", 3.0)).recipe({}).training.epochs == 3


# Case 20: what a client must not say


@pytest.mark.parametrize(
    "name", ["state", "id", "project", "revision", "create_time", "__class__", "", "a/b~c"]
)
def test_an_unknown_field_is_refused_by_name(name: str) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert refused({**LEAST, name: "x"}) == {pointer: "unknown_field"}


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/modle", "model"),
        ("/model/filter", "filters"),
        ("/training/learningrate", "learning_rate"),
        ("/training/early_stopping/patiance", "patience"),
        ("/budget/max_trial", "max_trials"),
        ("/split/stratfy", "stratify"),
    ],
)
def test_the_nearest_known_name_is_hinted_at(path: str, near: str) -> None:
    spec = changed(path, 1)
    assert refused(spec)[path] == "unknown_field"
    assert f"Did you mean '{near}'?" in hint(spec, path)


# Case 22: conditions


@pytest.mark.parametrize(
    "when",
    [
        {"training.optimiser": ["sgd"]},
        {"optimizer": ["sgd"]},
        {"training": ["sgd"]},
        {"search.algorithm": ["random"]},
        {"": ["sgd"]},
        {"training.optimizer": ["adagrad"]},
        {"training.optimizer": [1]},
        {"training.momentum": [0.5]},
    ],
)
def test_a_condition_that_can_never_hold_is_invalid(when: dict[str, Any]) -> None:
    spec = changed("/training/optimizer", {"type": "choice", "values": ["sgd", "adam"]})
    spec = changed("/training/momentum", {"type": "float", "min": 0.1, "max": 0.9, "when": when}, spec)
    found = refused(spec)
    assert set(found.values()) == {"invalid_condition"}
    assert all(pointer.startswith("/training/momentum/when") for pointer in found)


def test_conditions_in_a_circle_are_invalid() -> None:
    spec = changed("/model/batch_norm", {"type": "boolean", "when": {"model.filters": [8]}})
    spec = changed(
        "/model/filters", {"type": "choice", "values": [8, 9], "when": {"model.batch_norm": [True]}}, spec
    )
    assert set(refused(spec).values()) == {"invalid_condition"}


def test_an_empty_list_of_values_is_told_at_its_place() -> None:
    momentum = {"type": "choice", "values": [0.1, 0.2], "when": {"training.optimizer": []}}
    place = "/training/momentum/when/training.optimizer"
    assert list(refused(changed("/training/momentum", momentum))) == [place]


def test_a_whole_number_in_a_condition_may_be_spelled_either_way() -> None:
    spec = changed("/training/epochs", {"type": "int", "min": 1, "max": 9})
    momentum = {"type": "choice", "values": [0.1, 0.2], "when": {"training.epochs": [3.0]}}
    assert load_spec(changed("/training/momentum", momentum, spec)).space.size() == 10


@pytest.mark.parametrize("value", [10**20, "\ud800", 10**400], ids=["large", "surrogate", "huge"])
def test_no_value_in_a_condition_breaks_the_digest(value: Any) -> None:
    momentum = {"type": "choice", "values": [0.1, 0.2], "when": {"training.epochs": [10, value]}}
    if (spec := taken(changed("/training/momentum", momentum))) is not None:
        assert spec.digest.startswith("sha256:")


# Whatever else a body may hold


@pytest.mark.parametrize("document", [None, [], "x", 1, True, {}])
def test_a_spec_is_an_object_with_what_is_required(document: Any) -> None:
    assert set(refused(document).values()) <= {"invalid_type", "missing_field"}


def test_what_is_missing_is_named() -> None:
    assert refused({}) == {"/dataset": "missing_field", "/model": "missing_field", "/budget": "missing_field"}


@pytest.mark.parametrize(
    "dataset",
    [
        "",
        "digits",
        "builtin:",
        "ds_",
        "ds_../../x",
        "ds_A",
        "builtin:digits\n",
        "builtin:digits; drop",
        "ds_" + "a" * 65,
    ],
)
def test_a_data_set_is_named_by_an_id(dataset: str) -> None:
    assert refused(changed("/dataset", dataset)) == {"/dataset": "invalid_value"}


@pytest.mark.parametrize(
    ("labels", "pointer"),
    [
        ({"team": 1}, "/labels/team"),
        ({"team": "x" * 256}, "/labels/team"),
        ({"": "x"}, "/labels/"),
        ({"k" * 64: "x"}, "/labels/" + "k" * 64),
        ({"team": "\x00"}, "/labels/team"),
        ({str(index): "x" for index in range(65)}, "/labels"),
    ],
)
def test_labels_are_short_texts(labels: Any, pointer: str) -> None:
    assert list(refused(changed("/labels", labels))) == [pointer]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PATHS = [
    "/name",
    "/labels",
    "/seed",
    "/dataset",
    "/split/test",
    "/preprocessing",
    "/preprocessing/scaling",
    "/model",
    "/model/family",
    "/model/filters",
    "/model/activation",
    "/training",
    "/training/early_stopping",
    "/search",
    "/objective/target",
    "/budget",
    "/result/exports",
]


@given(st.sampled_from(PATHS), JSON)
def test_any_json_in_any_place_is_taken_or_refused(path: str, value: Any) -> None:
    if (spec := taken(changed(path, value))) is not None:
        assert load_spec(json.loads(json.dumps(spec.resolved))) == spec


@given(
    st.sampled_from(["model/filters", "model/dropout", "training/learning_rate", "training/optimizer"]),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["float", "int", "choice", "boolean"])},
        optional={
            "min": st.floats(0, 1e6, allow_nan=False) | st.integers(-1, 5000),
            "max": st.floats(0, 1e6, allow_nan=False) | st.integers(-1, 5000),
            "step": st.floats(0, 10, allow_nan=False) | st.integers(-1, 50),
            "sampling": st.sampled_from(["linear", "log", "reverse_log"]),
            "values": st.lists(
                st.integers(0, 9) | st.floats(0, 1) | st.sampled_from(["sgd", "adam"]), max_size=4
            ),
            "default": st.integers(0, 9) | st.none() | JSON,
            "when": st.dictionaries(
                st.sampled_from(["training.epochs", "model.blocks", "x"]), st.lists(JSON, max_size=2)
            ),
        },
    ),
)
def test_any_distribution_is_taken_or_refused(path: str, value: dict[str, Any]) -> None:
    if (spec := taken(changed(path, value))) is not None:
        assert load_spec(json.loads(json.dumps(spec.resolved))).digest == spec.digest
        assert spec.space.grid_size() >= 1


def test_the_parser_and_the_schema_agree_on_the_example() -> None:
    assert load_spec(parse_json(json.dumps(FULL).encode())) == load_spec(FULL)


# Queries


@pytest.mark.parametrize(
    "query",
    [
        {"state": "done"},
        {"label": "team"},
        {"label": ":x"},
        {"label": "k" * 64 + ":x"},
        {"label": "team:" + "x" * 256},
        {"page_size": "0"},
        {"page_size": "201"},
        {"created_after": "yesterday"},
        {"created_after": "2026-01-01T00:00:00"},
        {"q": "x" * 201},
        {"order_by": "name"},
    ],
)
def test_a_query_that_does_not_fit_is_refused_at_its_parameter(query: dict[str, str]) -> None:
    assert list(JobQuerySchema().validate(query)) == list(query)
