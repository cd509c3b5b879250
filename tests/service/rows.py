"""What a worker would have written, put down by the store's own functions; and answers, read strictly."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask
from sqlalchemy import func, select, update

from schemas.artifacts import Artifact
from schemas.states import TrialState
from schemas.trials import Epoch, Suggestion
from service.context import EXTENSION, Services
from store import artifacts, attempts, trials
from store.attempts import Outcome
from store.tables import Table, TrialRow
from tests.conftest import Api

ROOT = Path(__file__).parents[2]

START = datetime(2026, 1, 1, tzinfo=UTC)


def services(app: Flask) -> Services:
    found: Services = app.extensions[EXTENSION]
    return found


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem that was answered; it must be complete, and tell nothing of the inside."""
    assert (answer.status_code, answer.json and answer.json.get("code")) == (status, code), answer.text
    assert answer.mimetype == "application/problem+json"
    document: dict[str, Any] = answer.json
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(document)
    assert document["status"] == status
    assert document["request_id"] == answer.headers["X-Request-ID"]
    for inside in ("Traceback", str(ROOT), "site-packages", "SELECT ", "INSERT ", "sqlalchemy", "psycopg"):
        assert inside not in answer.text
    return document


def posted(api: Api, spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A job, as it was accepted."""
    answer = api.post("/v1/jobs", json={**spec, **changes})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json
    return job


def add_trials(app: Flask, job_id: str, count: int) -> None:
    """Pending trials from number 0."""
    with services(app).database.write() as session:
        found = [{"training.learning_rate": 0.001 * (number + 1)} for number in range(count)]
        trials.create(session, job_id, 0, [Suggestion(one) for one in found])


def complete(
    app: Flask, job_id: str, number: int, score: float | None, epochs: int = 1, seconds: float = 1.0
) -> None:
    """A trial that ran to its end; without a score it failed."""
    with services(app).database.write() as session:
        claim = attempts.claim(session, job_id, number, "worker", 60)
        assert claim is not None
        for epoch in range(1, epochs + 1):
            metrics = {"val_accuracy": score, "val_loss": None, "accuracy": 0.5}
            attempts.report(session, claim.lease, Epoch(epoch, 0.5, 0.001, metrics), 60)
        attempts.complete(session, claim.lease, outcome(score, epochs))
        mine = (TrialRow.job_id == job_id, TrialRow.number == number)
        times = {"start_time": START, "end_time": START + timedelta(seconds=seconds)}
        session.execute(update(TrialRow).where(*mine).values(**times))


def outcome(score: float | None, epochs: int) -> Outcome:
    if score is None:
        error = {"code": "non_finite_objective", "message": "val_accuracy was NaN."}
        return Outcome(TrialState.FAILED, error=error)
    metrics = {"val_accuracy": score, "val_loss": None, "accuracy": 0.5}
    return Outcome(TrialState.COMPLETED, score, epochs, metrics, parameters=2314)


def publish(app: Flask, job_id: str, name: str, content: bytes, tmp_path: Path) -> Artifact:
    """The artefact of a job: its blob, and the row that names it."""
    return publish_all(app, job_id, {name: content}, tmp_path)[0]


def publish_all(app: Flask, job_id: str, contents: Mapping[str, bytes], tmp_path: Path) -> list[Artifact]:
    """The artefacts of a job, instead of those that it had."""
    found = [_stored(app, job_id, name, content, tmp_path) for name, content in contents.items()]
    with services(app).database.write() as session:
        artifacts.publish(session, job_id, found)
    return found


def _stored(app: Flask, job_id: str, name: str, content: bytes, tmp_path: Path) -> Artifact:
    file = tmp_path / "artifact"
    file.write_bytes(content)
    path = f"jobs/{job_id}/{name}"
    services(app).blobs.put(path, file)
    return Artifact(name, path, len(content), hashlib.sha256(content).hexdigest(), "application/zip")


def count(app: Flask, table: type[Table]) -> int:
    with services(app).database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def files(app: Flask) -> list[str]:
    """All that lies in the folders of uploads and blobs."""
    folder = Path(services(app).settings.data_folder)
    kept = [*(folder / "uploads").rglob("*"), *(folder / "blobs").rglob("*")]
    return sorted(str(file.relative_to(folder)) for file in kept if file.is_file())


def npz(x: Any = None, y: Any = None, *, compress: bool = False, **more: Any) -> bytes:
    """An npz of ten 4 x 4 images of two classes, unless something else is given."""
    arrays = {"x": np.arange(160, dtype="uint8").reshape(10, 4, 4) if x is None else x}
    arrays |= {"y": np.arange(10) % 2 if y is None else y, **more}
    return npz_of(arrays, compress)


def npz_of(arrays: dict[str, Any], compress: bool = False) -> bytes:
    target = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(target, **arrays)
    return target.getvalue()


def upload(api: Api, content: bytes, **named: Any) -> Any:
    named.setdefault("content_type", "application/octet-stream")
    return api.post("/v1/datasets", data=content, **named)


def pages(api: Api, path: str, **query: Any) -> list[Sequence[dict[str, Any]]]:
    """Every page of a list, by following its tokens."""
    found, token = [], None
    while True:
        arguments = {**query, **({} if token is None else {"page_token": token})}
        answer = api.get(path, query_string=arguments)
        assert answer.status_code == 200, answer.text
        found.append(answer.json["items"])
        token = answer.json["next_page_token"]
        assert (token is None) is ("Link" not in answer.headers)
        if token is None:
            return found
        assert len(found) < 100
