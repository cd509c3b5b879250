"""Responses: the JSON object in one, or the error it stands for."""

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from tuneserve.errors import ApiError, FieldError, error_class

FOREIGN = "not_json"
"""Code of an answer that is not of this API, such as a proxy's page."""


def document_of(response: httpx2.Response) -> dict[str, Any]:
    """The JSON object of a successful response; raises `ApiError` when there is none."""
    document = _json_object(response)
    if document is None:
        raise error_of(response)
    return document


def wanted(document: Any, *names: str) -> dict[str, Any]:
    """`document`, which has these fields, none of them null; raises `ApiError` for one of another API."""
    if not isinstance(document, dict):
        raise foreign(f"{document!r:.40} where an object was expected")
    if missing := [name for name in names if document.get(name) is None]:
        raise foreign(f"a JSON object without {' and '.join(map(repr, missing))}")
    return document


def items_of(page: Any) -> list[dict[str, Any]]:
    """The objects of one page of a list; raises `ApiError` for a page of another API."""
    items = wanted(page, "items")["items"]
    if not isinstance(items, list):
        raise foreign("'items' is no list")
    return [wanted(item) for item in items]


def foreign(what: str) -> ApiError:
    """The error for an answer that is JSON, and yet not of this API."""
    return ApiError(200, FOREIGN, "Not an answer of Tuneserve", f"not an answer of Tuneserve but {what}")


def error_of(response: httpx2.Response, about_key: str | None = None) -> ApiError:
    """The error that a response stands for: its problem, or that it is not of this API.

    Args:
        about_key: What the reader of a 401 should know of the key.
    """
    status = response.status_code
    problem = _json_object(response) or {"code": FOREIGN, "detail": _foreign_detail(response)}
    title = problem.get("title") or response.reason_phrase
    # Gateways have a message instead.
    detail = problem.get("detail") or problem.get("message")
    if about_key and status == 401:
        detail = f"{detail or title} ({about_key})"
    return error_class(status)(
        status,
        problem.get("code") or f"http_{status}",
        title,
        detail,
        _places(problem.get("errors")),
        problem.get("request_id") or response.headers.get("X-Request-ID"),
        _retry_after(response),
    )


def _places(errors: Any) -> list[FieldError]:
    listed = errors if isinstance(errors, list) else []
    return [FieldError.parse(error) for error in listed if isinstance(error, dict)]


def _json_object(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        document = response.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _foreign_detail(response: httpx2.Response) -> str:
    if location := response.headers.get("Location"):
        return f"redirected to {location}; is that the address of the service?"
    kind = response.headers.get("Content-Type", "no content type").partition(";")[0]
    words = " ".join(re.sub(r"<[^>]*>", " ", response.text[:2000]).split())
    return f"not an answer of Tuneserve but {kind} from {response.url.host}: {words[:120]!r}"


def _retry_after(response: httpx2.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value) if value.isdecimal() else _seconds_until(value))
    except ValueError:
        return None


def _seconds_until(http_date: str) -> float:
    return parsedate_to_datetime(http_date).timestamp() - time.time()
