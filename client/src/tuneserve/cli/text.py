"""Text: what others wrote, made fit for a terminal, and numbers made fit for people."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that could move the cursor, turn the text around or break the line."""

_JOINERS = "\u200c\u200d"
"""Of category Cf, but needed inside words and emoji, and harmless."""

_BARS = "▁▂▃▄▅▆▇█"


def shown(text: object) -> str:
    """One line without control characters: names come from other people, and may hold escape sequences."""
    return "".join(_escaped(one) if _is_hidden(one) else one for one in str(text))


def shown_lines(text: object) -> str:
    """The same of a text that may have several lines."""
    return "\n".join(shown(line) for line in str(text).split("\n"))


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def value(it: Any) -> str:
    """A value of a document in one line: numbers short, times in UTC, nothing as `-`."""
    if it is None:
        return "-"
    if isinstance(it, bool):
        return "true" if it else "false"
    if isinstance(it, float):
        return f"{it:.6g}"
    if isinstance(it, datetime):
        return f"{it:%Y-%m-%d %H:%M:%S}"
    if isinstance(it, Mapping):
        return pairs(it)
    if isinstance(it, Sequence) and not isinstance(it, str):
        return ", ".join(map(value, it))
    return shown(it)


def moment(time: str) -> str:
    """A time of RFC 3339 as `11-21 20:14`, or of another year as `2025-11-21`: a terminal has little room."""
    year = datetime.now(UTC).year
    return time[5:16].replace("T", " ") if time.startswith(f"{year}-") else time[:10]


def pairs(mapping: Mapping[str, Any], between: str = "  ") -> str:
    """`learning_rate=0.001  dropout=0.4`: paths are cut to their last part where that says it all."""
    names = short_names(list(mapping))
    return between.join(
        f"{shown(name)}={value(it)}" for name, it in zip(names, mapping.values(), strict=True)
    )


def short_names(paths: Sequence[str]) -> list[str]:
    """The last part of each dotted path, or all of it where two would look the same."""
    last = [path.rpartition(".")[2] for path in paths]
    named = zip(paths, last, strict=True)
    return [path if last.count(short) > 1 or short.isdigit() else short for path, short in named]


def seconds(number: float | None) -> str:
    """`42 s`, `3 min 5 s` or `2 h 4 min`."""
    if number is None:
        return "-"
    whole = round(number)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return "{} h {} min".format(*divmod(minutes, 60))


def size(number: float | None) -> str:
    """Bytes as `1.8 MB`, in powers of 1000."""
    if number is None:
        return "-"
    left, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if left < 999.5 or unit == "GB":
            break
        left /= 1000
    return f"{left:.0f} {unit}" if unit == "B" else f"{left:.3g} {unit}"


def sparkline(numbers: Sequence[float | None], width: int = 16) -> str:
    """A curve in at most `width` characters; where there are more numbers, the last ones of each part."""
    if not numbers:
        return ""
    step = max(1.0, len(numbers) / width)
    taken = [numbers[min(len(numbers), round((i + 1) * step)) - 1] for i in range(min(width, len(numbers)))]
    finite = [one for one in taken if one is not None]
    if not finite:
        return "·" * len(taken)
    low, span = min(finite), max(finite) - min(finite)
    return "".join("·" if one is None else _bar((one - low) / span if span else 0.5) for one in taken)


def _bar(share: float) -> str:
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]


def as_json(document: Any, indent: int | None = 2) -> str:
    """JSON in ASCII: it reads the same in every encoding, and cannot move a cursor."""
    return json.dumps(document, indent=indent, default=_plain, separators=None if indent else (",", ":"))


def _plain(it: Any) -> Any:
    if isinstance(it, datetime):
        return it.isoformat()
    if isinstance(it, Mapping):
        return dict(it)
    raise TypeError(f"{type(it).__name__} is not JSON")
