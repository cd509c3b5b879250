"""Waiting for a job: by events, by polls where there are none, in time, and not for ever."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from sdk_server import Answer, Stream, event

import tuneserve
from tuneserve import events, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk_server import Server

    from tuneserve import Client

JOB = "GET /v1/jobs/job_1"
EVENTS = JOB + "/events"
TRIALS = JOB + "/trials"
HTML = {"Content-Type": "text/html"}


def tagged(document: dict[str, Any], tag: str = '"1"') -> Answer:
    return Answer(200, document, {"ETag": tag})


def progress(revision: int, state: str = "running", **changes: Any) -> bytes:
    counts = {"max_trials": 10, "completed": revision}
    data = {"state": state, "stop_reason": None, "progress": counts, "best": None, "revision": revision}
    return event("progress", {**data, **changes}, revision)


def ended(number: int, state: str = "completed") -> bytes:
    return event("trial", {"number": number, "state": state, "score": 0.5})


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What keeps a stream open until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_by_events(server: Server, client: Client, job) -> None:
    server.on(JOB, tagged(job()), Answer(304), tagged(job("succeeded", revision=44), '"44"'))
    finishing = event("job", {"state": "finishing", "stop_reason": "target_reached"}, 43)
    end = event("end", {"state": "succeeded", "stop_reason": "target_reached"})
    server.on(EVENTS, Stream([progress(42), finishing, end]))
    seen = []
    got = client.jobs.get("job_1")
    got.wait(progress=lambda job: seen.append((job.state, job.progress.completed, job.revision)))
    assert seen[0] == ("running", 6, 41)
    assert seen[1:] == [("running", 42, 42), ("finishing", 42, 42), ("succeeded", 6, 44)]
    (asked,) = server.asked_for(EVENTS)
    assert asked.headers["Last-Event-ID"] == "41"
    assert (got.revision, len(server.asked_for(JOB))) == (44, 3)


def test_polls_hold_and_call_at_each_change(server: Server, client: Client, job) -> None:
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    server.on(
        JOB,
        tagged(job("queued", revision=1)),
        Answer(304),
        tagged(job("running", revision=2), '"2"'),
        tagged(job("succeeded", revision=3), '"3"'),
    )
    seen: list[str] = []
    made = client.jobs.create(seed=0)
    assert made.wait(progress=lambda job: seen.append(job.state)) is made
    assert seen == ["queued", "running", "succeeded"]
    polls = server.asked_for(JOB)
    assert [asked.headers.get("If-None-Match") for asked in polls] == [None, '"1"', '"1"', '"2"']
    assert [asked.query.get("wait") for asked in polls] == [None, None, ["20"], ["20"]]


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(404, {"code": "not_found"}),
        Answer(405, {}),
        Answer(406, {"code": "not_acceptable"}),
        Answer(429, {"code": "too_many_streams"}, {"Retry-After": "30"}),
        Answer(200, b"<html>Log in</html>", HTML),
        Stream([b"data: no json\n\n"]),
    ],
)
def test_events_that_are_refused_are_not_asked_for_again(
    server: Server, client: Client, job, refusal: Answer | Stream
) -> None:
    server.on(EVENTS, refusal)
    server.on(JOB, tagged(job()), Answer(304), Answer(304), tagged(job("succeeded")))
    assert tuneserve.Job(client, job()).wait().state == "succeeded"
    assert len(server.asked_for(EVENTS)) == 1


def test_events_that_are_held_back_are_given_up(
    server: Server, client: Client, job, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PATIENCE_SECONDS", 0.05)
    server.on(EVENTS, Stream([held]))
    server.on(JOB, tagged(job()), Answer(304), tagged(job("succeeded")))
    assert tuneserve.Job(client, job()).wait().state == "succeeded"
    assert len(server.asked_for(EVENTS)) == 1


def test_a_cut_stream_goes_on_and_a_dead_one_is_replaced_by_polls(
    server: Server, client: Client, job
) -> None:
    server.on(EVENTS, Stream([progress(42)], cut=True), Stream([progress(43)], cut=True), Answer(cut=0))
    server.on(JOB, tagged(job(revision=41)), tagged(job("succeeded")))
    assert tuneserve.Job(client, job()).wait().state == "succeeded"
    ids = [asked.headers["Last-Event-ID"] for asked in server.asked_for(EVENTS)]
    assert ids == ["41", "42", "43", "43"]


@pytest.mark.parametrize("sent", [[], [b": keep-alive\n\n"]])
def test_times_out_beside_an_open_stream(
    server: Server,
    client: Client,
    job,
    held: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    sent: list[bytes],
) -> None:
    monkeypatch.setattr(events, "PATIENCE_SECONDS", 0.1)
    server.on(EVENTS, Stream([*sent, held]))
    server.on(JOB, tagged(job()), Answer(304))
    start = time.monotonic()
    with pytest.raises(tuneserve.WaitTimeout, match=r"job_1 is still running after 0\.3 s"):
        tuneserve.Job(client, job()).wait(0.3)
    assert 0.3 <= time.monotonic() - start < 1.3


def test_times_out_beside_a_stream_that_is_closed_again_and_again(
    server: Server, client: Client, job, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection is opened that could be silent until after the time."""
    monkeypatch.setattr(events, "PATIENCE_SECONDS", 0.2)
    late = threading.Timer(0.15, held.set)
    late.start()
    server.on(EVENTS, Stream([progress(42), held]), Stream([progress(43), threading.Event()]))
    server.on(JOB, tagged(job(revision=41)), Answer(304))
    start = time.monotonic()
    with pytest.raises(tuneserve.WaitTimeout):
        tuneserve.Job(client, job()).wait(0.3)
    assert 0.3 <= time.monotonic() - start < 1.3
    assert len(server.asked_for(EVENTS)) == 1
    late.join()


def test_a_trial_that_cannot_be_read_now_is_told_later(server: Server, client: Client, job) -> None:
    done = {"number": 0, "state": "completed"}
    server.on(JOB, tagged(job(progress={})), tagged(job("succeeded", progress={"completed": 1})))
    server.on(TRIALS + "/0", Answer(502, b"<html>nginx</html>", HTML))
    server.on(TRIALS, Answer(200, {"items": [done]}))
    server.on(EVENTS, Stream([ended(0), progress(42, "succeeded")]))
    told: list[int] = []
    tuneserve.Job(client, job()).wait(on_trial=lambda trial: told.append(trial.number))
    assert told == [0]
    server.on(TRIALS, Answer(502, b"<html>nginx</html>", HTML))
    with pytest.raises(tuneserve.ServerFault):
        tuneserve.Job(client, job()).wait(on_trial=lambda trial: told.append(trial.number))


def test_times_out_beside_a_service_that_does_not_answer(
    server: Server, client: Client, job, held: threading.Event
) -> None:
    server.on(JOB, tagged(job()), Stream([held]))
    start = time.monotonic()
    with pytest.raises(tuneserve.WaitTimeout):
        tuneserve.Job(client, job()).wait(0.2)
    assert 0.2 <= time.monotonic() - start < 1.2


def test_a_first_answer_that_comes_too_late_is_a_timeout(
    server: Server, client: Client, job, held: threading.Event
) -> None:
    server.on(JOB, Stream([held]))
    start = time.monotonic()
    with pytest.raises(tuneserve.WaitTimeout, match=r"still running after 0\.1 s") as caught:
        tuneserve.Job(client, job()).wait(0.1)
    assert isinstance(caught.value.__cause__, tuneserve.ConnectionFailed)
    assert time.monotonic() - start < 1.1


def test_a_job_that_has_ended_is_waited_for_in_no_time(server: Server, client: Client, job) -> None:
    late = threading.Event()
    timer = threading.Timer(0.05, late.set)
    timer.start()
    content = json.dumps(job("succeeded")).encode()
    server.on(JOB, Stream([late, content], headers={"Content-Type": "application/json"}))
    assert tuneserve.Job(client, job("succeeded")).wait(timeout=0).state == "succeeded"
    timer.join()


FAULTS = [
    Answer(500, {"code": "internal"}),
    Answer(200, b"<html>Back soon</html>", HTML),
    Answer(404, b"<html>default backend</html>", HTML),
    Answer(200, {"hello": 1}),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_does_not_end_the_waiting(server: Server, client: Client, job, fault: Answer) -> None:
    server.on(JOB, tagged(job()), Answer(304), fault, tagged(job("succeeded")))
    assert tuneserve.Job(client, job()).wait().state == "succeeded"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_ends_the_waiting(
    server: Server, client: Client, job, fault: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "OUTAGE_SECONDS", 0.0)
    server.on(JOB, tagged(job()), Answer(304), fault)
    with pytest.raises(tuneserve.ApiError) as caught:
        tuneserve.Job(client, job()).wait()
    assert caught.value.status == fault.status


def test_trials_that_stop_after_the_end_are_told(server: Server, client: Client, job) -> None:
    """The counts are those of the moment at which the job ended; the list is asked for later."""
    counts = {"completed": 1, "running": 1}
    server.on(JOB, tagged(job(progress=counts)), tagged(job("failed", progress=counts)))
    server.on(TRIALS + "/0", Answer(200, {"number": 0, "state": "completed"}))
    listed = [{"number": 0, "state": "completed"}, {"number": 1, "state": "cancelled"}]
    server.on(TRIALS, Answer(200, {"items": listed[:1]}), Answer(200, {"items": listed}))
    end = event("end", {"state": "failed", "stop_reason": "no_completed_trial"})
    server.on(EVENTS, Stream([ended(0), progress(42, progress=counts), end]))
    told: list[int] = []
    got = tuneserve.Job(client, job())
    got.wait(on_trial=lambda trial: told.append(trial.number), raise_on_failure=False)
    assert told == [0, 1]


def test_a_service_that_is_away_for_a_while_is_waited_for(server: Server, client: Client, job) -> None:
    away = [Answer(503, {}, {"Retry-After": "0"}), Answer(cut=0), Answer(502, b"<html>nginx</html>", HTML)]
    server.on(JOB, tagged(job()), *away, *away, tagged(job("succeeded")))
    assert tuneserve.Job(client, job()).wait().state == "succeeded"


def test_but_not_for_ever_and_not_if_it_was_never_there(
    server: Server, client: Client, job, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on(JOB, Answer(cut=0))
    with pytest.raises(tuneserve.ConnectionFailed):
        tuneserve.Job(client, job()).wait()
    assert len(server.asked) == 3
    monkeypatch.setattr(waiting, "OUTAGE_SECONDS", 0.0)
    server.on(JOB, tagged(job()), Answer(cut=0))
    with pytest.raises(tuneserve.ConnectionFailed):
        tuneserve.Job(client, job()).wait()


@pytest.mark.parametrize("gone", [Answer(401, {"code": "invalid_key"}), Answer(404, {"code": "not_found"})])
def test_a_key_or_a_job_that_is_gone_ends_the_waiting(
    server: Server, client: Client, job, gone: Answer
) -> None:
    server.on(JOB, tagged(job()), gone)
    server.on(EVENTS, gone)
    with pytest.raises(tuneserve.ApiError, match=gone.body["code"]):
        tuneserve.Job(client, job()).wait()


def test_each_ended_trial_is_told_once_by_events(server: Server, client: Client, job) -> None:
    def trial(number: int) -> dict[str, Any]:
        return {"number": number, "state": "completed", "epochs": [{"epoch": 1}]}

    before, after = {"completed": 1, "running": 2}, {"completed": 4}
    server.on(JOB, tagged(job(progress=before)), tagged(job("succeeded", progress=after)))
    running = {"number": 1, "state": "running"}
    # At first 0 has ended; the end finds 3 too, of which no event told.
    listed = [[trial(0), running], [trial(number) for number in range(4)]]
    server.on(TRIALS, *(Answer(200, {"items": items}) for items in listed))
    for number in (1, 2):
        server.on(f"{TRIALS}/{number}", Answer(200, trial(number)))
    again = event("trial", {"number": 2, "state": "pending", "reason": "lost"}, 42)
    happened = [ended(0), ended(1), again, ended(2, "archived"), progress(43), progress(44, "succeeded")]
    server.on(EVENTS, Stream(happened))
    told: list[tuneserve.Trial] = []
    tuneserve.Job(client, job()).wait(on_trial=told.append)
    assert [trial.number for trial in told] == [0, 1, 2, 3]
    assert all(trial.epochs for trial in told)


def test_trials_of_a_job_that_is_known_and_over(server: Server, client: Client, job) -> None:
    server.on(JOB, tagged(job("succeeded", progress={"completed": 1})), Answer(304))
    server.on(TRIALS, Answer(200, {"items": [{"number": 0, "state": "completed"}]}))
    told: list[int] = []
    client.jobs.get("job_1").wait(on_trial=lambda trial: told.append(trial.number))
    assert told == [0]


def test_each_ended_trial_is_told_once_by_polls(server: Server, client: Client, job) -> None:
    counts = [{"completed": 0, "running": 2}, {"completed": 1}, {"completed": 1, "failed": 1}]
    server.on(
        JOB, *(tagged(job(progress=one)) for one in counts), tagged(job("succeeded", progress=counts[2]))
    )
    done, failed = {"number": 4, "state": "completed"}, {"number": 5, "state": "failed"}
    server.on(TRIALS, Answer(200, {"items": [done]}), Answer(200, {"items": [done, failed]}))
    told: list[int] = []
    tuneserve.Job(client, job()).wait(on_trial=lambda trial: told.append(trial.number))
    assert told == [4, 5]
    assert len(server.asked_for(TRIALS)) == 2


@pytest.mark.parametrize("with_events", [True, False])
@pytest.mark.parametrize("error", [tuneserve.NotFound(404, "of_the_caller", "Not Found"), KeyError("a")])
def test_what_a_callback_raises_ends_the_waiting(
    server: Server, client: Client, job, error: Exception, with_events: bool
) -> None:
    counts = [{"completed": 0}, {"completed": 1}]
    server.on(JOB, *(tagged(job(progress=one)) for one in counts))
    server.on(TRIALS, Answer(200, {"items": [{"number": 0, "state": "completed"}]}))
    server.on(TRIALS + "/0", Answer(200, {"number": 0, "state": "completed"}))
    if with_events:
        server.on(EVENTS, Stream([ended(0), progress(42)]))

    def fail(trial: tuneserve.Trial) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        tuneserve.Job(client, job()).wait(on_trial=fail)
    assert caught.value is error


@pytest.mark.parametrize(("shown", "said"), [("auto", True), (True, True), (False, False)])
def test_an_interrupt_leaves_the_job_and_says_its_id(
    server: Server, client: Client, job, capsys: pytest.CaptureFixture, shown: Any, said: bool
) -> None:
    server.on(JOB, tagged(job(progress={"completed": 1})))
    server.on(TRIALS, Answer(200, {"items": [{"number": 0, "state": "completed"}]}))

    def interrupt(trial: tuneserve.Trial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuneserve.Job(client, job()).wait(progress=shown, on_trial=interrupt)
    out, err = capsys.readouterr()
    assert ("job job_1 goes on: client.jobs.get('job_1')\n" in err) is said
    assert (out, server.count("POST")) == ("", 0)


def test_a_newer_service(server: Server, client: Client, job) -> None:
    """Unknown states, types and fields: the job goes on until the service says that it has ended."""
    server.on(JOB, tagged(job("dreaming")), tagged(job("archived")))
    dream = event("dream", {"of": "sheep"}, 42)
    end = event("end", {"state": "archived", "stop_reason": "bored", "new": 1})
    server.on(EVENTS, Stream([dream, progress(43, "sleeping", new={"a": 1}), end]))
    seen: list[str] = []
    got = tuneserve.Job(client, job())
    got.wait(progress=lambda job: seen.append(job.state), raise_on_failure=False)
    assert seen == ["dreaming", "sleeping", "archived"]
    assert got.is_terminal
    with pytest.raises(tuneserve.JobFailed, match="ended archived"):
        got.wait()
