"""Bearer keys, ``tns_<id>_<secret>``: only a digest of the secret is kept."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from store.database import clock
from store.leases import updated
from store.tables import KeyRow

READ, WRITE, ADMIN = "read", "write", "admin"
SCOPES = (READ, WRITE, ADMIN)
DEFAULT_PROJECT = "default"

_KEY = re.compile(r"tns_([a-z0-9]{1,32})_([A-Za-z0-9-]{16,128})", re.ASCII)


@dataclass(frozen=True)
class Key:
    id: str
    project: str
    name: str
    scopes: Sequence[str]
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None

    def allows(self, scope: str) -> bool:
        """Each scope holds those before it: admin may write, and whoever writes may read."""
        return any(SCOPES.index(own) >= SCOPES.index(scope) for own in self.scopes)


def create(
    session: Session,
    project: str,
    name: str,
    scopes: Sequence[str],
    expire_time: datetime | None = None,
) -> tuple[Key, str]:
    """Makes a key; its text is not to be had again."""
    secret = secrets.token_hex(24)
    row = KeyRow(
        id=secrets.token_hex(6),
        project=project,
        name=name,
        scopes=list(scopes),
        digest=_digest(secret),
        expire_time=expire_time,
    )
    session.add(row)
    session.flush()
    return _key(row), f"tns_{row.id}_{secret}"


def check(session: Session, text: str) -> Key | None:
    """The key of this text, unless it is wrong, expired or revoked."""
    parts = _KEY.fullmatch(text)
    if parts is None:
        return None
    row = session.scalar(select(KeyRow).where(KeyRow.id == parts[1], *_good()))
    # Compared in either case, so that the time taken tells nothing about which ids there are.
    known = row.digest if row is not None else _digest("")
    matches = hmac.compare_digest(known, _digest(parts[2]))
    return _key(row) if row is not None and matches else None


def is_good(session: Session, key_id: str) -> bool:
    """Whether a key that was good has neither expired nor been revoked since."""
    row = session.scalar(select(KeyRow).where(KeyRow.id == key_id, *_good()))
    return row is not None


def every(session: Session) -> list[Key]:
    return [_key(row) for row in session.scalars(select(KeyRow).order_by(KeyRow.create_time))]


def _good() -> list[ColumnElement[bool]]:
    return [KeyRow.revoke_time.is_(None), or_(KeyRow.expire_time.is_(None), KeyRow.expire_time > clock())]


def revoke(session: Session, key_id: str) -> bool:
    """Ends a key; says whether there was one to end."""
    live = (KeyRow.id == key_id, KeyRow.revoke_time.is_(None))
    return updated(session, update(KeyRow).where(*live).values(revoke_time=clock())) == 1


def _digest(secret: str) -> str:
    # A plain hash is enough: the secret has 192 random bits, there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        project=row.project,
        name=row.name,
        scopes=tuple(row.scopes),
        create_time=row.create_time,
        expire_time=row.expire_time,
        revoke_time=row.revoke_time,
    )
