"""Keyset pages: the token says where the last page ended, so no page costs more than the first."""

import base64
from typing import Any

from sqlakeyset import BadBookmark, InvalidPage, PageSerializationError, select_page
from sqlalchemy import Select
from sqlalchemy.exc import DataError, ProgrammingError, StatementError
from sqlalchemy.orm import Session

from schemas.pages import Page
from schemas.problems import Message, Problem, invalid


def paged(session: Session, query: Select[Any], size: int, token: str | None) -> Page[Any]:
    """One page of an ordered query for one entity.

    Raises:
        Invalid: the token is not one that an earlier page gave.
    """
    try:
        rows = select_page(session, query, per_page=size, page=_bookmark(token))
    except (BadBookmark, InvalidPage, PageSerializationError, ValueError):
        raise _forged() from None
    except (DataError, ProgrammingError):
        # A bookmark of the right form whose values are not of the columns' types.
        raise _forged() from None
    except StatementError as error:
        if token is not None and type(error) is StatementError:
            raise _forged() from None
        raise
    following = _token(rows.paging.bookmark_next) if rows.paging.has_next else None
    return Page([row[0] for row in rows], following)


def _token(bookmark: str) -> str:
    return base64.urlsafe_b64encode(bookmark.encode()).decode()


def _bookmark(token: str | None) -> str | None:
    return None if token is None else base64.urlsafe_b64decode(token.encode()).decode()


def _forged() -> Problem:
    text = "Not a next_page_token of an earlier page."
    return invalid({"page_token": [Message("invalid_page_token", text)]})
