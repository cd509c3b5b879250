"""Answers to POSTs, kept under their idempotency key for a day."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.database import clock
from store.leases import updated
from store.tables import AnswerRow

KEPT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Answer:
    """``digest`` is of the request that was answered: method, path and body."""

    digest: str
    status: int
    headers: Mapping[str, str]
    body: str


def begin(session: Session, project: str, key: str, digest: str) -> Answer | None:
    """Takes the key for this request; or the answer that an earlier one got under it.

    Fifty at once: the first inserts, the others wait for its commit and then find its answer.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(AnswerRow).values(project=project, key=key, digest=digest, create_time=clock())
    taken = statement.on_conflict_do_nothing().returning(AnswerRow.key)
    if session.scalar(taken) is not None:
        return None
    row = session.get_one(AnswerRow, (project, key))
    return Answer(row.digest, row.status or 500, row.headers or {}, row.body or "")


def keep(session: Session, project: str, key: str, answer: Answer) -> None:
    updated(
        session,
        update(AnswerRow)
        .where(AnswerRow.project == project, AnswerRow.key == key)
        .values(status=answer.status, headers=dict(answer.headers), body=answer.body),
    )


def forget_old(session: Session) -> int:
    return updated(session, delete(AnswerRow).where(AnswerRow.create_time < clock() - KEPT_SECONDS))
