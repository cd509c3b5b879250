"""Who asks: a bearer key, looked up once a request, before anything else is done."""

from flask import Flask, g, request

from schemas.problems import Forbidden, Unauthorized
from service import context
from store import keys

# Endpoints that need no key.
_OPEN = ("health.", "docs.", "api-docs.", "static")

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tuneserve"'}


def require_keys(app: Flask) -> None:
    """Every route but the open ones asks for a key; reading needs its `read` scope, all else `write`."""
    app.before_request(_authenticate)


def _authenticate() -> None:
    if request.endpoint is None or request.endpoint.startswith(_OPEN):
        return
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        detail = "Send a key: 'Authorization: Bearer tns_...'."
        raise Unauthorized("missing_key", detail, headers=_CHALLENGE)
    with context.reading() as session:
        key = keys.check(session, text.strip())
    if key is None:
        detail = "The key is wrong, has expired or was revoked."
        raise Unauthorized("invalid_key", detail, headers=_CHALLENGE)
    _require_scope(key)
    g.key = key


def _require_scope(key: keys.Key) -> None:
    scope = keys.READ if request.method in ("GET", "HEAD", "OPTIONS") else keys.WRITE
    if not key.allows(scope):
        raise Forbidden("insufficient_scope", f"This key has no {scope} scope.")
