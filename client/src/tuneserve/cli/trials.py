"""`tuneserve trials`: every configuration that a job tried."""

from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import Output, fetched, job_argument, pass_client
from tuneserve.paths import api_path

if TYPE_CHECKING:
    from tuneserve.client import Client

COLUMNS = ("trial", "state", "score", "epoch", "curve", "parameters", "hyperparameters", "error")
CURVE = COLUMNS.index("curve")
"""A picture, for people alone: it is left out where programs read."""


@click.command()
@job_argument
@click.argument("number", required=False, type=click.IntRange(min=0))
@click.option("--state", metavar="STATE", help="Only those in this state.")
@click.option("--order-by", type=click.Choice(["score", "number", "duration"]), help="Else by number.")
@click.option("--csv", "as_csv", is_flag=True, help="Write the whole table as CSV.")
@pass_client
def trials(
    client: "Client",
    out: Output,
    job_id: str,
    number: int | None,
    state: str | None,
    order_by: str | None,
    as_csv: bool,
) -> None:
    """Show the trials of a job, or one of them by its NUMBER."""
    if as_csv:
        if number is not None or state or order_by or out.as_json:
            raise click.UsageError("--csv is the whole table: it goes with no other choice.")
        # As it came: a table for programs, in which nothing is escaped but by the rules of CSV.
        click.echo(client.jobs.get(job_id).trials_csv(), nl=False)
    elif number is not None:
        _one(out, fetched(client, api_path("jobs", job_id, "trials", str(number)), "number"))
    else:
        path = api_path("jobs", job_id, "trials")
        found = list(client.pages(path, state=state, order_by=order_by, page_size=200))
        _all(out, found, _metric(client, job_id) if found and not out.as_json else "")


def _metric(client: "Client", job_id: str) -> str:
    return objective_of(client.jobs.get(job_id).spec)


def objective_of(spec: Any) -> str:
    """The metric that a job looks at."""
    return str((spec.get("objective") or {}).get("metric") or "val_accuracy")


def _all(out: Output, documents: list[dict[str, Any]], metric: str) -> None:
    if out.as_json:
        out.items(documents)
    else:
        rows = [list(COLUMNS), *(_row(one, metric) for one in documents)]
        heading, *shown = rows if out.for_people else [row[:CURVE] + row[CURVE + 1 :] for row in rows]
        out.table(heading, shown, "No trials.")


def _row(trial: dict[str, Any], metric: str) -> list[Any]:
    return [
        trial.get("number"),
        trial.get("state"),
        trial.get("score"),
        trial.get("best_epoch"),
        text.sparkline(curve(trial, metric)) or None,
        trial.get("parameters"),
        trial.get("hyperparameters") or None,
        (trial.get("error") or {}).get("code"),
    ]


def curve(trial: dict[str, Any], metric: str) -> list[float | None]:
    """The metric of each epoch of the trial's last fold so far."""
    epochs = trial.get("epochs") or []
    fold = max((one.get("fold") or 1 for one in epochs), default=1)
    return [(one.get("metrics") or {}).get(metric) for one in epochs if (one.get("fold") or 1) == fold]


def _one(out: Output, trial: dict[str, Any]) -> None:
    if out.as_json:
        out.data(trial)
        return
    if out.for_people:
        out.details(_details(trial))
    epochs = trial.get("epochs") or []
    names = sorted({name for epoch in epochs for name in epoch.get("metrics") or ()})
    rows = [_epoch(epoch, names) for epoch in epochs]
    out.table(["epoch", "seconds", "learning_rate", *names], rows, "No epochs.")


def _details(trial: dict[str, Any]) -> list[tuple[str, Any]]:
    error = trial.get("error") or {}
    told = [
        ("trial", trial.get("number")),
        ("state", trial.get("state")),
        ("score", trial.get("score")),
        ("best epoch", trial.get("best_epoch")),
        ("parameters", trial.get("parameters")),
        ("attempt", trial.get("attempt")),
        *(trial.get("hyperparameters") or {}).items(),
        ("error", error and f"{error.get('code')}: {error.get('message')}"),
    ]
    return [(text.shown(name), value) for name, value in told if value not in (None, {})]


def _epoch(epoch: dict[str, Any], names: list[str]) -> list[Any]:
    metrics = epoch.get("metrics") or {}
    return [epoch.get("epoch"), epoch.get("seconds"), epoch.get("learning_rate"), *map(metrics.get, names)]
