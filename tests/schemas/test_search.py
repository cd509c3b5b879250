"""How to search: each algorithm with its own options, and no other's."""

import json
from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.problems import error_items
from schemas.search import (
    ALGORITHMS,
    MAX_ENQUEUED,
    ORDERS,
    SEARCHES,
    BayesianSearch,
    Coarse,
    CoarseToFineSearch,
    Fine,
    GridSearch,
    HyperbandSearch,
    RangeTest,
    Search,
    SearchSchema,
)
from schemas.stopping import AshaStopping, MedianStopping, NoStopping, StoppingSchema
from tests.schemas.faults import faults

NOTHING = (NoStopping(), (), (), False)
# Fields that only some algorithms have, each with a value that fits.
OWN: dict[str, tuple[Any, tuple[str, ...]]] = {
    "order": ("row_major", ("grid",)),
    "factor": (3, ("hyperband",)),
    "coarse": ({}, ("coarse_to_fine",)),
    "fine": ({}, ("coarse_to_fine",)),
    "low": (1e-7, ("lr_range_test",)),
    "high": (1.0, ("lr_range_test",)),
    "steps": (100, ("lr_range_test",)),
    "then": (None, ("lr_range_test",)),
    "stopping": ({"rule": "none"}, tuple(SEARCHES)),
    "enqueue": ([], tuple(SEARCHES)),
    "warm_start": ([], tuple(SEARCHES)),
    "reuse": (False, tuple(SEARCHES)),
}
PAIRS = [(algorithm, name) for algorithm in ALGORITHMS for name in OWN]


def load(**fields: Any) -> Search:
    found: Search = SearchSchema().load(fields)
    return found


def said(document: Any) -> list[tuple[str, str, str]]:
    """(pointer, code, text) of everything that is wrong."""
    with pytest.raises(ValidationError) as caught:
        SearchSchema().load(document)
    return [(item.pointer, item.code, item.detail) for item in error_items(caught.value.messages)]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_can_be_asked_for(name: str) -> None:
    assert load(algorithm=name).algorithm == name


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_resolved_search_loads_to_the_same_again(name: str) -> None:
    resolved = json.loads(json.dumps(SearchSchema().dump(load(algorithm=name))))
    assert resolved["algorithm"] == name
    assert SearchSchema().dump(SearchSchema().load(resolved)) == resolved
    assert SearchSchema().load(resolved) == load(algorithm=name)


def test_without_a_word_the_search_is_bayesian() -> None:
    assert load() == BayesianSearch(*NOTHING)
    assert load(reuse=True) == BayesianSearch(NoStopping(), (), (), True)


@pytest.mark.parametrize(("algorithm", "name"), PAIRS)
def test_an_option_goes_with_its_algorithms_alone(algorithm: str, name: str) -> None:
    value, owners = OWN[name]
    document = {"algorithm": algorithm, name: value}
    if algorithm in owners:
        assert SearchSchema().load(document)
        return
    text = f"Only with algorithm {' or '.join(owners)}."
    assert said(document) == [(f"/{name}", "unknown_field", text)]


def test_an_option_of_no_algorithm_is_refused_with_a_hint() -> None:
    ((pointer, code, text),) = said({"algorithm": "grid", "ordre": "row_major"})
    assert (pointer, code) == ("/ordre", "unknown_field")
    assert "'order'" in text


def test_anothers_option_without_an_algorithm_is_refused_as_that_of_random() -> None:
    assert said({"order": "outside_in"}) == [("/order", "unknown_field", "Only with algorithm grid.")]


def test_an_unknown_algorithm_is_refused_with_a_hint() -> None:
    ((pointer, code, text),) = said({"algorithm": "randon"})
    assert (pointer, code) == ("/algorithm", "value_not_allowed")
    assert "Did you mean 'random'" in text


@pytest.mark.parametrize("wrong", [3, None, ["grid"], {}, True])
def test_an_algorithm_is_a_name(wrong: Any) -> None:
    assert faults(SearchSchema, {"algorithm": wrong}) == [("/algorithm", "invalid_type")]


@pytest.mark.parametrize("wrong", ["grid", 3, [], None])
def test_a_search_is_an_object(wrong: Any) -> None:
    assert faults(SearchSchema, wrong) == [("", "invalid_type")]


@pytest.mark.parametrize("order", ORDERS)
def test_a_grid_may_be_walked_from_either_side(order: str) -> None:
    assert load(algorithm="grid", order=order) == GridSearch(*NOTHING, order)


def test_a_grid_has_a_known_order() -> None:
    wrong = {"algorithm": "grid", "order": "inside_out"}
    assert faults(SearchSchema, wrong) == [("/order", "value_not_allowed")]


def test_hyperband_keeps_one_in_so_many() -> None:
    assert load(algorithm="hyperband") == HyperbandSearch(*NOTHING, 3)
    for factor in (1, 11):
        wrong = {"algorithm": "hyperband", "factor": factor}
        assert faults(SearchSchema, wrong) == [("/factor", "value_out_of_range")]


def test_the_two_stages_of_coarse_to_fine_have_defaults() -> None:
    coarse, fine = Coarse("random", 0.5, 0.25, 1.0), Fine("random", 1, 0.25)
    assert load(algorithm="coarse_to_fine") == CoarseToFineSearch(*NOTHING, coarse, fine)
    found = load(algorithm="coarse_to_fine", coarse={"algorithm": "grid", "data": 0.5}, fine={"promote": 0})
    assert found == CoarseToFineSearch(*NOTHING, Coarse("grid", 0.5, 0.25, 0.5), Fine("random", 0, 0.25))


@pytest.mark.parametrize(
    ("stage", "wrong", "code"),
    [
        ("coarse", {"trials": 0}, "value_out_of_range"),
        ("coarse", {"trials": 1}, "value_out_of_range"),
        ("coarse", {"epochs": 0}, "value_out_of_range"),
        ("coarse", {"data": 1.1}, "value_out_of_range"),
        ("coarse", {"algorithm": "tpe"}, "value_not_allowed"),
        ("coarse", {"width": 0.5}, "unknown_field"),
        ("fine", {"promote": -1}, "value_out_of_range"),
        ("fine", {"width": 0}, "value_out_of_range"),
        ("fine", {"algorithm": "hyperband"}, "value_not_allowed"),
    ],
)
def test_a_stage_is_held_to_its_limits(stage: str, wrong: dict[str, Any], code: str) -> None:
    (name,) = wrong
    assert faults(SearchSchema, {"algorithm": "coarse_to_fine", stage: wrong}) == [(f"/{stage}/{name}", code)]


def test_a_range_test_stands_alone_or_goes_on() -> None:
    assert load(algorithm="lr_range_test") == RangeTest(*NOTHING, 1e-7, 1.0, 100, None)
    found = load(algorithm="lr_range_test", then={"algorithm": "hyperband", "reuse": True})
    assert isinstance(found, RangeTest)
    assert found.then == HyperbandSearch(NoStopping(), (), (), True, 3)
    assert found.reuse, "what every algorithm takes is that of the search that follows"


def test_what_follows_a_range_test_is_the_default_without_a_word() -> None:
    found = load(algorithm="lr_range_test", then={})
    assert isinstance(found, RangeTest)
    assert found.then == BayesianSearch(*NOTHING)


@pytest.mark.parametrize(
    ("fields", "place", "code"),
    [
        ({"low": 0}, "/low", "value_out_of_range"),
        ({"low": 0.1}, "/low", "value_out_of_range"),
        ({"high": 1e-3}, "/high", "value_out_of_range"),
        ({"steps": 10}, "/steps", "value_out_of_range"),
        ({"then": {"algorithm": "lr_range_test"}}, "/then/algorithm", "value_not_allowed"),
        ({"then": {"algorithm": "tpe", "order": "row_major"}}, "/then/order", "unknown_field"),
        ({"then": {"steps": 20}}, "/then/steps", "unknown_field"),
        ({"then": []}, "/then", "invalid_type"),
    ],
)
def test_a_range_test_is_held_to_its_limits(fields: dict[str, Any], place: str, code: str) -> None:
    assert faults(SearchSchema, {"algorithm": "lr_range_test", **fields}) == [(place, code)]


@pytest.mark.parametrize(
    ("fields", "place", "code"),
    [
        ({"enqueue": {}}, "/enqueue", "invalid_type"),
        ({"enqueue": [3]}, "/enqueue/0", "invalid_type"),
        ({"enqueue": [{"a": []}]}, "/enqueue/0/a", "invalid_type"),
        ({"enqueue": [{"a": None}]}, "/enqueue/0/a", "invalid_type"),
        ({"enqueue": [{}] * (MAX_ENQUEUED + 1)}, "/enqueue", "invalid_value"),
        ({"warm_start": "job_1"}, "/warm_start", "invalid_type"),
        ({"warm_start": ["job_1", "ds_1"]}, "/warm_start/1", "invalid_value"),
        ({"warm_start": ["job_1; DROP TABLE jobs"]}, "/warm_start/0", "invalid_value"),
        ({"warm_start": ["job_1"] * 33}, "/warm_start", "invalid_value"),
        ({"reuse": 1}, "/reuse", "invalid_type"),
        ({"stopping": "median"}, "/stopping", "invalid_type"),
    ],
)
def test_what_every_algorithm_takes_is_held_to_its_kind(
    fields: dict[str, Any], place: str, code: str
) -> None:
    assert faults(SearchSchema, fields) == [(place, code)]


@pytest.mark.parametrize(
    ("document", "stopping"),
    [
        ({}, NoStopping()),
        ({"rule": "none"}, NoStopping()),
        ({"rule": "median"}, MedianStopping(1)),
        ({"rule": "median", "grace_epochs": 2}, MedianStopping(2)),
        ({"rule": "asha"}, AshaStopping(1, 3)),
        ({"rule": "asha", "grace_epochs": 4, "factor": 2}, AshaStopping(4, 2)),
    ],
)
def test_a_stopping_rule_has_its_options(document: dict[str, Any], stopping: Any) -> None:
    assert StoppingSchema().load(document) == stopping
    assert load(algorithm="grid", stopping=document).stopping == stopping
    assert StoppingSchema().load(StoppingSchema().dump(stopping)) == stopping


@pytest.mark.parametrize(
    ("document", "place", "code", "text"),
    [
        ({"grace_epochs": 1}, "/grace_epochs", "unknown_field", "Only with rule median or asha."),
        ({"rule": "median", "factor": 3}, "/factor", "unknown_field", "Only with rule asha."),
        ({"rule": "medain"}, "/rule", "value_not_allowed", "Did you mean 'median'"),
        ({"rule": "asha", "factor": 1}, "/factor", "value_out_of_range", ""),
        ({"rule": "median", "grace_epochs": 0}, "/grace_epochs", "value_out_of_range", ""),
        ({"rule": "median", "patience": 1}, "/patience", "unknown_field", ""),
    ],
)
def test_a_stopping_rule_is_refused_with_anothers_options(
    document: dict[str, Any], place: str, code: str, text: str
) -> None:
    ((pointer, found, detail),) = said({"stopping": document})
    assert (pointer, found) == (f"/stopping{place}", code)
    assert text in detail
