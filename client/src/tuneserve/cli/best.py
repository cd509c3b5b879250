"""`tuneserve best`: what the search found."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import Output, fetched, job_argument, pass_client
from tuneserve.paths import api_path

if TYPE_CHECKING:
    from tuneserve.client import Client


@click.command()
@job_argument
@pass_client
def best(client: "Client", out: Output, job_id: str) -> None:
    """Show the best trial of a job: its hyperparameters, its scores, and the model made of it."""
    found = fetched(client, api_path("jobs", job_id, "best"), "trial")
    if out.as_json:
        out.data(found)
    else:
        out.details(_details(found))


def _details(best: Mapping[str, Any]) -> list[tuple[str, Any]]:
    model = best.get("model") or {}
    told = [
        ("job", best.get("job")),
        ("trial", best.get("trial")),
        ("epoch", best.get("epoch")),
        ("score", best.get("score")),
        *((text.shown(name), value) for name, value in (best.get("hyperparameters") or {}).items()),
        ("validation", _metrics(best.get("validation"))),
        ("test", _metrics(best.get("test"))),
        ("loaded again", _metrics(best.get("verified"))),
        ("refit", best.get("refit")),
        ("model", model and _model(model)),
        ("files", ", ".join(map(str, best.get("artifacts") or ())) or None),
    ]
    return [(name, value) for name, value in told if value not in (None, {})]


def _metrics(metrics: Mapping[str, Any] | None) -> str | None:
    return text.pairs(metrics) if metrics else None


def _model(model: Mapping[str, Any]) -> str:
    took = model.get("prediction_seconds")
    speed = "" if took is None else f", {1000 * took:.3g} ms for an image"
    return f"{model.get('parameters') or 0:,} parameters, {text.size(model.get('bytes'))}{speed}"
