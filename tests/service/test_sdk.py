"""The SDK against the real application, in process: what it asks for is what the service offers."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from flask import Flask

import tuneserve
from schemas.states import JobState
from store import jobs
from tests.conftest import Api
from tests.service.rows import add_trials, complete, publish, services
from tuneserve import Client, Job

Spec = dict[str, Any]


@pytest.fixture
def connect(app: Flask) -> Iterator[Callable[[str], Client]]:
    opened: list[Client] = []

    def make(key: str) -> Client:
        transport = httpx2.WSGITransport(app)
        opened.append(Client("http://service.test", key, max_retries=0, transport=transport))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def client(connect: Callable[[str], Client], api: Api) -> Client:
    return connect(api.key)


@pytest.fixture
def job(client: Client, app: Flask, spec: Spec) -> Job:
    """A job with two trials that have ended and one that waits."""
    made = client.jobs.create(spec, name="digits", labels={"team": "vision"})
    move(app, made, JobState.RUNNING)
    add_trials(app, made.id, 3)
    complete(app, made.id, 0, 0.8, epochs=2)
    complete(app, made.id, 1, None)
    return made.reload()


def move(app: Flask, job: Job, *states: JobState) -> None:
    with services(app).database.write() as session:
        for state in states:
            assert jobs.move(session, job.id, state)


def test_what_it_reads(client: Client, job: Job) -> None:
    assert (job.state, job.progress.completed, job.progress.failed) == ("running", 1, 1)
    assert (job.name, job.labels, job.best_hyperparameters) == (
        "digits",
        {"team": "vision"},
        {"training.learning_rate": 0.001},
    )
    first, second, third = job.trials(order_by="number")
    assert [epoch.epoch for epoch in first.epochs] == [1, 2]
    assert second.error is not None
    assert second.error.code == "non_finite_objective"
    assert (first.is_ended, second.is_ended, third.is_ended) == (True, True, False)
    assert job.trial(0) == first
    assert job.trials_csv().count("\n") == 4
    frame = job.to_dataframe()
    assert list(frame["state"]) == ["completed", "failed", "pending"]
    assert "digits" in job._repr_html_()
    assert client.info()["slots"] == 0
    assert "cnn" in str(client.catalog())


def test_charts_are_drawn(job: Job) -> None:
    known = [info.name for info in job.charts()]
    assert {"history", "curves", "parallel", "importance", "timeline"} <= set(known)
    kinds = [set(job.chart(name)._repr_mimebundle_()) for name in known]
    assert all("image/png" in found and len(found) == 3 for found in kinds)
    with pytest.raises(tuneserve.NotFound, match="chart_not_found"):
        job.chart("pie")


def test_events_from_the_beginning_and_after(job: Job) -> None:
    found = list(job.events(follow=False))
    kinds = [event.type for event in found]
    assert kinds.count("epoch") == 3
    assert {"job", "trial", "epoch", "progress"} == set(kinds)
    assert found[-1].sequence == job.revision
    assert found[-1].data["progress"]["completed"] == 1
    halfway = next(event.sequence for event in found if event.sequence)
    later = list(job.events(after=halfway, follow=False))
    # The last is not kept but made anew: it says how the job stands.
    assert later[:-1] == found[len(found) - len(later) : -1]
    assert len(later) > 3
    assert not list(job.events(after=job.revision, follow=False))


def test_waiting_follows_the_stream_to_its_end(app: Flask, job: Job) -> None:
    """The trial that is still open ends while the stream is read, and then the job does."""
    seen: list[tuple[str, int]] = []
    told: list[int] = []

    def finish() -> None:
        complete(app, job.id, 2, 0.9)
        move(app, job, JobState.FINISHING, JobState.SUCCEEDED)

    later = threading.Timer(0.1, finish)
    later.start()
    job.wait(
        timeout=60,
        progress=lambda job: seen.append((job.state, job.progress.ended)),
        on_trial=lambda trial: told.append(trial.number),
    )
    later.join()
    assert (job.state, told, seen[0], seen[-1]) == ("succeeded", [0, 1, 2], ("running", 2), ("succeeded", 3))
    assert [event.type for event in job.events(after=job.revision)] == ["end"]


def test_steering(client: Client, job: Job) -> None:
    assert job.pause().state == "paused"
    assert job.resume().state == "running"
    assert job.update(name="new", labels={"a": "b"}).labels == {"a": "b"}
    assert job.extend(max_trials=7).progress.max_trials == 7
    assert job.cancel_trial(2).is_ended
    copy = job.clone(name="copy", training={"epochs": tuneserve.Choice([1, 2])})
    assert copy.spec["training"]["epochs"]["values"] == [1, 2]
    assert copy.spec["training"]["batch_size"] == 64
    with pytest.raises(tuneserve.Conflict, match="job_not_ended"):
        job.delete()
    assert job.cancel().reload().state in ("cancelling", "cancelled")
    with pytest.raises(tuneserve.JobFailed):
        copy.cancel().wait(30)
    copy.delete()
    with pytest.raises(tuneserve.NotFound):
        client.jobs.get(copy.id)


def test_the_same_job_is_found_by_its_digests(client: Client, job: Job, spec: Spec) -> None:
    check = client.jobs.validate(spec, name="another name")
    assert (check.valid, check.spec_digest) == (True, job.spec_digest)
    found = client.jobs.list(spec_digest=check.spec_digest, dataset_digest=check.dataset_digest)
    assert [one.id for one in found] == [job.id]
    assert not list(client.jobs.list(spec_digest="sha256:" + "0" * 64))
    assert [one.id for one in client.jobs.list("running", label="team:vision", q="digits")] == [job.id]
    # A clock of SQLite has more digits than a time in JSON: not to the microsecond.
    assert job.create_time
    assert not list(client.jobs.list(created_before=job.create_time - timedelta(milliseconds=1)))
    assert list(client.jobs.list(created_before=job.create_time + timedelta(milliseconds=1)))


def test_one_idempotency_key_is_one_job(client: Client, spec: Spec) -> None:
    first, second = (client.jobs.create(spec, idempotency_key="build-7") for _ in range(2))
    assert first.id == second.id
    with pytest.raises(tuneserve.Invalid, match="idempotency_key_reused"):
        client.jobs.create(spec, seed=1, idempotency_key="build-7")


def test_a_download_is_what_was_published(app: Flask, job: Job, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    publish(app, job.id, "model.keras", content, tmp_path)
    path = job.download_model(tmp_path / "models" / "mine.keras")
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
    with pytest.raises(tuneserve.NotFound):
        job.download("else.txt", tmp_path)


def test_an_upload_becomes_a_job(client: Client) -> None:
    x = np.arange(40 * 8 * 8, dtype="uint8").reshape(40, 8, 8)
    dataset = client.datasets.upload(x=x, y=np.arange(40) % 2, class_names=["a", "b"])
    assert client.datasets.upload(x=x, y=np.arange(40) % 2, class_names=["a", "b"]).id == dataset.id
    job = client.jobs.create(
        dataset=dataset,
        model={"family": "cnn", "filters": tuneserve.Choice([8, 16])},
        training={"learning_rate": tuneserve.Float(1e-4, 1e-1, sampling="log"), "epochs": 1},
        budget={"max_trials": 1},
    )
    assert job.dataset_digest == dataset.digest
    assert [one.id for one in client.jobs.list(dataset=dataset)] == [job.id]


def test_wrong_keys_and_specs(
    connect: Callable[[str], Client], make_api: Callable[..., Api], job: Job, spec: Spec
) -> None:
    with pytest.raises(tuneserve.Unauthorized):
        connect("tns_no_key").jobs.get(job.id)
    other = connect(make_api(project="other").key)
    for ask in (other.jobs.get, lambda id: list(Job(other, {"id": id, "state": "running"}).events())):
        with pytest.raises(tuneserve.NotFound):
            ask(job.id)
    with pytest.raises(tuneserve.Forbidden, match="insufficient_scope"):
        connect(make_api(scopes=("read",)).key).jobs.create(spec)
    with pytest.raises(tuneserve.Invalid, match="/training/epochs"):
        other.jobs.create(spec, training={"epochs": 3.7})
    assert not other.jobs.validate(spec, seed=-1).valid
