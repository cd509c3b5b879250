"""Artifacts: a download is whole and checked, or it is not there."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from sdk_server import Answer

import tuneserve

if TYPE_CHECKING:
    from pathlib import Path

    from sdk_server import Server

MODEL = b"weights" * 100_000
FILE = "GET /v1/jobs/job_1/artifacts/model.keras"


@pytest.fixture
def finished(server: Server, client: tuneserve.Client, job) -> tuneserve.Job:
    artifact = {"name": "model.keras", "bytes": len(MODEL), "sha256": sha256(MODEL).hexdigest()}
    page = {"items": [artifact], "next_page_token": None}
    server.on("GET /v1/jobs/job_1/artifacts", Answer(200, page))
    server.on(FILE, Answer(200, MODEL, {"Content-Type": "application/octet-stream"}))
    return tuneserve.Job(client, job("succeeded"))


def test_to_a_file(finished: tuneserve.Job, tmp_path: Path) -> None:
    target = tmp_path / "new" / "letters.keras"
    assert finished.download_model(target) == target
    assert target.read_bytes() == MODEL
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("folder", ["", "new/"])
def test_to_a_directory(finished: tuneserve.Job, tmp_path: Path, folder: str) -> None:
    path = finished.download_model(f"{tmp_path}/{folder}")
    assert path == tmp_path / folder / "model.keras"
    assert path.read_bytes() == MODEL


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(200, MODEL[:-1] + b"!"), tuneserve.DigestMismatch),
        (Answer(200, MODEL, cut=1000), tuneserve.ConnectionFailed),
        (Answer(404, {"code": "not_found", "title": "Not Found"}), tuneserve.NotFound),
    ],
)
def test_a_bad_download_leaves_the_old_file(
    server: Server, finished: tuneserve.Job, tmp_path: Path, answer: Answer, error: type[Exception]
) -> None:
    target = tmp_path / "model.keras"
    target.write_bytes(b"old")
    server.on(FILE, answer)
    with pytest.raises(error):
        finished.download_model(target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_download_is_sent_on_to_the_store(server: Server, finished: tuneserve.Job, tmp_path: Path) -> None:
    # Another host name, so that the key must not go with the request.
    port = server.server_address[1]
    server.on(FILE, Answer(307, b"", {"Location": f"http://localhost:{port}/store"}))
    server.on("GET /store", Answer(200, MODEL))
    assert finished.download_model(tmp_path).read_bytes() == MODEL
    assert "Authorization" not in server.asked[-1].headers


def test_an_artifact_that_is_not_there(finished: tuneserve.Job, tmp_path: Path) -> None:
    with pytest.raises(tuneserve.NotFound, match=r"job_1 is succeeded and has no artifact 'a'"):
        finished.download("a", tmp_path)


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    artifact = tuneserve.Artifact(name="../../etc/passwd", sha256="")
    assert tuneserve.artifacts.target_of(artifact, tmp_path) == tmp_path / "passwd"


def test_list(finished: tuneserve.Job) -> None:
    (artifact,) = finished.artifacts()
    assert (artifact.name, artifact.bytes) == ("model.keras", len(MODEL))
