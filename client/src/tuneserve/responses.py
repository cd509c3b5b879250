"""Responses: the JSON object in one, or the error it stands for."""

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from tuneserve.errors import ApiError, FieldError, error_class


def document_of(response: httpx2.Response) -> dict[str, Any]:
    """The JSON object of a successful response; raises `ApiError` when there is none."""
    document = _json_object(response)
    if document is None:
        raise error_of(response)
    return document


def error_of(response: httpx2.Response) -> ApiError:
    """The error that a response stands for: its problem, or that it is not of this API."""
    status = response.status_code
    problem = _json_object(response) or {"code": "not_json", "detail": _foreign_detail(response)}
    return error_class(status)(
        status,
        problem.get("code") or f"http_{status}",
        problem.get("title") or response.reason_phrase,
        problem.get("detail"),
        [FieldError.parse(e) for e in problem.get("errors") or () if isinstance(e, dict)],
        problem.get("request_id") or response.headers.get("X-Request-ID"),
        _retry_after(response),
    )


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
