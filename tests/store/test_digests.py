"""Digests of a database of before: made anew, so that equal specs are found, whenever they were posted."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from schemas.specs import load_spec
from store import jobs
from store.database import Database
from store.jobs import Filters
from tests.store import test_database
from tests.store.makers import PROJECT, new_job, new_spec
from tests.store.test_migrations import JOB, migrate_to, old_job

bare = test_database.bare

OLD = "sha256:" + "0" * 64


@pytest.fixture
def old(bare: Database) -> Database:
    """A database of revision 0004, with a job whose digest is of before."""
    migrate_to(bare, "0001")
    old_job(bare)
    migrate_to(bare, "0004")
    with bare.write() as session:
        change = text("UPDATE jobs SET spec_digest = :digest, name = 'x', spec = :spec WHERE id = :id")
        spec = {**new_spec().resolved, "name": "x", "labels": {"a": "b"}, "priority": 9}
        session.execute(change, {"digest": OLD, "spec": json.dumps(spec), "id": JOB})
    return bare


def set_result(database: Database, result: dict[str, Any]) -> None:
    with database.write() as session:
        change = text("UPDATE jobs SET result = :result WHERE id = :id")
        session.execute(change, {"result": json.dumps(result), "id": JOB})


def result_of(database: Database) -> dict[str, Any] | None:
    with database.read() as session:
        return jobs.result(session, PROJECT, JOB)


def test_a_job_of_before_is_found_by_the_digest_of_a_new_one(old: Database) -> None:
    old.migrate()
    new = new_job(old)
    with old.read() as session:
        found = jobs.page(session, PROJECT, Filters(spec_digest=new_spec().digest), 10, None)
    assert {job.id for job in found.items} == {new, JOB}
    (before,) = (job for job in found.items if job.id == JOB)
    assert before.spec_digest == load_spec(before.spec).digest != OLD
    assert before.spec["labels"] == {"a": "b"}


def test_a_result_names_the_digest_that_its_job_has(old: Database) -> None:
    set_result(old, {"trial": 0, "reproducibility": {"seed": 0, "spec_digest": OLD}})
    old.migrate()
    told = {"seed": 0, "spec_digest": new_spec().digest}
    assert result_of(old) == {"trial": 0, "reproducibility": told}


def test_a_result_of_another_spec_names_that_one(old: Database) -> None:
    result = {"trial": 0, "reproducibility": {"spec_digest": "sha256:of a smaller budget"}}
    set_result(old, result)
    old.migrate()
    assert result_of(old) == result


def test_a_job_without_a_result_has_none_afterwards(old: Database) -> None:
    old.migrate()
    assert result_of(old) is None
    with old.read() as session:
        # NULL, not JSON's null.
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE result IS NULL")) == 1
