"""What commands share: where the service is, how output looks, and the arguments that many take."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from tuneserve.cli import text
from tuneserve.cli.exits import Exit

if TYPE_CHECKING:
    from rich.console import Console

    from tuneserve.client import Client
    from tuneserve.jobs import Job

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

PLAIN = ("NO_COLOR", "CI")
"""With one of these set (and not empty) there are no colours and nothing that moves."""

_META = "tuneserve."


def is_fancy(stream: IO[str]) -> bool:
    """Whether colours and live displays belong there."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not any(map(os.environ.get, PLAIN))


class Output:
    """Where a command writes: data to stdout, all else to stderr.

    Attributes: `as_json` (data is JSON), `quiet` (no notes), `live` (stderr may hold what moves).
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.live = is_fancy(sys.stderr) and not quiet

    @property
    def console(self) -> "Console":
        """stderr, by rich."""
        return _console(sys.stderr)

    @property
    def for_people(self) -> bool:
        """Whether stdout is a terminal, and no pipe or file that a program reads."""
        return sys.stdout.isatty()

    def moment(self, time: str | None) -> str | None:
        """A time of RFC 3339 for a table: short on a terminal, to the minute elsewhere."""
        if not time:
            return None
        return text.moment(time) if self.for_people else time[:16].replace("T", " ")

    def data(self, value: Any) -> None:
        """To stdout: a text as a line, all else as JSON."""
        click.echo(text.shown_lines(value) if isinstance(value, str) else text.as_json(value))

    def line(self, value: Any) -> None:
        """To stdout: a value as one line of JSON."""
        click.echo(text.as_json(value, indent=None))

    def items(self, documents: Sequence[Any]) -> None:
        """To stdout: a list as JSON, in the shape of the API's pages."""
        self.data({"items": list(documents)})

    def note(self, message: object) -> None:
        """To stderr, for people; not with `--quiet`."""
        if not self.quiet:
            click.echo(text.shown_lines(message), err=True)

    def warn(self, message: object) -> None:
        """To stderr, always."""
        click.echo(f"Warning: {text.shown_lines(message)}", err=True)

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str = "Nothing yet."
    ) -> None:
        """To stdout: a table on a terminal; elsewhere a row a line, tabs between, no heading, nothing cut."""
        written = [[text.value(cell) for cell in row] for row in rows]
        if not self.for_people:
            for row in written:
                click.echo("\t".join(row))
        elif not rows:
            self.note(empty)
        else:
            _draw(columns, written)

    def details(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """To stdout: names and values, one a line; elsewhere than on a terminal with a tab between."""
        width = max((len(name) for name, _ in pairs), default=0) + 2
        for name, value in pairs:
            start = name.ljust(width) if self.for_people else f"{name}\t"
            click.echo(start + text.value(value))

    def follow(self, job: "Job", timeout: float | None = None) -> "Job":
        """Wait for the end of a job, telling on stderr how far it is; gives it back however it ended."""
        from tuneserve.progress import watching
        from tuneserve.waiting import Waiting

        # Not by `job.wait`, which tells whoever interrupts it how to come back in Python.
        with watching(self.live or (False if self.quiet else _Lines(self))) as watcher:
            Waiting(job, timeout, watcher, None).run()
        return job


class _Lines:
    """A line for each change that people care about, where nothing can move."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last = ""

    def __call__(self, job: "Job") -> None:
        line = progress_line(job)
        if line != self._last:
            self._output.note(line)
        self._last = line


def progress_line(job: "Job") -> str:
    """`running  7/10 trials  best 0.981 (trial 5)`."""
    done, of = job.progress.ended, job.progress.max_trials
    parts = [job.state, f"{done}/{of} trials" if of else f"{done} trials"]
    if job.best and job.best.score is not None:
        parts.append(f"best {job.best.score:.4g} (trial {job.best.trial})")
    return "  ".join(parts)


SHORT_CELL = 20
"""A column with no longer cell than this is not folded, where all columns fit."""

FIRM = ("id", "state", "score", "best", "created")
"""Columns that are not folded while every other one has at least a character left."""

LEAST_NAME = 6
"""To so much a column of names is shortened before anything is folded."""


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Where all rows have nothing, a terminal has better use for the room.
    told = [n for n in range(len(columns)) if n == 0 or any(row[n] not in ("-", "") for row in rows)]
    widest = {n: max(len(columns[n]), *(len(row[n]) for row in rows)) for n in told}
    console = _console(sys.stdout)
    room = console.width - 2 * (len(told) - 1)
    for n in told[1:]:
        if columns[n] == "name":
            left = room - sum(widest.values()) + widest[n]
            widest[n] = min(widest[n], max(left, LEAST_NAME))
    unfolded = _unfolded(columns, widest, room)
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for n in told:
        is_name = columns[n] == "name" and n > 0
        table.add_column(
            columns[n],
            overflow="ellipsis" if is_name else "fold",
            no_wrap=is_name or n in unfolded,
            max_width=widest[n] if is_name else None,
        )
    for row in rows:
        table.add_row(*(Text(row[n]) for n in told))
    console.print(table)


def _unfolded(columns: Sequence[str], widest: Mapping[int, int], room: int) -> list[int]:
    """The columns that stay in one line: what may not be folded and has no room would be cut."""
    if sum(widest.values()) <= room:
        return [n for n in widest if n == 0 or widest[n] <= SHORT_CELL]
    # The first column is what is typed into the next command: it gives way last.
    firm = [n for n in widest if n == 0 or columns[n] in FIRM]
    for kept in (firm, firm[:1]):
        if sum(widest[n] if n in kept else _least(columns[n]) for n in widest) <= room:
            return kept
    return []


def _least(column: str) -> int:
    return LEAST_NAME if column == "name" else 1


def _console(stream: IO[str]) -> "Console":
    from rich.console import Console

    fancy = is_fancy(stream)
    return Console(
        file=stream,
        force_terminal=stream.isatty(),
        no_color=not fancy,
        color_system="auto" if fancy else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def set_up_streams() -> None:
    """What an encoding cannot write is escaped; a picture of a curve is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    # Given before or after the command's name, it counts; not given, it changes nothing.
    if value not in (None, False):
        ctx.meta[_META + str(parameter.name)] = value


def _option(*names: str, **named: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_keep, **named)


_CONNECTION = (
    _option("--url", metavar="URL", help="Address of the service; else TUNESERVE_URL, else of the profile."),
    _option("--api-key", metavar="KEY", help="API key; better in TUNESERVE_API_KEY, unseen by `ps`."),
    _option("--profile", metavar="NAME", help="Profile of the configuration file; else TUNESERVE_PROFILE."),
)
_OUTPUT = (
    _option("--json", "as_json", is_flag=True, help="Write JSON."),
    _option("-q", "--quiet", is_flag=True, help="No notes and no progress on stderr."),
    _option("--debug", is_flag=True, help="Show the traceback of an error."),
)


def _with(options: Sequence[Callable[[Function], Function]], function: F) -> F:
    for option in reversed(options):
        function = option(function)  # type: ignore[assignment]
    return function


def output_options(function: F) -> F:
    """Adds `--json`, `--quiet` and `--debug`; `output(ctx)` reads them."""
    return _with(_OUTPUT, function)


def connection_options(function: F) -> F:
    """Adds those and `--url`, `--api-key` and `--profile`; `connect(ctx)` reads them."""
    return _with((*_CONNECTION, *_OUTPUT), function)


def given(ctx: click.Context, name: str) -> Any:
    """A shared option's value, or None."""
    return ctx.meta.get(_META + name)


def output(ctx: click.Context | None = None) -> Output:
    """How this command is to write."""
    ctx = ctx or click.get_current_context()
    return Output(as_json=bool(given(ctx, "as_json")), quiet=bool(given(ctx, "quiet")))


def connect(ctx: click.Context | None = None) -> "Client":
    """A client by the shared options, closed at the end of the command; raises `ConfigurationError`."""
    from tuneserve.client import Client
    from tuneserve.errors import ConfigurationError

    ctx = ctx or click.get_current_context()
    try:
        client = Client(given(ctx, "url"), given(ctx, "api_key"), profile=given(ctx, "profile"))
    except ConfigurationError as error:
        raise ConfigurationError(_in_shell(str(error))) from None
    return ctx.with_resource(client)


def fetched(client: "Client", path: str, *names: str) -> dict[str, Any]:
    """The document at a path, which has these fields; raises `ApiError` for one of another API."""
    from tuneserve.responses import wanted

    return wanted(client.get(path), *names)


def _in_shell(message: str) -> str:
    """What the SDK says of its arguments, said of options."""
    for argument, option in (("Client(url=...)", "--url"), ("api_key=", "--api-key"), ("url=", "--url")):
        message = message.replace(argument, option)
    return message


def pass_output(function: Function) -> Function:
    """Adds the options of output; the function is called with an `Output` first."""

    @output_options
    @wraps(function)
    def command(*args: Any, **named: Any) -> Any:
        return function(output(), *args, **named)

    return command


def pass_client(function: Function) -> Function:
    """Adds all shared options; the function is called with a `Client` and an `Output` first."""

    @connection_options
    @wraps(function)
    def command(*args: Any, **named: Any) -> Any:
        return function(connect(), output(), *args, **named)

    return command


class Id(click.ParamType[str]):
    """An id; one that could never be is a usage error, not a request."""

    name = "id"

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Strips blanks, which copying brings along."""
        id = str(value).strip()
        if not id or not id.isprintable():
            self.fail(f"{value!r} is not an id: one looks like {self.prefix}01k...", param, ctx)
        return id


class GivenPath(click.Path):
    """A path; an empty one, which a script's unset variable leaves, would mean a folder that nobody named."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's, but for the empty text."""
        if not os.fspath(value):
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


def job_argument(function: F) -> F:
    """Adds the argument JOB, as `job_id`."""
    return click.argument("job_id", metavar="JOB", type=Id("job_"))(function)


limit_option = click.option(
    "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="At most so many; 0 is all."
)
"""Adds `--limit`, as `limit`."""


def set_option(function: F) -> F:
    """Adds `--set`, as `sets`."""
    return click.option(
        "--set",
        "sets",
        metavar="PATH=VALUE",
        multiple=True,
        help="Change a value: training.epochs=5. May be repeated.",
    )(function)


def spec_options(function: F) -> F:
    """Adds the argument SPEC, as `path` (None where it is left out), and `--set`, as `sets`."""
    argument = click.argument(
        "path", metavar="SPEC", required=False, type=GivenPath(path_type=Path, allow_dash=True)
    )
    return argument(set_option(function))


def end(code: Exit) -> None:
    """Ends the command with an exit code."""
    if code:
        click.get_current_context().exit(int(code))
