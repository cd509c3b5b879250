"""`tuneserve watch`: the trials of a job as they learn."""

import time
from typing import TYPE_CHECKING

import click

from tuneserve.cli.board import Board
from tuneserve.cli.context import Output, end, job_argument, pass_client
from tuneserve.cli.events import line_of
from tuneserve.cli.exits import exit_of_job
from tuneserve.cli.follow import followed
from tuneserve.cli.trials import objective_of
from tuneserve.errors import ApiError, ConnectionFailed
from tuneserve.paths import api_path

if TYPE_CHECKING:
    from rich.live import Live

    from tuneserve.client import Client
    from tuneserve.events import Event
    from tuneserve.jobs import Job

REDRAW_SECONDS = 0.1
"""Shortest time between two drawings within one batch of events."""


@click.command()
@job_argument
@pass_client
def watch(client: "Client", out: Output, job_id: str) -> None:
    """Watch the trials of a job until it ends: a live table, or lines where nothing can move.

    Ctrl-C leaves the job running. A job that fails ends the command with 1. --json prints the job at its
    end.
    """
    job = client.jobs.get(job_id)
    with followed(job):
        if out.live:
            _live(client, out, job)
        else:
            _lines(out, job)
    job.reload()
    if out.as_json:
        out.data(job.raw)
    elif job.error or not out.live:
        # A live table has said all but this.
        out.note(f"{job.id} {job.state}{f': {job.error.detail or job.error.title}' if job.error else ''}")
    end(exit_of_job(job.state))


def _lines(out: Output, job: "Job") -> None:
    try:
        for event in job.events():
            # Of a hundred trials of fifty epochs nobody reads each epoch: `logs --follow` has them.
            if event.type != "epoch" and (line := line_of(event.type, event.data)) and not out.quiet:
                click.echo(line, err=True)
    except (ApiError, ConnectionFailed):
        out.follow(job)


def _live(client: "Client", out: Output, job: "Job") -> None:
    from rich.live import Live

    board = Board(job.id, job.name or "", objective_of(job.spec))
    board.take("progress", job.raw)
    console = out.console
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        screen = _Screen(live, board)
        screen.draw()
        try:
            for event in job.events():
                screen.take(event)
        except (ApiError, ConnectionFailed):
            # No stream to be had: the table is drawn from the lists, at each change of the job.
            _poll(client, out, job, screen)
        screen.draw()


def _poll(client: "Client", out: Output, job: "Job", screen: "_Screen") -> None:
    from tuneserve.waiting import Waiting

    def changed(job: "Job") -> None:
        screen.board.take("progress", job.raw)
        for trial in client.pages(api_path("jobs", job.id, "trials"), page_size=200):
            screen.board.take_trial(trial)
        screen.draw()

    Waiting(job, None, changed, None).run()


class _Screen:
    """The live display of a board; what comes in one batch is drawn once."""

    def __init__(self, live: "Live", board: Board) -> None:
        self.board = board
        self._live = live
        self._drawn = 0.0

    def take(self, event: "Event") -> None:
        self.board.take(event.type, event.data)
        if event.type in ("progress", "end") or time.monotonic() - self._drawn > REDRAW_SECONDS:
            self.draw()

    def draw(self) -> None:
        self._live.update(self.board.render(self._live.console.height), refresh=True)
        self._drawn = time.monotonic()
