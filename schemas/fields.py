"""marshmallow's fields, made strict, with a stable code on every error.

Strict: a string is no number, ``3.7`` is no integer (``3.0`` is: JSON does not tell them apart),
``1`` is no boolean. Codes travel on the messages themselves (`problems.Message`), so that the
flattening to JSON pointers needs no table of texts.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from schemas.problems import Message

_CODES = {
    "required": "missing_field",
    "null": "invalid_type",
    "invalid": "invalid_type",
    "special": "invalid_type",
    "too_large": "value_out_of_range",
    "type": "invalid_type",
    "unknown": "unknown_field",
}


class Coded(fields.Field[Any]):
    """Puts a code on the errors that marshmallow words."""

    def make_error(self, key: str, **kwargs: Any) -> ValidationError:
        error = super().make_error(key, **kwargs)
        code = _CODES.get(key, "invalid_value")
        return ValidationError([Message(code, str(text)) for text in error.messages])


class Between(validate.Range):
    """A closed range (``open_min`` leaves the lower end out), with the code `value_out_of_range`."""

    def __init__(self, low: float | None, high: float | None, *, open_min: bool = False) -> None:
        super().__init__(min=low, max=high, min_inclusive=not open_min)

    def _format_error(self, value: Any, message: str) -> str:
        return Message("value_out_of_range", super()._format_error(value, message))


class Among(validate.OneOf):
    """One of some names; the error lists them and hints at the nearest."""

    def __init__(self, choices: Iterable[str]) -> None:
        super().__init__(list(choices))

    def _format_error(self, value: Any) -> str:
        text = f"Must be one of: {', '.join(map(str, self.choices))}."
        return Message("value_not_allowed", text + nearest(value, list(self.choices)))


class Pattern(validate.Regexp):
    """A pattern for the whole text.

    Args:
        code: of the error.
    """

    def __init__(self, pattern: str, text: str, code: str = "invalid_value") -> None:
        super().__init__(re.compile(rf"(?:{pattern})\Z"), error=text)
        self.pattern = pattern
        self.code = code

    def _format_error(self, value: Any) -> str:
        return Message(self.code, super()._format_error(value))


class Except(validate.NoneOf):
    """Anything that the field takes, but these values."""

    def __init__(self, *values: Any) -> None:
        super().__init__(values, error=f"Must not be {' or '.join(map(str, values))}.")

    def _format_error(self, value: Any) -> str:
        return Message("value_out_of_range", super()._format_error(value))


class Sized(validate.Length):
    def _format_error(self, value: Any, message: str) -> str:
        return Message("invalid_value", super()._format_error(value, message))


class Integer(Coded, fields.Integer):
    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return value


class QueryInteger(Integer):
    """An integer in a URL, where everything is text."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
            return int(value)
        raise self.make_error("invalid", input=value)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        return self._validated(value)


class QueryNumber(Coded, fields.Float):
    """A number in a URL."""


class Number(Coded, fields.Float):
    def _validated(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.make_error("invalid", input=value)
        try:
            number = float(value)
        except OverflowError:
            raise self.make_error("too_large", input=value) from None
        if not math.isfinite(number):
            raise self.make_error("special")
        return number


class String(Coded, fields.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if not is_plain(text):
            raise ValidationError([Message("invalid_value", "NUL and surrogates are not text.")])
        return text


class Boolean(Coded, fields.Boolean):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class List(Coded, fields.List[Any]):
    pass


class Dict(Coded, fields.Dict):
    """Errors of a key or its value are told at the key, without marshmallow's `key` and `value`."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            found = {name: said.get("key") or said["value"] for name, said in error.messages.items()}
            raise ValidationError(found) from None


class Nested(Coded, fields.Nested):
    pass


class Timestamp(Coded, fields.AwareDateTime):
    """RFC 3339, always UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        text = super()._serialize(value, attr, obj, **kwargs)
        return text.replace("+00:00", "Z") if isinstance(text, str) else text


class AnswerSchema(Schema):
    """What is answered. Open to more fields, so that adding one breaks no generated client."""

    class Meta:
        # Which is published as: there may be others.
        unknown = EXCLUDE


class StrictSchema(Schema):
    """What is asked: refuses unknown fields by name, with the nearest known name as a hint.

    ``rules`` is what holds between the fields, in the words of JSON Schema, for the published contract.
    """

    rules: ClassVar[Mapping[str, Any]] = {}

    class Meta:
        unknown = RAISE

    error_messages: dict[str, str] = {
        "unknown": Message("unknown_field", "Unknown field."),
        "type": Message("invalid_type", "Must be an object."),
    }

    def handle_error(self, error: ValidationError, data: Any, **kwargs: Any) -> None:
        known = [field.data_key or name for name, field in self.load_fields.items()]
        if isinstance(error.messages, dict):
            for key, value in error.messages.items():
                if key not in known and value == [self.error_messages["unknown"]]:
                    hint = nearest(key, known)
                    error.messages[key] = [Message("unknown_field", f"Unknown field.{hint}")]


def nearest(value: Any, known: Sequence[Any]) -> str:
    """A hint ``" Did you mean 'x'?"``, or nothing when no name is near."""
    names = [name for name in known if isinstance(name, str)]
    close = difflib.get_close_matches(str(value)[:64], names, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def is_plain(text: str) -> bool:
    """Whether a text has neither NUL nor lone surrogates: PostgreSQL holds neither, no name needs one."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_object(value: Any) -> bool:
    return isinstance(value, Mapping)
