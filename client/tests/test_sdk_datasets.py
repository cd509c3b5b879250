"""Data sets: arrays, files and folders are packed, checked, sent once, and streamed."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from sdk_server import Answer

import tuneserve
from service.ingest import ingested
from tuneserve import Client, ConnectionFailed
from tuneserve.archives import write_class_folders, write_npz
from tuneserve.datasets import Counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk_server import Asked, Server

X = np.arange(4 * 8 * 8, dtype="uint8").reshape(4, 8, 8)
Y = [0, 1, 0, 1]
ROUTE = "POST /v1/datasets"
KNOWN = "GET /v1/datasets"
DOCUMENT = {
    "id": "ds_1",
    "shape": [8, 8],
    "samples": 4,
    "classes": [{"name": "a", "count": 2}, {"name": "b", "count": 2}],
    "create_time": "2026-01-02T03:04:05Z",
    "colour": "grey",
}
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def answer(server: Server) -> None:
    server.on(ROUTE, Answer(201, DOCUMENT))
    server.on(KNOWN, Answer(200, {"items": [], "next_page_token": None}))


@pytest.mark.parametrize("given", [X, X.tolist()])
def test_arrays_need_numpy(client: Client, monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(tuneserve.MissingExtra, match="pip install numpy; a folder, a zip or an npz"):
        client.datasets.upload(given, Y)


def posts(server: Server) -> list[Asked]:
    return [asked for asked in server.asked if asked.method == "POST"]


def sent(server: Server) -> tuple[np.ndarray, np.ndarray]:
    with np.load(io.BytesIO(posts(server)[-1].body), allow_pickle=False) as arrays:
        assert set(arrays) == {"x", "y"}
        return arrays["x"], arrays["y"]


def members(server: Server) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(posts(server)[-1].body)).namelist()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def folder(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG + name.encode())
    return root


def test_upload(server: Server, client: Client) -> None:
    dataset = client.datasets.upload(x=X, y=Y, name="digits & co")
    x, y = sent(server)
    assert x.dtype == "uint8"
    assert np.array_equal(x, X)
    assert y.tolist() == Y
    asked = posts(server)[0]
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
    assert posts(server)[0].query == {}


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
        (X, None, None, "both x= and y="),
        (None, Y, None, "both x= and y="),
        (".", Y, None, "has its own classes"),
        (".", None, ["a"], "has its own classes"),
    ],
)
def test_arguments_that_do_not_go_together(server: Server, client: Client, x, y, names, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        client.datasets.upload(x, y, class_names=names)
    assert not server.asked


def test_x_is_given_once(server: Server, client: Client) -> None:
    with pytest.raises(ValueError, match="give x once"):
        client.datasets.upload(X, Y, x=X)
    assert not server.asked


class Tensor:
    """What a tensor of PyTorch on another device does."""

    def __init__(self, values: Any, here: bool = False) -> None:
        self.values, self.here = values, here

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return Tensor(self.values, here=True)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if not self.here:
            raise TypeError("can't convert to numpy: use cpu()")
        return np.asarray(self.values)


def test_tensors_and_lists(server: Server, client: Client) -> None:
    client.datasets.upload(x=Tensor(X), y=Tensor(Y))
    first = posts(server)[-1].body
    client.datasets.upload(x=X.tolist(), y=Y)
    assert sent(server)[0].tolist() == X.tolist()
    client.datasets.upload(x=X, y=np.array(Y))
    assert posts(server)[-1].body == first


@pytest.mark.parametrize(
    "array",
    [
        X,
        np.asfortranarray(X),
        X[::2, :, ::-1],
        X.astype(">f4"),
        np.zeros((0, 3)),
        np.array(["a", "long"]),
        np.array(3),
        X.astype(bool),
        np.zeros((1, 3, 2**20)),
    ],
)
def test_an_array_is_written_as_numpy_reads_it(array: np.ndarray) -> None:
    file = io.BytesIO()
    write_npz(file, {"x": array, "y": X})
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as read:
        assert read["x"].dtype == array.dtype.newbyteorder("<")
        assert read["x"].shape == array.shape
        assert (read["x"] == array).all()
        assert (read["y"] == X).all()


def test_the_same_arrays_are_the_same_bytes_in_any_order_of_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype("float32"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    kinds = [X.astype("float32"), np.asfortranarray(X, dtype="float32"), X.astype(">f4"), mapped]
    found = set()
    for array in kinds:
        file = io.BytesIO()
        write_npz(file, {"x": array})
        found.add(file.getvalue())
    assert len(found) == 1
    # Held for good: other bytes would send every data set once more.
    names = zipfile.ZipFile(io.BytesIO(found.pop())).infolist()
    assert [(one.filename, one.date_time, one.create_system) for one in names] == [
        ("x.npy", (1980, 1, 1, 0, 0, 0), 3)
    ]


MEMORY = """
import sys
import numpy as np, tuneserve

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024

with tuneserve.Client(sys.argv[1], "tns_k_s") as client:
    client.datasets.upload(x=np.zeros((4, 8, 8)), y=[0, 1, 0, 1])
    before = peak()
    # One value that looks like 64 MB: the array itself takes no memory.
    client.datasets.upload(x=np.broadcast_to(np.uint8(7), (1024, 256, 256)), y=np.arange(1024) % 2)
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_a_large_upload_holds_little_memory(server: Server) -> None:
    command = [sys.executable, "-c", MEMORY, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(posts(server)[-1].body) > 2**26
    assert int(done.stdout) < 20


def test_what_the_service_has_is_not_sent(server: Server, client: Client) -> None:
    client.datasets.upload(x=X, y=Y)
    data = posts(server)[0].body
    asked = server.asked[0]
    assert (asked.method, asked.query["digest"]) == ("GET", [digest(data)])
    server.on(KNOWN, Answer(200, {"items": [{**DOCUMENT, "id": "ds_0", "digest": digest(data)}]}))
    assert client.datasets.upload(x=X, y=Y).id == "ds_0"
    assert len(posts(server)) == 1


@pytest.mark.parametrize(
    "known",
    [
        Answer(422, {"code": "invalid_request", "title": "Unprocessable"}),
        Answer(403, {"code": "insufficient_scope", "title": "Forbidden"}),
        Answer(200, {"items": [{**DOCUMENT, "id": "ds_0", "digest": "sha256:" + "0" * 64}]}),
        Answer(200, {"items": [{**DOCUMENT, "id": "ds_0"}]}),
    ],
)
def test_a_service_that_does_not_know_the_filter_gets_the_bytes(
    server: Server, client: Client, known: Answer
) -> None:
    server.on(KNOWN, known)
    assert client.datasets.upload(x=X, y=Y).id == "ds_1"
    assert len(posts(server)) == 1


def test_a_retry_sends_the_whole_file_again(server: Server, client: Client) -> None:
    server.on(ROUTE, Answer(503, {}, {"Retry-After": "0"}), *server.routes[ROUTE])
    client.datasets.upload(X, Y)
    first, second = posts(server)
    assert first.body == second.body != b""
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


class Cut:
    """A server that hangs up in the middle of the first upload, and takes the second."""

    def __init__(self, cuts: int) -> None:
        self.cuts = cuts
        self.heads: list[bytes] = []
        self.bodies: list[int] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = Thread(target=self.serve)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.talk(connection)

    def talk(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        if head.startswith(b"GET"):
            self.reply(connection, b'{"items": []}')
            return
        self.heads.append(head)
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        count = len(body)
        while count < (length // 2 if self.cuts else length):
            count += len(connection.recv(65536))
        self.bodies.append(count)
        if self.cuts:
            self.cuts -= 1
            # With a reset, as a connection that breaks, not as one that is closed.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        else:
            self.reply(connection, b'{"id": "ds_9"}')

    def reply(self, connection: socket.socket, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


@pytest.fixture
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cut]:
    monkeypatch.setattr("tuneserve.retries.BACKOFF_SECONDS", 0.001)
    server = Cut(request.param)
    yield server
    server.close()


@pytest.mark.parametrize("cut", [1], indirect=True)
def test_an_upload_that_is_cut_begins_again_under_the_same_key(cut: Cut) -> None:
    x = np.zeros((64, 256, 256), "uint8")
    with Client(cut.url, "tns_k_s", timeout=5) as client:
        assert client.datasets.upload(x=x, y=np.arange(64) % 2).id == "ds_9"
    assert len(cut.bodies) == 2
    assert cut.bodies[1] > x.size
    keys = [head.lower().partition(b"idempotency-key: ")[2].split(b"\r\n")[0] for head in cut.heads]
    assert len(set(keys)) == 1
    assert keys[0]


@pytest.mark.parametrize("cut", [99], indirect=True)
def test_an_upload_that_is_always_cut_fails_clearly(cut: Cut) -> None:
    with Client(cut.url, "tns_k_s", timeout=5, max_retries=1) as client, pytest.raises(ConnectionFailed):
        client.datasets.upload(x=np.zeros((64, 256, 256), "uint8"), y=np.arange(64) % 2)
    assert len(cut.bodies) == 2


def test_progress_counts_bytes_and_takes_back_what_is_sent_again(
    server: Server, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.datasets.upload(x=X, y=Y)
    assert capsys.readouterr().err == ""
    client.datasets.upload(x=X, y=Y, name="letters", progress=True)
    assert "letters" in capsys.readouterr().err
    moved: list[int] = []
    file = Counted(io.BytesIO(b"0123456789"), moved.append)
    assert file.read(4) + file.read(4) == b"01234567"
    file.seek(0)
    assert file.read() == b"0123456789"
    assert moved == [4, 4, -8, 10]


def test_a_file_is_sent_as_it_is(server: Server, client: Client, tmp_path: Path) -> None:
    np.savez(tmp_path / "letters.npz", x=X, y=Y)
    client.datasets.upload_file(tmp_path / "letters.npz")
    assert posts(server)[0].body == (tmp_path / "letters.npz").read_bytes()
    assert posts(server)[0].query == {"name": ["letters"]}
    client.datasets.upload(str(tmp_path / "letters.npz"), name="others")
    assert posts(server)[1].query == {"name": ["others"]}


def test_a_file_of_another_kind_is_refused(server: Server, client: Client, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match=r"x\.npy is neither .* made by numpy\.savez"):
        client.datasets.upload(tmp_path / "x.npy")
    with pytest.raises(FileNotFoundError):
        client.datasets.upload(tmp_path / "missing.npz")
    assert not server.asked


def test_a_folder_of_class_folders(server: Server, client: Client, tmp_path: Path) -> None:
    root = folder(
        tmp_path / "pets", "dogs/2.JPG", "cats/b.png", "cats/a.bmp", ".git/1.png", "cats/.hidden.png",
        "dogs/Thumbs.db", "__MACOSX/1.png", "LICENSE.txt",
    )  # fmt: skip
    client.datasets.upload(root)
    assert members(server) == ["cats/a.bmp", "cats/b.png", "dogs/2.JPG"]
    assert posts(server)[0].query == {"name": ["pets"]}
    archive = zipfile.ZipFile(io.BytesIO(posts(server)[0].body))
    assert archive.read("cats/a.bmp") == PNG + b"cats/a.bmp"
    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    assert [one.compress_type for one in archive.infolist()] == [deflated, stored, stored]


def test_a_folder_is_the_same_bytes_whatever_its_times_and_its_place(tmp_path: Path) -> None:
    packed = []
    for place, names in (("one", ["b/1.png", "a/2.png"]), ("deep/two", ["a/2.png", "b/1.png"])):
        root = folder(tmp_path / place, *names)
        os.utime(root / "a/2.png", (len(packed), len(packed)))
        (root / "a/2.png").chmod(0o600 if packed else 0o644)
        file = io.BytesIO()
        write_class_folders(file, root)
        packed.append(file.getvalue())
    assert packed[0] == packed[1]


def test_one_folder_around_the_class_folders_is_looked_into(tmp_path: Path) -> None:
    root = folder(tmp_path / "flowers", "flowers/roses/1.png", "flowers/tulips/1.png", "readme.md")
    file = io.BytesIO()
    write_class_folders(file, root)
    assert zipfile.ZipFile(file).namelist() == ["roses/1.png", "tulips/1.png"]


def test_the_service_reads_what_is_packed(tmp_path: Path) -> None:
    images = {"b/2.png": (8, 8), "b/deep/3.bmp": (8, 8), "a c/1.jpg": (8, 8), "a c/é.webp": (8, 8)}
    for name, size in images.items():
        path = tmp_path / "top" / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "red").save(path)
    with (tmp_path / "pets.zip").open("wb") as file:
        write_class_folders(file, tmp_path / "top")
    with ingested(tmp_path / "pets.zip", "sha256:1", "pets", 2**20) as found:
        counts = {one.name: one.count for one in found.dataset.classes}
        assert (counts, tuple(found.dataset.shape)) == ({"a c": 2, "b": 2}, (8, 8, 3))
    with (tmp_path / "digits.npz").open("wb") as file:
        write_npz(file, {"x": X, "y": np.array(["a", "é", "a", "é"])})
    with ingested(tmp_path / "digits.npz", "sha256:2", "digits", 2**20) as found:
        assert {one.name: one.count for one in found.dataset.classes} == {"a": 2, "é": 2}


def test_one_class_is_left_to_the_service(tmp_path: Path) -> None:
    file = io.BytesIO()
    write_class_folders(file, folder(tmp_path / "pets", "cats/1.png"))
    assert zipfile.ZipFile(file).namelist() == ["cats/1.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["readme.txt"], "pets has no class folders; put the images of each class into a folder"),
        (["1.png", "2.png"], "pets has no class folders, but images"),
        (["cats/1.png", "dogs/1.png", "3.png"], "3.png is beside the class folders"),
        (["cats/1.png", "dogs/.1.png"], "dogs has no images"),
        (["cats/1.png", "dogs/notes.txt"], "dogs/notes.txt is no image; images are .bmp, .gif"),
        (["cats/1.png", "dogs/small/1.tif"], "dogs/small/1.tif is no image"),
        ([f"cats/{i}.csv" for i in range(5)] + ["dogs/1.png"], "cats/2.csv and 2 more are no images"),
        (["train/cats/1.png", "test/cats/1.png"], "test, train are shares of divided data, not classes"),
        (["pets/Train/a/1.png", "pets/val/a/1.png"], "Train, val are shares of divided data, not classes"),
        (["cats/1.png", "/".join(["dogs"] * 20) + "/1.png"], "lies too deep"),
    ],
)
def test_a_folder_that_is_something_else(
    server: Server, client: Client, tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked into below
        client.datasets.upload(folder(tmp_path / "pets", *names))
    assert message in str(caught.value)
    assert not server.asked


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_stay_inside_the_folder(tmp_path: Path) -> None:
    secret = folder(tmp_path, "secret.png") / "secret.png"
    root = folder(tmp_path / "pets", "cats/1.png", "dogs/1.png")
    (root / "dogs/2.png").symlink_to(root / "cats/1.png")
    file = io.BytesIO()
    write_class_folders(file, root)
    assert zipfile.ZipFile(file).read("dogs/2.png") == PNG + b"cats/1.png"
    for target, where in ((secret, "outside of the folder"), (tmp_path / "gone", "nothing")):
        (root / "dogs/3.png").symlink_to(target)
        with pytest.raises(ValueError, match=f"dogs/3.png is a link to {where}"):
            write_class_folders(io.BytesIO(), root)
        (root / "dogs/3.png").unlink()
    (root / "birds").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="birds is a link to outside"):
        write_class_folders(io.BytesIO(), root)
    (root / "birds").unlink()
    (root / "dogs/again").symlink_to(root)
    with pytest.raises(ValueError, match="is a link to a folder around it"):
        write_class_folders(io.BytesIO(), root)


def test_get_list_and_delete(server: Server, client: Client) -> None:
    server.on("GET /v1/datasets/ds_1", Answer(200, DOCUMENT))
    assert client.datasets.get("ds_1").samples == 4
    pages = [{"items": [DOCUMENT], "next_page_token": "t"}, {"items": [{**DOCUMENT, "id": "ds_2"}]}]
    server.on(KNOWN, *(Answer(200, page) for page in pages))
    assert [one.id for one in client.datasets.list(page_size=1)] == ["ds_1", "ds_2"]
    assert server.asked[-1].query == {"page_size": ["1"], "page_token": ["t"]}
    server.on("DELETE /v1/datasets/ds_1", Answer(204))
    client.datasets.delete("ds_1")
    client.datasets.delete(tuneserve.Dataset(id="ds_1"))
    assert server.count("DELETE") == 2


def test_dataset_is_frozen(client: Client) -> None:
    dataset = client.datasets.upload(X, Y)
    with pytest.raises(AttributeError):
        dataset.name = "x"  # type: ignore[misc]
    assert isinstance(dataset, tuneserve.Dataset)
