"""Streams of events: all that happens, in order, each once, wherever the connection was cut."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from schemas.events import SCHEMAS
from schemas.settings import Settings
from schemas.states import JobState
from schemas.trials import Epoch
from service import events
from service.app import create_app
from service.cli import parts
from store import attempts, jobs, keys, trials
from store.tables import JobRow
from tests.conftest import Api, wait_until
from tests.service.rows import add_trials, complete, posted, problem, services

Spec = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """One event as it arrived."""

    kind: str
    id: int | None
    data: dict[str, Any]


def parse(text: str) -> list[Told]:
    """The events of a text, by the rules of the HTML Standard; comments are kept as kind ``:``."""
    found = []
    *blocks, rest = text.split("\n\n")
    assert rest == ""
    for block in blocks:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        if set(lines) == {"retry"}:
            assert lines["retry"] == "2000"
        elif "" in lines:
            found.append(Told(":", None, {}))
        else:
            assert list(lines) in (["event", "data"], ["event", "id", "data"])
            number = int(lines["id"]) if "id" in lines else None
            found.append(Told(lines["event"], number, json.loads(lines["data"])))
    return found


class Stream:
    """An open stream, read event by event."""

    def __init__(self, answer: Any) -> None:
        assert answer.status_code == 200, answer.text
        self.answer = answer
        self._chunks = iter(answer.response)
        self._ready: list[Told] = []

    def next(self) -> Told:
        while not self._ready:
            self._ready = parse(next(self._chunks).decode())
        return self._ready.pop(0)

    def until(self, kind: str) -> list[Told]:
        """What comes, up to and with an event of a kind."""
        found = [self.next()]
        while found[-1].kind != kind:
            found.append(self.next())
        return found

    def has_ended(self) -> bool:
        try:
            self._ready += parse(next(self._chunks).decode())
        except StopIteration:
            return True
        return False

    def close(self) -> None:
        self.answer.close()


def opened(api: Api, job_id: str, last: Any = None, **query: Any) -> Any:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    return api.get(f"/v1/jobs/{job_id}/events", headers=headers, query_string=query)


def read(api: Api, job_id: str, last: Any = None, **query: Any) -> list[Told]:
    """A whole stream that ends by itself."""
    answer = opened(api, job_id, last, **query)
    assert answer.status_code == 200, answer.text
    text = answer.text
    answer.close()
    assert text.startswith("retry: 2000\n\n")
    return parse(text)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two looks."""
    for name in ("_LOOK_SECONDS", "_REST_SECONDS"):
        monkeypatch.setattr(events, name, 0.001)


@pytest.fixture
def job(app: Flask, api: Api, spec: Spec) -> str:
    """A job that searches: a trial with three epochs, one that failed, one that waits."""
    made: str = posted(api, spec)["id"]
    move(app, made, JobState.RUNNING)
    add_trials(app, made, 3)
    complete(app, made, 0, 0.9, epochs=3)
    complete(app, made, 1, None)
    return made


@pytest.fixture
def ended(app: Flask, job: str) -> str:
    """The same, after it was cancelled."""
    cancel(app, job)
    return job


def move(app: Flask, job_id: str, target: JobState) -> None:
    with services(app).database.write() as session:
        assert jobs.move(session, job_id, target)


def cancel(app: Flask, job_id: str) -> None:
    with services(app).database.write() as session:
        jobs.cancel(session, keys.DEFAULT_PROJECT, job_id)


def report(app: Flask, job_id: str, number: int) -> None:
    """The trial begins, and tells of its first epoch."""
    with services(app).database.write() as session:
        claim = attempts.claim(session, job_id, number, "worker", 60)
        assert claim is not None
        attempts.report(session, claim.lease, Epoch(1, 0.5, 0.001, {"val_accuracy": None}), 60)


def short(found: list[Told]) -> list[tuple[Any, ...]]:
    """Events without their numbers."""
    keys = {"job": ("state",), "trial": ("number", "state"), "epoch": ("trial", "epoch")}
    return [(one.kind, *(one.data[key] for key in keys.get(one.kind, ()))) for one in found]


class TestWhatIsTold:
    def test_an_ended_job_is_told_from_its_beginning_to_its_end(self, api: Api, ended: str) -> None:
        assert short(read(api, ended)) == [
            ("job", "queued"),
            ("job", "running"),
            *(("trial", number, "pending") for number in range(3)),
            ("trial", 0, "running"),
            *(("epoch", 0, number) for number in (1, 2, 3)),
            ("trial", 0, "completed"),
            ("trial", 1, "running"),
            ("epoch", 1, 1),
            ("trial", 1, "failed"),
            ("job", "cancelling"),
            ("trial", 2, "cancelled"),
            ("job", "cancelled"),
            ("progress",),
            ("end",),
        ]

    def test_data_fit_their_published_schemas(self, app: Flask, api: Api, ended: str) -> None:
        found = read(api, ended)
        document: Any = app.test_client().get("/v1/openapi.json").json
        published = document["components"]["schemas"]
        for one in found:
            assert SCHEMAS[one.kind]().validate(one.data) == {}
            assert set(one.data) == set(published[f"{one.kind.capitalize()}Event"]["properties"])

    def test_the_document_names_what_may_be_asked(self, app: Flask) -> None:
        document: Any = app.test_client().get("/v1/openapi.json").json
        operation = document["paths"]["/v1/jobs/{job_id}/events"]["get"]
        kinds = {one["name"]: (one["in"], one["schema"]["type"]) for one in operation["parameters"]}
        header, after, follow = ("header", "integer"), ("query", "integer"), ("query", "boolean")
        assert kinds == {"Last-Event-ID": header, "after": after, "follow": follow}
        assert set(operation["responses"]["200"]["content"]) == {"text/event-stream"}
        assert set(operation["responses"]) == {"200", "422", "429", "default"}

    def test_progress_and_best_are_those_of_the_job(self, api: Api, ended: str) -> None:
        progress, end = read(api, ended)[-2:]
        job = api.get(f"/v1/jobs/{ended}").json
        same = ("state", "stop_reason", "progress", "best", "revision")
        assert progress.data == {name: job[name] for name in same}
        assert progress.id == job["revision"]
        assert progress.data["best"]["score"] == 0.9
        assert end.data == {"state": "cancelled", "stop_reason": "cancelled"}

    def test_what_a_trial_came_to(self, api: Api, ended: str) -> None:
        done, failed, dropped = (
            one.data
            for one in read(api, ended)
            if one.kind == "trial" and one.data["state"] in ("completed", "failed", "cancelled")
        )
        assert (done["score"], done["best_epoch"], done["parameters"]) == (0.9, 3, 2314)
        assert done["hyperparameters"] == {"training.learning_rate": 0.001}
        assert failed["error"]["code"] == "non_finite_objective"
        assert (dropped["reason"], dropped["attempt"], done["attempt"]) == ("cancelled", 0, 1)
        assert done["time"].endswith("Z")

    def test_headers_are_those_of_a_stream(self, api: Api, ended: str) -> None:
        answer = opened(api, ended)
        assert answer.mimetype == "text/event-stream"
        assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-cache", "no")
        assert "Content-Length" not in answer.headers
        answer.close()

    def test_a_search_that_is_extended_is_told_on(self, app: Flask, api: Api, spec: Spec) -> None:
        job = posted(api, spec)["id"]
        move(app, job, JobState.FINISHING)
        problem = {"code": "finish_failed", "title": "x", "detail": "x", "trials": []}
        with services(app).database.write() as session:
            jobs.fail(session, job, problem, stop_reason="completed")
        told = read(api, job)
        assert (told[-3].data["error"], told[-1].kind) == (problem, "end")
        changed = {"budget": {"max_trials": 30}}
        assert api.request("PATCH", f"/v1/jobs/{job}", json=changed).status_code == 200
        again = read(api, job, told[-2].id, follow="false")
        assert short(again) == [("job", "running"), ("progress",)]


class TestResuming:
    def test_from_any_place_comes_the_rest(self, api: Api, ended: str) -> None:
        whole = read(api, ended)
        lasting = [one for one in whole if one.kind != "progress"]
        for cut in range(len(whole)):
            # What a client has got when the connection is cut there, and the last id that it has seen.
            got = whole[: cut + 1]
            ids = [one.id for one in got if one.id is not None]
            whole_revisions = max((n + 1 for n, one in enumerate(got) if one.id is not None), default=0)
            kept = got[:whole_revisions]
            rest = [one for one in read(api, ended, ids[-1] if ids else 0) if one.kind != "progress"]
            before = [one for one in kept if one.kind not in ("progress", "end")]
            assert before + rest == lasting

    def test_ids_grow_and_stand_at_the_last_event_of_a_revision(self, api: Api, ended: str) -> None:
        ids = [one.id for one in read(api, ended) if one.id is not None]
        assert ids == sorted(set(ids))
        for one in ids:
            rest = read(api, ended, one)
            assert [later.id for later in rest if later.id is not None] == [
                later for later in ids if later > one
            ] or one == ids[-1]

    def test_small_pages_tell_the_same(self, api: Api, ended: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def stored() -> list[Told]:
            return [one for one in read(api, ended) if one.kind != "progress"]

        whole = stored()
        for size in (1, 2, 3, len(whole) - 1, len(whole)):
            monkeypatch.setattr(events, "_PAGE", size)
            assert stored() == whole

    def test_the_header_wins_over_the_query(self, api: Api, ended: str) -> None:
        assert short(read(api, ended, after=7)) == short(read(api, ended, 7)) != short(read(api, ended))
        assert short(read(api, ended, 7, after=1)) == short(read(api, ended, 7))
        assert short(read(api, ended, "")) == short(read(api, ended))

    def test_who_knows_all_is_told_how_it_stands(self, api: Api, ended: str) -> None:
        revision = api.get(f"/v1/jobs/{ended}").json["revision"]
        for last in (revision, revision + 1, 10**18 - 1):
            found = read(api, ended, last)
            assert short(found) == [("progress",), ("end",)]
            assert found[0].id == revision

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_last_event_id_that_is_none_is_refused(self, api: Api, ended: str) -> None:
        for last in ("x", "-1", "1.5", "1 2", "\u0661", "9" * 19, "9" * 5000, "0x1"):
            headers = {"Last-Event-ID": last.encode().decode("latin-1")}
            problem(api.get(f"/v1/jobs/{ended}/events", headers=headers), 422, "invalid_last_event_id")

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_a_query_that_does_not_fit_is_refused(self, api: Api, ended: str) -> None:
        for query in ({"after": "x"}, {"after": "-1"}, {"follow": "yes"}, {"follow": ""}, {"since": "1"}):
            answer = opened(api, ended, **query)
            assert answer.status_code == 422
            assert answer.json["errors"][0]["pointer"] == "/" + next(iter(query))


class TestFollowing:
    def test_what_happens_is_told_as_it_happens(self, app: Flask, api: Api, job: str) -> None:
        stream = Stream(opened(api, job))
        first = stream.until("progress")
        assert first[-1].data["progress"]["pending"] == 1
        report(app, job, 2)
        assert short(stream.until("progress")) == [("trial", 2, "running"), ("epoch", 2, 1), ("progress",)]
        with services(app).database.write() as session:
            trials.cancel(session, job, 2)
        assert short(stream.until("progress")) == [("progress",)]
        with services(app).database.write() as session:
            attempts.hand_back_all(session, "worker")
        cancel(app, job)
        assert short(stream.until("end"))[-4:] == [
            ("job", "cancelling"),
            ("job", "cancelled"),
            ("progress",),
            ("end",),
        ]
        assert stream.has_ended()
        stream.close()

    def test_the_job_ends_only_after_all_of_it_was_told(self, app: Flask, api: Api, job: str) -> None:
        stream = Stream(opened(api, job))
        told = stream.until("progress")
        cancel(app, job)
        told += stream.until("end")
        stream.close()
        kept = [one for one in told if one.kind != "progress"]
        assert short(kept) == [one for one in short(read(api, job)) if one != ("progress",)]

    def test_without_following_it_ends_after_what_there_is(self, api: Api, job: str) -> None:
        found = read(api, job, follow="false")
        assert short(found)[-2:] == [("trial", 1, "failed"), ("progress",)]
        assert short(read(api, job, found[-1].id, follow="false")) == [("progress",)]

    def test_silence_is_broken_by_comments(self, api: Api, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(events, "_QUIET_SECONDS", 0.002)
        stream = Stream(opened(api, job))
        stream.until("progress")
        assert [stream.next().kind for _ in range(3)] == [":"] * 3
        stream.close()

    def test_a_stream_does_not_last_for_ever(
        self, api: Api, job: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "_LONGEST_SECONDS", 0.0)
        assert short(read(api, job))[-1] == ("progress",)

    def test_a_stream_ends_with_the_process(self, app: Flask, api: Api, job: str) -> None:
        services(app).streams.stopping.set()
        assert short(read(api, job))[-1] == ("progress",)

    def test_a_long_list_of_events_is_cut_short_too(
        self, app: Flask, api: Api, ended: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = read(api, ended)
        monkeypatch.setattr(events, "_PAGE", 4)
        services(app).streams.stopping.set()
        part = read(api, ended)
        assert part == whole[: len(part)]
        assert len(part) == 3
        services(app).streams.stopping.clear()
        last = max(one.id for one in part if one.id is not None)
        assert [one for one in read(api, ended, last) if one.kind == "end"] == whole[-1:]

    def test_a_stream_ends_when_its_key_is_revoked(
        self, app: Flask, api: Api, job: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "_QUIET_SECONDS", 0.0)
        stream = Stream(opened(api, job))
        stream.until("progress")
        assert stream.next().kind == ":"
        with services(app).database.write() as session:
            keys.revoke(session, api.key.split("_")[1])
        # What it has looked up before may still come.
        assert stream.has_ended() or stream.has_ended()
        stream.close()

    def test_a_stream_ends_when_its_job_is_deleted(self, app: Flask, api: Api, job: str) -> None:
        stream = Stream(opened(api, job))
        stream.until("progress")
        with services(app).database.write() as session:
            session.delete(session.get_one(JobRow, job))
        assert stream.has_ended()
        stream.close()

    def test_a_change_without_an_event_is_told_as_progress(self, app: Flask, api: Api, job: str) -> None:
        stream = Stream(opened(api, job))
        first = stream.until("progress")[-1]
        assert api.request("PATCH", f"/v1/jobs/{job}", json={"name": "other"}).status_code == 200
        (second,) = stream.until("progress")
        assert second.id == (first.id or 0) + 1
        stream.close()


class TestWhoMay:
    def test_a_job_of_another_project_is_not_there(self, make_api: Callable[..., Api], ended: str) -> None:
        problem(opened(make_api(project="other"), ended), 404, "job_not_found")
        problem(opened(make_api(), "job_none"), 404, "job_not_found")

    def test_reading_is_enough(self, make_api: Callable[..., Api], ended: str) -> None:
        assert short(read(make_api(scopes=["read"]), ended))[-1] == ("end",)

    def test_head_tells_the_headers_and_takes_no_place(self, app: Flask, api: Api, job: str) -> None:
        for _ in range(services(app).settings.streams_per_key + 1):
            answer = api.request("HEAD", f"/v1/jobs/{job}/events")
            assert (answer.status_code, answer.mimetype, answer.data) == (200, "text/event-stream", b"")
        problem_free = api.request("HEAD", "/v1/jobs/job_none/events")
        assert problem_free.status_code == 404


class TestPlaces:
    def test_a_key_has_so_many_and_gets_them_back(
        self, app: Flask, api: Api, make_api: Callable[..., Api], job: str
    ) -> None:
        most = services(app).settings.streams_per_key
        for _ in range(2):
            held = [opened(api, job) for _ in range(most)]
            refused = problem(opened(api, job), 429, "too_many_streams")
            assert str(most) in refused["detail"]
            assert opened(api, job).headers["Retry-After"] == "10"
            other = opened(make_api(), job)
            assert other.status_code == 200
            for one in (*held, other):
                one.close()

    def test_a_place_comes_back_however_the_stream_ends(self, app: Flask, api: Api, job: str) -> None:
        streams = services(app).streams
        # Cut before, in the middle, at the end; and closed twice.
        for reads in (0, 1, 5):
            answer = opened(api, job)
            chunks = iter(answer.response)
            for _ in range(reads and 2):
                next(chunks)
            assert streams._open.total() == 1
            answer.close()
            answer.close()
            assert streams._open == {}
        read(api, job, follow="false")
        cancel(app, job)
        read(api, job)
        assert streams._open == {}

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    @pytest.mark.parametrize(("threads", "places"), [(1, 0), (2, 1), (8, 4), (9, 4)])
    def test_half_of_the_threads_are_for_others(
        self, settings: Settings, api: Api, job: str, threads: int, places: int
    ) -> None:
        app = create_app(replace(settings, api_threads=threads, streams_per_key=100))
        mine = Api(app.test_client(), api.key)
        held = [opened(mine, job) for _ in range(places)]
        assert all(one.status_code == 200 for one in held)
        problem(opened(mine, job), 429, "too_many_streams")
        free = threads * 3 // 4 - places
        waiting = services(app).waiting
        assert all(waiting.acquire(blocking=False) for _ in range(free))
        assert places == 0 or not waiting.acquire(blocking=False)
        for one in held:
            one.close()
        services(app).database.close()

    @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
    def test_requests_that_wait_take_places_too(self, app: Flask, api: Api, job: str) -> None:
        waiting = services(app).waiting
        taken = 0
        while waiting.acquire(blocking=False):
            taken += 1
        problem(opened(api, job), 429, "too_many_streams")
        waiting.release()
        answer = opened(api, job)
        assert answer.status_code == 200
        answer.close()
        waiting.release(taken - 1)


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The address of a gunicorn with the API, and its process."""
    log = tmp_path / "api.log"
    environment = {**os.environ, **replace(settings, streams_per_key=1).to_environment()}
    with log.open("wb") as target:
        process = subprocess.Popen(parts.api(settings, "127.0.0.1:0"), env=environment, stderr=target)
    wait_until(lambda: "Booting worker" in log.read_text(), 30, "the server listens")
    found = re.search(r"Listening at: http://(\S+)", log.read_text())
    assert found is not None
    yield found[1], process
    process.kill()
    process.wait()


def answered(address: str, api: Api, job_id: str) -> tuple[HTTPConnection, HTTPResponse]:
    connection = HTTPConnection(address, timeout=20)
    connection.request("GET", f"/v1/jobs/{job_id}/events", headers={"Authorization": f"Bearer {api.key}"})
    return connection, connection.getresponse()


def lines_after_progress(answer: HTTPResponse) -> Iterator[bytes]:
    lines = iter(answer.readline, b"")
    while next(lines) != b"event: progress\n":
        pass
    return lines


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_real_stream_arrives_at_once_and_holds_up_nothing(
    server: tuple[str, "subprocess.Popen[bytes]"], app: Flask, api: Api, job: str, spec: Spec
) -> None:
    address, process = server
    connection, answer = answered(address, api, job)
    assert (answer.status, answer.getheader("Transfer-Encoding")) == (200, "chunked")
    lines = lines_after_progress(answer)
    # The only place: it comes back when the client hangs up, and a write is not waited for.
    held, refused = answered(address, api, job)
    assert refused.status == 429
    held.close()
    answer.close()
    connection.close()

    def again() -> Any:
        connection, answer = answered(address, api, job)
        return answer if answer.status == 200 else connection.close()

    lines = lines_after_progress(wait_until(again, 5, "the place is free again"))
    cancel(app, job)
    assert b"event: job\n" in lines
    assert b"event: end\n" in lines
    assert list(lines)[-1] == b"\n"
    # Another, which nothing ends but the server's own end.
    connection, answer = answered(address, api, posted(api, spec)["id"])
    lines = lines_after_progress(answer)
    began = time.monotonic()
    process.terminate()
    assert list(lines)[-1] == b"\n"
    # What does not end by itself is killed after five seconds.
    assert time.monotonic() - began < 4
