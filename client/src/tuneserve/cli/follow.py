"""What holds for every command that follows a job: leaving does not end it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tuneserve.cli.text import shown

if TYPE_CHECKING:
    from tuneserve.jobs import Job


@contextmanager
def followed(job: "Job") -> Iterator[None]:
    """Says on Ctrl-C that the job goes on, and how to come back to it or end it."""
    try:
        yield
    except KeyboardInterrupt:
        id = shown(job.id)
        click.echo(
            f"\n{id} goes on: `tuneserve watch {id}` comes back, `tuneserve cancel {id}` ends it.", err=True
        )
        raise
