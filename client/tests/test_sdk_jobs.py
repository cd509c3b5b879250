"""Jobs: submitting, following to the end, and the results."""

from __future__ import annotations

import io
import pickle
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sdk_server import Answer

import tuneserve
from tuneserve.progress import ProgressLine

if TYPE_CHECKING:
    from sdk_server import Server

    from tuneserve import Client

JOB = "GET /v1/jobs/job_1"


def tagged(document: dict, tag: str) -> Answer:
    return Answer(200, document, {"ETag": tag})


def test_create_merges_keywords_and_takes_a_dataset(server: Server, client: Client, job) -> None:
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    dataset = tuneserve.Dataset(id="ds_1")
    made = client.jobs.create({"seed": 0, "dataset": "ds_0"}, dataset=dataset, name="letters")
    assert server.asked[0].json() == {"seed": 0, "dataset": "ds_1", "name": "letters"}
    assert (made.state, made.is_terminal) == ("queued", False)


def test_create_and_wait(server: Server, client: Client, job) -> None:
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    server.on(JOB, tagged(job("succeeded"), '"1"'))
    assert client.jobs.create(wait=True, seed=0).state == "succeeded"


def test_validate(server: Server, client: Client) -> None:
    place = {"pointer": "/budget", "code": "required", "detail": "Missing."}
    document = {"valid": False, "spec": None, "warnings": [], "errors": [place], "new": 1}
    server.on("POST /v1/jobs:validate", Answer(200, document))
    found = client.jobs.validate({"seed": 0})
    assert (found.valid, found.errors[0].pointer, found.extra) == (False, "/budget", {"new": 1})


def test_unknown_and_missing_fields_are_no_trouble(server: Server, client: Client) -> None:
    document = {"id": "job_1", "state": "dreaming", "dreams": 2, "progress": {"naps": 3}}
    server.on(JOB, Answer(200, document))
    job = client.jobs.get("job_1")
    assert (job.state, job.is_terminal, job.raw["dreams"]) == ("dreaming", False, 2)
    assert (job.progress.extra, job.progress.ended) == ({"naps": 3}, 0)
    assert (job.best, job.error, job.name, job.revision) == (None, None, None, 0)
    assert (job.labels, job.spec, job.stop_reason) == ({}, {}, None)
    with pytest.raises(AttributeError):
        job.state = "running"  # type: ignore[misc]


def test_list_goes_through_the_pages(server: Server, client: Client, job) -> None:
    pages = [{"items": [job(id="job_1")], "next_page_token": "t/2"}]
    pages.append({"items": [job(id="job_2")], "next_page_token": None})
    server.on("GET /v1/jobs", *(Answer(200, page) for page in pages))
    found = client.jobs.list(state="running", page_size=1)
    assert not server.asked
    assert [job.id for job in found] == ["job_1", "job_2"]
    assert server.asked[0].query == {"state": ["running"], "page_size": ["1"]}
    assert server.asked[1].query["page_token"] == ["t/2"]


def test_reload_of_an_unchanged_job(server: Server, client: Client, job) -> None:
    server.on(JOB, tagged(job(), '"41"'), Answer(304, headers={"ETag": '"41"'}))
    got = client.jobs.get("job_1")
    assert got.reload() is got
    assert server.asked[1].headers["If-None-Match"] == '"41"'
    assert got.revision == 41


def test_wait_raises_for_a_failed_job_unless_told_not_to(server: Server, client: Client, job) -> None:
    problem = {"code": "no_completed_trial", "title": "No trial", "detail": "All 3 failed."}
    server.on(JOB, Answer(200, job("failed", error=problem)))
    failed = client.jobs.get("job_1")
    with pytest.raises(tuneserve.JobFailed) as caught:
        failed.wait()
    assert str(caught.value) == "job job_1 ended failed: no_completed_trial: All 3 failed."
    assert caught.value.job is failed
    assert not isinstance(caught.value, tuneserve.ApiError)
    assert failed.wait(raise_on_failure=False).error.code == "no_completed_trial"


def test_cancel(server: Server, client: Client, job) -> None:
    server.on(JOB, Answer(200, job("cancelled")))
    server.on("POST /v1/jobs/job_1:cancel", Answer(202, job("cancelling")))
    assert tuneserve.Job(client, job()).cancel().state == "cancelling"
    with pytest.raises(tuneserve.JobFailed, match=r"job job_1 ended cancelled$"):
        client.jobs.get("job_1").wait()


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume(server: Server, client: Client, job, verb: str) -> None:
    server.on(f"POST /v1/jobs/job_1:{verb}", tagged(job("paused", revision=42), '"42"'))
    server.on(JOB, Answer(304))
    made = tuneserve.Job(client, job())
    assert getattr(made, verb)() is made
    assert (made.state, made.revision) == ("paused", 42)
    made.reload()
    assert server.asked[-1].headers["If-None-Match"] == '"42"'


def test_extend_and_update_change_only_what_is_given(server: Server, client: Client, job) -> None:
    server.on("PATCH /v1/jobs/job_1", Answer(503, {}, {"Retry-After": "0"}), Answer(200, job(name="new")))
    made = tuneserve.Job(client, job("succeeded"))
    assert made.extend(max_trials=50).state == "running"
    assert made.update(name="new").name == "new"
    made.update(labels={})
    sent = [asked.json() for asked in server.asked]
    assert sent == [{"budget": {"max_trials": 50}}] * 2 + [{"name": "new"}, {"labels": {}}]


def test_clone_lays_changes_over_the_spec(server: Server, client: Client, job) -> None:
    server.on("POST /v1/jobs/job_1:clone", Answer(202, job("queued", id="job_2")))
    made = tuneserve.Job(client, job())
    copy = made.clone({"seed": 1}, training={"learning_rate": tuneserve.Float(0.1, 1)}, name=None)
    assert (copy.id, made.id) == ("job_2", "job_1")
    sent = server.asked[0].json()
    assert (sent["seed"], sent["name"]) == (1, None)
    assert sent["training"]["learning_rate"]["type"] == "float"


def test_delete(server: Server, client: Client, job) -> None:
    conflict = {"code": "job_not_ended", "title": "Conflict"}
    server.on("DELETE /v1/jobs/job_1", Answer(409, conflict), Answer(204), Answer(404, {"code": "not_found"}))
    made = tuneserve.Job(client, job())
    with pytest.raises(tuneserve.Conflict, match="job_not_ended"):
        made.delete()
    made.delete()
    with pytest.raises(tuneserve.NotFound):
        made.delete()


def test_a_delete_that_was_cut_off_may_find_its_work_done(server: Server, client: Client, job) -> None:
    server.on("DELETE /v1/jobs/job_1", Answer(cut=0), Answer(404, {"code": "not_found"}))
    tuneserve.Job(client, job()).delete()
    assert server.count("DELETE") == 2


def test_cancel_a_trial(server: Server, client: Client, job) -> None:
    server.on("POST /v1/jobs/job_1/trials/3:cancel", Answer(202, {"number": 3, "state": "cancelled"}))
    assert tuneserve.Job(client, job()).cancel_trial(3).is_ended


def test_trials_as_a_table(server: Server, client: Client, job) -> None:
    page = Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"})
    table = Answer(200, b"number,score\n0,0.5\n", {"Content-Type": "text/csv; charset=utf-8"})
    server.on("GET /v1/jobs/job_1/trials", table, page)
    made = tuneserve.Job(client, job())
    assert made.trials_csv() == "number,score\n0,0.5\n"
    assert server.asked[0].headers["Accept"] == "text/csv"
    with pytest.raises(tuneserve.ApiError, match="not_json"):
        made.trials_csv()


def test_charts(server: Server, client: Client, job) -> None:
    info = {"name": "history", "title": "History", "description": "Scores.", "new": 1}
    server.on("GET /v1/jobs/job_1/charts", Answer(200, {"items": [info]}))
    server.on("GET /v1/jobs/job_1/charts/history", Answer(200, {"mark": "line", "title": "Scores"}))
    made = tuneserve.Job(client, job())
    (known,) = made.charts()
    assert (known.name, known.title, known.extra) == ("history", "History", {"new": 1})
    chart = made.chart("history")
    assert (chart.name, chart.title, chart.specification["mark"]) == ("history", "Scores", "line")


def test_list_sends_its_filters(server: Server, client: Client) -> None:
    server.on("GET /v1/jobs", Answer(200, {"items": []}))
    since = datetime(2026, 1, 2, tzinfo=UTC)
    dataset = tuneserve.Dataset(id="ds_1")
    found = client.jobs.list(label="a:b", dataset=dataset, spec_digest="sha256:0", created_after=since)
    assert not list(found)
    assert server.asked[0].query == {
        "label": ["a:b"],
        "dataset": ["ds_1"],
        "spec_digest": ["sha256:0"],
        "created_after": ["2026-01-02T00:00:00+00:00"],
        "page_size": ["50"],
    }


def test_an_unknown_state_has_ended_if_it_has_an_end_time(client: Client, job) -> None:
    ended = {"end_time": "2026-01-02T03:04:05Z"}
    states = [("archived", {}), ("archived", ended), ("running", ended), ("succeeded", {})]
    found = [tuneserve.Job(client, job(state, **changes)).is_terminal for state, changes in states]
    assert found == [False, True, False, True]


def test_what_the_document_says(client: Client, job) -> None:
    known = {"spec_digest": "sha256:a", "dataset_digest": "sha256:b", "cost": {"trial_seconds": 1.5}}
    got = tuneserve.Job(client, job(create_time="2026-01-02T03:04:05Z", warnings=[{"code": "c"}], **known))
    assert (got.spec_digest, got.dataset_digest, got.cost) == tuple(known.values())
    assert got.create_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (got.start_time, got.end_time, got.warnings) == (None, None, ({"code": "c"},))
    assert got.best_hyperparameters == {"training.learning_rate": 0.00093}
    assert tuneserve.Job(client, job(best=None)).best_hyperparameters == {}
    assert "letters" in got._repr_html_()


def test_trials(server: Server, client: Client, job) -> None:
    epoch = {"epoch": 1, "seconds": 0.61, "metrics": {"val_accuracy": 0.91}, "grad": None}
    document = {"number": 5, "state": "completed", "score": 0.98, "epochs": [epoch]}
    document |= {"create_time": "2026-01-02T03:04:05.250Z", "error": None}
    crashed = {"number": 6, "state": "failed", "error": {"code": "out_of_memory", "at": 1}}
    server.on(JOB, Answer(200, job()))
    server.on(
        "GET /v1/jobs/job_1/trials",
        Answer(200, {"items": [document], "next_page_token": "2"}),
        Answer(200, {"items": [crashed]}),
    )
    first, second = client.jobs.get("job_1").trials(order_by="score")
    assert first.epochs[0].metrics == {"val_accuracy": 0.91}
    assert first.epochs[0].extra == {"grad": None}
    assert first.create_time == datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)
    assert (first.error, second.error.code) == (None, "out_of_memory")
    assert server.asked[1].query == {"order_by": ["score"], "page_size": ["50"]}


def test_best(server: Server, client: Client, job) -> None:
    conflict = {"code": "no_completed_trial", "title": "Conflict"}
    document = {"job": "job_1", "trial": 5, "score": 0.98, "test": {"accuracy": 0.97}}
    document |= {"artifacts": ["model.keras"], "refit": True}
    document |= {"model": {"parameters": 5, "bytes": 99, "prediction_seconds": 0.01, "flops": 7}}
    server.on(JOB, Answer(200, job()))
    server.on("GET /v1/jobs/job_1/best", Answer(409, conflict), Answer(200, document))
    got = client.jobs.get("job_1")
    assert (got.best.trial, got.best.score) == (5, 0.981)
    with pytest.raises(tuneserve.Conflict):
        got.best_result()
    best = got.best_result()
    assert (best.test["accuracy"], best.artifacts, best.refit) == (0.97, ("model.keras",), True)
    assert (best.model.parameters, best.model.prediction_seconds) == (5, 0.01)
    assert best.model.extra == {"flops": 7}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_rewrites_one_line_on_a_terminal(client: Client, job) -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line(tuneserve.Job(client, job()))
    line(tuneserve.Job(client, job("queued", best=None, progress={})))
    line.close()
    first, second = stream.getvalue().split("\r")[1:]
    assert first == "running  7/10 trials  best 0.981 (trial 5)  81 epochs  93 s"
    assert second == "queued  0 trials  0 epochs  0 s".ljust(len(first)) + "\n"


def test_what_on_trial_prints_does_not_run_into_the_live_line(
    server: Server, client: Client, job, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, ended = job(progress={}), job("succeeded", progress={"completed": 1})
    server.on(JOB, Answer(200, running), Answer(200, running), Answer(200, ended))
    server.on(f"{JOB}/trials", Answer(200, {"items": [{"number": 0, "state": "completed"}]}))
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    client.jobs.get("job_1").wait(progress=True, on_trial=lambda trial: print(trial.number, file=stream))
    line = "running  0 trials  best 0.981 (trial 5)  0 epochs  0 s"
    assert f"{line}\r\x1b[K0\n{line}\r" in stream.getvalue()


def test_progress_is_one_line_per_change_elsewhere(client: Client, job) -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for seconds in (93.0, 95.0):
        progress = {"completed": 1, "epochs": 1, "elapsed_seconds": seconds}
        line(tuneserve.Job(client, job(progress=progress)))
    line.close()
    assert stream.getvalue() == "running  1 trial  best 0.981 (trial 5)  1 epoch  93 s\n"


@pytest.mark.parametrize(("progress", "shown"), [("auto", False), (False, False), (True, True)])
def test_progress_without_a_terminal(
    server: Server, client: Client, job, capsys: pytest.CaptureFixture, progress, shown: bool
) -> None:
    server.on(JOB, Answer(200, job("succeeded")))
    client.jobs.get("job_1").wait(progress=progress)
    out, err = capsys.readouterr()
    assert (out, bool(err)) == ("", shown)


def test_api_errors_survive_pickling() -> None:
    error = tuneserve.Invalid(422, "c", "t", "d", [tuneserve.FieldError(pointer="/a")], "r", 1.0)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.retry_after, type(again)) == (str(error), 1.0, tuneserve.Invalid)
