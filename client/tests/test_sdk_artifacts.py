"""Artifacts: a download is whole and checked, or it is not there."""

from __future__ import annotations

import io
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from sdk_server import Answer

import tuneserve
from tuneserve import progress

if TYPE_CHECKING:
    from pathlib import Path

    from sdk_server import Server

MODEL = b"weights" * 100_000
FILE = "GET /v1/jobs/job_1/artifacts/model.keras"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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


TAG = {"ETag": f'"{sha256(MODEL).hexdigest()}"', "Content-Type": "application/octet-stream"}


def cut(at: int, **options: bool) -> Answer:
    return Answer(200, MODEL, TAG, cut=at, **options)


def test_a_cut_download_goes_on_where_it_was(server: Server, finished: tuneserve.Job, tmp_path: Path) -> None:
    # More cuts than retries: each connection brings some of it.
    server.on(FILE, *[cut(150_000, ranges=True)] * 4, Answer(200, MODEL, TAG, ranges=True))
    assert finished.download_model(tmp_path).read_bytes() == MODEL
    asked = server.asked_for(FILE)
    starts = [int(one.headers.get("Range", "bytes=0-")[6:-1]) for one in asked]
    assert starts == sorted(set(starts))
    assert all(one.headers["If-Range"] == TAG["ETag"] for one in asked[1:])
    assert all(one.headers["Accept-Encoding"] == "identity" for one in asked)


def test_a_server_that_knows_no_ranges_starts_over(
    server: Server, finished: tuneserve.Job, tmp_path: Path
) -> None:
    server.on(FILE, cut(1000), Answer(200, MODEL, TAG))
    assert finished.download_model(tmp_path).read_bytes() == MODEL
    assert "Range" in server.asked[-1].headers


def test_a_file_that_was_replaced_meanwhile_starts_over(
    server: Server, finished: tuneserve.Job, tmp_path: Path
) -> None:
    other = Answer(200, b"x" * len(MODEL), {**TAG, "ETag": '"other"'}, cut=1000, ranges=True)
    server.on(FILE, other, Answer(200, MODEL, TAG, ranges=True))
    assert finished.download_model(tmp_path).read_bytes() == MODEL


@pytest.mark.parametrize("tag", [{}, {"ETag": 'W/"a"'}])
def test_without_a_strong_tag_no_part_is_asked_for(
    server: Server, finished: tuneserve.Job, tmp_path: Path, tag: dict[str, str]
) -> None:
    server.on(FILE, Answer(200, MODEL, tag, cut=1000), Answer(200, MODEL, tag))
    assert finished.download_model(tmp_path).read_bytes() == MODEL
    assert "Range" not in server.asked[-1].headers


def test_a_wrong_part_is_not_taken(server: Server, finished: tuneserve.Job, tmp_path: Path) -> None:
    wrong = Answer(206, MODEL[5:], {**TAG, "Content-Range": f"bytes 5-{len(MODEL) - 1}/{len(MODEL)}"})
    server.on(FILE, cut(1000), wrong, Answer(200, MODEL, TAG))
    assert finished.download_model(tmp_path).read_bytes() == MODEL


def test_a_login_page_is_not_a_model(server: Server, finished: tuneserve.Job, tmp_path: Path) -> None:
    server.on(FILE, Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"}))
    with pytest.raises(tuneserve.ApiError, match=r"not_json.*text/html from 127\.0\.0\.1: 'Log in'"):
        finished.download_model(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_busy_service_is_asked_again(server: Server, finished: tuneserve.Job, tmp_path: Path) -> None:
    server.on(FILE, Answer(503, {}, {"Retry-After": "0"}), Answer(200, MODEL, TAG))
    assert finished.download_model(tmp_path).read_bytes() == MODEL


def test_a_bar_shows_the_bytes(
    server: Server, finished: tuneserve.Job, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    server.on(FILE, cut(1000), Answer(200, MODEL, TAG))
    finished.download_model(tmp_path, progress=True)
    assert capsys.readouterr() == ("", f"model.keras  {'#' * 20} 100%  700.0/700.0 kB\n")
    finished.download_model(tmp_path)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.0)
    monkeypatch.delenv("CI", raising=False)
    with progress.transfer("a.npz", 10**6, "auto") as moved:
        moved(400_000)
        moved(-400_000)
        moved(10**6)
    drawn = [text.strip() for text in stream.getvalue().split("\r")[1:]]
    assert drawn[:2] == [
        f"a.npz  {'#' * 8}{'-' * 12}  40%  0.4/1.0 MB",
        f"a.npz  {'-' * 20}   0%  0.0/1.0 MB",
    ]
    monkeypatch.setenv("CI", "true")
    with progress.transfer("a.npz", None, "auto") as moved:
        moved(1)
    assert stream.getvalue().count("\n") == 1


def test_download_is_sent_on_to_the_store(server: Server, finished: tuneserve.Job, tmp_path: Path) -> None:
    # Another host name, so that the key must not go with the request.
    port = server.server_address[1]
    server.on(FILE, Answer(307, b"", {"Location": f"http://localhost:{port}/store"}))
    # Cut there, the rest is asked for with the store's own tag.
    store = Answer(200, MODEL, {"ETag": '"of-the-store"'}, ranges=True)
    server.on("GET /store", Answer(200, MODEL, store.headers, cut=1000, ranges=True), store)
    assert finished.download_model(tmp_path).read_bytes() == MODEL
    asked = server.asked_for("GET /store")
    assert [one.headers.get("If-Range") for one in asked] == [None, '"of-the-store"']
    assert not [one for one in asked if "Authorization" in one.headers]
    assert all("Authorization" in one.headers for one in server.asked_for(FILE))


def test_an_artifact_that_is_not_there(finished: tuneserve.Job, tmp_path: Path) -> None:
    with pytest.raises(tuneserve.NotFound, match=r"job_1 is succeeded and has no artifact 'a'"):
        finished.download("a", tmp_path)


def test_a_name_cannot_leave_the_directory(tmp_path: Path) -> None:
    artifact = tuneserve.Artifact(name="../../etc/passwd", sha256="")
    assert tuneserve.artifacts.target_of(artifact, tmp_path) == tmp_path / "passwd"


def test_list(finished: tuneserve.Job) -> None:
    (artifact,) = finished.artifacts()
    assert (artifact.name, artifact.bytes) == ("model.keras", len(MODEL))
