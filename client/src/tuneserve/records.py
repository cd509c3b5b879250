"""Records: frozen dataclasses read from the service's JSON."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Self, cast

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every record has: `extra`, the fields this version of the SDK does not know."""

    extra: Document = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a JSON object; a field that is absent or null takes its default.

        Raises:
            ApiError: A field that has no default is not there: the object is of another API.
        """
        # Imported late: the places in an error are records too.
        from tuneserve.responses import wanted

        # To mypy, the hash of a class is that of its instances.
        known, required = _names(cast("Any", cls))
        wanted(document, *required)
        given = {k: _value(k, v) for k, v in document.items() if k in known and v is not None}
        return cls(**given, extra={k: v for k, v in document.items() if k not in known})


@cache
def _names(kind: type[Any]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The fields that a document may have, and those that it must have; looked up once, not once an epoch."""
    required = (f.name for f in fields(kind) if f.default is f.default_factory is MISSING)
    return frozenset(f.name for f in fields(kind)) - {"extra"}, tuple(required)


def _value(name: str, value: Any) -> Any:
    if name.endswith("_time") and isinstance(value, str):
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value
