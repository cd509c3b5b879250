"""Everything that can go wrong for a client, as one small tree, and its JSON (RFC 9457).

Problem                       any of them: status, code, title, detail, errors, headers
├── BadRequest            400 what arrived is not JSON, or not as it should be
├── Unauthorized          401 no key, or a wrong one
├── Forbidden             403 a key without the scope
├── NotFound              404 nothing there, or not yours
├── MethodNotAllowed      405
├── Conflict              409 not in this state
├── TooLarge              413
├── UnsupportedMediaType  415
├── RangeNotSatisfiable   416
├── Invalid               422 understood, but it does not fit; `errors` points at each place
├── TooManyRequests       429 later: `Retry-After` says when
├── InternalError         500
├── Unavailable           503 the database, the broker or the storage is away
└── InsufficientStorage   507
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields

MEDIA_TYPE = "application/problem+json"


class Message(str):
    """An error text for a person that carries a stable code for a program."""

    code: str

    def __new__(cls, code: str, text: str) -> "Message":
        self = super().__new__(cls, text)
        self.code = code
        return self


def fault(code: str, text: str, *path: str | int) -> ValidationError:
    """A validation error with a code, at ``path`` below the place that raises it."""
    messages: Any = [Message(code, text)]
    for part in reversed(path):
        messages = {part: messages}
    return ValidationError(messages)


@dataclass(frozen=True)
class ErrorItem:
    """One thing that is wrong with a body, and where (JSON pointer, RFC 6901)."""

    pointer: str
    code: str
    detail: str


@dataclass
class Problem(Exception):
    """An answer other than success. Raised anywhere, mapped to HTTP in one place."""

    code: str
    detail: str
    errors: list[ErrorItem] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class BadRequest(Problem):
    status, title = 400, "Bad request"


class Unauthorized(Problem):
    status, title = 401, "Unauthorized"


class Forbidden(Problem):
    status, title = 403, "Forbidden"


class NotFound(Problem):
    status, title = 404, "Not found"


class MethodNotAllowed(Problem):
    status, title = 405, "Method not allowed"


class Conflict(Problem):
    status, title = 409, "Conflict"


class TooLarge(Problem):
    status, title = 413, "Too large"


class UnsupportedMediaType(Problem):
    status, title = 415, "Unsupported media type"


class RangeNotSatisfiable(Problem):
    status, title = 416, "Range not satisfiable"


class Invalid(Problem):
    status, title = 422, "Does not fit"


class TooManyRequests(Problem):
    status, title = 429, "Too many requests"


class InternalError(Problem):
    status, title = 500, "Internal error"


class Unavailable(Problem):
    status, title = 503, "Unavailable"


class InsufficientStorage(Problem):
    status, title = 507, "Insufficient storage"


def pointer(*parts: str | int) -> str:
    """JSON pointer of a path, with ``~`` and ``/`` escaped."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def error_items(messages: Any, *path: str | int) -> Iterator[ErrorItem]:
    """Flattens marshmallow's nested messages to pointers, codes and texts."""
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            # `_schema` holds what concerns an object as a whole; it is no field of the document.
            yield from error_items(value, *path, *(() if key == "_schema" else (key,)))
    elif isinstance(messages, (list, tuple)):
        for value in messages:
            yield from error_items(value, *path)
    else:
        yield ErrorItem(pointer(*path), getattr(messages, "code", "invalid_value"), str(messages))


def invalid(messages: Any, detail: str | None = None) -> Invalid:
    """The 422 for marshmallow's ``messages``; a lone error lends the problem its code."""
    items = list(error_items(messages))
    code = items[0].code if len({item.code for item in items}) == 1 else "invalid_document"
    summary = "; ".join(f"{item.pointer or '/'}: {item.detail}" for item in items[:3])
    more = f"; and {len(items) - 3} more" if len(items) > 3 else ""
    return Invalid(code, detail or summary + more, errors=items)


class ErrorItemSchema(Schema):
    pointer = fields.String(required=True, metadata={"description": "JSON pointer to the place."})
    code = fields.String(required=True, metadata={"description": "Stable, snake_case."})
    detail = fields.String(required=True)


class WarningSchema(Schema):
    """What is worth saying, though it is no error."""

    code = fields.String(required=True)
    pointer = fields.String(metadata={"description": "JSON pointer into the spec, if it is there."})
    detail = fields.String(required=True)


class ProblemSchema(Schema):
    """RFC 9457 problem details."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True, metadata={"description": "Stable, snake_case."})
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(ErrorItemSchema))
