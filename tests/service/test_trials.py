"""`/v1/jobs/{id}/trials`: listed in any order, looked at one by one, cancelled one by one."""

import csv
import io
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete

from schemas.trial_tables import Columns, body, header
from store import attempts, trial_tables, trials
from store.tables import JobRow
from tests.conftest import Api
from tests.service.rows import add_trials, complete, pages, posted, problem, services

# (score, seconds) of trials 0 to 5; a trial without seconds has not begun.
RAN: tuple[tuple[float | None, float | None], ...] = (
    (0.5, 3.0),
    (0.9, 1.0),
    (None, 2.0),
    (0.9, 5.0),
    (0.7, 4.0),
    (None, None),
)
ORDERS = {
    "number": [0, 1, 2, 3, 4, 5],
    "score": [1, 3, 4, 0, 2, 5],
    "duration": [3, 4, 0, 2, 1, 5],
}


@pytest.fixture
def job(app: Flask, api: Api, spec: dict[str, Any]) -> str:
    """A job with trials that ran, failed and wait."""
    made: str = posted(api, spec)["id"]
    add_trials(app, made, len(RAN))
    for number, (score, seconds) in enumerate(RAN):
        if seconds is not None:
            complete(app, made, number, score, epochs=2, seconds=seconds)
    return made


def numbers(found: list[Any]) -> list[int]:
    return [trial["number"] for page in found for trial in page]


def test_trials_are_listed_in_every_order_and_on_pages_of_every_size(api: Api, job: str) -> None:
    for order, expected in ORDERS.items():
        for size in (1, 2, 4, 6, 200):
            found = pages(api, f"/v1/jobs/{job}/trials", order_by=order, page_size=size)
            assert numbers(found) == expected, (order, size)
            assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)


def test_a_loss_is_best_when_it_is_lowest(app: Flask, api: Api, spec: dict[str, Any]) -> None:
    made = posted(api, spec, objective={"metric": "val_loss"})["id"]
    add_trials(app, made, 4)
    for number, score in enumerate((0.5, None, 0.1, 0.9)):
        complete(app, made, number, score)
    assert numbers(pages(api, f"/v1/jobs/{made}/trials", order_by="score", page_size=1)) == [2, 0, 3, 1]


def test_trials_are_filtered_by_state(api: Api, job: str) -> None:
    path = f"/v1/jobs/{job}/trials"
    assert numbers(pages(api, path, state="failed")) == [2]
    assert numbers(pages(api, path, state="pending")) == [5]
    assert numbers(pages(api, path, state="completed", order_by="duration", page_size=1)) == [3, 4, 0, 1]
    assert numbers(pages(api, path, state="running")) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_orders_and_states_are_of_a_list(api: Api, job: str) -> None:
    for query in ({"order_by": "score; DROP TABLE trials"}, {"order_by": "create_time"}, {"state": "done"}):
        answer = api.get(f"/v1/jobs/{job}/trials", query_string=query)
        assert problem(answer, 422, "value_not_allowed")["errors"][0]["pointer"] == "/" + next(iter(query))


def test_a_listed_trial_is_the_trial_with_its_epochs(api: Api, job: str) -> None:
    for trial in api.get(f"/v1/jobs/{job}/trials", query_string={"order_by": "score"}).json["items"]:
        assert trial == api.get(f"/v1/jobs/{job}/trials/{trial['number']}").json


def test_a_trial_has_the_metrics_of_every_epoch(api: Api, job: str) -> None:
    trial = api.get(f"/v1/jobs/{job}/trials/1").json
    assert [epoch["epoch"] for epoch in trial["epochs"]] == [1, 2]
    assert trial["epochs"][0] == {
        "epoch": 1,
        "fold": 1,
        "seconds": 0.5,
        "learning_rate": 0.001,
        "metrics": {"val_accuracy": 0.9, "val_loss": None, "accuracy": 0.5},
    }


def test_a_completed_trial_says_what_came_out(api: Api, job: str) -> None:
    trial = api.get(f"/v1/jobs/{job}/trials/1").json
    assert (trial["number"], trial["state"], trial["attempt"], trial["error"]) == (1, "completed", 1, None)
    assert (trial["score"], trial["best_epoch"], trial["parameters"]) == (0.9, 2, 2314)
    assert trial["hyperparameters"] == {"training.learning_rate": 0.002}
    assert trial["seconds"] == pytest.approx(1.0)
    assert trial["start_time"] == "2026-01-01T00:00:00Z"


def test_a_failed_trial_says_why(api: Api, job: str) -> None:
    trial = api.get(f"/v1/jobs/{job}/trials/2").json
    assert (trial["state"], trial["score"], trial["best_epoch"]) == ("failed", None, None)
    assert trial["error"] == {"code": "non_finite_objective", "message": "val_accuracy was NaN."}


def test_a_waiting_trial_has_no_times_yet(api: Api, job: str) -> None:
    trial = api.get(f"/v1/jobs/{job}/trials/5").json
    assert (trial["state"], trial["start_time"], trial["end_time"], trial["seconds"]) == (
        "pending",
        None,
        None,
        None,
    )
    assert (trial["attempt"], trial["epochs"]) == (0, [])


def test_a_trial_that_is_not_there_is_not_found(api: Api, job: str) -> None:
    for number in ("6", str(2**31 - 1)):
        problem(api.get(f"/v1/jobs/{job}/trials/{number}"), 404, "trial_not_found")
        problem(api.post(f"/v1/jobs/{job}/trials/{number}:cancel"), 404, "trial_not_found")
    for number in (str(2**31), "-1", "1.5", "x", "9" * 40, "0x1"):
        problem(api.get(f"/v1/jobs/{job}/trials/{number}"), 404, "route_not_found")


def test_a_waiting_trial_is_cancelled_at_once(api: Api, job: str) -> None:
    first, second = (api.post(f"/v1/jobs/{job}/trials/5:cancel") for _ in range(2))
    assert (first.status_code, first.json["state"]) == (202, "cancelled")
    assert (second.status_code, second.json) == (202, first.json)
    assert api.get(f"/v1/jobs/{job}").json["state"] == "queued"


def test_a_running_trial_is_told_to_stop(app: Flask, api: Api, job: str) -> None:
    with services(app).database.write() as session:
        claim = attempts.claim(session, job, 5, "worker", 60)
    assert claim is not None
    answer = api.post(f"/v1/jobs/{job}/trials/5:cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "running")
    with services(app).database.write() as session:
        assert attempts.renew(session, claim.lease, 60) == trials.CANCELLED


def test_a_trial_that_has_ended_otherwise_is_not_cancelled(api: Api, job: str) -> None:
    for number in (1, 2):
        problem(api.post(f"/v1/jobs/{job}/trials/{number}:cancel"), 409, "trial_ended")
    assert api.get(f"/v1/jobs/{job}/trials/1").json["state"] == "completed"


def test_the_job_shows_that_a_trial_was_cancelled(api: Api, job: str) -> None:
    etag = api.get(f"/v1/jobs/{job}").headers["ETag"]
    api.post(f"/v1/jobs/{job}/trials/5:cancel")
    answer = api.get(f"/v1/jobs/{job}", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.json["progress"]["cancelled"]) == (200, 1)


# As a table


def table(api: Api, job_id: str, accept: str = "text/csv", **query: Any) -> list[dict[str, str]]:
    answer = api.get(f"/v1/jobs/{job_id}/trials", query_string=query, headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype, answer.headers["Vary"]) == (200, "text/csv", "Accept")
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_the_table_has_every_trial_with_its_values_and_metrics(api: Api, job: str) -> None:
    rows = table(api, job)
    trials_told = api.get(f"/v1/jobs/{job}/trials").json["items"]
    assert [row["number"] for row in rows] == [str(trial["number"]) for trial in trials_told]
    for row, trial in zip(rows, trials_told, strict=True):
        assert row["state"] == trial["state"]
        assert row["training.learning_rate"] == str(trial["hyperparameters"]["training.learning_rate"])
        for name in ("score", "seconds", "parameters"):
            assert row[name] == ("" if trial[name] is None else str(trial[name]))
    assert (rows[1]["val_accuracy"], rows[1]["val_loss"], rows[1]["error"]) == ("0.9", "", "")
    assert rows[2]["error"] == "non_finite_objective"


def test_the_table_is_that_of_the_artefact(app: Flask, api: Api, job: str) -> None:
    with services(app).database.read() as session:
        found = trials.every(session, job)
    columns = Columns.of(found)
    answer = api.get(f"/v1/jobs/{job}/trials", headers={"Accept": "text/csv"})
    assert answer.text == header(columns) + body(found, columns)


def test_the_table_is_made_of_pieces(api: Api, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = table(api, job)
    for size in (1, 2, 4, 6):
        monkeypatch.setattr(trial_tables, "PIECE", size)
        assert table(api, job) == whole


def test_the_table_is_ordered_and_filtered_as_the_list_is(api: Api, job: str) -> None:
    for order, expected in ORDERS.items():
        assert [int(row["number"]) for row in table(api, job, order_by=order)] == expected
    assert [row["number"] for row in table(api, job, state="failed")] == ["2"]
    assert table(api, job, state="running") == []


def test_a_table_of_the_lowest_losses_begins_with_the_lowest(
    app: Flask, api: Api, spec: dict[str, Any]
) -> None:
    made = posted(api, spec, objective={"metric": "val_loss"})["id"]
    add_trials(app, made, 4)
    for number, score in enumerate((0.5, None, 0.1, 0.9)):
        complete(app, made, number, score)
    assert [row["number"] for row in table(api, made, order_by="score")] == ["2", "0", "3", "1"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_would_rather_have_the_table_gets_it(api: Api, job: str) -> None:
    url = f"/v1/jobs/{job}/trials"
    tables = [
        "text/csv",
        "text/*",
        "text/csv; charset=utf-8",
        "text/csv, */*;q=0.1",
        "application/json;q=0.5, text/csv;q=0.9",
    ]
    for accept in tables:
        assert table(api, job, accept), accept
    objects = [
        "",
        "*/*",
        "application/json",
        "application/json, text/csv",
        "text/csv;q=0.1, */*",
        "image/png",
    ]
    for accept in objects:
        answer = api.get(url, headers={"Accept": accept})
        assert (answer.mimetype, answer.headers["Vary"]) == ("application/json", "Accept"), accept


def test_a_table_of_a_job_that_is_not_there_is_a_problem(api: Api) -> None:
    answer = api.get("/v1/jobs/job_none/trials", headers={"Accept": "text/csv"})
    problem(answer, 404, "job_not_found")


def test_a_job_deleted_while_its_table_is_read_ends_the_table(
    app: Flask, api: Api, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_tables, "PIECE", 2)
    answer = api.get(f"/v1/jobs/{job}/trials", headers={"Accept": "text/csv"}, buffered=False)
    lines = answer.iter_encoded()
    read = [next(lines), next(lines)]
    with services(app).database.write() as session:
        session.execute(delete(JobRow).where(JobRow.id == job))
    read += lines
    assert b"".join(read).count(b"\n") == 3
