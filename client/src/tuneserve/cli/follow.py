"""What holds for every command that follows a job: leaving does not end it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tuneserve.cli.text import shown
from tuneserve.errors import WaitTimeout

if TYPE_CHECKING:
    from tuneserve.jobs import Job


@contextmanager
def followed(job: "Job") -> Iterator[None]:
    """Says on Ctrl-C and when the time is over that the job goes on, and how to come back or end it."""
    try:
        yield
    except (KeyboardInterrupt, WaitTimeout) as error:
        id, start = shown(job.id), "\n" if isinstance(error, KeyboardInterrupt) else ""
        come_back = f"`tuneserve watch {id}` comes back, `tuneserve cancel {id}` ends it"
        click.echo(f"{start}{id} goes on: {come_back}.", err=True)
        raise
