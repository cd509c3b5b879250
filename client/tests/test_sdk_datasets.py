"""Data sets: arrays are packed, checked and streamed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sdk_server import Answer

import tuneserve

if TYPE_CHECKING:
    from pathlib import Path

    from sdk_server import Server

    from tuneserve import Client

X = np.arange(4 * 8 * 8, dtype="uint8").reshape(4, 8, 8)
ROUTE = "POST /v1/datasets"


@pytest.fixture(autouse=True)
def answer(server: Server) -> None:
    document = {
        "id": "ds_1",
        "shape": [8, 8],
        "samples": 4,
        "classes": [{"name": "a", "count": 2}, {"name": "b", "count": 2}],
        "create_time": "2026-01-02T03:04:05Z",
        "colour": "grey",
    }
    server.on(ROUTE, Answer(201, document))


def sent(server: Server) -> tuple[np.ndarray, np.ndarray]:
    with np.load(io.BytesIO(server.asked[-1].body), allow_pickle=False) as arrays:
        assert set(arrays) == {"x", "y"}
        return arrays["x"], arrays["y"]


def test_upload(server: Server, client: Client) -> None:
    dataset = client.datasets.upload(x=X, y=[0, 1, 0, 1], name="digits & co")
    x, y = sent(server)
    assert x.dtype == "uint8"
    assert np.array_equal(x, X)
    assert y.tolist() == [0, 1, 0, 1]
    asked = server.asked[0]
    assert asked.headers["Content-Type"] == "application/octet-stream"
    assert asked.headers["Content-Length"] == str(len(asked.body))
    assert asked.query == {"name": ["digits & co"]}
    assert (dataset.id, dataset.shape, dataset.classes[1].name) == ("ds_1", (8, 8), "b")
    assert dataset.extra == {"colour": "grey"}


@pytest.mark.parametrize(
    ("y", "names", "expected"),
    [
        (["a", "b", "a", "b"], None, ["a", "b", "a", "b"]),
        (np.array(["a", "b", "a", "b"], dtype=object), None, ["a", "b", "a", "b"]),
        (np.array([[0], [1], [0], [1]]), None, [0, 1, 0, 1]),
        ([0, 1, 0, 1], ["cat", "long name"], ["cat", "long name", "cat", "long name"]),
    ],
)
def test_labels(server: Server, client: Client, y, names, expected: list) -> None:
    client.datasets.upload(X, y, class_names=names)
    assert sent(server)[1].tolist() == expected
    assert server.asked[0].query == {}


@pytest.mark.parametrize(
    ("x", "y", "names", "message"),
    [
        (X, [0, 1], None, "4 samples but y has 2"),
        (X.astype(str), [0] * 4, None, "x must be numbers"),
        (X[0, 0], [0] * 8, None, "x must be numbers"),
        (X, np.eye(4), None, "one class a sample"),
        (X, np.array(["a", None, "a", 1], dtype=object), None, "strings only"),
        (X, ["a"] * 4, ["a"], "already has names"),
        (X, [0, 1, 2, 3], ["a", "b"], "0 to 3, but class_names has 2"),
        (X, [-1, 0, 0, 0], ["a", "b"], "-1 to 0"),
        (X, [0, 1, 0, 1], ["a", "a"], "same name twice"),
    ],
)
def test_arrays_that_do_not_go_together(server: Server, client: Client, x, y, names, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        client.datasets.upload(x, y, class_names=names)
    assert not server.asked


def test_a_retry_sends_the_whole_file_again(server: Server, client: Client) -> None:
    server.on(ROUTE, Answer(503, {}, {"Retry-After": "0"}), *server.routes[ROUTE])
    client.datasets.upload(X, [0, 1, 0, 1])
    first, second = server.asked
    assert first.body == second.body != b""
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_upload_file(server: Server, client: Client, tmp_path: Path) -> None:
    np.savez(tmp_path / "letters.npz", x=X, y=[0, 1, 0, 1])
    client.datasets.upload_file(tmp_path / "letters.npz")
    assert np.array_equal(sent(server)[0], X)
    assert server.asked[0].query == {"name": ["letters"]}


def test_dataset_is_frozen(client: Client) -> None:
    dataset = client.datasets.upload(X, [0, 1, 0, 1])
    with pytest.raises(AttributeError):
        dataset.name = "x"  # type: ignore[misc]
    assert isinstance(dataset, tuneserve.Dataset)
