"""Blobs: one contract for every storage; on disk here."""

import hashlib
import os
from pathlib import Path

import pytest

from schemas.problems import Unavailable
from store import blobs
from store.blobs import CHUNK_BYTES, BlobStore, sha256_of

CONTENT = os.urandom(2 * CHUNK_BYTES + 17)


class BlobContract:
    """What every storage promises; a class for each says how to open it."""

    @pytest.fixture
    def store(self) -> BlobStore:
        raise NotImplementedError

    @pytest.fixture
    def stored(self, store: BlobStore, tmp_path: Path) -> str:
        """Path of a blob of a little more than two pieces."""
        file = tmp_path / "source"
        file.write_bytes(CONTENT)
        store.put("a folder/é/blob.bin", file)
        return "a folder/é/blob.bin"

    def test_ranges_are_read_exactly(self, store: BlobStore, stored: str) -> None:
        size = len(CONTENT)
        middle = CHUNK_BYTES
        for start, end in (
            (0, size),
            (0, 1),
            (size - 1, size),
            (5, 5),
            (middle - 1, middle + 1),
            (3, 2 * middle + 3),
        ):
            assert b"".join(store.read(stored, start, end)) == CONTENT[start:end]

    def test_reading_comes_in_pieces(self, store: BlobStore, stored: str) -> None:
        pieces = list(store.read(stored, 0, len(CONTENT)))
        assert [len(piece) for piece in pieces] == [CHUNK_BYTES, CHUNK_BYTES, 17]

    def test_a_blob_is_fetched_whole_into_a_new_folder(
        self, store: BlobStore, stored: str, tmp_path: Path
    ) -> None:
        target = tmp_path / "new" / "folder" / "file"
        store.fetch(stored, target)
        assert target.read_bytes() == CONTENT
        assert [file.name for file in target.parent.iterdir()] == ["file"]

    def test_a_missing_blob_is_unavailable(self, store: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(Unavailable) as caught:
            store.fetch("nothing", tmp_path / "there" / "file")
        assert caught.value.code == "storage_unavailable"
        assert list((tmp_path / "there").iterdir()) == []
        with pytest.raises(Unavailable):
            list(store.read("nothing", 0, 1))

    def test_putting_again_replaces(self, store: BlobStore, stored: str, tmp_path: Path) -> None:
        file = tmp_path / "other"
        file.write_bytes(b"other")
        store.put(stored, file)
        store.fetch(stored, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"other"

    def test_an_empty_file_is_a_blob(self, store: BlobStore, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        store.put("empty", tmp_path / "empty")
        store.fetch("empty", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b""

    def test_a_file_that_is_not_there_cannot_be_put(self, store: BlobStore, tmp_path: Path) -> None:
        with pytest.raises(Unavailable):
            store.put("x", tmp_path / "nothing")

    def test_a_deleted_blob_is_gone(self, store: BlobStore, stored: str) -> None:
        store.delete(stored)
        with pytest.raises(Unavailable):
            list(store.read(stored, 0, 1))

    def test_deleting_nothing_is_no_error(self, store: BlobStore) -> None:
        store.delete("nothing")

    def test_what_is_below_a_folder_is_deleted_and_nothing_beside_it(
        self, store: BlobStore, stored: str, tmp_path: Path
    ) -> None:
        (tmp_path / "some").write_bytes(CONTENT)
        for path in ("jobs/a/1", "jobs/a/b/2", "jobs/ab/3"):
            store.put(path, tmp_path / "some")
        store.delete_under("jobs/a")
        store.delete_under("jobs/nothing")
        for path in ("jobs/a/1", "jobs/a/b/2"):
            with pytest.raises(Unavailable):
                list(store.read(path, 0, 1))
        assert list(store.read("jobs/ab/3", 0, 1)) == list(store.read(stored, 0, 1))

    def test_it_answers(self, store: BlobStore) -> None:
        assert store.answers()


class TestOnDisk(BlobContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return BlobStore((tmp_path / "made by it" / "blobs").as_uri())

    def test_a_path_does_not_lead_out_of_the_folder(self, store: BlobStore, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret")
        with pytest.raises((Unavailable, ValueError)):
            list(store.read("../../secret", 0, 6))


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    assert blobs.sha256_of(tmp_path / "file") == hashlib.sha256(CONTENT).hexdigest()
    assert len(sha256_of(tmp_path / "file")) == 64
