"""The program: its commands, each imported when it is called, and what becomes of errors."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from tuneserve.cli import MISSING, is_extra
from tuneserve.cli.context import connection_options, given, set_up_streams
from tuneserve.cli.exits import MEANINGS, Exit, exit_of
from tuneserve.cli.interrupts import terminable
from tuneserve.cli.text import shown_lines
from tuneserve.errors import WaitTimeout
from tuneserve.version import __version__


@dataclass(frozen=True)
class Entry:
    """A command that has not been imported: where it is, and what `--help` says of it."""

    where: str
    help: str


def _entry(where: str, help: str) -> Entry:
    return Entry(f"tuneserve.cli.{where}", help)


SECTIONS: dict[str, dict[str, Entry]] = {
    "Ask for a model": {
        "init": _entry("init:init", "Write a spec to start from, with comments."),
        "validate": _entry("validate:validate", "Check a spec and show its price, without a job."),
        "submit": _entry("submit:submit", "Make a job of a spec and print its id."),
        "run": _entry("run:run", "Submit, wait, and hold the model against gates, for CI."),
    },
    "Follow jobs": {
        "list": _entry("jobs:list_jobs", "List jobs, newest first."),
        "status": _entry("jobs:status", "Show a job."),
        "watch": _entry("watch:watch", "Watch the trials of a job until it ends."),
        "logs": _entry("events:logs", "Show what happened in a job."),
        "events": _entry("events:logs", "The same as logs."),
        "trials": _entry("trials:trials", "Show the trials of a job."),
    },
    "Change jobs": {
        "cancel": _entry("changes:cancel", "End a job, or one of its trials."),
        "pause": _entry("changes:pause", "Hold a job; its trials go on from where they are."),
        "resume": _entry("changes:resume", "Go on with a job that is paused."),
        "extend": _entry("changes:extend", "Change the budget of a job; one that has ended goes on."),
        "clone": _entry("changes:clone", "Make a new job of an old one, with changes."),
        "delete": _entry("changes:delete", "Delete jobs that have ended, and their files."),
    },
    "Results": {
        "best": _entry("best:best", "Show the best trial and its scores."),
        "download": _entry("download:download", "Download the files of a job."),
        "charts": _entry("charts:charts", "List the charts of a job, or save one."),
    },
    "Data and service": {
        "datasets": _entry("datasets:datasets", "Upload, list and remove data sets."),
        "catalog": _entry("catalog:catalog", "Show what a spec may say."),
        "doctor": _entry("doctor:doctor", "Check the connection, the key and the service."),
        "completion": _entry("completion:completion", "Print a script that completes commands in a shell."),
        "version": _entry("version:version", "Print the version."),
    },
}
"""Every command, as `--help` shows them."""

COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class Program(click.Group):
    """A group that imports a command when it is called, and ends every error with a line and a code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].where.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but a name that is nearly one says so."""
        near = get_close_matches(args[0], COMMANDS, 1)
        if near and args[0] not in COMMANDS:
            ctx.fail(f"there is no command {args[0]!r}; did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help by sections, without importing anything."""
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in section.items()])

    def main(self, *args: Any, **named: Any) -> Any:
        """As click's, but nothing but its own exits leaves it."""
        set_up_streams()
        warnings.showwarning = _show_warning
        return super().main(*args, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises becomes a message and an exit code."""
        try:
            with terminable():
                result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.exceptions.Exit, click.ClickException):
            raise
        except BaseException as error:
            ctx.exit(int(_told(error, bool(given(ctx, "debug")))))
        return result


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Such as of a key that others can read; where in the code it was raised is of no use here."""
    click.echo(f"Warning: {shown_lines(message)}", err=True)


def _told(error: BaseException, with_traceback: bool) -> Exit:
    """Says on stderr what went wrong, and gives the exit code."""
    if isinstance(error, SystemExit):
        raise error
    code = exit_of(KeyboardInterrupt() if isinstance(error, click.Abort) else error)
    if with_traceback:
        traceback.print_exception(error)
    if code is Exit.PIPE_CLOSED:
        _close_quietly()
    elif message := _message(error, code):
        click.echo(shown_lines(message), err=True)
    return Exit.USAGE if _is_missing(error) else code


def _message(error: BaseException, code: Exit) -> str:
    if _is_missing(error):
        return MISSING
    if code is Exit.INTERRUPTED:
        return "\nInterrupted."
    if code is Exit.INTERNAL:
        return f"Error: a fault of this program (--debug shows where): {type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"Error: {error.filename}: {error.strerror}"
    # The id says that it is a job.
    return f"Error: {str(error).removeprefix('job ') if isinstance(error, WaitTimeout) else error}"


def _is_missing(error: BaseException) -> bool:
    return isinstance(error, ModuleNotFoundError) and is_extra(error)


def _close_quietly() -> None:
    """Nothing more can be written; Python would complain of that when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (OSError, ValueError):
            continue


def _exit_codes() -> str:
    rows = "\n".join(f"  {int(code):>3}  {meaning}" for code, meaning in MEANINGS.items())
    return f"\b\nExit codes:\n{rows}"


Decorator = Callable[[Callable[..., Any]], Program]
_program: Decorator = click.group(
    cls=Program,
    epilog=_exit_codes(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@_program
@connection_options
@click.version_option(__version__, "-V", "--version", message="tuneserve %(version)s")
def program() -> None:
    """Tuneserve: ask for a tuned image classifier.

    Data goes to stdout, notes and progress to stderr. TUNESERVE_URL and TUNESERVE_API_KEY say where the
    service is; `tuneserve doctor` checks both.
    """
