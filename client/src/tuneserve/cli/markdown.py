"""Markdown from text that others wrote: names, values and messages must stay text."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_LONGEST = 300
_PLAIN = re.compile(r"[\w.,:/\-\[\]+ ]+")
_MARKS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=\S)|[!-/;-@\[-^`{-~]")
"""What may be markup: of underscores those not within a word, of colons those of addresses and emoji."""

_HARMLESS = frozenset("'\"(),.;%=+/?-")
_ID = re.compile(r"\b((?:job|ds)_[0-9a-z]+|builtin:[0-9a-z_]+)\b")

_REFERENCE = re.compile(r"@|[#!&~%$](?=\w)")
"""What begins a mention of a person, or a reference to an issue, a merge request or a label."""

_NO_SPACE = "\u200b"


def text(value: object) -> str:
    """Text that no reader of Markdown takes for anything else: no table, link, markup or mention.

    Ids stand in code spans, to be copied.
    """
    parts = _ID.split(_line(value))
    return "".join(f"`{part}`" if n % 2 else _escaped(part) for n, part in enumerate(parts))


def _escaped(line: str) -> str:
    # A forge looks for mentions when entities are characters again: what follows is kept apart by no space.
    apart = _REFERENCE.sub(lambda mark: mark[0] + _NO_SPACE, line)
    escaped = _MARKS.sub(lambda mark: mark[0] if mark[0] in _HARMLESS else _entity(mark[0]), apart)
    # Addresses become links without any mark around them.
    return re.sub(r"(?i)\bwww\.", lambda found: found[0][:-1] + _entity("."), escaped)


def code(value: object) -> str:
    """The value in a code span where that can hold it, and as escaped text elsewhere."""
    line = _line(value)
    return f"`{line}`" if _PLAIN.fullmatch(line) and line == line.strip() else text(line)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: int = 1) -> str:
    """A table of cells that are Markdown already; columns from `right` on are aligned to the right."""
    marks = ["---" if index < right else "--:" for index in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, marks, *rows])


def _line(value: object) -> str:
    """One line, without control, direction and private characters, of bounded length."""
    shown = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in str(value))
    line = " ".join(shown.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _entity(character: str) -> str:
    return f"&#{ord(character)};"
