"""Keyset pages: the token says where the last page ended, so no page costs more than the first."""

import base64
import csv
from typing import Any

from sqlakeyset import BadBookmark, Marker, PageSerializationError, select_page, unserialize_bookmark
from sqlalchemy import Select, UnaryExpression
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from schemas.pages import Page
from schemas.problems import Message, Problem, invalid


def paged(session: Session, query: Select[Any], size: int, token: str | None) -> Page[Any]:
    """One page of an ordered query for one entity.

    Raises:
        Invalid: the token is not one that an earlier page gave.
    """
    marker = None if token is None else _marker(token, query)
    try:
        rows = select_page(session, query, per_page=size, page=marker)
    except OperationalError:
        raise
    except (SQLAlchemyError, OverflowError):
        if marker is None:
            raise
        # A bookmark of the right form whose values are not of the columns' types.
        raise _forged() from None
    following = _token(rows.paging.bookmark_next) if rows.paging.has_next else None
    return Page([row[0] for row in rows], following)


def _token(bookmark: str) -> str:
    return base64.urlsafe_b64encode(bookmark.encode()).decode()


def _marker(token: str, query: Select[Any]) -> Marker:
    """The place that a token names: one value for each column that the query is ordered by."""
    try:
        text = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
        marker = unserialize_bookmark(text)
    except (BadBookmark, PageSerializationError, ValueError, csv.Error, StopIteration):
        raise _forged() from None
    kinds = [_ordered_by(clause).type.python_type for clause in query._order_by_clauses]
    if marker.place is None or marker.backwards or [type(value) for value in marker.place] != kinds:
        raise _forged()
    return marker


def _ordered_by(clause: Any) -> Any:
    """The column of an ORDER BY's part, whichever way it is turned."""
    return clause.element if isinstance(clause, UnaryExpression) else clause


def _forged() -> Problem:
    text = "Not a next_page_token of an earlier page."
    return invalid({"page_token": [Message("invalid_page_token", text)]})
