"""Answers under idempotency keys: one request does the work, the others get its answer."""

import pytest
from sqlalchemy import update

from store import answers
from store.answers import KEPT_SECONDS, Answer
from store.database import Database, clock
from store.tables import AnswerRow
from tests.store.makers import at_once

ANSWER = Answer("d" * 64, 202, {"Location": "/v1/jobs/é"}, '{"id": "é"}')


def _begin(database: Database, project: str = "p", key: str = "k") -> Answer | None:
    with database.write() as session:
        return answers.begin(session, project, key, ANSWER.digest)


def _answered(database: Database) -> Answer | None:
    with database.write() as session:
        known = answers.begin(session, "p", "k", ANSWER.digest)
        if known is None:
            answers.keep(session, "p", "k", ANSWER)
        return known


def test_the_first_request_has_no_answer_and_the_second_has_it(database: Database) -> None:
    assert _answered(database) is None
    assert _answered(database) == ANSWER


def test_another_project_or_key_has_none(database: Database) -> None:
    _answered(database)
    assert _begin(database, project="other") is None
    assert _begin(database, key="other") is None


def test_of_twenty_at_once_one_does_the_work(database: Database) -> None:
    found = at_once(20, lambda _: _answered(database))
    assert found.count(None) == 1
    assert [answer for answer in found if answer is not None] == [ANSWER] * 19


def test_a_request_that_failed_leaves_the_key_free(database: Database) -> None:
    def fail() -> None:
        with database.write() as session:
            answers.begin(session, "p", "k", ANSWER.digest)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert _begin(database) is None


def test_the_answer_says_which_request_it_was_to(database: Database) -> None:
    _answered(database)
    with database.write() as session:
        known = answers.begin(session, "p", "k", "another digest")
    assert known is not None
    assert known.digest == ANSWER.digest


def test_answers_are_forgotten_after_a_day(database: Database) -> None:
    _answered(database)
    with database.write() as session:
        assert answers.forget_old(session) == 0
        session.execute(update(AnswerRow).values(create_time=clock() - KEPT_SECONDS - 60))
        assert answers.forget_old(session) == 1
    assert _begin(database) is None
