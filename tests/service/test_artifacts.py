"""`/v1/jobs/{id}/artifacts`: listed, downloaded whole or in part, and nothing else reached."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from schemas.artifacts import Artifact
from tests.conftest import Api
from tests.service.rows import pages, posted, problem, publish, publish_all, services

CONTENT = bytes(range(256)) * 20
SIZE = len(CONTENT)


@pytest.fixture
def job(api: Api, spec: dict[str, Any]) -> str:
    made: str = posted(api, spec)["id"]
    return made


@pytest.fixture
def model(app: Flask, job: str, tmp_path: Path) -> Artifact:
    return publish(app, job, "model.keras", CONTENT, tmp_path)


@pytest.fixture
def url(job: str, model: Artifact) -> str:
    return f"/v1/jobs/{job}/artifacts/{model.name}"


def test_artifacts_are_listed_with_size_digest_and_type(api: Api, job: str, model: Artifact) -> None:
    answer = api.get(f"/v1/jobs/{job}/artifacts")
    (found,) = answer.json["items"]
    assert found.pop("create_time").endswith("Z")
    assert found == {
        "name": "model.keras",
        "bytes": SIZE,
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "media_type": "application/zip",
    }


def test_artifacts_come_in_pages(app: Flask, api: Api, job: str, tmp_path: Path) -> None:
    names = ["a.json", "b.csv", "model.keras"]
    publish_all(app, job, dict.fromkeys(names, b"x"), tmp_path)
    found = pages(api, f"/v1/jobs/{job}/artifacts", page_size=1)
    assert [[one["name"] for one in page] for page in found] == [[name] for name in names]


def test_what_a_job_publishes_later_takes_the_place_of_what_it_had(
    app: Flask, api: Api, job: str, model: Artifact, tmp_path: Path
) -> None:
    publish_all(app, job, {"model.keras": b"better", "trials.csv": b"1"}, tmp_path)
    listed = api.get(f"/v1/jobs/{job}/artifacts").json["items"]
    assert [(one["name"], one["bytes"]) for one in listed] == [("model.keras", 6), ("trials.csv", 1)]
    assert api.get(f"/v1/jobs/{job}/artifacts/model.keras").data == b"better"


def test_the_job_counts_the_bytes(api: Api, job: str, model: Artifact) -> None:
    assert api.get(f"/v1/jobs/{job}").json["cost"]["artifact_bytes"] == SIZE


def test_a_download_is_the_whole_file(api: Api, url: str, model: Artifact) -> None:
    answer = api.get(url)
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.mimetype == "application/zip"
    assert answer.content_length == SIZE
    assert answer.headers["Content-Disposition"] == 'attachment; filename="model.keras"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == f'"{model.sha256}"'


def test_a_file_of_many_chunks_comes_whole(app: Flask, api: Api, job: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 3 + b"end"
    publish(app, job, "large.bin", content, tmp_path)
    assert api.get(f"/v1/jobs/{job}/artifacts/large.bin").data == content


def test_an_empty_file_is_downloaded(app: Flask, api: Api, job: str, tmp_path: Path) -> None:
    publish(app, job, "empty.txt", b"", tmp_path)
    answer = api.get(f"/v1/jobs/{job}/artifacts/empty.txt")
    assert (answer.status_code, answer.data) == (200, b"")


def test_head_says_what_get_would(api: Api, url: str) -> None:
    answer = api.request("HEAD", url)
    assert (answer.status_code, answer.data, answer.content_length) == (200, b"", SIZE)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=100-", 100, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=5-{SIZE + 1000}", 5, SIZE),
        (f"bytes=-{SIZE + 1000}", 0, SIZE),
        ("Bytes=0-1", 0, 2),
    ],
)
def test_a_part_is_answered_alone(api: Api, url: str, wanted: str, start: int, end: int) -> None:
    answer = api.get(url, headers={"Range": wanted})
    assert (answer.status_code, answer.data) == (206, CONTENT[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.content_length == end - start


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", "bytes=999999-1000000"])
def test_a_part_past_the_end_cannot_be_had(api: Api, url: str, wanted: str) -> None:
    answer = api.get(url, headers={"Range": wanted})
    problem(answer, 416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "wanted",
    ["bytes=x-y", "bytes=5-2", "items=0-1", "bytes", "", "bytes=0-1,5-6", "bytes=--1", "bytes=0-1;x"],
)
def test_what_is_no_single_part_is_the_whole_file(api: Api, url: str, wanted: str) -> None:
    answer = api.get(url, headers={"Range": wanted})
    assert (answer.status_code, answer.data) == (200, CONTENT)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_part_of_the_same_file_goes_on(api: Api, url: str, model: Artifact) -> None:
    headers = {"Range": "bytes=10-", "If-Range": f'"{model.sha256}"'}
    answer = api.get(url, headers=headers)
    assert (answer.status_code, answer.data) == (206, CONTENT[10:])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("known", ['"other"', "Wed, 21 Oct 2015 07:28:00 GMT", "W/{}"])
def test_a_part_of_another_file_is_the_whole_file(api: Api, url: str, model: Artifact, known: str) -> None:
    headers = {"Range": "bytes=10-", "If-Range": known.format(f'"{model.sha256}"')}
    answer = api.get(url, headers=headers)
    assert (answer.status_code, answer.data) == (200, CONTENT)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../model.keras",
        "%2e%2e",
        "%2e%2e%2fmodel.keras",
        "..%2f..%2ftuneserve.db",
        "..%5cmodel.keras",
        "%252e%252e",
        "model.keras%00",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "Model.Keras",
        "x" * 101,
        "model.keras/",
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_other_name_reaches_a_file(api: Api, url: str, name: str) -> None:
    answer = api.get(url.removesuffix("model.keras") + name)
    assert answer.status_code == 404
    assert answer.json["code"] in ("artifact_not_found", "route_not_found")


def test_a_name_that_is_not_there_is_not_found(api: Api, job: str) -> None:
    problem(api.get(f"/v1/jobs/{job}/artifacts/model.keras"), 404, "artifact_not_found")
    assert api.get(f"/v1/jobs/{job}/artifacts").json == {"items": [], "next_page_token": None}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_storage_has_lost_is_unavailable(app: Flask, api: Api, url: str, model: Artifact) -> None:
    services(app).blobs.delete(model.path)
    answer = api.get(url)
    problem(answer, 503, "storage_unavailable")
    assert answer.headers["Retry-After"]
