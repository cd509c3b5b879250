"""POSTs under an idempotency key are done once, however often and however fast they are sent."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from store import answers
from store.tables import AnswerRow, JobRow
from tests.conftest import Api
from tests.service.rows import count, posted, problem, services

Spec = dict[str, Any]
HEADERS = {"Idempotency-Key": "0b1c-one"}


def test_the_same_request_gets_the_same_answer(app: Flask, api: Api, spec: Spec) -> None:
    first, second = (api.post("/v1/jobs", json=spec, headers=HEADERS) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json == first.json
    assert second.mimetype == "application/json"
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    for name in ("Location", "Retry-After", "ETag"):
        assert second.headers[name] == first.headers[name]
    assert count(app, JobRow) == 1


def test_the_answer_is_the_one_given_then(api: Api, spec: Spec) -> None:
    job = api.post("/v1/jobs", json=spec, headers=HEADERS).json
    api.post(f"/v1/jobs/{job['id']}:cancel")
    assert api.post("/v1/jobs", json=spec, headers=HEADERS).json["state"] == "queued"


def test_another_body_under_the_key_is_refused(app: Flask, api: Api, spec: Spec) -> None:
    api.post("/v1/jobs", json=spec, headers=HEADERS)
    again = api.post("/v1/jobs", json={**spec, "seed": 1}, headers=HEADERS)
    problem(again, 422, "idempotency_key_reused")
    assert count(app, JobRow) == 1


def test_another_route_under_the_key_is_refused(api: Api, spec: Spec) -> None:
    job = api.post("/v1/jobs", json=spec, headers=HEADERS).json
    again = api.post(f"/v1/jobs/{job['id']}:cancel", headers=HEADERS)
    problem(again, 422, "idempotency_key_reused")
    assert api.get(f"/v1/jobs/{job['id']}").json["state"] == "queued"


def test_other_keys_and_no_key_make_other_jobs(app: Flask, api: Api, spec: Spec) -> None:
    for headers in (HEADERS, {"Idempotency-Key": "two"}, {}, {}):
        assert api.post("/v1/jobs", json=spec, headers=headers).status_code == 202
    assert count(app, JobRow) == 4


def test_a_key_is_a_projects_own(app: Flask, api: Api, make_api: Callable[..., Api], spec: Spec) -> None:
    mine = api.post("/v1/jobs", json=spec, headers=HEADERS)
    colleague = make_api().post("/v1/jobs", json=spec, headers=HEADERS)
    other = make_api(project="other").post("/v1/jobs", json=spec, headers=HEADERS)
    assert colleague.json == mine.json
    assert other.json["id"] != mine.json["id"]
    assert count(app, JobRow) == 2


def test_a_refused_request_does_not_use_the_key_up(app: Flask, api: Api, spec: Spec) -> None:
    problem(api.post("/v1/jobs", json={**spec, "seed": "1"}, headers=HEADERS), 422, "invalid_type")
    assert count(app, AnswerRow) == 0
    assert api.post("/v1/jobs", json=spec, headers=HEADERS).status_code == 202


def test_a_day_later_the_key_is_free_again(app: Flask, api: Api, spec: Spec) -> None:
    first = api.post("/v1/jobs", json=spec, headers=HEADERS).json
    with services(app).database.write() as session:
        session.execute(update(AnswerRow).values(create_time=AnswerRow.create_time - 25 * 3600))
        assert answers.forget_old(session) == 1
    second = api.post("/v1/jobs", json=spec, headers=HEADERS).json
    assert second["id"] != first["id"]


def test_a_cancel_is_replayed_as_well(api: Api, spec: Spec) -> None:
    url = f"/v1/jobs/{posted(api, spec)['id']}:cancel"
    first, second = (api.post(url, headers=HEADERS) for _ in range(2))
    assert (second.status_code, second.json) == (202, first.json)
    assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\t", "é", "a\x7f"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_key_is_visible_ascii(app: Flask, api: Api, spec: Spec, key: str) -> None:
    answer = api.post("/v1/jobs", json=spec, environ_overrides={"HTTP_IDEMPOTENCY_KEY": key})
    problem(answer, 400, "invalid_idempotency_key")
    assert count(app, JobRow) == 0


def test_fifty_at_once_make_one_job(app: Flask, api: Api, spec: Spec) -> None:
    start, found, lock = threading.Barrier(50), [], threading.Lock()

    def post() -> None:
        start.wait(30)
        answer = Api(app.test_client(), api.key).post("/v1/jobs", json=spec, headers=HEADERS)
        with lock:
            found.append(
                (answer.status_code, answer.json.get("id"), "Idempotency-Replayed" in answer.headers)
            )

    threads = [threading.Thread(target=post) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert count(app, JobRow) == 1
    assert len(found) == 50
    assert {(status, job) for status, job, _ in found} == {(202, found[0][1])}
    assert sum(not replayed for _, _, replayed in found) == 1


def test_fifty_without_a_key_make_fifty_jobs(app: Flask, api: Api, spec: Spec) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(
                Api(app.test_client(), api.key).post("/v1/jobs", json=spec).status_code
            )
        )
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [202] * 50
    assert count(app, JobRow) == 50
