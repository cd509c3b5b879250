"""Labels as options: `--label KEY=VALUE`."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tuneserve.cli.refusals import Refused


def labelled(spec: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """The spec's labels with those of `--label` over them, as a change of the spec."""
    if not labels:
        return {}
    merged = spec.get("labels") or {}
    if not isinstance(merged, dict):
        raise Refused("The labels of the spec are no object: --label cannot add to them.")
    return {"labels": {**merged, **dict(map(_label, labels))}}


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.UsageError(f"--label {text}: a label is KEY=VALUE.")
    return name, value


def as_filter(text: str | None) -> str | None:
    """`KEY:VALUE`, which the API asks for, of that or of `KEY=VALUE`."""
    if text is None or ":" in text.partition("=")[0]:
        return text
    return text.replace("=", ":", 1)
