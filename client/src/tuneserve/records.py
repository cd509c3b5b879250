"""Records: frozen dataclasses read from the service's JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every record has: `extra`, the fields this version of the SDK does not know."""

    extra: Document = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a JSON object; a field that is absent or null takes its default."""
        known = {f.name for f in fields(cls)} - {"extra"}
        given = {k: _value(k, v) for k, v in document.items() if k in known and v is not None}
        return cls(**given, extra={k: v for k, v in document.items() if k not in known})


def _value(name: str, value: Any) -> Any:
    if name.endswith("_time") and isinstance(value, str):
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value
