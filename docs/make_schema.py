"""Writes client/src/tuneserve/job.schema.json: the JSON Schema of a spec, from what the service publishes.

python docs/make_schema.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask

from service import openapi
from service.app import BLUEPRINTS, IdConverter, NameConverter, NumberConverter

FILE = Path(__file__).parents[1] / "client/src/tuneserve/job.schema.json"

_ROOT = "JobSpec"
_PUBLISHED, _OWN = "#/components/schemas/", "#/$defs/"


def schema() -> dict[str, Any]:
    """The schema, Draft 2020-12, with all that it refers to under `$defs`."""
    published = _published()
    needed = _reached(published, _ROOT)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A job of Tuneserve",
        **_moved(published[_ROOT]),
        "$defs": {name: _moved(published[name]) for name in sorted(needed - {_ROOT})},
    }


def text() -> str:
    """The file's content: a line for each definition, so that a change of one is a change of one line."""
    made = schema()
    definitions = made.pop("$defs")
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(one)}" for name, one in definitions.items())
    head = json.dumps(made, indent=2).removesuffix("\n}")
    return f'{head},\n  "$defs": {{\n{lines}\n  }}\n}}\n'


def _published() -> dict[str, Any]:
    app = Flask("schema")
    app.url_map.converters.update(id=IdConverter, name=NameConverter, number=NumberConverter)
    document = openapi.document(app, BLUEPRINTS).spec.to_dict()
    found: dict[str, Any] = document["components"]["schemas"]
    return found


def _reached(published: dict[str, Any], name: str) -> set[str]:
    reached, left = set[str](), [name]
    while left:
        found = left.pop()
        if found not in reached:
            reached.add(found)
            left += _references(published[found])
    return reached


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, str) and part.startswith(_PUBLISHED):
        yield part.removeprefix(_PUBLISHED)
    for below in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _references(below)


def _moved(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _moved(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_moved(value) for value in part]
    return part.replace(_PUBLISHED, _OWN) if isinstance(part, str) else part


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
