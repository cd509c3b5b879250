"""The tuned model: fetched once, checked, kept, and loaded by Keras in its safe mode."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sdk_server import Answer

from tuneserve import Client, DigestMismatch, Job, MissingExtra, NotFound
from tuneserve.models import best_model, cache_folder, model_file

if TYPE_CHECKING:
    from sdk_server import Server

CONTENT = b"a model, as far as the cache knows"
LIST = "GET /v1/jobs/job_1/artifacts"
FILE = f"{LIST}/model.keras"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def publish(server: Server, content: bytes = CONTENT, sha256: str | None = None) -> str:
    digest = hashlib.sha256(content).hexdigest()
    item = {"name": "model.keras", "sha256": sha256 or digest, "bytes": len(content)}
    server.on(LIST, Answer(200, {"items": [{"name": "log.txt", "sha256": "0" * 64}, item]}))
    server.on(FILE, Answer(200, content, {"Content-Type": "application/octet-stream"}))
    return digest


def finished(client: Client) -> Job:
    return Job(client, {"id": "job_1", "state": "succeeded"})


def fetched(server: Server) -> int:
    return sum(asked.path.endswith("model.keras") for asked in server.asked)


def test_a_model_is_fetched_once(server: Server, client: Client, cache: Path) -> None:
    digest = publish(server)
    path = model_file(finished(client))
    assert path == cache / "models" / digest / "model.keras"
    assert path.read_bytes() == CONTENT
    assert model_file(finished(client)) == path
    assert fetched(server) == 1
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"!"])
def test_a_damaged_copy_is_fetched_anew(server: Server, client: Client, damage: bytes) -> None:
    publish(server)
    model_file(finished(client)).write_bytes(damage)
    assert model_file(finished(client)).read_bytes() == CONTENT
    assert fetched(server) == 2


def test_what_is_not_the_published_model_is_not_kept(server: Server, client: Client, cache: Path) -> None:
    publish(server, sha256="ab" * 32)
    with pytest.raises(DigestMismatch):
        model_file(finished(client))
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("sha256", ["../../x", "ab", "AB" * 33, "/" * 64])
def test_a_digest_that_is_none_names_no_folder(
    server: Server, client: Client, cache: Path, sha256: str
) -> None:
    publish(server, sha256=sha256)
    with pytest.raises(DigestMismatch, match="published no sha256"):
        model_file(finished(client))
    assert not cache.exists()
    assert fetched(server) == 0


def test_a_job_without_a_model(server: Server, client: Client) -> None:
    server.on(LIST, Answer(200, {"items": []}))
    with pytest.raises(NotFound, match=r"job job_1 is succeeded and has no model\.keras"):
        model_file(finished(client))


def test_where_models_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("TUNESERVE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tuneserve"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for passed_over in ("relative", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", passed_over)
        assert cache_folder() == tmp_path / "home" / ".cache" / "tuneserve"


def test_without_keras_nothing_is_fetched(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server)
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra, match="pip install keras, and a backend"):
        best_model(finished(client))
    assert not server.asked


def _saved(path: Path, *layers: Any) -> bytes:
    import keras

    keras.Sequential([keras.Input((4,)), *layers]).save(path)
    return path.read_bytes()


def test_the_model_predicts(server: Server, client: Client, tmp_path: Path) -> None:
    import keras
    import numpy as np

    publish(server, _saved(tmp_path / "made.keras", keras.layers.Dense(3, "softmax")))
    backend = os.environ.get("KERAS_BACKEND")
    model = best_model(finished(client))
    x = np.ones((2, 4), "float32")
    assert np.allclose(model(x), keras.saving.load_model(tmp_path / "made.keras")(x))
    assert not model.compiled
    assert os.environ.get("KERAS_BACKEND") == backend


def test_code_in_a_model_is_not_run(server: Server, client: Client, tmp_path: Path) -> None:
    import keras

    publish(server, _saved(tmp_path / "evil.keras", keras.layers.Lambda(lambda x: x * 2)))
    with pytest.raises(Exception, match="Lambda"):
        best_model(finished(client))
