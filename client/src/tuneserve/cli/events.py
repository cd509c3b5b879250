"""`tuneserve logs` (and `events`): what happened in a job, line by line."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import Output, job_argument, pass_client
from tuneserve.cli.follow import followed

if TYPE_CHECKING:
    from tuneserve.client import Client
    from tuneserve.events import Event


@click.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option(
    "--after", type=click.IntRange(min=0), metavar="SEQUENCE", help="Only what came after this event."
)
@pass_client
def logs(client: "Client", out: Output, job_id: str, follow: bool, after: int | None) -> None:
    """Show what happened in a job: its states, its trials and their epochs.

    With --json each event is a line: {"event", "sequence", "data"}.
    """
    job = client.jobs.get(job_id)
    with followed(job):
        for event in job.events(after=after, follow=follow):
            _tell(out, event)


def _tell(out: Output, event: "Event") -> None:
    if out.as_json:
        out.line({"event": event.type, "sequence": event.sequence, "data": dict(event.data)})
    elif line := line_of(event.type, event.data):
        click.echo(line)


def line_of(kind: str, data: Mapping[str, Any]) -> str:
    """An event as a line; empty for one that says nothing new to a person."""
    write = _LINES.get(kind)
    return write(data) if write else ""


def _job(data: Mapping[str, Any]) -> str:
    error = data.get("error") or {}
    parts = ["job", data.get("state"), data.get("stop_reason"), error.get("code"), error.get("detail")]
    return _line(data, *parts)


def _trial(data: Mapping[str, Any]) -> str:
    score = data.get("score")
    error = data.get("error") or {}
    parts = [
        f"trial {data.get('number')}",
        data.get("state"),
        None if score is None else f"score {text.value(score)}",
        data.get("reason"),
        error.get("code"),
    ]
    return _line(data, *parts, last=text.pairs(data.get("hyperparameters") or {}))


def _epoch(data: Mapping[str, Any]) -> str:
    fold = f" fold {data['fold']}" if (data.get("fold") or 1) > 1 else ""
    return _line(
        data,
        f"trial {data.get('trial')}{fold}",
        f"epoch {data.get('epoch')}",
        last=text.pairs(data.get("metrics") or {}),
    )


def _line(data: Mapping[str, Any], *parts: Any, last: str = "") -> str:
    """Time (of day, local, where there is one) and parts; `last` is fit to be shown already."""
    told = [_clock(data.get("time")), *(text.shown(part) for part in parts if part is not None)]
    return "  ".join(filter(None, [*told, last]))


def _clock(time: Any) -> str:
    try:
        return datetime.fromisoformat(str(time)).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return " " * 8


_LINES = {"job": _job, "trial": _trial, "epoch": _epoch}
