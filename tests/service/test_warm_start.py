"""Bad input of a search over HTTP, and what a warm start takes: each mistake a 422 that leaves no row."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from schemas.states import JobState
from store.tables import JobRow
from tests.conftest import Api
from tests.service.rows import add_trials, complete, count, npz, posted, problem, services, upload

Spec = dict[str, Any]
CHOICE = {"type": "choice", "values": [4, 8]}
FIXED = {"training": {"learning_rate": 0.01}}

# Changes of a spec with an open learning rate: where and how they are refused, and what would be right.
WRONG: dict[str, tuple[Spec, str, str, str]] = {
    "another's option": (
        {"search": {"algorithm": "tpe", "order": "outside_in"}},
        "/search/order",
        "unknown_field",
        "Only with algorithm grid.",
    ),
    "another rule's option": (
        {"search": {"stopping": {"rule": "median", "factor": 3}}},
        "/search/stopping/factor",
        "unknown_field",
        "Only with rule asha.",
    ),
    "an unknown algorithm": (
        {"search": {"algorithm": "bayes"}},
        "/search/algorithm",
        "value_not_allowed",
        "bayesian",
    ),
    "no trials": ({"budget": {"max_trials": 0}}, "/budget/max_trials", "value_out_of_range", "1"),
    "no seconds": (
        {"budget": {"max_trials": 1, "max_seconds": 0}},
        "/budget/max_seconds",
        "value_out_of_range",
        "1",
    ),
    "no epochs": (
        {"budget": {"max_trials": 1, "max_epochs": 0}},
        "/budget/max_epochs",
        "value_out_of_range",
        "1",
    ),
    "no time on a GPU": (
        {"budget": {"max_trials": 1, "max_gpu_seconds": 0}},
        "/budget/max_gpu_seconds",
        "value_out_of_range",
        "1",
    ),
    "cmaes without numbers": (
        {
            "search": {"algorithm": "cmaes"},
            "model": {"family": "cnn", "filters": CHOICE, "blocks": 1},
            **FIXED,
        },
        "/search/algorithm",
        "value_not_allowed",
        "tpe and random",
    ),
    "coarse_to_fine on nothing": (
        {"search": {"algorithm": "coarse_to_fine"}, **FIXED},
        "/search/algorithm",
        "value_not_allowed",
        "Nothing is open",
    ),
    "hyperband of open epochs": (
        {"search": {"algorithm": "hyperband"}, "training": {"epochs": {"type": "int", "min": 1, "max": 3}}},
        "/training/epochs",
        "value_not_allowed",
        "the most that a trial may train",
    ),
    "a range test before a fixed rate": (
        {"search": {"algorithm": "lr_range_test", "then": {}}, **FIXED},
        "/training/learning_rate",
        "value_not_allowed",
        "float range",
    ),
    "an enqueued name": (
        {"search": {"enqueue": [{"training.learning_rte": 0.005}]}},
        "/search/enqueue/0/training.learning_rte",
        "unknown_field",
        "Did you mean 'training.learning_rate'",
    ),
    "an enqueued value": (
        {"search": {"enqueue": [{}, {"training.learning_rate": 0.5}]}},
        "/search/enqueue/1/training.learning_rate",
        "value_out_of_range",
        "Not a value that the search may choose.",
    ),
    "an enqueued value that is ruled out": (
        {
            "search": {"enqueue": [{"training.optimizer": "adam", "training.momentum": 0.5}]},
            "training": {
                "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
                "momentum": {"type": "float", "min": 0, "max": 0.9, "when": {"training.optimizer": ["sgd"]}},
            },
        },
        "/search/enqueue/0/training.momentum",
        "invalid_condition",
        "does not exist when training.optimizer is 'adam'",
    ),
    "an enqueued list": (
        {"search": {"enqueue": [{"training.learning_rate": [0.005]}]}},
        "/search/enqueue/0/training.learning_rate",
        "invalid_type",
        "",
    ),
    "no job's id": ({"search": {"warm_start": ["ds_1"]}}, "/search/warm_start/0", "invalid_value", "job_"),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_refused_at_its_place_and_says_what_would_be_right(
    app: Flask, api: Api, spec: Spec, name: str
) -> None:
    changes, pointer, code, right = WRONG[name]
    document = problem(api.post("/v1/jobs", json={**spec, **changes}), 422, code)
    assert [item["pointer"] for item in document["errors"]] == [pointer]
    assert right in document["errors"][0]["detail"]
    checked = api.post("/v1/jobs:validate", json={**spec, **changes}).json
    assert (checked["valid"], checked["errors"]) == (False, document["errors"])
    assert count(app, JobRow) == 0


def set_state(app: Flask, job_id: str, state: str) -> None:
    with services(app).database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(state=state))


def ended(app: Flask, api: Api, spec: Spec, scores: tuple[float | None, ...] = (0.9,), **changes: Any) -> str:
    """A job that has succeeded, with a trial for each score: rates of 0.001, 0.002, ..."""
    job_id: str = posted(api, spec, **changes)["id"]
    add_trials(app, job_id, len(scores))
    for number, score in enumerate(scores):
        complete(app, job_id, number, score)
    set_state(app, job_id, "succeeded")
    return job_id


def starting(job_id: str, algorithm: str = "tpe") -> Spec:
    return {"search": {"algorithm": algorithm, "warm_start": [job_id]}}


def refused(app: Flask, api: Api, spec: Spec, changes: Spec, code: str) -> str:
    """What is said of the warm start's first job; no row is left."""
    before = count(app, JobRow)
    document = problem(api.post("/v1/jobs", json={**spec, **changes}), 422, code)
    (item,) = document["errors"]
    assert item["pointer"] == "/search/warm_start/0"
    assert api.post("/v1/jobs:validate", json={**spec, **changes}).json["errors"] == [item]
    assert count(app, JobRow) == before
    detail: str = item["detail"]
    return detail


def warnings(api: Api, spec: Spec, changes: Spec) -> dict[str, str]:
    """Code to pointer of what is said of an accepted spec."""
    told = api.post("/v1/jobs:validate", json={**spec, **changes}).json["warnings"]
    assert posted(api, spec, **changes)["warnings"] == told
    return {one["code"]: one["pointer"] for one in told}


@pytest.mark.parametrize("state", JobState)
def test_a_warm_start_takes_jobs_whose_search_is_over(
    app: Flask, api: Api, spec: Spec, state: JobState
) -> None:
    job_id = ended(app, api, spec)
    set_state(app, job_id, state)
    if state.is_terminal or state == JobState.FINISHING:
        assert warnings(api, spec, starting(job_id)) == {}
        return
    detail = refused(app, api, spec, starting(job_id), "job_not_ended")
    assert str(state) in detail
    assert "whose search has ended" in detail


def test_a_job_that_is_not_there_is_refused(app: Flask, api: Api, spec: Spec) -> None:
    assert "job_none" in refused(app, api, spec, starting("job_none"), "job_not_found")


def test_anothers_job_is_as_one_that_is_not_there(
    app: Flask, api: Api, make_api: Callable[..., Api], spec: Spec
) -> None:
    others = ended(app, make_api(project="other"), spec)
    detail = refused(app, api, spec, starting(others), "job_not_found")
    missing = refused(app, api, spec, starting("job_none"), "job_not_found")
    assert detail.replace(others, "job_none") == missing


def test_a_job_that_was_judged_otherwise_is_refused(app: Flask, api: Api, spec: Spec) -> None:
    other = ended(app, api, spec, objective={"metric": "val_loss"})
    assert "val_loss" in refused(app, api, spec, starting(other), "warm_start_incomparable")


def test_a_spec_that_cannot_be_read_any_more_is_refused(app: Flask, api: Api, spec: Spec) -> None:
    other = ended(app, api, spec)
    with services(app).database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == other).values(spec={"family": "old"}))
    assert "cannot read" in refused(app, api, spec, starting(other), "warm_start_incomparable")


def test_the_second_of_two_jobs_is_named_by_its_place(app: Flask, api: Api, spec: Spec) -> None:
    search = {"algorithm": "tpe", "warm_start": [ended(app, api, spec), "job_none"]}
    document = problem(api.post("/v1/jobs", json={**spec, "search": search}), 422, "job_not_found")
    assert document["errors"][0]["pointer"] == "/search/warm_start/1"


def test_after_a_range_test_the_place_is_that_of_what_follows(app: Flask, api: Api, spec: Spec) -> None:
    search = {"algorithm": "lr_range_test", "then": {"algorithm": "tpe", "warm_start": ["job_none"]}}
    document = problem(api.post("/v1/jobs", json={**spec, "search": search}), 422, "job_not_found")
    assert document["errors"][0]["pointer"] == "/search/then/warm_start/0"


@pytest.mark.parametrize("algorithm", ["bayesian", "tpe", "cmaes"])
def test_trials_outside_the_space_are_left_out_with_a_warning(
    app: Flask, api: Api, spec: Spec, algorithm: str
) -> None:
    other = ended(app, api, spec, (0.7, 0.8, None, 0.9))
    assert warnings(api, spec, starting(other, algorithm)) == {}
    rate = {"type": "float", "min": 0.0015, "max": 0.01}
    narrow = {**starting(other, algorithm), "training": {**spec["training"], "learning_rate": rate}}
    told = api.post("/v1/jobs:validate", json={**spec, **narrow}).json["warnings"]
    assert [(one["code"], one["pointer"]) for one in told] == [("warm_start_outside", "/search/warm_start/0")]
    assert told[0]["detail"].startswith("1 trials")


def test_other_fixed_values_are_told(app: Flask, api: Api, spec: Spec) -> None:
    other = ended(app, api, spec)
    wider = {**starting(other), "model": {**spec["model"], "filters": 16}}
    assert warnings(api, spec, wider) == {"warm_start_differs": "/search/warm_start/0"}


def test_other_data_are_told(app: Flask, api: Api, spec: Spec) -> None:
    other = ended(app, api, spec)
    images = upload(api, npz()).json["id"]
    told = warnings(api, spec, {**starting(other), "dataset": images})
    assert told["warm_start_other_data"] == "/search/warm_start/0"


@pytest.mark.parametrize("algorithm", ["random", "grid", "hyperband", "coarse_to_fine"])
def test_where_nothing_is_learnt_from_scores_that_is_told(
    app: Flask, api: Api, spec: Spec, algorithm: str
) -> None:
    told = warnings(api, spec, starting(ended(app, api, spec), algorithm))
    assert told["warm_start_unused"] == "/search/warm_start/0"
