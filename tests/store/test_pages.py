"""Page tokens: those that were given go on, forged ones are refused as what they are."""

import base64

import pytest

from schemas.problems import Invalid
from store import trials
from store.database import Database
from tests.store.makers import running_job


def _token(bookmark: str) -> str:
    return base64.urlsafe_b64encode(bookmark.encode()).decode()


FORGED = (
    "x",
    "!!!!",
    "é",
    "a" * 1000,
    _token("nonsense"),
    _token(">s:not a number"),
    _token(">s:a~s:b"),
    _token(">i:1~i:2~i:3"),
    _token("<b:true"),
    _token(">dt:2026-13-45 99:99:99"),
    _token(">s:'; DROP TABLE trials; --"),
    _token(">x"),
    _token("\x00"),
    base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
)


def _is_refused(database: Database, job_id: str, token: str) -> bool:
    try:
        with database.read() as session:
            trials.page(session, job_id, 2, token, None, "number")
    except Invalid as error:
        return error.errors[0].code == "invalid_page_token"
    except Exception:
        # Anything else would be answered as an error of the service.
        return False
    return False


def test_forged_tokens_are_invalid(database: Database) -> None:
    job_id = running_job(database, 3)
    accepted = [token for token in FORGED if not _is_refused(database, job_id, token)]
    assert accepted == []


def test_numbers_beyond_every_column_are_invalid_or_the_end(database: Database) -> None:
    job_id = running_job(database, 3)
    with database.read() as session:
        try:
            page = trials.page(session, job_id, 2, _token(f">i:{10**30}"), None, "number")
        except Invalid:
            return
    assert list(page.items) == []


def test_a_token_of_another_order_is_invalid(database: Database) -> None:
    job_id = running_job(database, 3)
    with database.read() as session:
        given = trials.page(session, job_id, 1, None, None, "score").next_page_token
    with pytest.raises(Invalid), database.read() as session:
        trials.page(session, job_id, 1, given, None, "number")


def test_the_last_page_has_no_token(database: Database) -> None:
    job_id = running_job(database, 2)
    with database.read() as session:
        assert trials.page(session, job_id, 2, None, None, "number").next_page_token is None


def test_a_token_goes_on_after_the_last_item(database: Database) -> None:
    job_id = running_job(database, 3)
    with database.read() as session:
        first = trials.page(session, job_id, 2, None, None, "number")
        second = trials.page(session, job_id, 2, first.next_page_token, None, "number")
    assert [trial.number for trial in second.items] == [2]
