"""Artefacts: rows that name blobs."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from schemas.artifacts import Artifact
from schemas.problems import NotFound
from store import artifacts
from store.database import Database
from tests.store.makers import new_job


def _artifact(name: str) -> Artifact:
    return Artifact(name, f"jobs/x/{name}", 10, "f" * 64, "text/csv")


def _publish(database: Database, job_id: str, *names: str) -> None:
    with database.write() as session:
        artifacts.publish(session, job_id, [_artifact(name) for name in names])


def test_an_artifact_comes_back_as_it_was(database: Database) -> None:
    job_id = new_job(database)
    _publish(database, job_id, "model.keras")
    with database.read() as session:
        found = artifacts.get(session, job_id, "model.keras")
    assert (found.name, found.path, found.bytes) == ("model.keras", "jobs/x/model.keras", 10)
    assert (found.sha256, found.media_type) == ("f" * 64, "text/csv")
    assert found.create_time is not None


def test_names_and_pages_are_sorted(database: Database) -> None:
    job_id = new_job(database)
    _publish(database, job_id, "c", "a", "b")
    with database.read() as session:
        assert artifacts.names(session, job_id) == ["a", "b", "c"]
        first = artifacts.page(session, job_id, 2, None)
        second = artifacts.page(session, job_id, 2, first.next_page_token)
    assert [one.name for one in first.items] == ["a", "b"]
    assert ([one.name for one in second.items], second.next_page_token) == (["c"], None)


def test_a_name_is_given_once(database: Database) -> None:
    with pytest.raises(IntegrityError):
        _publish(database, new_job(database), "a", "a")


def test_a_job_that_ends_again_has_its_new_artifacts_only(database: Database) -> None:
    job_id = new_job(database)
    _publish(database, job_id, "a", "b")
    with database.write() as session:
        superseded = artifacts.publish(session, job_id, [replace(_artifact("a"), path="another")])
    with database.read() as session:
        assert (artifacts.names(session, job_id), artifacts.get(session, job_id, "a").path) == (
            ["a"],
            "another",
        )
    assert superseded == [_artifact("a").path, _artifact("b").path]


def test_another_jobs_artifact_is_not_found(database: Database) -> None:
    mine, theirs = new_job(database), new_job(database)
    _publish(database, theirs, "model.keras")
    for name in ("model.keras", "../model.keras", "", "%"):
        with pytest.raises(NotFound), database.read() as session:
            artifacts.get(session, mine, name)
