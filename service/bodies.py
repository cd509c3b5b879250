"""JSON bodies, read strictly; and the parser that holds requests against schemas."""

import json
import math
from typing import Any, NoReturn

from flask import Request
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser

from schemas.problems import BadRequest, UnsupportedMediaType, invalid

MAX_DEPTH = 64


def read_json(incoming: Request) -> Any:
    """The body as JSON.

    Raises:
        UnsupportedMediaType: the body is not said to be JSON.
        BadRequest: `invalid_json` (NaN, Infinity and 1e400 included), `duplicate_key` or
            `json_too_deep`.
    """
    if not incoming.is_json:
        text = f"The body must be application/json, not {incoming.mimetype or 'untyped'}."
        raise UnsupportedMediaType("unsupported_media_type", text)
    return parse_json(incoming.get_data())


def parse_json(body: bytes) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("invalid_json", f"Not UTF-8, at byte {error.start}.") from None
    _check_depth(text)
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadRequest("invalid_json", f"Not JSON: {error.msg}, at {where}.") from None
    except ValueError:
        # An integer of more digits than Python reads.
        raise BadRequest("invalid_json", "A number is too long.") from None


def _check_depth(text: str) -> None:
    """Counts brackets outside strings, before a parser that recurses sees them."""
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string, escaped = True, False
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadRequest("json_too_deep", f"Nested more than {MAX_DEPTH} levels deep.")
        elif character in "]}":
            depth -= 1


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest("duplicate_key", f"The key {twice[:100]!r} appears twice in one object.")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRequest("invalid_json", f"{text[:40]} is no finite number.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest("invalid_json", f"{name} is not JSON.")


class Parser(FlaskParser):
    """webargs' parser with strict JSON, no unknown query parameters, and our problems."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def load_json(self, req: Request, schema: Schema) -> Any:
        return read_json(req)

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:
        messages = error.messages
        if isinstance(messages, dict) and len(messages) == 1:
            # webargs puts the location around them: {"json": {...}}.
            messages = next(iter(messages.values()))
        raise invalid(messages)


class Blueprint(SmorestBlueprint):  # type: ignore[misc]
    """A blueprint whose requests go through `Parser`."""

    ARGUMENTS_PARSER = Parser()
