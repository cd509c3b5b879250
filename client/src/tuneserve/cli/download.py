"""`tuneserve download`: the files of a job."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tuneserve.cli import text
from tuneserve.cli.context import GivenPath, Output, job_argument, pass_client
from tuneserve.errors import NotFound
from tuneserve.paths import api_path

if TYPE_CHECKING:
    from tuneserve.client import Client
    from tuneserve.jobs import Job

COLUMNS = ("name", "size", "type", "sha256")


@click.command()
@job_argument
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    "folder",
    type=GivenPath(),
    default=".",
    metavar="PATH",
    help="A folder, or a file for one NAME.",
)
@click.option("--list", "only_list", is_flag=True, help="List the files instead.")
@pass_client
def download(
    client: "Client", out: Output, job_id: str, names: tuple[str, ...], folder: str, only_list: bool
) -> None:
    """Download the files of a job by NAME, or all of them, and print where they are.

    A file is checked against its digest; one that was cut off leaves nothing.
    """
    if not names and not only_list and Path(folder).is_file():
        raise click.UsageError(f"{folder} is a file: give the NAME of what goes there, or a folder.")
    documents = list(client.pages(api_path("jobs", job_id, "artifacts")))
    if only_list:
        _list(out, documents)
        return
    job = client.jobs.get(job_id)
    there = [str(one["name"]) for one in documents]
    wanted = names or tuple(there)
    _check(job, wanted, there)
    target = folder if len(names) == 1 else f"{folder}/"
    files = {name: job.download(name, target, progress=out.live) for name in wanted}
    if out.as_json:
        by_name = {one["name"]: one for one in documents}
        out.items([{**by_name.get(name, {}), "path": str(path)} for name, path in files.items()])
    else:
        for path in files.values():
            out.data(str(path))


def _check(job: "Job", wanted: Sequence[str], there: Sequence[str]) -> None:
    """Raises `NotFound` where there is nothing, or not what is wanted."""
    if not there:
        yet = "" if job.is_terminal else " yet"
        raise _not_found(f"{job.id} is {job.state} and has no files{yet}.")
    if absent := [name for name in wanted if name not in there]:
        raise _not_found(f"{job.id} has no {', '.join(absent)}; it has {', '.join(there)}.")


def _not_found(detail: str) -> NotFound:
    return NotFound(404, "artifact_not_found", "Not Found", detail)


def _list(out: Output, documents: list[dict[str, object]]) -> None:
    if out.as_json:
        out.items(documents)
        return
    rows = [
        [one.get("name"), text.size(_bytes(one)), one.get("media_type"), one.get("sha256")]
        for one in documents
    ]
    out.table(COLUMNS, rows, "No files.")


def _bytes(one: dict[str, object]) -> float | None:
    size = one.get("bytes")
    return size if isinstance(size, int) else None
