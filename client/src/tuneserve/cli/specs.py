"""Specs: read from YAML, TOML or JSON, changed by `--set`, with the line that each value stands in."""

import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneserve.cli.faults import check_offline
from tuneserve.cli.refusals import Refused
from tuneserve.cli.text import shown

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

__all__ = ["Source", "SpecError", "check_offline", "read_source", "read_spec"]

Place = tuple[int, int]
"""Line and column, from 1."""

FindPlaces = Callable[[], Mapping[str, Place]]
"""Called when there is a fault to tell: most specs have none, and finding the lines of JSON takes time."""

MAX_VALUES = 100_000
"""A spec has at most so many values, aliases counted each time: ten lines of aliases could make billions."""


MAX_BYTES = 2**20
"""As much JSON as the service takes, unless it is set otherwise."""

MAX_DEPTH = 100
"""Brackets within brackets."""


class SpecError(Refused):
    """A spec that cannot be read; the message says where."""


@dataclass(frozen=True)
class Source:
    """A spec and where it came from; `find_places` gives the place of each JSON pointer."""

    name: str
    spec: dict[str, Any]
    find_places: FindPlaces = dict
    sets: Mapping[str, str] = field(default_factory=dict)

    def where(self, pointer: str) -> str:
        """`file:line:column` of a place or of what it is in; `--set ...` for what was set there."""
        for made, text in self.sets.items():
            if pointer == made or pointer.startswith(made + "/"):
                return f"--set {text}"
        places = self._places
        while pointer and pointer not in places:
            pointer = pointer.rpartition("/")[0]
        found = places.get(pointer)
        return f"{self.name}:{found[0]}:{found[1]}" if found else self.name

    @cached_property
    def _places(self) -> Mapping[str, Place]:
        return self.find_places()


def read_spec(path: Path | None, sets: Sequence[str] = ()) -> dict[str, Any]:
    """The spec in a file (`-` is stdin, None an empty one), with the changes of `--set`.

    Raises:
        SpecError: It cannot be read, or a change does not fit.
    """
    return read_source(path, sets).spec


def read_source(path: Path | None, sets: Sequence[str] = ()) -> Source:
    """The same, with the places of its values."""
    if path is None and not sets:
        raise SpecError("give a SPEC file (YAML, TOML or JSON; - is stdin), or --set for each value")
    source = _read(path) if path else Source("--set", {})
    changed: dict[str, str] = {}
    for text in sets:
        changed[_set(source.spec, text)] = text
    return Source(source.name, source.spec, source.find_places, changed)


def changes(sets: Sequence[str]) -> dict[str, Any]:
    """The object that `--set` makes of nothing: a merge patch."""
    spec: dict[str, Any] = {}
    for text in sets:
        _set(spec, text)
    return spec


def _read(path: Path) -> Source:
    name = "stdin" if str(path) == "-" else str(path)
    content = _content(path, name)
    read = _READERS.get(path.suffix.lower(), _yaml)
    try:
        document, find_places = read(content, name)
    except RecursionError:
        raise SpecError(f"{name}: nested too deep") from None
    if not isinstance(document, dict):
        kind = "empty" if document is None else f"a {_kind(document)}"
        raise SpecError(f"{name}: a spec is an object with dataset, model and budget, but this is {kind}")
    return Source(name, document, find_places)


def _content(path: Path, name: str) -> str:
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{name}: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{name}: more than {MAX_BYTES:,} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SpecError(f"{name}:{line}: not UTF-8 text") from None


Read = tuple[Any, FindPlaces]


def _json(content: str, name: str) -> Read:
    duplicates: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [key for key, _ in pairs]
        duplicates.extend(key for key in names if names.count(key) > 1)
        return dict(pairs)

    def constant(word: str) -> Any:
        raise SpecError(f"{name}: {word} is not a number that JSON has")

    try:
        document = json.loads(content, object_pairs_hook=members, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise SpecError(f"{name}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    if duplicates:
        # YAML says in which line the name stands.
        _yaml(content, name)
        raise SpecError(f"{name}: {duplicates[0]!r} is given twice")
    return document, partial(_places_of_json, content, name)


def _places_of_json(content: str, name: str) -> Mapping[str, Place]:
    """JSON is nearly YAML, which knows its lines; what is not has no places."""
    try:
        return _yaml(content, name)[1]()
    except SpecError:
        return {}


def _toml(content: str, name: str) -> Read:
    try:
        return _without_dates(tomllib.loads(content), name), dict
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        where = f"{name}:{at[1]}:{at[2]}" if at else name
        raise SpecError(f"{where}: not TOML: {str(error).partition(' (at ')[0]}") from None


def _without_dates(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without_dates(one, name) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_dates(one, name) for one in value]
    if isinstance(value, float) and value - value != 0:
        raise SpecError(f"{name}: {value} is not a number that JSON has")
    if not isinstance(value, str | int | float | bool):
        raise SpecError(f"{name}: {value} is a date, and a spec has none: put it in quotes")
    return value


def _yaml(content: str, name: str) -> Read:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if _depth(content) > MAX_DEPTH:
        # The reader takes the square of the depth in time.
        raise SpecError(f"{name}: nested too deep")
    if content.count(",") + content.count("\n") > MAX_VALUES:
        # One of them stands between any two values side by side. To read and count so many takes seconds.
        raise SpecError(f"{name}: more than {MAX_VALUES:,} commas and lines")
    try:
        root = YAML(pure=True).compose(content)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = " ".join(filter(None, (error.context, error.problem)))
        hint = _colon_hint(content, mark.line) if mark else ""
        raise SpecError(f"{where}: not YAML: {what}{hint}") from None
    except YAMLError as error:
        raise SpecError(f"{name}: not YAML: {str(error).splitlines()[0]}") from None
    if root is None:
        return None, dict
    tree = _Tree(name)
    return tree.value(root, ""), lambda: tree.places


def _colon_hint(content: str, line: int) -> str:
    """`epochs:20` is a text, and what is wrong with that shows in the line below it."""
    for number, text in list(enumerate(content.splitlines(), 1))[max(0, line - 1) : line + 1]:
        if re.match(r"\s*\w+:\w", text):
            return f"; in line {number} a space is missing after the colon"
    return ""


def _depth(content: str) -> int:
    """How many brackets are open at once, at most; those in texts count too."""
    steps = (1 if one in "[{" else -1 for one in content if one in "[]{}")
    return max(accumulate(steps), default=0)


class _Tree:
    """Turns YAML's nodes into JSON's values, by the core schema of YAML 1.2."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[str, Place] = {}
        self._count = 0

    def value(self, node: "Node", pointer: str) -> Any:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error(node, f"more than {MAX_VALUES:,} values")
        self.places.setdefault(pointer, _place(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, pointer)
        if isinstance(node, SequenceNode):
            return [self.value(one, f"{pointer}/{number}") for number, one in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: "Node", pointer: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key.value, str):
                raise self._error(key, "a name must be text")
            below = f"{pointer}/{_segment(key.value)}"
            if key.value in found:
                first = self.places[below][0]
                raise self._error(key, f"{key.value!r} is given twice, first in line {first}")
            self.places[below] = _place(key)
            found[key.value] = self.value(value, below)
        return found

    def _scalar(self, node: "Node") -> Any:
        tag = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if tag not in _TAGS:
            raise self._error(node, f"the tag {shown(node.tag)} is not of JSON")
        if getattr(node, "style", None) or tag == "str":
            return node.value
        number = scalar(node.value)
        if isinstance(number, float) and number - number != 0:
            raise self._error(node, f"{node.value} is not a number that JSON has")
        return number

    def _error(self, node: "Node", text: str) -> SpecError:
        line, column = _place(node)
        return SpecError(f"{self.name}:{line}:{column}: {text}")


_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
_CORE: tuple[tuple[str, Callable[[str], Any]], ...] = (
    (r"null|Null|NULL|~|", lambda _: None),
    (r"true|True|TRUE", lambda _: True),
    (r"false|False|FALSE", lambda _: False),
    (r"[-+]?[0-9]+", int),
    (r"0o[0-7]+", lambda text: int(text[2:], 8)),
    (r"0x[0-9a-fA-F]+", lambda text: int(text[2:], 16)),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
    (r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", lambda text: float(text.replace(".", ""))),
)


def scalar(text: str) -> Any:
    """What a plain word means in YAML 1.2: `1e-4` is a number, `no` and `2026-01-01` are texts."""
    for pattern, read in _CORE:
        if re.fullmatch(pattern, text):
            try:
                return read(text)
            except ValueError:  # Python reads no integer of more than some thousand digits.
                return text
    return text


def _place(node: "Node") -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _segment(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


_READERS: dict[str, Callable[[str, str], Read]] = {
    ".json": _json,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
}


def _set(spec: dict[str, Any], text: str) -> str:
    """Puts one `path=value` into a spec, and gives the JSON pointer of the place."""
    path, equals, written = text.partition("=")
    parts = _parts(path.strip())
    if not equals or not parts or "" in parts:
        raise SpecError(f"--set {shown(text)}: write PATH=VALUE, such as training.epochs=5")
    value = _yaml(written, f"--set {shown(text)}")[0]
    target: Any = spec
    for depth, part in enumerate(parts[:-1]):
        target = _into(target, part, text, parts[:depth])
    _put(target, parts[-1], value, text, parts[:-1])
    return "".join("/" + _segment(part) for part in parts)


def _parts(path: str) -> list[str]:
    """Dots part names; a JSON pointer takes names that have dots themselves."""
    if path.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    return path.split(".")


def _into(target: Any, part: str, text: str, above: list[str]) -> Any:
    if isinstance(target, list):
        number = _index(target, part, text, above)
        if number == len(target):
            target.append({})
        return target[number]
    _require_object(target, text, above)
    if target.get(part) is None:
        target[part] = {}
    return target[part]


def _put(target: Any, part: str, value: Any, text: str, above: list[str]) -> None:
    if isinstance(target, list):
        number = _index(target, part, text, above)
        target[number : number + 1] = [value]
    else:
        _require_object(target, text, above)
        target[part] = value


def _index(target: list[Any], part: str, text: str, above: list[str]) -> int:
    if not part.isascii() or not part.isdecimal() or int(part) > len(target):
        last = f"0 to {len(target) - 1}, or {len(target)} for one more" if target else "0"
        raise SpecError(f"--set {shown(text)}: {_named(above)} is a list: {part!r} must be {last}")
    return int(part)


def _require_object(target: Any, text: str, above: list[str]) -> None:
    if not isinstance(target, dict):
        raise SpecError(
            f"--set {shown(text)}: {_named(above)} is a {_kind(target)}, nothing can be set in it"
        )


def _named(parts: list[str]) -> str:
    return shown(".".join(parts)) or "the spec"


def _kind(value: Any) -> str:
    kinds = {bool: "truth value", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return kinds.get(type(value), "null")
