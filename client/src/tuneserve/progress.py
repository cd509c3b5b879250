"""Progress: how far a job is, and what a person sees of it while waiting."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

from tuneserve.records import Record

if TYPE_CHECKING:
    from tuneserve.jobs import Job
    from tuneserve.trials import Trial

Watcher = Callable[["Job"], None]
ProgressOption = bool | Literal["auto"] | Watcher

REDRAW_SECONDS = 0.1
"""Shortest time between two pictures of a bar: drawing must not slow the transfer down."""


@dataclass(frozen=True, kw_only=True)
class Progress(Record):
    """Trials by state, epochs trained in all trials, and seconds since the start.

    Of the failed ones, `infeasible` could not be built; of the completed ones, `reused` took the result of
    an equal trial.
    """

    max_trials: int | None = None
    pending: int = 0
    running: int = 0
    completed: int = 0
    stopped: int = 0
    failed: int = 0
    cancelled: int = 0
    infeasible: int = 0
    reused: int = 0
    epochs: int = 0
    elapsed_seconds: float = 0.0
    eta_seconds: float | None = None

    @property
    def ended(self) -> int:
        """Trials that will not go on, whatever their end."""
        return self.completed + self.stopped + self.failed + self.cancelled


@contextmanager
def watching(progress: ProgressOption) -> Iterator[Watcher]:
    """What to call with the job at each change: nothing, the caller's function, a table or a line."""
    if callable(progress):
        yield progress
    elif progress and _is_in_notebook():
        yield NotebookProgress()
    elif _is_shown(progress, sys.stderr):
        line = ProgressLine(sys.stderr)
        try:
            yield line
        finally:
            line.close()
    else:
        yield lambda job: None


def beside(watcher: Watcher, told: "Callable[[Trial], None]") -> "Callable[[Trial], None]":
    """`told`, with the watcher's live line, if it has one, out of the way while it runs."""
    if not isinstance(watcher, ProgressLine):
        return told

    def tell(trial: "Trial") -> None:
        with watcher.aside():
            told(trial)

    return tell


@contextmanager
def transfer(name: str, total: int | None, shown: ProgressOption) -> Iterator[Callable[[int], None]]:
    """A bar of bytes on stderr, and what to call with the bytes moved since the last call.

    A negative number takes back what has to be sent again. "auto" shows the bar on a terminal only;
    a function, which is for jobs, shows none.

    Args:
        name: What is moved, for people.
        total: Bytes of the whole, or None where nobody knows.
    """
    if callable(shown) or not _is_shown(shown, sys.stderr):
        yield lambda size: None
        return
    bar = TransferBar(name, total, sys.stderr)
    try:
        yield bar
    finally:
        bar.close()


class TransferBar:
    """One live line of bytes on a terminal; elsewhere one line at the end."""

    def __init__(self, name: str, total: int | None, stream: TextIO) -> None:
        self._name = name
        self._total = total
        self._line = _Line(stream)
        self._done = 0
        self._drawn = -REDRAW_SECONDS

    def __call__(self, size: int) -> None:
        self._done += size
        now = time.monotonic()
        if self._line.live and now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            self._line.write(self._text())

    def close(self) -> None:
        """Show how far it came, and go on below."""
        self._line.write(self._text())
        self._line.close()

    def _text(self) -> str:
        scale, unit = (1e3, "kB") if (self._total or self._done) < 1e6 else (1e6, "MB")
        done = f"{self._done / scale:.1f}"
        if not self._total:
            return f"{self._name}  {done} {unit}"
        share = min(1.0, self._done / self._total)
        return f"{self._name}  {_bar(share)} {share:4.0%}  {done}/{self._total / scale:.1f} {unit}"


class ProgressLine:
    """One live line on a terminal; elsewhere a line for each change."""

    def __init__(self, stream: TextIO) -> None:
        self._line = _Line(stream)
        self._last = ""

    def __call__(self, job: "Job") -> None:
        state = state_of(job)
        if self._line.live or state != self._last:
            self._line.write(f"{state}  {job.progress.elapsed_seconds:.0f} s")
        self._last = state

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The line is off the terminal meanwhile, for what others print."""
        self._line.clear()
        try:
            yield
        finally:
            self._line.draw()

    def close(self) -> None:
        """Leave the live line as it is and go on below it."""
        self._line.close()


class NotebookProgress:
    """The job as a table below a notebook's cell, drawn again at each change."""

    def __init__(self) -> None:
        from IPython import display

        # IPython has no types.
        show: Callable[..., Any] = display.display
        self._shown = show({"text/plain": "waiting"}, raw=True, display_id=True)

    def __call__(self, job: "Job") -> None:
        from tuneserve.html import job_html

        self._shown.update({"text/html": job_html(job), "text/plain": state_of(job)}, raw=True)


class _Line:
    """A line that is written over on a terminal, and a new one each time elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.live = stream.isatty()
        self._last = ""

    def write(self, text: str) -> None:
        if self.live:
            # A line that wraps could not be rewritten.
            text = text[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + text.ljust(len(self._last)))
            self._last = text
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def clear(self) -> None:
        if self._last:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def draw(self) -> None:
        self._stream.write(self._last)
        self._stream.flush()

    def close(self) -> None:
        if self._last:
            self._stream.write("\n")
            self._stream.flush()
            self._last = ""


def _is_shown(progress: ProgressOption, stream: TextIO) -> bool:
    if progress != "auto":
        return progress is True
    # A pipeline may give its commands a terminal that nobody looks at.
    return stream.isatty() and not os.environ.get("CI")


def _is_in_notebook() -> bool:
    # Whoever is in a notebook has imported it: it is looked for, never loaded.
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _bar(share: float, width: int = 20) -> str:
    full = round(share * width)
    return "#" * full + "-" * (width - full)


def state_of(job: "Job") -> str:
    """Such as `running  7/10 trials  best 0.981 (trial 5)  81 epochs`."""
    progress = job.progress
    of = f"/{progress.max_trials}" if progress.max_trials else ""
    trials = plural(progress.max_trials or progress.ended, "trial")
    parts = [job.state, f"{progress.ended}{of} {trials}"]
    if job.best and job.best.score is not None:
        parts.append(f"best {job.best.score:.4g} (trial {job.best.trial})")
    return "  ".join([*parts, f"{progress.epochs} {plural(progress.epochs, 'epoch')}"])


def plural(count: int, word: str) -> str:
    """`word`, with an s unless there is one of it."""
    return word if count == 1 else f"{word}s"
