"""Writes docs/fields.md: every field of a job spec, from the catalogue that the service answers with.

python docs/make_fields.py
"""

import json
from pathlib import Path
from typing import Any

from service.catalog import catalog_of_all

PAGE = Path(__file__).with_name("fields.md")

_HEAD = """# Fields of a job spec

Written by `make docs` from the schemas that check a spec; `GET /v1/catalog` answers with the same, as JSON.
What the sections are for is in [recipe.md](recipe.md). *Open* says which distributions may stand in the place
of the value; a *pair* may be one number or `[height, width]`.
"""

_TITLES = {
    "sections": "Sections",
    "families": "Model families: `model`",
    "layers": "Layers of the family `layers`",
    "schedules": "Schedules: `training.schedule`",
    "algorithms": "Algorithms: `search`",
    "stopping": "Stopping rules: `search.stopping`",
}


def page() -> str:
    """The page as Markdown."""
    told = catalog_of_all()
    parts = [_HEAD, f"\n## {_TITLES['sections']}\n"]
    parts += [_table(name, "", fields) for name, fields in told["sections"].items()]
    for part in ("families", "layers", "schedules", "algorithms", "stopping"):
        parts.append(f"\n## {_TITLES[part]}\n")
        parts += [_table(one["name"], one["help"], one["fields_"]) for one in told[part]]
    return "".join(parts)


def _table(name: str, text: str, fields: dict[str, Any]) -> str:
    rows = "".join(_row(field, told) for field, told in fields.items())
    table = f"\n| field | values | default | open | |\n|---|---|---|---|---|\n{rows}" if fields else ""
    return f"\n### `{name}`\n{f'{chr(10)}{text}{chr(10)}' if text else ''}{table}"


def _row(name: str, told: dict[str, Any]) -> str:
    default = f"`{_json(told['default'])}`" if "default" in told else "required"
    kinds = ", ".join(told["tunable"]) or "no"
    return f"| `{name}` | {_values(told)} | {default} | {kinds} | {told['help'].replace('|', '&#124;')} |\n"


def _values(told: dict[str, Any]) -> str:
    if "values" in told:
        return ", ".join(f"`{value}`" for value in told["values"])
    return f"{told['type']}{_ends(told)}{', or a pair' if told.get('pair') else ''}"


def _ends(told: dict[str, Any]) -> str:
    if told.get("max") is None:
        return ""
    low = f"above {told['min']:g}" if "exclusive_min" in told else f"{told['min']:g}"
    but = "".join(f", not {value}" for value in told.get("except", ()))
    return f" {low} to {told['max']:g}{but}"


def _json(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) or not value else value


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
