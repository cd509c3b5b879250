"""Decorators of views: one transaction a request, and POSTs that are answered only once."""

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, g, make_response, request

from schemas.problems import BadRequest, Invalid
from service import context
from store import answers
from store.answers import Answer

View = Callable[..., Any]

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
# Headers of an answer that belong to it wherever it is sent again.
_KEPT_HEADERS = ("Content-Type", "Location", "Retry-After", "ETag")


def reads(view: View) -> View:
    """The view reads in one snapshot, `context.session`."""

    @wraps(view)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        with context.reading() as g.session:
            return view(*arguments, **named)

    return wrapper


def writes(view: View) -> View:
    """The view writes in one transaction; a POST under an idempotency key is done only once."""

    @wraps(view)
    def wrapper(*arguments: Any, **named: Any) -> Response:
        return once(_request_digest(), lambda: make_response(view(*arguments, **named)))

    return wrapper


def once(digest: str, answer: Callable[[], Response]) -> Response:
    """Makes the answer in a transaction, or gives the one that was given before.

    Raises:
        Invalid: `idempotency_key_reused`, for another request than this one.
    """
    key = _key()
    with context.writing() as session:
        if key is None:
            return answer()
        known = answers.begin(session, context.project(), key, digest)
        if known is None:
            given = answer()
            answers.keep(session, context.project(), key, _kept(digest, given))
            return given
    if known.digest != digest:
        text = f"This {HEADER} was used for another request."
        raise Invalid("idempotency_key_reused", text)
    return _replayed(known)


def digest_of(*parts: str) -> str:
    """The digest of a request: its method and path, and what else makes it this one."""
    text = "\n".join((request.method, request.full_path, *parts))
    return hashlib.sha256(text.encode()).hexdigest()


def _request_digest() -> str:
    return digest_of(hashlib.sha256(request.get_data()).hexdigest())


def _key() -> str | None:
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return None
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise BadRequest("invalid_idempotency_key", f"{HEADER} is 1 to 255 visible ASCII characters.")
    return key


def _kept(digest: str, given: Response) -> Answer:
    headers = {name: given.headers[name] for name in _KEPT_HEADERS if name in given.headers}
    return Answer(digest, given.status_code, headers, given.get_data(as_text=True))


def _replayed(known: Answer) -> Response:
    response = make_response(known.body, known.status)
    response.headers.update(known.headers)
    response.headers[REPLAYED] = "true"
    return response
