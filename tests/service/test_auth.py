"""Keys and projects: nobody in without a key, and nobody sees what is another's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from store import keys
from store.tables import JobRow
from tests.conftest import Api
from tests.service.rows import (
    add_trials,
    complete,
    count,
    npz,
    posted,
    problem,
    publish,
    services,
    upload,
)

Maker = Callable[..., Api]

PROTECTED = [
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs:validate"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/job_x"),
    ("PATCH", "/v1/jobs/job_x"),
    ("POST", "/v1/jobs/job_x:cancel"),
    ("POST", "/v1/jobs/job_x:pause"),
    ("POST", "/v1/jobs/job_x:resume"),
    ("POST", "/v1/jobs/job_x:clone"),
    ("GET", "/v1/jobs/job_x/best"),
    ("GET", "/v1/jobs/job_x/events"),
    ("GET", "/v1/jobs/job_x/trials"),
    ("GET", "/v1/jobs/job_x/trials/0"),
    ("POST", "/v1/jobs/job_x/trials/0:cancel"),
    ("GET", "/v1/jobs/job_x/artifacts"),
    ("GET", "/v1/jobs/job_x/artifacts/model.keras"),
    ("POST", "/v1/datasets"),
    ("GET", "/v1/datasets"),
    ("GET", "/v1/datasets/ds_x"),
    ("DELETE", "/v1/datasets/ds_x"),
    ("GET", "/v1/catalog"),
    ("GET", "/v1/info"),
]
OPEN = ["/healthz", "/readyz", "/v1/openapi.json", "/v1/docs/"]


def test_every_route_is_either_open_or_protected(app: Flask) -> None:
    anybody = app.test_client()
    for rule in app.url_map.iter_rules():
        path = str(rule)
        for part, value in (("<id:job_id>", "job_x"), ("<id:dataset_id>", "ds_x"), ("<name:name>", "x")):
            path = path.replace(part, value)
        path = path.replace("<number:number>", "0").replace("<path:path>", "index.css")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            status = anybody.open(path, method=method).status_code
            is_open = path in ("/", "/healthz", "/readyz", "/v1/openapi.json") or path.startswith("/v1/docs")
            assert (status != 401) is is_open, (method, path, status)


def test_open_routes_need_no_key(app: Flask) -> None:
    assert {path: app.test_client().get(path).status_code for path in OPEN} == dict.fromkeys(OPEN, 200)


def test_a_read_key_opens_no_open_route_less(make_api: Maker) -> None:
    reader = make_api(scopes=["read"])
    assert {path: reader.get(path).status_code for path in OPEN} == dict.fromkeys(OPEN, 200)


# Case 24


def test_without_a_good_key_every_route_is_closed(app: Flask, api: Api) -> None:
    wrong = {
        None: "missing_key",
        "": "missing_key",
        "Basic dXNlcjpwYXNz": "missing_key",
        "Bearer": "missing_key",
        "Bearer ": "missing_key",
        f"Token {api.key}": "missing_key",
        "Bearer nonsense": "invalid_key",
        "Bearer tns__": "invalid_key",
        f"Bearer {api.key}x": "invalid_key",
        f"Bearer {api.key[:-1]}": "invalid_key",
        f"Bearer {api.key.upper()}": "invalid_key",
        "Bearer " + "tns_" + "a" * 12 + "_" + "b" * 48: "invalid_key",
        "Bearer " + "x" * 10_000: "invalid_key",
    }
    for header, code in wrong.items():
        for method, path in PROTECTED if header is None else PROTECTED[:3]:
            headers = {} if header is None else {"Authorization": header}
            answer = app.test_client().open(path, method=method, headers=headers)
            problem(answer, 401, code)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_an_expired_key_is_refused(app: Flask, api: Api) -> None:
    with services(app).database.write() as session:
        _, text = keys.create(
            session, keys.DEFAULT_PROJECT, "old", ["admin"], datetime.now(UTC) - timedelta(seconds=1)
        )
        _, later = keys.create(
            session, keys.DEFAULT_PROJECT, "new", ["admin"], datetime.now(UTC) + timedelta(hours=1)
        )
    problem(Api(api.client, text).get("/v1/jobs"), 401, "invalid_key")
    assert Api(api.client, later).get("/v1/jobs").status_code == 200


def test_a_revoked_key_is_refused(app: Flask, api: Api) -> None:
    assert api.get("/v1/jobs").status_code == 200
    with services(app).database.write() as session:
        assert keys.revoke(session, api.key.split("_")[1])
    problem(api.get("/v1/jobs"), 401, "invalid_key")


def test_the_scheme_is_known_in_any_case(api: Api) -> None:
    answer = api.client.get("/v1/jobs", headers={"Authorization": f"bearer   {api.key}"})
    assert answer.status_code == 200


def test_a_read_key_reads_and_writes_nothing(app: Flask, make_api: Maker, spec: dict[str, Any]) -> None:
    reader = make_api(scopes=["read"])
    for method, path in PROTECTED:
        if method == "GET":
            assert reader.get(path).status_code in (200, 404)
        else:
            problem(reader.request(method, path, json=spec), 403, "insufficient_scope")
    assert count(app, JobRow) == 0


def test_an_admin_key_writes(make_api: Maker, spec: dict[str, Any]) -> None:
    posted(make_api(scopes=["admin"]), spec)


def test_a_key_is_not_told_back(app: Flask, api: Api) -> None:
    secret = api.key.split("_")[2]
    answers = [api.get(path) for method, path in PROTECTED if method == "GET"]
    assert not any(secret in answer.text or secret in str(answer.headers) for answer in answers)


# Case 25


def test_what_is_anothers_is_not_found_on_any_route(
    app: Flask, api: Api, make_api: Maker, spec: dict[str, Any], tmp_path: Path
) -> None:
    other = make_api(project="other", scopes=["admin"])
    job = posted(api, spec)["id"]
    dataset = upload(api, npz()).json["id"]
    add_trials(app, job, 1)
    complete(app, job, 0, 0.9)
    publish(app, job, "model.keras", b"keras", tmp_path)
    routes = [
        ("GET", f"/v1/jobs/{job}"),
        ("GET", f"/v1/jobs/{job}/best"),
        ("GET", f"/v1/jobs/{job}/trials"),
        ("GET", f"/v1/jobs/{job}/trials/0"),
        ("GET", f"/v1/jobs/{job}/artifacts"),
        ("GET", f"/v1/jobs/{job}/artifacts/model.keras"),
        ("GET", f"/v1/datasets/{dataset}"),
        ("DELETE", f"/v1/datasets/{dataset}"),
        ("POST", f"/v1/jobs/{job}/trials/0:cancel"),
        ("POST", f"/v1/jobs/{job}:pause"),
        ("POST", f"/v1/jobs/{job}:resume"),
        ("POST", f"/v1/jobs/{job}:clone"),
        ("POST", f"/v1/jobs/{job}:cancel"),
    ]
    for method, path in routes:
        document = problem(
            other.request(method, path), 404, f"{'job' if job in path else 'dataset'}_not_found"
        )
        missing = other.request(method, path.replace(job, "job_none").replace(dataset, "ds_none")).json
        assert document["detail"].replace(job, "job_none").replace(dataset, "ds_none") == missing["detail"]
    for method, path in routes:
        assert api.request(method, path).status_code in (200, 202, 204, 409)


def test_a_304_tells_nothing_of_anothers_job(api: Api, make_api: Maker, spec: dict[str, Any]) -> None:
    job = posted(api, spec)
    other = make_api(project="other")
    for known in (f'"{job["revision"]}"', "*"):
        problem(other.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": known}), 404, "job_not_found")


def test_lists_hold_only_what_is_ones_own(api: Api, make_api: Maker, spec: dict[str, Any]) -> None:
    posted(api, spec)
    upload(api, npz())
    other = make_api(project="other")
    assert other.get("/v1/jobs").json["items"] == []
    assert other.get("/v1/datasets").json["items"] == []


def test_a_token_of_anothers_list_gives_nothing_of_it(
    api: Api, make_api: Maker, spec: dict[str, Any]
) -> None:
    for _ in range(2):
        posted(api, spec)
    token = api.get("/v1/jobs", query_string={"page_size": 1}).json["next_page_token"]
    answer = make_api(project="other").get("/v1/jobs", query_string={"page_token": token})
    assert (answer.status_code, answer.json["items"]) == (200, [])


def test_anothers_data_set_cannot_be_trained_on(
    app: Flask, api: Api, make_api: Maker, spec: dict[str, Any]
) -> None:
    other = make_api(project="other")
    named = {**spec, "dataset": upload(api, npz()).json["id"]}
    document = problem(other.post("/v1/jobs", json=named), 422, "dataset_not_found")
    assert document["errors"][0]["pointer"] == "/dataset"
    answer = other.post("/v1/jobs:validate", json=named)
    assert [item["code"] for item in answer.json["errors"]] == ["dataset_not_found"]
    assert count(app, JobRow) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_unknown_route_needs_no_key_to_be_unknown(app: Flask) -> None:
    problem(app.test_client().get("/v1/nothing"), 404, "route_not_found")
