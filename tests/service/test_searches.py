"""Steering a search: renamed, given more or less, paused, resumed, extended, cloned."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from sqlalchemy import update

from schemas.specs import load_spec
from schemas.states import JobState, TrialState
from schemas.trials import Suggestion
from store import attempts, trials
from store.database import clock
from store.tables import JobRow, TrialRow
from store.trials import PAUSED
from tests.conftest import Api
from tests.service.rows import (
    add_trials,
    complete,
    count,
    npz,
    outcome,
    posted,
    problem,
    publish,
    services,
    upload,
)

Spec = dict[str, Any]
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ENDED = ("succeeded", "failed", "cancelled")
ENDING = ("finishing", "cancelling")


def patch(api: Api, job_id: str, **changes: Any) -> Any:
    return api.request("PATCH", f"/v1/jobs/{job_id}", json=changes)


def changed(api: Api, job_id: str, **changes: Any) -> dict[str, Any]:
    answer = patch(api, job_id, **changes)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json
    assert job == api.get(f"/v1/jobs/{job_id}").json | {"progress": job["progress"]}
    return job


def set_job(app: Flask, job_id: str, **values: Any) -> None:
    """Writes over a job's row, past all rules."""
    with services(app).database.write() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(**values))


def end(app: Flask, job_id: str, state: str) -> None:
    error = {"code": "all_trials_failed", "title": "", "detail": "", "trials": []}
    set_job(app, job_id, state=state, stop_reason="completed", error=error, end_time=clock())


def claim(app: Flask, job_id: str, number: int) -> attempts.Claim:
    with services(app).database.write() as session:
        found = attempts.claim(session, job_id, number, "worker", 60)
    assert found is not None
    return found


def told(app: Flask, claimed: attempts.Claim) -> str | None:
    """Why a running trial is to stop."""
    with services(app).database.write() as session:
        return attempts.renew(session, claimed.lease, 60)


@pytest.fixture
def job(api: Api, spec: Spec) -> str:
    made: str = posted(api, spec, name="letters", labels={"team": "vision"})["id"]
    return made


# Changing


def test_a_job_is_renamed_and_labelled_anew(api: Api, job: str) -> None:
    before = api.get(f"/v1/jobs/{job}").json
    after = changed(api, job, name="<b>digits</b>\n", labels={"a/b": "1"})
    assert (after["name"], after["labels"]) == ("<b>digits</b>\n", {"a/b": "1"})
    assert (after["spec"]["name"], after["spec"]["labels"]) == (after["name"], after["labels"])
    assert after["revision"] > before["revision"]
    assert after["spec_digest"] == load_spec(after["spec"]).digest == before["spec_digest"]
    assert after["state"] == before["state"]
    assert [one["id"] for one in api.get("/v1/jobs", query_string={"label": "a/b:1"}).json["items"]] == [job]


def test_a_change_is_answered_with_the_revision_that_it_made(api: Api, job: str) -> None:
    answer = patch(api, job, name="x")
    assert answer.headers["ETag"] == f'"{answer.json["revision"]}"'
    assert int(answer.headers["Retry-After"]) > 0
    known = {"If-None-Match": answer.headers["ETag"]}
    assert api.get(f"/v1/jobs/{job}", headers=known).status_code == 304


def test_what_is_not_named_stays(api: Api, job: str) -> None:
    assert changed(api, job, labels={})["name"] == "letters"
    assert changed(api, job, name="x")["labels"] == {}
    after = changed(api, job)
    assert (after["name"], after["labels"]) == ("x", {})


def test_a_job_that_has_ended_is_renamed_and_stays_ended(app: Flask, api: Api, job: str) -> None:
    end(app, job, "succeeded")
    after = changed(api, job, name="done")
    assert (after["name"], after["state"], after["stop_reason"]) == ("done", "succeeded", "completed")


def test_a_budget_is_raised_and_lowered_while_it_runs(app: Flask, api: Api, job: str) -> None:
    set_job(app, job, state="running")
    for trials_, parallel in ((30, 8), (2, 1)):
        after = changed(api, job, budget={"max_trials": trials_, "parallel_trials": parallel})
        assert after["state"] == "running"
        assert after["progress"]["max_trials"] == trials_
        assert after["spec"]["budget"] == load_spec(after["spec"]).resolved["budget"]
        with services(app).database.read() as session:
            row = session.get_one(JobRow, job)
            assert (row.max_trials, row.parallel_trials) == (trials_, parallel)


def test_limits_are_set_and_taken_away_one_by_one(api: Api, job: str) -> None:
    first = changed(api, job, budget={"max_epochs": 100, "plateau": {"trials": 5}})["spec"]["budget"]
    assert (first["max_trials"], first["max_epochs"]) == (3, 100)
    assert first["plateau"] == {"trials": 5, "min_delta": 0.0}
    second = changed(api, job, budget={"max_epochs": None, "max_failed_trials": 2})["spec"]["budget"]
    assert (second["max_epochs"], second["max_failed_trials"]) == (None, 2)
    assert second["plateau"] == first["plateau"]
    assert changed(api, job, budget={"plateau": None})["spec"]["budget"]["plateau"] is None


def test_a_deadline_is_counted_from_when_the_job_was_made(app: Flask, api: Api, job: str) -> None:
    def deadline() -> float | None:
        with services(app).database.read() as session:
            row = session.get_one(JobRow, job)
            return None if row.deadline is None else row.deadline - row.create_time.timestamp()

    assert deadline() is None
    changed(api, job, budget={"max_seconds": 60})
    assert deadline() == pytest.approx(60, abs=1)
    changed(api, job, budget={"max_seconds": 90})
    assert deadline() == pytest.approx(90, abs=1)
    changed(api, job, budget={"max_seconds": None})
    assert deadline() is None


@pytest.mark.parametrize("state", ENDED)
def test_a_job_that_has_ended_goes_on_when_it_is_given_more(
    app: Flask, api: Api, job: str, state: str
) -> None:
    add_trials(app, job, 1)
    complete(app, job, 0, 0.9)
    end(app, job, state)
    before = api.get(f"/v1/jobs/{job}").json
    after = changed(api, job, budget={"max_trials": 10})
    assert (after["state"], after["stop_reason"], after["error"], after["end_time"]) == (
        "running",
        None,
        None,
        None,
    )
    assert after["revision"] > before["revision"]
    assert after["spec_digest"] == load_spec(after["spec"]).digest != before["spec_digest"]
    assert (after["progress"]["completed"], after["best"]["trial"]) == (1, 0), "what it knew"


@pytest.mark.parametrize("state", ENDED)
def test_a_job_that_has_ended_stays_so_when_it_is_given_no_more(
    app: Flask, api: Api, job: str, state: str
) -> None:
    end(app, job, state)
    before = api.get(f"/v1/jobs/{job}").json
    for budget in ({}, {"max_trials": 3}, {"max_trials": 2}, {"parallel_trials": 9}, {"max_epochs": 5}):
        problem(patch(api, job, name="new", budget=budget), 409, "job_ended")
    after = api.get(f"/v1/jobs/{job}").json
    assert after == before, "the name has not changed either"


@pytest.mark.parametrize("state", ENDING)
def test_a_job_that_is_ending_takes_no_other_budget(app: Flask, api: Api, job: str, state: str) -> None:
    set_job(app, job, state=state)
    problem(patch(api, job, budget={"max_trials": 10}), 409, "job_ending")
    assert changed(api, job, name="new")["state"] == state


def test_a_search_that_is_ending_already_takes_no_other_budget(app: Flask, api: Api, job: str) -> None:
    """Its last trials still run."""
    set_job(app, job, state="running", stop_reason="target_reached")
    problem(patch(api, job, budget={"max_trials": 10}), 409, "job_ending")


@on_sqlite
@pytest.mark.parametrize(
    ("reason", "budget", "named"),
    [
        ("deadline", {"max_trials": 100, "max_epochs": 100}, "max_seconds"),
        ("too_many_failures", {"max_trials": 100}, "max_failed_trials"),
        ("budget_exhausted", {"max_trials": 100}, "max_epochs or max_gpu_seconds"),
        ("space_exhausted", {"max_trials": 100, "max_seconds": None}, "space_exhausted"),
        ("target_reached", {"max_trials": 100}, "target_reached"),
    ],
)
def test_an_ended_job_is_told_which_limit_would_help(
    app: Flask, api: Api, job: str, reason: str, budget: Spec, named: str
) -> None:
    end(app, job, "succeeded")
    set_job(app, job, stop_reason=reason)
    assert named in problem(patch(api, job, budget=budget), 409, "job_ended")["detail"]
    assert api.get(f"/v1/jobs/{job}").json["state"] == "succeeded"


def test_an_ended_job_whose_data_set_was_deleted_does_not_go_on(app: Flask, api: Api, spec: Spec) -> None:
    stored = upload(api, npz(np.zeros((10, 8, 8), "uint8"))).json["id"]
    job = posted(api, spec, dataset=stored)["id"]
    end(app, job, "succeeded")
    assert api.request("DELETE", f"/v1/datasets/{stored}").status_code == 204
    document = problem(patch(api, job, budget={"max_trials": 100}), 422, "dataset_not_found")
    assert [item["pointer"] for item in document["errors"]] == ["/dataset"]
    assert api.get(f"/v1/jobs/{job}").json["state"] == "succeeded"
    assert changed(api, job, name="kept")["name"] == "kept"


@on_sqlite
@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"budget": {"max_trials": 0}}, "/budget/max_trials", "value_out_of_range"),
        ({"budget": {"max_seconds": 0}}, "/budget/max_seconds", "value_out_of_range"),
        ({"budget": {"max_epochs": 0}}, "/budget/max_epochs", "value_out_of_range"),
        ({"budget": {"max_gpu_seconds": 0}}, "/budget/max_gpu_seconds", "value_out_of_range"),
        ({"budget": {"max_trials": None}}, "/budget/max_trials", "invalid_type"),
        ({"budget": {"max_trial": 5}}, "/budget/max_trial", "unknown_field"),
        ({"budget": {"plateau": {}}}, "/budget/plateau/trials", "missing_field"),
        ({"budget": {"plateau": {"min_delta": 1}}}, "/budget/plateau/trials", "missing_field"),
        ({"budget": {"plateau": {"trials": 0}}}, "/budget/plateau/trials", "value_out_of_range"),
        ({"budget": None}, "/budget", "invalid_type"),
        ({"name": None}, "/name", "invalid_type"),
        ({"labels": {"a:b": "c"}}, "/labels/a:b", "invalid_value"),
        ({"seed": 1}, "/seed", "unknown_field"),
        ({"state": "running"}, "/state", "unknown_field"),
        ({"search": {"algorithm": "tpe"}}, "/search", "unknown_field"),
    ],
)
def test_a_change_that_does_not_fit_changes_nothing(
    api: Api, job: str, changes: Spec, pointer: str, code: str
) -> None:
    before = api.get(f"/v1/jobs/{job}").json["revision"]
    document = problem(patch(api, job, **changes), 422, code)
    assert [item["pointer"] for item in document["errors"]] == [pointer]
    assert api.get(f"/v1/jobs/{job}").json["revision"] == before


def test_changes_at_once_are_all_kept(app: Flask, api: Api, job: str) -> None:
    changes: list[Spec] = [
        {"name": "new"},
        {"labels": {"a": "b"}},
        {"budget": {"max_trials": 50}},
        {"budget": {"max_epochs": 70}},
        {"budget": {"max_failed_trials": 5}},
    ]

    def send(one: Spec) -> int:
        answer = patch(Api(app.test_client(), api.key), job, **one)
        return int(answer.status_code)

    with ThreadPoolExecutor(len(changes)) as pool:
        assert set(pool.map(send, changes)) == {200}
    after = api.get(f"/v1/jobs/{job}").json
    budget = after["spec"]["budget"]
    assert (after["name"], after["labels"], after["progress"]["max_trials"]) == ("new", {"a": "b"}, 50)
    assert (budget["max_trials"], budget["max_epochs"], budget["max_failed_trials"]) == (50, 70, 5)
    assert after["spec_digest"] == load_spec(after["spec"]).digest


def test_anothers_job_is_not_found_and_not_changed(api: Api, make_api: Callable[..., Api], job: str) -> None:
    other, reader = make_api(project="other"), make_api(scopes=["read"])
    before = api.get(f"/v1/jobs/{job}").json["revision"]
    problem(patch(other, job, name="mine"), 404, "job_not_found")
    problem(patch(api, "job_none", name="mine"), 404, "job_not_found")
    problem(patch(reader, job, name="mine"), 403, "insufficient_scope")
    for route in ("pause", "resume", "clone"):
        problem(other.post(f"/v1/jobs/{job}:{route}"), 404, "job_not_found")
        problem(reader.post(f"/v1/jobs/{job}:{route}"), 403, "insufficient_scope")
    assert api.get(f"/v1/jobs/{job}").json["revision"] == before


# Pausing


def test_a_search_is_paused_and_resumed_and_says_so_each_time(app: Flask, api: Api, job: str) -> None:
    add_trials(app, job, 2)
    running = claim(app, job, 0)
    set_job(app, job, state="running")
    first, second = (api.post(f"/v1/jobs/{job}:pause") for _ in range(2))
    assert (first.status_code, first.json["state"]) == (202, "paused")
    assert (second.status_code, second.json["state"]) == (202, "paused")
    assert first.headers["Location"] == f"/v1/jobs/{job}"
    assert told(app, running) == PAUSED
    third, fourth = (api.post(f"/v1/jobs/{job}:resume") for _ in range(2))
    assert (third.status_code, third.json["state"]) == (202, "running")
    assert (fourth.status_code, fourth.json["state"]) == (202, "running")
    assert told(app, running) is None


def test_a_job_that_waits_may_be_paused_before_it_begins(api: Api, job: str) -> None:
    assert api.post(f"/v1/jobs/{job}:pause").json["state"] == "paused"
    after = api.post(f"/v1/jobs/{job}:resume").json
    assert (after["state"], after["start_time"] is not None) == ("running", True)


def test_a_paused_job_is_cancelled_and_its_trials_are_told(app: Flask, api: Api, job: str) -> None:
    add_trials(app, job, 2)
    running = claim(app, job, 0)
    api.post(f"/v1/jobs/{job}:pause")
    assert api.post(f"/v1/jobs/{job}:cancel").json["state"] == "cancelling"
    assert told(app, running) == trials.CANCELLED
    problem(api.post(f"/v1/jobs/{job}:resume"), 409, "job_not_paused")


def test_a_paused_job_takes_another_budget_and_stays_paused(api: Api, job: str) -> None:
    api.post(f"/v1/jobs/{job}:pause")
    after = changed(api, job, budget={"max_trials": 9})
    assert (after["state"], after["progress"]["max_trials"]) == ("paused", 9)


@pytest.mark.parametrize("state", [*ENDED, *ENDING])
def test_what_does_not_search_is_neither_paused_nor_resumed(
    app: Flask, api: Api, job: str, state: str
) -> None:
    set_job(app, job, state=state)
    problem(api.post(f"/v1/jobs/{job}:pause"), 409, "job_not_searching")
    problem(api.post(f"/v1/jobs/{job}:resume"), 409, "job_not_paused")
    assert api.get(f"/v1/jobs/{job}").json["state"] == state


def test_a_search_that_is_not_paused_has_nothing_to_resume(api: Api, job: str) -> None:
    before = api.get(f"/v1/jobs/{job}").json
    answer = api.post(f"/v1/jobs/{job}:resume")
    assert (answer.status_code, answer.json["state"]) == (202, "queued")
    assert answer.json["revision"] == before["revision"]


# Cloning


def clone(api: Api, job_id: str, changes: Any = None, **named: Any) -> Any:
    body = {} if changes is None else {"json": changes}
    return api.post(f"/v1/jobs/{job_id}:clone", **body, **named)


@pytest.mark.parametrize("changes", [None, {}])
def test_a_clone_is_a_new_job_of_the_same_spec(api: Api, job: str, changes: Any) -> None:
    before = api.get(f"/v1/jobs/{job}").json
    answer = clone(api, job, changes)
    made = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{made['id']}"
    assert made["id"] != job
    assert (made["spec"], made["spec_digest"]) == (before["spec"], before["spec_digest"])
    assert (made["state"], made["progress"]["completed"]) == ("queued", 0)
    assert api.get(f"/v1/jobs/{job}").json["revision"] == before["revision"]


def test_a_clone_is_made_of_a_job_in_any_state(app: Flask, api: Api, job: str) -> None:
    for state in JobState:
        set_job(app, job, state=state)
        assert clone(api, job).json["state"] == "queued"


def test_a_clone_has_the_changes_that_were_asked_for(api: Api, job: str) -> None:
    before = api.get(f"/v1/jobs/{job}").json["spec"]
    changes = {
        "name": "again",
        "labels": {"team": None, "round": "2"},
        "seed": 7,
        "model": {"filters": {"type": "choice", "values": [4, 8]}, "dense_units": None},
        "training": {"learning_rate": {"max": 0.05}},
        "budget": {"max_trials": 9},
    }
    made = clone(api, job, changes).json["spec"]
    assert (made["name"], made["labels"], made["seed"]) == ("again", {"round": "2"}, 7)
    assert made["model"]["filters"]["values"] == [4, 8]
    assert made["model"]["dense_units"] == 128 != before["model"]["dense_units"], "the default"
    assert made["model"]["blocks"] == before["model"]["blocks"]
    assert made["training"]["learning_rate"] == {**before["training"]["learning_rate"], "max": 0.05}
    assert made["budget"] == {**before["budget"], "max_trials": 9}


def test_a_clone_may_search_in_another_way(api: Api, spec: Spec) -> None:
    first = posted(api, spec, search={"algorithm": "grid", "order": "outside_in", "reuse": True})
    made = clone(api, first["id"], {"search": {"algorithm": "tpe"}}).json["spec"]["search"]
    assert made == load_spec({**spec, "search": {"algorithm": "tpe"}}).resolved["search"]
    kept = clone(api, first["id"], {"search": {"reuse": False}}).json["spec"]["search"]
    assert (kept["algorithm"], kept["order"], kept["reuse"]) == ("grid", "outside_in", False)
    default = clone(api, first["id"], {"search": None}).json["spec"]["search"]
    assert default == load_spec(spec).resolved["search"]


def test_labels_are_merged_whatever_they_are_called(api: Api, spec: Spec) -> None:
    labels = {"type": "a", "rule": "b", "family": "c", "algorithm": "d", "team": "e"}
    first = posted(api, spec, labels=labels)
    made = clone(api, first["id"], {"labels": {"type": "x", "rule": "y"}}).json
    assert made["labels"] == made["spec"]["labels"] == {**labels, "type": "x", "rule": "y"}


def test_a_clone_may_have_another_model(api: Api, job: str) -> None:
    made = clone(api, job, {"model": {"family": "mlp", "units": 32}}).json["spec"]["model"]
    assert made["family"] == "mlp"
    assert "filters" not in made


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"budget": {"max_trials": 0}}, "/budget/max_trials", "value_out_of_range"),
        ({"budget": None}, "/budget", "missing_field"),
        ({"search": {"algorithm": "grid", "factor": 3}}, "/search/factor", "unknown_field"),
        ({"search": {"order": "row_major"}}, "/search/order", "unknown_field"),
        ({"model": {"filters": 10**9}}, "/model/filters", "value_out_of_range"),
        ({"model": {"blocks": 9}}, "/model", "infeasible_model"),
        ({"dataset": "ds_none"}, "/dataset", "dataset_not_found"),
        ({"state": "running"}, "/state", "unknown_field"),
    ],
)
def test_a_clone_with_a_mistake_is_refused_at_its_place(
    app: Flask, api: Api, job: str, changes: Spec, pointer: str, code: str
) -> None:
    document = problem(clone(api, job, changes), 422, code)
    assert [item["pointer"] for item in document["errors"]] == [pointer]
    assert count(app, JobRow) == 1


@on_sqlite
def test_changes_are_an_object_in_json(app: Flask, api: Api, job: str) -> None:
    for wrong in ([], "x", 3):
        document = problem(clone(api, job, wrong), 422, "invalid_type")
        assert [item["pointer"] for item in document["errors"]] == [""], "the whole body"
    path = f"/v1/jobs/{job}:clone"
    problem(api.post(path, data=b"{", content_type="application/json"), 400, "invalid_json")
    problem(
        api.post(path, data=b'{"seed": 1, "seed": 2}', content_type="application/json"), 400, "duplicate_key"
    )
    problem(api.post(path, data=b"seed=1"), 415, "unsupported_media_type")
    assert count(app, JobRow) == 1


@on_sqlite
def test_changes_of_a_length_that_is_not_told_are_not_lost(api: Api, job: str) -> None:
    answer = api.post(
        f"/v1/jobs/{job}:clone",
        input_stream=io.BytesIO(b'{"seed": 9}'),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
        headers={"Transfer-Encoding": "chunked"},
    )
    assert answer.json["spec"]["seed"] == 9


def test_a_clone_under_an_idempotency_key_is_made_once(app: Flask, api: Api, job: str) -> None:
    first, second = (clone(api, job, {"seed": 3}, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json["id"] == second.json["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    problem(clone(api, job, {"seed": 4}, headers={"Idempotency-Key": "k"}), 422, "idempotency_key_reused")
    assert count(app, JobRow) == 2


# What is answered


def test_best_shows_nothing_of_an_earlier_end_after_a_better_trial(
    app: Flask, api: Api, job: str, tmp_path: Path
) -> None:
    add_trials(app, job, 2)
    complete(app, job, 0, 0.8)
    publish(app, job, "model.keras", b"keras", tmp_path)
    result = {
        "trial": 0,
        "test": {"accuracy": 0.7},
        "verified": {"accuracy": 0.7, "difference": 0.0},
        "refit": True,
        "reproducibility": {"seed": 0, "device": "CPU"},
    }
    set_job(app, job, result=result)
    end(app, job, "succeeded")
    assert api.get(f"/v1/jobs/{job}/best").json["test"] == {"accuracy": 0.7}
    changed(api, job, budget={"max_trials": 10})
    assert api.get(f"/v1/jobs/{job}/best").json["test"] == {"accuracy": 0.7}, "it still is the best"
    complete(app, job, 1, 0.9)
    after = api.get(f"/v1/jobs/{job}/best").json
    assert (after["trial"], after["score"], after["validation"]["accuracy"]) == (1, 0.9, 0.9)
    assert (after["test"], after["verified"], after["refit"]) == (None, None, False)
    assert "device" not in after["reproducibility"]
    assert after["artifacts"] == [], "the model is the other trial's"
    set_job(app, job, result={**result, "trial": 1})
    assert api.get(f"/v1/jobs/{job}/best").json["artifacts"] == ["model.keras"], "it is finished again"


def test_a_job_counts_the_trials_whose_results_were_taken_from_others(app: Flask, api: Api, job: str) -> None:
    add_trials(app, job, 2)
    complete(app, job, 0, 0.8)
    assert api.get(f"/v1/jobs/{job}").json["progress"]["reused"] == 0
    with services(app).database.write() as session:
        mine = (TrialRow.job_id == job, TrialRow.number == 0)
        session.execute(update(TrialRow).where(*mine).values(reused={"job": "job_x", "trial": 4}))
    progress = api.get(f"/v1/jobs/{job}").json["progress"]
    assert (progress["reused"], progress["completed"], progress["epochs"]) == (1, 1, 0)
    assert api.get(f"/v1/jobs/{job}/trials/0").json["reused"] == {"job": "job_x", "trial": 4}


def test_a_trial_says_how_it_was_trained_and_what_ended_it(app: Flask, api: Api, job: str) -> None:
    effort = {"until_epoch": 3, "data_share": 0.5, "parent": 0, "stage": {"bracket": 1, "round": 0}}
    with services(app).database.write() as session:
        found = [Suggestion({}), Suggestion({}, trials.Effort(**effort))]
        trials.create(session, job, 0, found)
    claimed = claim(app, job, 1)
    with services(app).database.write() as session:
        stopped = attempts.Outcome(
            TrialState.STOPPED, 0.5, 2, outcome(0.5, 2).metrics, stop="median", last_epoch=3
        )
        attempts.complete(session, claimed.lease, stopped)
    trial = api.get(f"/v1/jobs/{job}/trials/1").json
    assert (trial["state"], trial["effort"]) == ("stopped", effort)
    assert (trial["stop_reason"], trial["best_epoch"], trial["last_epoch"]) == ("median", 2, 3)
    assert (trial["reused"], trial["range_test"]) == (None, None)
