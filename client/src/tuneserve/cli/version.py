"""`tuneserve version`."""

import click

from tuneserve.cli.context import Output, pass_output
from tuneserve.version import __version__


@click.command()
@pass_output
def version(out: Output) -> None:
    """Print the version."""
    out.data({"version": __version__} if out.as_json else __version__)
