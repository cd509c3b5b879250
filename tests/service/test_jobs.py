"""`/v1/jobs`: accepted, listed, followed, cancelled."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import update

from schemas.problems import Unavailable
from schemas.specs import load_spec
from schemas.states import JobState, TrialState
from store import attempts, jobs, reuse, trials
from store.tables import EpochRow, JobRow, TrialRow
from tests.conftest import Api
from tests.service.rows import (
    add_trials,
    complete,
    count,
    files,
    npz,
    pages,
    posted,
    problem,
    publish,
    publish_all,
    services,
    upload,
)

Spec = dict[str, Any]


def ids(api: Api, **query: Any) -> list[str]:
    answer = api.get("/v1/jobs", query_string=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json["items"]]


# Accepting


def test_a_job_is_accepted_with_its_resolved_spec(api: Api, spec: Spec) -> None:
    answer = api.post("/v1/jobs", json={**spec, "name": "letters", "labels": {"team": "vision"}})
    job = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) > 0
    assert job["id"].startswith("job_")
    assert (job["name"], job["labels"], job["state"]) == ("letters", {"team": "vision"}, "queued")
    assert load_spec(job["spec"]).resolved == job["spec"]
    assert job["spec"]["search"] == {
        "algorithm": "bayesian",
        "stopping": {"rule": "none"},
        "enqueue": [],
        "warm_start": [],
        "reuse": False,
    }
    assert job["spec_digest"] == load_spec(job["spec"]).digest
    assert job["progress"]["max_trials"] == 3
    assert (job["best"], job["error"], job["start_time"], job["end_time"]) == (None, None, None, None)


def test_an_accepted_job_is_there(api: Api, spec: Spec) -> None:
    job = posted(api, spec)
    answer = api.get(f"/v1/jobs/{job['id']}")
    assert (answer.status_code, answer.json["id"], answer.json["spec"]) == (200, job["id"], job["spec"])


def test_a_job_is_answered_in_the_documented_shape(api: Api, spec: Spec) -> None:
    job = posted(api, spec)
    assert set(job) == {
        "id",
        "name",
        "labels",
        "state",
        "stop_reason",
        "spec",
        "spec_digest",
        "dataset_digest",
        "progress",
        "best",
        "cost",
        "warnings",
        "error",
        "create_time",
        "start_time",
        "end_time",
        "revision",
    }
    assert set(job["cost"]) == {"trial_seconds", "gpu_seconds", "artifact_bytes"}
    assert job["create_time"].endswith("Z")


def test_a_refused_job_leaves_no_row(app: Flask, api: Api, spec: Spec) -> None:
    problem(api.post("/v1/jobs", json={**spec, "state": "running"}), 422, "unknown_field")
    problem(api.post("/v1/jobs", json={**spec, "dataset": "ds_01k"}), 422, "dataset_not_found")
    problem(api.post("/v1/jobs", json={}), 422, "missing_field")
    assert count(app, JobRow) == 0


def test_every_mistake_is_told_at_its_place(api: Api, spec: Spec) -> None:
    wrong = {**spec, "sate": 1, "training": {"learning_rate": {"type": "float", "min": "1", "max": 2}}}
    document = problem(api.post("/v1/jobs", json=wrong), 422, "invalid_document")
    assert {(item["pointer"], item["code"]) for item in document["errors"]} == {
        ("/sate", "unknown_field"),
        ("/training/learning_rate/min", "invalid_type"),
    }


def test_a_grid_too_large_is_refused_within_moments(api: Api, spec: Spec) -> None:
    thousand = {"type": "int", "min": 1, "max": 1000}
    model = {"family": "cnn", "filters": thousand, "dense_units": thousand}
    training = {"batch_size": thousand, "epochs": thousand}
    grid = {**spec, "model": model, "training": training, "search": {"algorithm": "grid"}}
    start = time.perf_counter()
    document = problem(api.post("/v1/jobs", json=grid), 422, "search_space_too_large")
    assert time.perf_counter() - start < 1
    assert "1,000,000,000,000" in document["detail"]


def test_a_name_with_markup_and_line_breaks_is_kept_as_it_is(api: Api, spec: Spec) -> None:
    name = "<script>alert(1)</script>\n\r\N{SNAKE} %s {} \\"
    job = posted(api, spec, name=name)
    answer = api.get(f"/v1/jobs/{job['id']}")
    assert answer.json["name"] == name
    assert answer.mimetype == "application/json"


def test_a_dataset_that_the_model_does_not_fit_is_refused(api: Api, spec: Spec) -> None:
    deep = {**spec, "model": {"family": "cnn", "blocks": 5}}
    document = problem(api.post("/v1/jobs", json=deep), 422, "infeasible_model")
    assert document["errors"][0]["pointer"] == "/model"


def test_a_model_over_the_limit_is_refused(api: Api, spec: Spec) -> None:
    large = {**spec, "model": {"family": "cnn", "blocks": 1, "filters": 4096, "dense_units": 65536}}
    problem(api.post("/v1/jobs", json=large), 422, "model_too_large")


# Validating


def test_validation_prices_a_spec_and_makes_no_job(app: Flask, api: Api, spec: Spec) -> None:
    found = api.post("/v1/jobs:validate", json=spec)
    assert found.status_code == 200
    answer = found.json
    assert (answer["valid"], answer["errors"]) == (True, [])
    assert answer["space"] == {"open_values": 1, "size": None, "grid_size": 10}
    assert (answer["estimate"]["trials"], answer["estimate"]["epochs"]) == (3, 6)
    assert answer["estimate"]["smallest_parameters"] == answer["estimate"]["largest_parameters"] == 2314
    assert count(app, JobRow) == 0


def test_validation_and_the_job_resolve_alike(api: Api, spec: Spec) -> None:
    told, job = api.post("/v1/jobs:validate", json=spec).json, posted(api, spec)
    for name in ("spec", "spec_digest", "dataset_digest"):
        assert told[name] == job[name]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"budget": {}}, "/budget/max_trials", "missing_field"),
        ({"dataset": "ds_01k"}, "/dataset", "dataset_not_found"),
        ({"model": {"family": "cnn", "blocks": 9}}, "/model", "infeasible_model"),
        ({"id": "job_x"}, "/id", "unknown_field"),
    ],
)
def test_validation_says_what_creating_would(
    api: Api, spec: Spec, changes: Spec, pointer: str, code: str
) -> None:
    answer = api.post("/v1/jobs:validate", json={**spec, **changes})
    assert (answer.status_code, answer.json["valid"], answer.json["spec"]) == (200, False, None)
    assert (answer.json["spec_digest"], answer.json["dataset_digest"]) == (None, None)
    assert [(item["pointer"], item["code"]) for item in answer.json["errors"]] == [(pointer, code)]
    refused = problem(api.post("/v1/jobs", json={**spec, **changes}), 422, code)
    assert refused["errors"] == answer.json["errors"]


def test_a_wide_space_is_sized_exactly_and_warned_of(api: Api, spec: Spec) -> None:
    thousand = {"type": "int", "min": 1, "max": 1000}
    wide = {
        **spec,
        "dataset": upload(api, npz()).json["id"],
        "model": {"family": "cnn", "blocks": 1, "filters": thousand, "dense_units": thousand},
        "training": {
            "learning_rate": 0.5,
            "batch_size": 4096,
            "epochs": thousand,
            "early_stopping": {"patience": thousand},
        },
    }
    answer = api.post("/v1/jobs:validate", json=wide).json
    assert answer["space"] == {"open_values": 4, "size": 10**12, "grid_size": 10**12}
    priced = answer["estimate"]
    # 4 x 4 pixels: nine weights and a bias a filter, four places after pooling, two classes.
    sizes = [10 * n + (4 * n * n + n) + (2 * n + 2) for n in (1, 1000)]
    assert [priced["smallest_parameters"], priced["largest_parameters"]] == sizes
    assert (priced["trials"], priced["epochs"], priced["training_images"]) == (3, 3000, 8 - 2)
    assert {one["code"]: one["pointer"] for one in answer["warnings"]} == {
        "learning_rate_high": "/training/learning_rate",
        "batch_exceeds_training": "/training/batch_size",
        "validation_small": "/split",
    }
    problem(
        api.post("/v1/jobs", json={**wide, "search": {"algorithm": "grid"}}), 422, "search_space_too_large"
    )


def test_warnings_are_told_before_and_kept_with_the_job(api: Api, spec: Spec) -> None:
    grid = {**spec, "search": {"algorithm": "grid"}}
    told = api.post("/v1/jobs:validate", json=grid).json["warnings"]
    assert {warning["code"]: warning["pointer"] for warning in told} == {
        "grid_exceeds_budget": "/budget/max_trials",
        "grid_without_step": "/training/learning_rate",
    }
    assert posted(api, grid)["warnings"] == told


# Listing


def test_jobs_are_listed_newest_first(api: Api, spec: Spec) -> None:
    made = [posted(api, spec)["id"] for _ in range(3)]
    assert ids(api) == made[::-1]


def test_every_page_is_reached_once(api: Api, spec: Spec) -> None:
    made = [posted(api, spec)["id"] for _ in range(5)]
    found = pages(api, "/v1/jobs", page_size=2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert [job["id"] for page in found for job in page] == made[::-1]


def test_the_link_to_the_next_page_keeps_the_filters(api: Api, spec: Spec) -> None:
    made = [posted(api, spec, name="a b&c")["id"] for _ in range(2)]
    answer = api.get("/v1/jobs", query_string={"page_size": 1, "q": "b&c"})
    url = answer.headers["Link"].removeprefix("<").removesuffix('>; rel="next"')
    assert parse_qs(urlsplit(url).query)["q"] == ["b&c"]
    assert [job["id"] for job in api.get(url).json["items"]] == made[:1]


def test_jobs_are_filtered(api: Api, spec: Spec) -> None:
    one = posted(api, spec, name="Letters 100%", labels={"team": "vision", "x.y": "a:b"})
    two = posted(api, spec, name="digits", labels={"team": "speech"})
    api.post(f"/v1/jobs/{two['id']}:cancel")
    both, first, second = [two["id"], one["id"]], [one["id"]], [two["id"]]
    assert ids(api, state="queued") == first
    assert ids(api, state="cancelled") == second
    assert ids(api, label="team:vision") == first
    assert ids(api, label="x.y:a:b") == first
    assert ids(api, label="team:") == []
    assert ids(api, q="LETTER") == first
    assert ids(api, q="0%") == first
    assert ids(api, q="_") == []
    assert ids(api, dataset="builtin:digits") == both
    assert ids(api, dataset="ds_x") == []
    assert ids(api, created_after="2020-01-01T00:00:00Z") == both
    assert ids(api, created_before="2020-01-01T00:00:00Z") == []
    assert ids(api, created_before="9999-12-31T23:59:59Z", state="queued", q="let") == first


def test_jobs_are_found_by_what_they_asked_for(api: Api, spec: Spec, make_api: Callable[..., Api]) -> None:
    uploaded = upload(api, npz(np.zeros((20, 8, 8)), np.arange(20) % 2)).json
    one, two = posted(api, spec, name="a"), posted(api, spec, name="b", dataset=uploaded["id"])
    three = posted(api, spec, seed=1)
    assert one["spec_digest"] == two["spec_digest"] != three["spec_digest"]
    assert ids(api, spec_digest=one["spec_digest"]) == [two["id"], one["id"]]
    assert ids(api, dataset_digest=uploaded["digest"]) == [two["id"]]
    assert ids(api, spec_digest=one["spec_digest"], dataset_digest=one["dataset_digest"]) == [one["id"]]
    assert ids(api, spec_digest="sha256:" + "0" * 64) == []
    assert ids(make_api(project="other"), spec_digest=one["spec_digest"]) == []


def test_jobs_are_found_by_every_key_that_a_label_may_have(api: Api, spec: Spec) -> None:
    keys = ["team", "a.b", "a/b", "a-b", "_", "0", "ключ", "k" * 63]
    made = {key: posted(api, spec, labels={key: "ё"})["id"] for key in keys}
    assert {key: ids(api, label=f"{key}:ё") for key in keys} == {key: [made[key]] for key in keys}
    assert ids(api, label="ab:ё") == []


def test_a_label_has_no_other_key(api: Api, spec: Spec) -> None:
    for key in ("", '"', 'a"b', "a'b", "a\\b", "[0]", "$", "a b", "a:b", "a\nb", "a\n", "k" * 64):
        document = problem(api.post("/v1/jobs", json={**spec, "labels": {key: "x"}}), 422, "invalid_value")
        assert document["errors"][0]["pointer"] == "/labels/" + key


def test_a_label_asked_for_is_a_fit_or_finds_nothing(api: Api) -> None:
    for label in ('a"b:x', '":x', "a\\b:x", "[0]:x", "$:x", "a b:x", '".x":y', "'--:x"):
        answer = api.get("/v1/jobs", query_string={"label": label})
        assert (answer.status_code, answer.json.get("items", [])) in ((200, []), (422, [])), answer.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "query",
    [
        {"state": "done"},
        {"label": "x"},
        {"created_after": "now"},
        {"q": "\x00"},
        {"spec_digest": "sha256:0"},
        {"spec_digest": "builtin:digits"},
        {"dataset_digest": "0" * 64},
        {"unknown": "1"},
        {"wait": "1"},
    ],
)
def test_a_filter_that_does_not_fit_is_refused(api: Api, query: Spec) -> None:
    answer = api.get("/v1/jobs", query_string=query)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/" + next(iter(query))


# Following


def test_a_job_carries_a_strong_etag(api: Api, spec: Spec) -> None:
    job = posted(api, spec)
    etag = api.get(f"/v1/jobs/{job['id']}").headers["ETag"]
    assert etag == f'"{job["revision"]}"'


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x", W/{}'])
def test_an_unchanged_job_is_a_304_with_its_etag(api: Api, spec: Spec, form: str) -> None:
    url = f"/v1/jobs/{posted(api, spec)['id']}"
    etag = api.get(url).headers["ETag"]
    answer = api.get(url, headers={"If-None-Match": form.format(etag)})
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == etag
    assert int(answer.headers["Retry-After"]) > 0


def test_a_changed_job_is_answered_whole(api: Api, spec: Spec) -> None:
    url = f"/v1/jobs/{posted(api, spec)['id']}"
    etag = api.get(url).headers["ETag"]
    api.post(url + ":cancel")
    answer = api.get(url, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert answer.headers["ETag"] != etag


def test_waiting_ends_when_the_job_changes(app: Flask, api: Api, spec: Spec) -> None:
    url = f"/v1/jobs/{posted(api, spec)['id']}"
    etag = api.get(url).headers["ETag"]
    later = threading.Timer(0.3, lambda: Api(app.test_client(), api.key).post(url + ":cancel"))
    later.start()
    start = time.monotonic()
    answer = api.get(url, query_string={"wait": 30}, headers={"If-None-Match": etag})
    later.join()
    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert 0.2 < time.monotonic() - start < 15


def test_waiting_ends_with_a_304_when_the_time_is_over(api: Api, spec: Spec) -> None:
    url = f"/v1/jobs/{posted(api, spec)['id']}"
    etag = api.get(url).headers["ETag"]
    start = time.monotonic()
    answer = api.get(url, query_string={"wait": 1}, headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert 0.9 < time.monotonic() - start < 15


def test_without_an_etag_there_is_nothing_to_wait_for(api: Api, spec: Spec) -> None:
    url = f"/v1/jobs/{posted(api, spec)['id']}"
    start = time.monotonic()
    assert api.get(url, query_string={"wait": 30}).status_code == 200
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("wait", ["-1", "61", "1e3", "x", "1.5", ""])
def test_a_wait_is_a_bounded_number_of_seconds(api: Api, spec: Spec, wait: str) -> None:
    url = f"/v1/jobs/{posted(api, spec)['id']}"
    assert api.get(url, query_string={"wait": wait}).status_code == 422


def test_progress_counts_the_trials_by_state(app: Flask, api: Api, spec: Spec) -> None:
    job = posted(api, spec)
    add_trials(app, job["id"], 4)
    complete(app, job["id"], 0, 0.5, epochs=2, seconds=2.0)
    complete(app, job["id"], 1, None, seconds=3.0)
    found = api.get(f"/v1/jobs/{job['id']}").json
    counts = {
        name: found["progress"][name] for name in ("pending", "running", "completed", "failed", "epochs")
    }
    assert counts == {"pending": 2, "running": 0, "completed": 1, "failed": 1, "epochs": 3}
    assert found["cost"]["trial_seconds"] == pytest.approx(5.0)
    assert found["revision"] > job["revision"]


# Cancelling


def test_a_job_is_cancelled_and_cancelling_is_idempotent(api: Api, spec: Spec) -> None:
    job = posted(api, spec)
    first, second = (api.post(f"/v1/jobs/{job['id']}:cancel") for _ in range(2))
    assert (first.status_code, first.json["state"], first.json["stop_reason"]) == (
        202,
        "cancelled",
        "cancelled",
    )
    assert (second.status_code, second.json) == (202, first.json)
    assert first.json["end_time"] is not None


def test_a_job_with_a_running_trial_is_cancelling_until_it_has_stopped(
    app: Flask, api: Api, spec: Spec
) -> None:
    job = posted(api, spec)
    add_trials(app, job["id"], 2)
    with services(app).database.write() as session:
        claim = attempts.claim(session, job["id"], 0, "worker", 60)
    assert claim is not None
    assert api.post(f"/v1/jobs/{job['id']}:cancel").json["state"] == "cancelling"
    assert api.post(f"/v1/jobs/{job['id']}:cancel").status_code == 202
    with services(app).database.write() as session:
        assert attempts.renew(session, claim.lease, 60) == trials.CANCELLED
    states = {
        trial["number"]: trial["state"] for trial in api.get(f"/v1/jobs/{job['id']}/trials").json["items"]
    }
    assert states == {0: "running", 1: "cancelled"}


def test_a_job_that_has_ended_otherwise_is_not_cancelled(app: Flask, api: Api, spec: Spec) -> None:
    job = posted(api, spec)
    with services(app).database.write() as session:
        jobs.move(session, job["id"], JobState.FAILED)
    problem(api.post(f"/v1/jobs/{job['id']}:cancel"), 409, "job_ended")
    assert api.get(f"/v1/jobs/{job['id']}").json["state"] == "failed"


def test_what_is_not_there_is_not_found(api: Api) -> None:
    for path in ("", "/best", "/trials", "/trials/0", "/artifacts", "/artifacts/model.keras"):
        problem(api.get(f"/v1/jobs/job_none{path}"), 404, "job_not_found")
    problem(api.post("/v1/jobs/job_none:cancel"), 404, "job_not_found")
    problem(api.post("/v1/jobs/job_none/trials/0:cancel"), 404, "job_not_found")


# The best trial


def test_before_a_trial_has_a_score_there_is_no_best(app: Flask, api: Api, spec: Spec) -> None:
    job = posted(api, spec)
    url = f"/v1/jobs/{job['id']}/best"
    problem(api.get(url), 409, "no_completed_trial")
    add_trials(app, job["id"], 1)
    complete(app, job["id"], 0, None)
    problem(api.get(url), 409, "no_completed_trial")


def test_the_best_trial_is_the_first_of_the_highest(app: Flask, api: Api, spec: Spec, tmp_path: Path) -> None:
    job = posted(api, spec)
    add_trials(app, job["id"], 4)
    for number, score in enumerate((0.5, None, 0.9, 0.9)):
        complete(app, job["id"], number, score, epochs=2)
    publish(app, job["id"], "model.keras", b"keras", tmp_path)
    with services(app).database.write() as session:
        facts = {"parameters": 2314, "bytes": 5, "prediction_seconds": 0.001}
        session.get_one(JobRow, job["id"]).result = {"trial": 2, "model": facts}
    best = api.get(f"/v1/jobs/{job['id']}/best")
    assert best.status_code == 200
    found = best.json
    assert (found["job"], found["trial"], found["epoch"], found["score"]) == (job["id"], 2, 2, 0.9)
    assert found["hyperparameters"] == {"training.learning_rate": 0.003}
    assert found["validation"] == {"accuracy": 0.9, "loss": None}
    assert (found["test"], found["verified"], found["refit"]) == (None, None, False)
    assert (found["artifacts"], found["model"]) == (["model.keras"], facts)
    assert found["reproducibility"]["spec_digest"] == job["spec_digest"]
    assert api.get(f"/v1/jobs/{job['id']}").json["best"] == {
        "trial": 2,
        "score": 0.9,
        "epoch": 2,
        "hyperparameters": {"training.learning_rate": 0.003},
    }


def test_a_model_of_a_trial_that_was_beaten_since_says_nothing(app: Flask, api: Api, spec: Spec) -> None:
    job = posted(api, spec)["id"]
    add_trials(app, job, 2)
    complete(app, job, 0, 0.5)
    with services(app).database.write() as session:
        facts = {"parameters": 2314, "bytes": 5, "prediction_seconds": 0.001}
        session.get_one(JobRow, job).result = {"trial": 0, "model": facts}
    assert api.get(f"/v1/jobs/{job}/best").json["model"] == facts
    complete(app, job, 1, 0.9)
    assert api.get(f"/v1/jobs/{job}/best").json["model"] is None


def test_the_best_loss_is_the_lowest(app: Flask, api: Api, spec: Spec) -> None:
    job = posted(api, spec, objective={"metric": "val_loss"})
    add_trials(app, job["id"], 2)
    complete(app, job["id"], 0, 0.5)
    complete(app, job["id"], 1, 0.1)
    assert api.get(f"/v1/jobs/{job['id']}/best").json["trial"] == 1


# Deleting


@pytest.fixture
def ended(app: Flask, api: Api, spec: Spec, tmp_path: Path) -> str:
    """A job that has succeeded, with artefacts, weights and a checkpoint in the storage."""
    job: str = posted(api, spec)["id"]
    add_trials(app, job, 2)
    complete(app, job, 0, 0.9, epochs=2)
    complete(app, job, 1, 0.5)
    publish_all(app, job, {"model.keras": b"keras", "trials.csv": b"1"}, tmp_path)
    kept = {name: f"jobs/{job}/trials/0/1/{name}.npz" for name in ("weights", "checkpoint")}
    for path in kept.values():
        services(app).blobs.put(path, tmp_path / "artifact")
    with services(app).database.write() as session:
        session.execute(update(TrialRow).where(TrialRow.job_id == job, TrialRow.number == 0).values(**kept))
    set_state(app, job, JobState.SUCCEEDED)
    assert len(files(app)) == 4
    return job


def set_state(app: Flask, job_id: str, state: JobState) -> None:
    with services(app).database.write() as session:
        session.get_one(JobRow, job_id).state = state


def test_a_deleted_job_is_gone_with_all_that_it_had(app: Flask, api: Api, spec: Spec, ended: str) -> None:
    other = posted(api, spec)["id"]
    answer = api.delete(f"/v1/jobs/{ended}")
    assert (answer.status_code, answer.data) == (204, b"")
    for path in ("", "/best", "/trials", "/artifacts/model.keras"):
        problem(api.get(f"/v1/jobs/{ended}{path}"), 404, "job_not_found")
    problem(api.delete(f"/v1/jobs/{ended}"), 404, "job_not_found")
    assert ids(api) == [other]
    assert [count(app, table) for table in (JobRow, TrialRow, EpochRow)] == [1, 0, 0]
    assert files(app) == []


def test_a_job_that_has_not_ended_is_not_deleted(app: Flask, api: Api, ended: str) -> None:
    for state in JobState:
        if not state.is_terminal:
            set_state(app, ended, state)
            problem(api.delete(f"/v1/jobs/{ended}"), 409, "job_not_ended")
    assert (count(app, JobRow), len(files(app))) == (1, 4)


def test_a_failed_job_is_deleted_once_its_trials_have_stopped(app: Flask, api: Api, spec: Spec) -> None:
    job = posted(api, spec)["id"]
    add_trials(app, job, 1)
    with services(app).database.write() as session:
        claim = attempts.claim(session, job, 0, "worker", 60)
        jobs.fail(session, job, {"code": "poison"})
    assert claim is not None
    problem(api.delete(f"/v1/jobs/{job}"), 409, "job_not_ended")
    with services(app).database.write() as session:
        attempts.complete(session, claim.lease, attempts.Outcome(TrialState.CANCELLED))
    assert api.delete(f"/v1/jobs/{job}").status_code == 204


def test_only_its_project_deletes_a_job(app: Flask, ended: str, make_api: Callable[..., Api]) -> None:
    problem(make_api(project="other").delete(f"/v1/jobs/{ended}"), 404, "job_not_found")
    problem(make_api(scopes=("read",)).delete(f"/v1/jobs/{ended}"), 403, "insufficient_scope")
    assert (count(app, JobRow), len(files(app))) == (1, 4)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_storage_that_is_away_does_not_keep_a_job(
    app: Flask, api: Api, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: str) -> None:
        raise Unavailable("storage_unavailable", "away")

    monkeypatch.setattr(services(app).blobs, "delete_under", away)
    assert api.delete(f"/v1/jobs/{ended}").status_code == 204
    problem(api.get(f"/v1/jobs/{ended}"), 404, "job_not_found")


def test_who_names_a_deleted_job_is_told_where(api: Api, spec: Spec, ended: str) -> None:
    api.delete(f"/v1/jobs/{ended}")
    transfer = {"model": {"family": "transfer", "backbone": "job", "job": ended}}
    warm = {"search": {"algorithm": "tpe", "warm_start": [ended]}}
    for changes, pointer in ((transfer, "/model/job"), (warm, "/search/warm_start/0")):
        refused = problem(api.post("/v1/jobs", json={**spec, **changes}), 422, "job_not_found")
        assert refused["errors"][0]["pointer"] == pointer


def test_what_was_taken_from_a_deleted_job_stays(app: Flask, api: Api, spec: Spec, ended: str) -> None:
    later = posted(api, spec)["id"]
    add_trials(app, later, 1)
    with services(app).database.write() as session:
        source = session.get_one(TrialRow, (ended, 0))
        reuse.take(session, later, 0, source)
    before = api.get(f"/v1/jobs/{later}/trials/0").json
    assert (before["reused"], before["score"]) == ({"job": ended, "trial": 0}, 0.9)
    api.delete(f"/v1/jobs/{ended}")
    assert api.get(f"/v1/jobs/{later}/trials/0").json == before
