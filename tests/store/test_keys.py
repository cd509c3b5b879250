"""Keys: only the right text of a live key is one."""

from datetime import UTC, datetime, timedelta

import pytest

from store import keys
from store.database import Database
from store.keys import ADMIN, READ, SCOPES, WRITE, Key
from store.tables import KeyRow


def _create(
    database: Database, scopes: tuple[str, ...] = (WRITE,), expires_in: float | None = None
) -> tuple[Key, str]:
    expires = None
    if expires_in is not None:
        expires = datetime.now(UTC) + timedelta(seconds=expires_in)
    with database.write() as session:
        return keys.create(session, "project", "name", list(scopes), expires)


def _check(database: Database, text: str) -> Key | None:
    with database.read() as session:
        return keys.check(session, text)


def test_a_keys_text_is_the_key(database: Database) -> None:
    key, text = _create(database)
    assert _check(database, text) == key
    assert (key.project, key.name, tuple(key.scopes)) == ("project", "name", (WRITE,))


def test_the_secret_is_not_kept(database: Database) -> None:
    key, text = _create(database)
    secret = text.rsplit("_", 1)[1]
    with database.read() as session:
        row = session.get_one(KeyRow, key.id)
    assert secret not in str(vars(row))


def test_wrong_texts_are_no_keys(database: Database) -> None:
    key, text = _create(database)
    _, other = _create(database)
    swapped = f"tns_{key.id}_{other.rsplit('_', 1)[1]}"
    wrong = (
        "", "tns", "tns__", swapped, text + "0", text[:-1], text.upper(), f" {text}", f"{text}\n",
        text.replace("tns", "tnx"), f"tns_{key.id}_", "tns_' OR 1=1 --_x", f"tns_é_{'a' * 48}",
        f"tns_nobody_{'a' * 48}", f"tns_{key.id}_{'a' * 100_000}", text.replace("_", "__"), "\x00",
    )  # fmt: skip
    assert [one for one in wrong if _check(database, one) is not None] == []


def test_an_expired_key_is_none(database: Database) -> None:
    _, over = _create(database, expires_in=-1)
    _, good = _create(database, expires_in=3600)
    assert _check(database, over) is None
    assert _check(database, good) is not None


def test_a_revoked_key_is_none(database: Database) -> None:
    key, text = _create(database)
    _, other = _create(database)
    with database.write() as session:
        assert keys.revoke(session, key.id)
    assert _check(database, text) is None
    assert _check(database, other) is not None


def test_revoking_twice_or_nothing_says_so(database: Database) -> None:
    key, _ = _create(database)
    with database.write() as session:
        assert keys.revoke(session, key.id)
        assert not keys.revoke(session, key.id)
        assert not keys.revoke(session, "nobody")


def test_every_key_is_listed_revoked_ones_too(database: Database) -> None:
    first, second = _create(database)[0], _create(database)[0]
    with database.write() as session:
        keys.revoke(session, first.id)
    with database.read() as session:
        found = {key.id: key.revoke_time for key in keys.every(session)}
    assert found[first.id] is not None
    assert found[second.id] is None


@pytest.mark.parametrize(
    ("own", "allowed"), [(READ, {READ}), (WRITE, {READ, WRITE}), (ADMIN, {READ, WRITE, ADMIN})]
)
def test_each_scope_holds_those_before_it(own: str, allowed: set[str]) -> None:
    key = Key("id", "project", "name", [own], datetime.now(UTC), None, None)
    assert {scope for scope in SCOPES if key.allows(scope)} == allowed


def test_a_key_without_scopes_allows_nothing() -> None:
    key = Key("id", "project", "name", [], datetime.now(UTC), None, None)
    assert not any(key.allows(scope) for scope in SCOPES)
