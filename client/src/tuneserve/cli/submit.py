"""`tuneserve submit`: a job of a spec."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tuneserve.cli.context import Output, end, pass_client, spec_options
from tuneserve.cli.durations import Duration
from tuneserve.cli.exits import exit_of_job
from tuneserve.cli.follow import followed
from tuneserve.cli.jobs import show
from tuneserve.cli.labels import labelled
from tuneserve.cli.specs import read_source
from tuneserve.cli.validate import told_at

if TYPE_CHECKING:
    from tuneserve.client import Client


@click.command()
@spec_options
@click.option("--wait", is_flag=True, help="Wait for the end; a job that fails ends the command with 1.")
@click.option("--timeout", type=Duration(), help="Wait so long at most: 90s, 15m, 2h.")
@click.option("--idempotency-key", metavar="KEY", help="The same key and spec make one job.")
@click.option("--name", help="Name of the job, instead of the spec's.")
@click.option("--label", "labels", metavar="K=V", multiple=True, help="Label of the job. May be repeated.")
@pass_client
def submit(
    client: "Client",
    out: Output,
    path: Path | None,
    sets: tuple[str, ...],
    wait: bool,
    timeout: float | None,
    idempotency_key: str | None,
    name: str | None,
    labels: tuple[str, ...],
) -> None:
    """Make a job of SPEC (YAML, TOML or JSON; - is stdin) and print its id."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    source = read_source(path, sets)
    source.spec.update(labelled(source.spec, labels) | ({} if name is None else {"name": name}))
    with told_at(source):
        job = client.jobs.create(source.spec, idempotency_key=idempotency_key)
    if not wait:
        out.data(job.raw if out.as_json else job.id)
        return
    if not out.as_json:
        # Before the waiting: whoever interrupts it needs the id.
        out.data(job.id)
    with followed(job):
        out.follow(job, timeout)
    if out.as_json:
        show(out, job)
    elif job.error or not out.live:
        # A live line has said all but this.
        out.note(f"{job.state}{f': {job.error.detail}' if job.error else ''}")
    end(exit_of_job(job.state))
