"""What a command will not do: a wrong file or value, told in one line."""

from typing import Any

import click

from tuneserve.cli.exits import Exit
from tuneserve.cli.text import shown_lines


class Refused(click.ClickException):
    """The command was right, what it was given is not: no usage of click's stands before the message."""

    exit_code = int(Exit.USAGE)

    def show(self, file: Any = None) -> None:
        """As `Error: ...`, without characters that could move a cursor."""
        click.echo(f"Error: {shown_lines(self.format_message())}", file=file, err=file is None)
