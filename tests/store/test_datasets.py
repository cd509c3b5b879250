"""Data sets: the same bytes once, in use while a job lives, each project's own."""

import dataclasses

import pytest

from schemas.datasets import BUILTINS, Dataset, LabelClass
from schemas.problems import Conflict, NotFound
from schemas.states import JobState
from store import datasets, jobs
from store.database import Database
from store.ids import new_id
from tests.store.makers import PROJECT, at_once, new_spec, set_state

LETTERS = Dataset(
    id="",
    name="letters",
    kind="npz",
    digest="sha256:" + "a" * 64,
    shape=(28, 28, 1),
    samples=30,
    classes=(LabelClass("é", 10), LabelClass("b", 20)),
    dtype="uint8",
    bytes=123,
    warnings=({"code": "w"},),
)


def _create(database: Database, digest: str = LETTERS.digest, project: str = PROJECT) -> tuple[Dataset, bool]:
    with database.write() as session:
        found = dataclasses.replace(LETTERS, id=new_id("ds"), digest=digest)
        return datasets.create(session, project, found)


def _job_on(database: Database, dataset: Dataset) -> str:
    with database.write() as session:
        return jobs.create(session, PROJECT, new_spec(), dataset, []).id


def test_a_data_set_comes_back_as_it_was(database: Database) -> None:
    made, is_new = _create(database)
    with database.read() as session:
        found = datasets.get(session, PROJECT, made.id)
    assert is_new
    assert made.id.startswith("ds_")
    assert found.create_time is not None
    same = dataclasses.replace(
        found, id="", create_time=None, warnings=tuple(found.warnings), classes=found.classes
    )
    assert same == LETTERS


def test_the_same_bytes_are_one_data_set(database: Database) -> None:
    first, _ = _create(database)
    second, is_new = _create(database)
    assert (second.id, is_new) == (first.id, False)


def test_the_same_bytes_at_once_are_one_data_set(database: Database) -> None:
    made = at_once(8, lambda _: _create(database))
    assert len({dataset.id for dataset, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


def test_each_project_has_its_own(database: Database) -> None:
    mine, _ = _create(database)
    theirs, is_new = _create(database, project="theirs")
    assert is_new
    assert theirs.id != mine.id
    with pytest.raises(NotFound), database.read() as session:
        datasets.get(session, PROJECT, theirs.id)
    with pytest.raises(NotFound), database.write() as session:
        datasets.remove(session, PROJECT, theirs.id)


def test_builtin_data_sets_are_everybodys(database: Database) -> None:
    with database.read() as session:
        found = datasets.get(session, "any", "builtin:digits")
    assert found == BUILTINS["builtin:digits"]


def test_an_unknown_builtin_names_those_that_there_are(database: Database) -> None:
    with pytest.raises(NotFound) as caught, database.read() as session:
        datasets.get(session, PROJECT, "builtin:nothing")
    assert "builtin:digits" in caught.value.detail
    assert caught.value.code == "dataset_not_found"


def test_pages_newest_first_without_builtins(database: Database) -> None:
    made = [_create(database, f"sha256:{number}")[0].id for number in range(3)]
    _create(database, project="theirs")
    with database.read() as session:
        first = datasets.page(session, PROJECT, 2, None)
        second = datasets.page(session, PROJECT, 2, first.next_page_token)
    found = [dataset.id for dataset in (*first.items, *second.items)]
    assert found == sorted(made, reverse=True)
    assert second.next_page_token is None


def test_a_data_set_in_use_stays_until_the_job_has_ended(database: Database) -> None:
    dataset, _ = _create(database)
    job_id = _job_on(database, dataset)
    for state in JobState.live():
        set_state(database, job_id, state)
        with pytest.raises(Conflict) as caught, database.write() as session:
            datasets.remove(session, PROJECT, dataset.id)
        assert caught.value.code == "dataset_in_use"
    set_state(database, job_id, JobState.SUCCEEDED)
    with database.write() as session:
        assert datasets.remove(session, PROJECT, dataset.id).id == dataset.id
    with pytest.raises(NotFound), database.read() as session:
        datasets.get(session, PROJECT, dataset.id)


def test_a_builtin_data_set_cannot_be_removed(database: Database) -> None:
    with pytest.raises(Conflict), database.write() as session:
        datasets.remove(session, PROJECT, "builtin:digits")


def test_each_upload_has_a_blob_of_its_own() -> None:
    paths = {datasets.blob_path(project, one) for project in "pq" for one in ("ds_a", "ds_b")}
    assert len(paths) == 4
