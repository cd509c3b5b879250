"""`tuneserve catalog`: what a spec may say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import Output, pass_client
from tuneserve.cli.refusals import Refused

if TYPE_CHECKING:
    from tuneserve.client import Client

FIELD_COLUMNS = ("field", "values", "default", "open", "help")


@click.command()
@click.argument("name", required=False)
@pass_client
def catalog(client: "Client", out: Output, name: str | None) -> None:
    """Show what a spec may say: families, layers, algorithms, data sets.

    With the NAME of one of them, or of a section such as training, its fields with their ranges and defaults.
    """
    told = client.catalog()
    if name is None:
        _whole(out, told)
        return
    fields = _fields(told)
    if name not in fields:
        raise Refused(f"the catalogue has no {name!r}; it has {', '.join(fields)}")
    if out.as_json:
        out.data({"name": name, "fields": fields[name]})
    else:
        out.table(
            FIELD_COLUMNS, [_row(field, one) for field, one in fields[name].items()], "It has no fields."
        )


def _whole(out: Output, told: Mapping[str, Any]) -> None:
    if out.as_json:
        out.data(told)
        return
    rows = []
    for part, entries in told.items():
        if isinstance(entries, Mapping):
            rows += [[part, name, ""] for name in entries]
        elif isinstance(entries, list):
            rows += [[part, *_named(entry)] for entry in entries]
    out.table(("part", "name", "help"), rows)


def _named(entry: Any) -> list[Any]:
    if not isinstance(entry, Mapping):
        return [entry, ""]
    return [entry.get("name"), str(entry.get("help") or "").partition("\n")[0]]


def _fields(told: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The fields of everything that has some, by its name."""
    found: dict[str, Mapping[str, Any]] = dict(told.get("sections") or {})
    for entries in told.values():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, Mapping) and entry.get("fields"):
                found[str(entry["name"])] = entry["fields"]
    return found


def _row(field: str, told: Mapping[str, Any]) -> list[Any]:
    default = text.as_json(told["default"], indent=None) if "default" in told else "required"
    return [field, _values(told), default, ", ".join(told.get("tunable") or ()) or "no", told.get("help")]


def _values(told: Mapping[str, Any]) -> str:
    if "values" in told:
        return ", ".join(map(str, told["values"]))
    if told.get("max") is None:
        return str(told.get("type"))
    low = f"above {told['min']:g}" if told.get("exclusive_min") else f"{told['min']:g}"
    return f"{told.get('type')} {low} to {told['max']:g}"
