"""`tuneserve charts`: pictures of a search."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tuneserve.cli.context import GivenPath, Output, fetched, job_argument, pass_client
from tuneserve.paths import api_path

if TYPE_CHECKING:
    from tuneserve.client import Client

COLUMNS = ("name", "title", "description")
KINDS = (".svg", ".png", ".html", ".json")


@click.command()
@job_argument
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    "path",
    type=GivenPath(path_type=Path, dir_okay=False),
    help="File: svg, png, html or json.",
)
@pass_client
def charts(client: "Client", out: Output, job_id: str, name: str | None, path: Path | None) -> None:
    """List the charts of a job, or save the one named NAME.

    Its Vega-Lite specification goes to stdout unless a file is given. svg, png and html need the extra
    [charts].
    """
    if path and path.suffix.lower() not in KINDS:
        raise click.UsageError(f"-o must end in {', '.join(KINDS)}.")
    if name is None:
        if path:
            raise click.UsageError("name the chart that is to be saved.")
        _list(out, list(fetched(client, api_path("jobs", job_id, "charts"), "items")["items"]))
        return
    chart = client.jobs.get(job_id).chart(name)
    if path is None:
        out.data(dict(chart.specification))
        return
    chart.save(path)
    out.data({"name": name, "path": str(path)} if out.as_json else str(path))


def _list(out: Output, items: list[dict[str, str]]) -> None:
    if out.as_json:
        out.items(items)
    else:
        out.table(COLUMNS, [[one.get(name) for name in COLUMNS] for one in items])
