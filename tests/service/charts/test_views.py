"""`/v1/jobs/{id}/charts`: charts of real rows, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from schemas.trials import Epoch
from service.charts import CHARTS
from store import attempts, charts
from store.tables import JobRow, TrialRow
from tests.conftest import Api
from tests.service.rows import START, add_trials, complete, posted, problem, services
from tests.service.test_charts import having, said

SCORES = (0.5, 0.9, None, 0.7, 0.8, 0.6, 0.95)


@pytest.fixture
def job(app: Flask, api: Api, spec: dict[str, Any]) -> str:
    """A job with trials that ended and failed, one that runs and one that waits."""
    made: str = posted(api, spec)["id"]
    add_trials(app, made, len(SCORES) + 2)
    for number, score in enumerate(SCORES):
        complete(app, made, number, score, epochs=2, seconds=number + 1.0)
    begin(app, made, len(SCORES), [Epoch(1, 0.5, 0.001, {"val_accuracy": 0.4})])
    return made


def begin(app: Flask, job_id: str, number: int, epochs: list[Epoch]) -> None:
    """A trial that runs, and has reported these epochs."""
    with services(app).database.write() as session:
        claim = attempts.claim(session, job_id, number, "worker", 60)
        assert claim is not None
        for epoch in epochs:
            attempts.report(session, claim.lease, epoch, 60)


def chart(api: Api, job: str, name: str) -> Any:
    answer = api.get(f"/v1/jobs/{job}/charts/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json


def test_the_list_names_every_chart(api: Api, job: str) -> None:
    items = api.get(f"/v1/jobs/{job}/charts").json["items"]
    assert [one["name"] for one in items] == ["history", "curves", "parallel", "importance", "timeline"]
    for one in items:
        assert one["title"] == chart(api, job, one["name"])["title"]["text"]
        assert one["description"].endswith(".")


def test_charts_have_the_values_of_the_rows(api: Api, job: str) -> None:
    trials = api.get(f"/v1/jobs/{job}/trials").json["items"]
    scores = {trial["number"]: trial["score"] for trial in trials if trial["score"] is not None}
    shown = having(chart(api, job, "history"), "trial", "score")
    assert {row["trial"]: row["score"] for row in shown} == scores
    assert "0.95 in trial 6" in said(chart(api, job, "history"))
    epochs = {
        (trial["number"], epoch["epoch"], epoch["metrics"]["val_accuracy"])
        for trial in trials
        for epoch in trial["epochs"]
    }
    curves = having(chart(api, job, "curves"), "line", "value")
    assert {(row["line"], row["epoch"], row["value"]) for row in curves} == epochs
    assert {
        row["line"]: row["score"] for row in having(chart(api, job, "parallel"), "axis", "score")
    } == scores
    assert [row["name"] for row in having(chart(api, job, "importance"), "share")] == [
        "training.learning_rate"
    ]


def test_the_timeline_has_a_lane_for_each_of_a_workers_trials_at_once(api: Api, job: str) -> None:
    bars = {row["trial"]: row for row in having(chart(api, job, "timeline"), "start", "end")}
    assert set(bars) == set(range(len(SCORES) + 1))
    begin_ms = START.timestamp() * 1000
    assert all(bars[number]["start"] == begin_ms for number in range(len(SCORES)))
    assert [bars[number]["end"] - begin_ms for number in range(3)] == [1000, 2000, 3000]
    assert len({bars[number]["lane"] for number in range(len(SCORES))}) == len(SCORES)
    assert bars[len(SCORES)]["kind"] == "running"
    assert bars[2]["state"] == "failed (non_finite_objective)"


def test_a_job_without_trials_has_charts_that_say_so(api: Api, spec: dict[str, Any]) -> None:
    made = posted(api, spec)["id"]
    for name in CHARTS:
        found = chart(api, made, name)
        assert having(found) == []
        assert said(found).startswith("No trial has ")


def test_the_same_revision_is_answered_before_anything_is_loaded(app: Flask, api: Api, job: str) -> None:
    answer = api.get(f"/v1/jobs/{job}/charts/history")
    etag = answer.headers["ETag"]
    revision = api.get(f"/v1/jobs/{job}").json["revision"]
    assert etag.startswith(f'"{revision}-'), "the revision, and which way charts are drawn"
    assert answer.headers["Cache-Control"] == "no-cache"
    with services(app).database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == job).values(spec={}))
    for tag in (etag, f"W/{etag}"):
        again = api.get(f"/v1/jobs/{job}/charts/history", headers={"If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    # What could not have been loaded any more.
    answer = api.get(f"/v1/jobs/{job}/charts/history")
    assert answer.status_code == 200
    assert said(answer.json) == "This version cannot read the spec of the job."


def test_a_new_epoch_makes_a_new_chart(app: Flask, api: Api, job: str) -> None:
    etag = api.get(f"/v1/jobs/{job}/charts/curves").headers["ETag"]
    begin(app, job, len(SCORES) + 1, [Epoch(1, 0.5, 0.001, {"val_accuracy": None})])
    answer = api.get(f"/v1/jobs/{job}/charts/curves", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != etag
    curves = having(answer.json, "line", "value")
    assert [row["value"] for row in curves if row["line"] == len(SCORES) + 1] == [None]


def test_folds_are_averaged_and_many_epochs_thinned(app: Flask, api: Api, spec: dict[str, Any]) -> None:
    made = posted(api, spec)["id"]
    add_trials(app, made, 2)
    first = [Epoch(epoch, 0.5, 0.001, {"val_accuracy": epoch / 1000}, 1) for epoch in range(1, 251)]
    second = [Epoch(epoch, 0.5, 0.001, {"val_accuracy": 0.5}, 2) for epoch in range(1, 11)]
    begin(app, made, 0, first + second)
    with services(app).database.read() as session:
        points = charts.points(session, made, "val_accuracy", [0, 1], 100, kept=[249])
    assert points[1] == []
    assert [point.epoch for point in points[0]] == sorted({*range(1, 251, 3), 249})
    by_epoch = {point.epoch: point for point in points[0]}
    assert (by_epoch[10].value, by_epoch[10].folds) == (pytest.approx(0.255), 2)
    assert (by_epoch[13].value, by_epoch[13].folds) == (pytest.approx(0.013), 1)
    assert "means over the folds; not every epoch is drawn" in said(chart(api, made, "curves"))


def test_what_a_chart_needs_of_a_trial_is_read(app: Flask, api: Api, job: str) -> None:
    changes: dict[str, Any] = {
        "stage": {"name": "range_test"},
        "reused": {"job": "job_1", "trial": 3},
        "parent": 1,
    }
    with services(app).database.write() as session:
        mine = (TrialRow.job_id == job, TrialRow.number == 3)
        session.execute(update(TrialRow).where(*mine).values(**changes, metrics={"val_loss": 0.25}))
    with services(app).database.read() as session:
        found = charts.trials(session, job)
    assert [trial.number for trial in found] == list(range(len(SCORES) + 2))
    third = found[3]
    assert (third.is_range_test, third.reused, third.parent, third.loss) == (
        True,
        {"job": "job_1", "trial": 3},
        1,
        0.25,
    )
    assert (third.worker, third.best_epoch, third.score, third.error) == ("worker", 2, 0.7, None)
    assert found[2].error == "non_finite_objective"
    assert (found[-1].worker, found[-1].start_time) == (None, None)


def test_a_chart_that_there_is_not_is_told_what_there_is(api: Api, job: str) -> None:
    detail = problem(api.get(f"/v1/jobs/{job}/charts/histroy"), 404, "chart_not_found")["detail"]
    assert "history, curves, parallel, importance, timeline" in detail
    assert "Did you mean 'history'?" in detail


def test_charts_of_other_projects_are_not_there(api: Api, job: str, make_api: Callable[..., Api]) -> None:
    other = make_api(project="other")
    tag = api.get(f"/v1/jobs/{job}/charts/history").headers["ETag"]
    for path in ("charts", "charts/history", "charts/none"):
        for headers in ({}, {"If-None-Match": tag}):
            problem(other.get(f"/v1/jobs/{job}/{path}", headers=headers), 404, "job_not_found")
    problem(api.get("/v1/jobs/job_none/charts/history"), 404, "job_not_found")
    assert make_api(scopes=("read",)).get(f"/v1/jobs/{job}/charts/history").status_code == 200
