"""Fields of one line: a value that may be left open, with its limits, its help, and perhaps a default."""

from collections.abc import Iterable
from typing import Any

from marshmallow import missing

from schemas.distributions import Tunable
from schemas.fields import Among, Between, Boolean, Integer, Number, String


def tunable(inner: Any, text: str, default: Any = missing) -> Any:
    """Any field; without a default it is required."""
    return Tunable(inner, metadata={"description": text}, **given(default))


def integer(low: int, high: int, text: str, default: Any = missing) -> Any:
    """A whole number."""
    return tunable(Integer(validate=Between(low, high)), text, default)


def number(low: float, high: float, text: str, default: Any = missing, *, open_min: bool = False) -> Any:
    """A real number; ``open_min`` leaves the lower end out."""
    return tunable(Number(validate=Between(low, high, open_min=open_min)), text, default)


def name(among: Iterable[str], text: str, default: Any = missing) -> Any:
    """One of some names."""
    return tunable(String(validate=Among(among)), text, default)


def flag(text: str, default: Any = missing) -> Any:
    """Yes or no."""
    return tunable(Boolean(), text, default)


def given(default: Any) -> dict[str, Any]:
    """The arguments of a field that say whether it has to be there; None as a default may be said as well."""
    if default is missing:
        return {"required": True}
    return {"load_default": default, "allow_none": default is None}
