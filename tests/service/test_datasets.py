"""`/v1/datasets`: uploaded once, described, removed; what is refused leaves nothing behind."""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from PIL import Image

from schemas.settings import Settings
from service.app import create_app
from store import keys
from store.tables import DatasetRow
from tests.conftest import Api
from tests.service.rows import (
    count,
    files,
    npz,
    npz_of,
    pages,
    posted,
    problem,
    services,
    upload,
)

X = np.arange(160, dtype="uint8").reshape(10, 4, 4)
Y = np.arange(10) % 2
MAX_BYTES = 4096


def form(content: bytes, filename: str = "letters.npz", **fields: str) -> dict[str, Any]:
    return {
        "data": {"file": (io.BytesIO(content), filename), **fields},
        "content_type": "multipart/form-data",
    }


def png(pixels: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def folders(*more: str, content: bytes = b"") -> bytes:
    """A zip of the images of `X` as PNGs: even ones are cats, odd ones dogs; and what else it should hold."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        for index, pixels in enumerate(X):
            opened.writestr(f"pets/{('cat', 'dog')[Y[index]]}/{index}.png", png(pixels))
        for name in more:
            opened.writestr(name, content)
    return target.getvalue()


def nan_image() -> Any:
    x = X.astype("float32")
    x[3, 1, 2] = np.nan
    return x


@pytest.fixture
def small(settings: Settings) -> Iterator[Flask]:
    """An application that takes uploads of four kilobytes."""
    made = create_app(replace(settings, max_upload_bytes=MAX_BYTES))
    yield made
    services(made).database.close()


@pytest.fixture
def small_api(small: Flask) -> Api:
    with services(small).database.write() as session:
        _, text = keys.create(session, keys.DEFAULT_PROJECT, "test", [keys.WRITE])
    return Api(small.test_client(), text)


def assert_nothing_is_left(app: Flask) -> None:
    assert count(app, DatasetRow) == 0
    assert files(app) == []


# Uploading


def test_octets_become_a_data_set(app: Flask, api: Api) -> None:
    content = npz()
    answer = upload(api, content, query_string={"name": "letters"})
    assert answer.status_code == 201, answer.text
    found = answer.json
    assert answer.headers["Location"] == f"/v1/datasets/{found['id']}"
    assert found["id"].startswith("ds_")
    assert (found["name"], found["kind"], found["dtype"]) == ("letters", "npz", "uint8")
    assert (found["shape"], found["samples"], found["bytes"]) == ([4, 4, 1], 10, len(content))
    assert found["classes"] == [{"name": "0", "count": 5}, {"name": "1", "count": 5}]
    assert found["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
    assert api.get(answer.headers["Location"]).json == found
    assert files(app) == [f"blobs/datasets/default/{found['id']}.npz"]


def test_a_form_becomes_a_data_set(api: Api) -> None:
    named = api.post("/v1/datasets", **form(npz(), name="my letters"))
    assert (named.status_code, named.json["name"]) == (201, "my letters")
    by_file = api.post("/v1/datasets", **form(npz(X + 1)))
    assert (by_file.status_code, by_file.json["name"]) == (201, "letters.npz")


def test_a_large_form_becomes_a_data_set(app: Flask, api: Api) -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 128, 256), "uint8")
    content = npz(x, np.arange(40) % 2)
    answer = api.post("/v1/datasets", **form(content))
    assert (answer.status_code, answer.json["bytes"]) == (201, len(content))
    assert len(files(app)) == 1


def test_the_bytes_are_kept_as_they_came(app: Flask, api: Api) -> None:
    content = npz(compress=True)
    name = upload(api, content).json["id"]
    kept = services(app).blobs.read(f"datasets/default/{name}.npz", 0, len(content))
    assert b"".join(kept) == content


def test_the_same_bytes_are_the_same_data_set(app: Flask, api: Api) -> None:
    first = upload(api, npz())
    second = api.post("/v1/datasets", **form(npz(), name="another"))
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json == first.json
    assert (count(app, DatasetRow), len(files(app))) == (1, 1)


def test_each_project_has_its_own(app: Flask, api: Api, make_api: Callable[..., Api]) -> None:
    other = make_api(project="other")
    first, second = upload(api, npz()), upload(other, npz())
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["id"] != second.json["id"]
    assert len(files(app)) == 2
    api.delete(f"/v1/datasets/{first.json['id']}")
    assert len(files(app)) == 1


def test_names_of_classes_survive(api: Api) -> None:
    y = np.array(["ключ", "\N{SNAKE}"] * 5)
    names = [one["name"] for one in upload(api, npz(y=y)).json["classes"]]
    assert names == ["ключ", "\N{SNAKE}"]


def test_an_upload_can_be_trained_on(api: Api, spec: dict[str, Any]) -> None:
    dataset = upload(api, npz(np.zeros((20, 8, 8)), np.arange(20) % 2)).json
    job = posted(api, spec, dataset=dataset["id"])
    assert (job["spec"]["dataset"], job["dataset_digest"]) == (dataset["id"], dataset["digest"])


def test_an_upload_the_model_does_not_fit_is_told_with_the_job(api: Api, spec: dict[str, Any]) -> None:
    rows = upload(api, npz(np.zeros((20, 64)), np.arange(20) % 2)).json
    problem(api.post("/v1/jobs", json={**spec, "dataset": rows["id"]}), 422, "infeasible_model")
    few = upload(api, npz(np.zeros((20, 8, 8)), np.array([0] * 19 + [1]))).json
    problem(api.post("/v1/jobs", json={**spec, "dataset": few["id"]}), 422, "dataset_too_small")


# A zip of class folders


def test_a_zip_of_class_folders_is_what_a_worker_loads(app: Flask, api: Api, tmp_path: Path) -> None:
    from tuning.data import open_npz

    content = folders()
    answer = api.post("/v1/datasets", **form(content, "pets.zip"))
    assert answer.status_code == 201, answer.text
    found = answer.json
    assert (found["name"], found["kind"], found["bytes"]) == ("pets.zip", "zip", len(content))
    assert (found["shape"], found["samples"], found["dtype"]) == ([4, 4, 1], 10, "uint8")
    assert found["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
    assert api.get(answer.headers["Location"]).json == found
    blob = f"datasets/default/{found['id']}.npz"
    assert files(app) == [f"blobs/{blob}"]
    services(app).blobs.fetch(blob, tmp_path / "fetched.npz")
    arrays = open_npz(tmp_path / "fetched.npz")
    assert list(arrays.class_names) == [one["name"] for one in found["classes"]] == ["cat", "dog"]
    assert arrays.y.tolist() == [0] * 5 + [1] * 5
    np.testing.assert_array_equal(arrays.x, np.concatenate([X[0::2], X[1::2]])[..., None])
    assert arrays.x.dtype == np.uint8


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_same_zip_is_the_same_data_set(app: Flask, api: Api) -> None:
    first, second = upload(api, folders()), upload(api, folders())
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json == first.json
    assert len(files(app)) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_bad_zip_gets_its_code_and_leaves_nothing(app: Flask, api: Api) -> None:
    uploads = {
        "archive_unsafe_path": folders("../../x.png"),
        "archive_nested": folders("pets/cat/x.png", content=folders()),
        "archive_too_large_uncompressed": bomb(),
        "image_format_not_allowed": folders("pets/cat/x.png", content=b"%!PS-Adobe-3.0 EPSF-3.0"),
        "image_corrupt": folders("pets/cat/x.png", content=png(X[0])[:-30]),
        "image_without_class": folders("pets/x.png", content=png(X[0])),
    }
    for code, content in uploads.items():
        document = problem(upload(api, content), 422, code)
        assert document["errors"][0]["code"] == code
        problem(api.post("/v1/datasets", **form(content)), 422, code)
    named = problem(upload(api, uploads["image_corrupt"]), 422, "image_corrupt")
    assert named["errors"][0]["pointer"] == "/pets/cat/x.png"
    for content in (b"\x1f\x8b\x08" + bytes(20), b"Rar!\x1a\x07\x00", bytes(257) + b"ustar" + bytes(250)):
        problem(upload(api, content), 415, "unsupported_media_type")
    assert_nothing_is_left(app)


def bomb() -> bytes:
    """A kilobyte that says it becomes four gigabytes."""
    content = bytearray(folders("pets/cat/x.bmp"))
    sizes = content.rindex(b"PK\x01\x02") + 24
    content[sizes : sizes + 4] = b"\xf0" * 4
    return bytes(content)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_zip_cut_in_the_middle_leaves_nothing(app: Flask, api: Api) -> None:
    content = folders()
    for end in (10, len(content) // 2, len(content) - 1):
        answer = api.post(
            "/v1/datasets",
            input_stream=io.BytesIO(content[:end]),
            content_type="application/octet-stream",
            environ_overrides={"CONTENT_LENGTH": str(len(content))},
        )
        assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
        problem(upload(api, content[:end]), 422, "dataset_not_npz")
    assert_nothing_is_left(app)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_storage_that_is_away_leaves_nothing(app: Flask, api: Api) -> None:
    storage = Path(services(app).settings.data_folder) / "blobs"
    shutil.rmtree(storage)
    storage.write_text("no folder any more")
    problem(upload(api, folders()), 503, "storage_unavailable")
    assert_nothing_is_left(app)


# Refusing: cases 1 to 8


def test_every_bad_upload_gets_its_code_and_leaves_nothing(app: Flask, api: Api) -> None:
    uploads = {
        "dataset_object_dtype": [npz(np.array([object()] * 10)), npz(y=np.array(["a", None] * 5))],
        "dataset_shape_mismatch": [declares_terabytes(), npz(np.zeros(10)), npz(np.zeros((10, 0, 4)))],
        "dataset_not_npz": [
            b"",
            b"\x80\x04cos\nsystem\n(S'true'\ntR.",
            npz()[:-30],
            b"PK\x03\x04" + bytes(99),
        ],
        "dataset_length_mismatch": [npz_of({"x": X}), npz_of({"y": Y}), npz(X[:9]), npz(y=Y[:9])],
        "dataset_dtype_unsupported": [
            npz(X.astype("complex64")),
            npz(X.astype("U3")),
            npz(X.astype("datetime64[s]")),
            npz(np.zeros((10, 4, 4), [("r", "u1")])),
            npz(y=Y.astype("complex64")),
        ],
        "dataset_non_finite": [npz(nan_image()), npz(np.full((10, 4, 4), np.inf))],
        "dataset_single_class": [npz(y=np.zeros(10, int)), npz(y=np.array(["a"] * 10))],
        "dataset_too_small": [npz(X[:1], Y[:1]), npz(X[:0], Y[:0])],
        "dataset_bad_labels": [npz(y=Y * 1.0), npz(y=Y - 1), npz(y=Y * 2), npz(y=Y[:, None])],
    }
    for code, contents in uploads.items():
        for content in contents:
            problem(upload(api, content), 422, code)
            problem(api.post("/v1/datasets", **form(content)), 422, code)
    assert_nothing_is_left(app)


def declares_terabytes() -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as opened:
        opened.writestr("x.npy", header.getvalue())
        opened.writestr("y.npy", header.getvalue())
    return target.getvalue()


def test_pixels_that_are_no_numbers_are_counted_and_named(api: Api) -> None:
    document = problem(upload(api, npz(nan_image())), 422, "dataset_non_finite")
    assert document["detail"] == "1 pixels are NaN or infinite; the first is x[3, 1, 2]."
    assert document["errors"][0]["pointer"] == "/x"


@pytest.mark.parametrize("content_type", ["application/json", "application/zip", "text/plain", None])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_type_is_unsupported(app: Flask, api: Api, content_type: str | None) -> None:
    answer = api.post("/v1/datasets", data=npz(), content_type=content_type)
    problem(answer, 415, "unsupported_media_type")
    assert_nothing_is_left(app)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_form_without_the_file_is_refused(app: Flask, api: Api) -> None:
    fields = {"upload": (io.BytesIO(npz()), "x.npz"), "name": "x"}
    answer = api.post("/v1/datasets", data=fields, content_type="multipart/form-data")
    assert problem(answer, 422, "missing_field")["errors"][0]["pointer"] == "/file"
    broken = api.post("/v1/datasets", data=b"--x--", content_type="multipart/form-data; boundary=x")
    problem(broken, 422, "missing_field")
    assert_nothing_is_left(app)


@pytest.mark.parametrize("name", ["x" * 201, "a\nb", "\x00", "\x1b[31m"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_name_is_short_and_printable(app: Flask, api: Api, name: str) -> None:
    by_query = upload(api, npz(), query_string={"name": name})
    by_form = api.post("/v1/datasets", **form(npz(), name=name))
    for answer in (by_query, by_form):
        assert problem(answer, 422, "invalid_value")["errors"][0]["pointer"] == "/name"
    assert_nothing_is_left(app)


# Too large, cut short


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_over_the_limit_is_too_large(small: Flask, small_api: Api) -> None:
    content = npz(np.zeros((10, 32, 32), "u1"))
    assert len(content) > MAX_BYTES
    problem(upload(small_api, content), 413, "upload_too_large")
    problem(small_api.post("/v1/datasets", **form(content)), 413, "upload_too_large")
    assert_nothing_is_left(small)
    assert upload(small_api, npz()).status_code == 201


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_over_the_limit_without_a_length_is_too_large(small: Flask, small_api: Api) -> None:
    answer = small_api.post(
        "/v1/datasets",
        input_stream=io.BytesIO(npz(np.zeros((10, 32, 32), "u1"))),
        content_type="application/octet-stream",
        environ_overrides={"wsgi.input_terminated": True},
    )
    problem(answer, 413, "upload_too_large")
    assert_nothing_is_left(small)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_length_an_upload_is_taken_all_the_same(api: Api) -> None:
    answer = api.post(
        "/v1/datasets",
        input_stream=io.BytesIO(npz()),
        content_type="application/octet-stream",
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_upload_cut_in_the_middle_leaves_nothing(app: Flask, api: Api) -> None:
    content = npz()
    answer = api.post(
        "/v1/datasets",
        input_stream=io.BytesIO(content[:-100]),
        content_type="application/octet-stream",
        environ_overrides={"CONTENT_LENGTH": str(len(content))},
    )
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert_nothing_is_left(app)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_nearly_full_disk_takes_no_upload(settings: Settings, api: Api) -> None:
    full = create_app(replace(settings, min_free_bytes=2**62))
    problem(upload(Api(full.test_client(), api.key), npz()), 507, "insufficient_storage")
    assert_nothing_is_left(full)
    services(full).database.close()


# Once only


def test_an_upload_is_replayed_under_its_key(app: Flask, api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, second = upload(api, npz(), headers=headers), upload(api, npz(), headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json == first.json
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]


def test_a_key_used_for_other_bytes_leaves_nothing_of_them(app: Flask, api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    upload(api, npz(), headers=headers)
    kept = files(app)
    problem(upload(api, npz(X + 1), headers=headers), 422, "idempotency_key_reused")
    assert (count(app, DatasetRow), files(app)) == (1, kept)


# Listing and removing


def test_uploads_are_listed_newest_first_page_by_page(api: Api) -> None:
    made = [upload(api, npz(X + index)).json["id"] for index in range(3)]
    found = pages(api, "/v1/datasets", page_size=1)
    assert [one["id"] for page in found for one in page] == made[::-1]


def test_an_upload_is_found_by_its_bytes(api: Api, make_api: Callable[..., Api]) -> None:
    content = npz()
    made = upload(api, content).json
    upload(api, npz(X + 1))
    for digest, found in ((hashlib.sha256(content).hexdigest(), [made]), ("0" * 64, [])):
        query = {"digest": f"sha256:{digest}"}
        assert api.get("/v1/datasets", query_string=query).json["items"] == found
        assert make_api(project="other").get("/v1/datasets", query_string=query).json["items"] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("digest", ["", "0" * 64, "sha256:" + "g" * 64, "sha256:0", "builtin:digits"])
def test_a_digest_asked_for_has_the_form_of_one(api: Api, digest: str) -> None:
    answer = api.get("/v1/datasets", query_string={"digest": digest})
    assert problem(answer, 422, "invalid_value")["errors"][0]["pointer"] == "/digest"


def test_a_built_in_data_set_is_described_but_not_removed(api: Api) -> None:
    found = api.get("/v1/datasets/builtin:digits").json
    assert (found["samples"], found["shape"], found["kind"]) == (1797, [8, 8, 1], "builtin")
    problem(api.delete("/v1/datasets/builtin:digits"), 409, "dataset_builtin")


def test_an_unknown_data_set_is_not_found(api: Api) -> None:
    for name in ("ds_none", "builtin:none", "x"):
        problem(api.get(f"/v1/datasets/{name}"), 404, "dataset_not_found")
        problem(api.delete(f"/v1/datasets/{name}"), 404, "dataset_not_found")


def test_a_removed_data_set_is_gone_with_its_bytes(app: Flask, api: Api) -> None:
    url = upload(api, npz()).headers["Location"]
    answer = api.delete(url)
    assert (answer.status_code, answer.data) == (204, b"")
    problem(api.get(url), 404, "dataset_not_found")
    problem(api.delete(url), 404, "dataset_not_found")
    assert_nothing_is_left(app)
    assert upload(api, npz()).status_code == 201


def test_a_data_set_in_use_is_not_removed(app: Flask, api: Api, spec: dict[str, Any]) -> None:
    dataset = upload(api, npz(np.zeros((20, 8, 8)), np.arange(20) % 2)).json
    job = posted(api, spec, dataset=dataset["id"])
    document = problem(api.delete(f"/v1/datasets/{dataset['id']}"), 409, "dataset_in_use")
    assert job["id"] in document["detail"]
    assert len(files(app)) == 1
    api.post(f"/v1/jobs/{job['id']}:cancel")
    assert api.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
