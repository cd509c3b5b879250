"""`tuneserve datasets`: upload, list, show and remove."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import GivenPath, Id, Output, fetched, limit_option, pass_client
from tuneserve.cli.uploads import uploaded
from tuneserve.paths import api_path

if TYPE_CHECKING:
    from tuneserve.client import Client

COLUMNS = ("id", "name", "samples", "shape", "classes", "size", "created")


@click.group()
def datasets() -> None:
    """Upload, list and remove data sets."""


_dataset = click.argument("dataset_id", metavar="DATASET", type=Id("ds_"))


@datasets.command()
@click.argument("source", type=GivenPath(exists=True, path_type=Path))
@click.option("--name", help="Name of the data set; else the file's.")
@pass_client
def upload(client: "Client", out: Output, source: Path, name: str | None) -> None:
    """Upload SOURCE (npz with x and y, a zip, or a folder of class folders) and print its id.

    The same data again is the data set that is already there.
    """
    made = uploaded(client, source, name=name, progress=out.live)
    if out.as_json:
        out.data(client.get(api_path("datasets", made.id)))
        return
    out.data(made.id)
    out.note(f"{made.samples:,} samples of shape {text.value(made.shape)} in {len(made.classes)} classes")
    for warning in made.warnings:
        out.warn(warning.get("detail") if isinstance(warning, dict) else warning)


@datasets.command("list")
@limit_option
@pass_client
def list_datasets(client: "Client", out: Output, limit: int) -> None:
    """List data sets, newest first."""
    found = list(islice(client.pages(api_path("datasets"), page_size=min(limit or 200, 200)), limit or None))
    if out.as_json:
        out.items(found)
    else:
        out.table(
            COLUMNS,
            [_row(out, one) for one in found],
            "No data sets; `tuneserve catalog` shows the built-in ones.",
        )


@datasets.command()
@_dataset
@pass_client
def show(client: "Client", out: Output, dataset_id: str) -> None:
    """Show a data set: its shape, its classes and their counts."""
    found = fetched(client, api_path("datasets", dataset_id), "id")
    if out.as_json:
        out.data(found)
        return
    told = [
        (name, found.get(name))
        for name in ("id", "name", "samples", "shape", "kind", "dtype", "digest", "create_time")
    ]
    out.details([*told, ("size", text.size(found.get("bytes")))])
    out.table(
        ("class", "samples"), [[one.get("name"), one.get("count")] for one in found.get("classes") or ()]
    )
    for warning in found.get("warnings") or ():
        out.warn(warning.get("detail"))


@datasets.command()
@click.argument("dataset_ids", metavar="DATASET...", nargs=-1, required=True, type=Id("ds_"))
@pass_client
def rm(client: "Client", out: Output, dataset_ids: tuple[str, ...]) -> None:
    """Remove data sets that no running job uses."""
    for dataset_id in dataset_ids:
        client.delete(api_path("datasets", dataset_id))
        out.note(f"Removed {dataset_id}.")
    if out.as_json:
        out.items([{"id": dataset_id, "deleted": True} for dataset_id in dataset_ids])


def _row(out: Output, one: dict[str, Any]) -> list[Any]:
    shape = "x".join(map(str, one.get("shape") or ()))
    return [
        one.get("id"),
        one.get("name"),
        one.get("samples"),
        shape,
        len(one.get("classes") or ()),
        text.size(one.get("bytes")),
        out.moment(one.get("create_time")),
    ]
