"""Progress: how far a job is, and what a person sees of it while waiting."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from tuneserve.records import Record

if TYPE_CHECKING:
    from tuneserve.jobs import Job

Watcher = Callable[["Job"], None]
ProgressOption = bool | Literal["auto"] | Watcher


@dataclass(frozen=True, kw_only=True)
class Progress(Record):
    """Trials by state, epochs trained in all trials, and seconds since the start."""

    max_trials: int | None = None
    pending: int = 0
    running: int = 0
    completed: int = 0
    stopped: int = 0
    failed: int = 0
    cancelled: int = 0
    epochs: int = 0
    elapsed_seconds: float = 0.0
    eta_seconds: float | None = None

    @property
    def ended(self) -> int:
        """Trials that will not go on, whatever their end."""
        return self.completed + self.stopped + self.failed + self.cancelled


@contextmanager
def watching(progress: ProgressOption) -> Iterator[Watcher]:
    """What to call with the job at each change: nothing, the caller's function, or a line."""
    if callable(progress):
        yield progress
    elif progress is True or (progress == "auto" and sys.stderr.isatty()):
        line = ProgressLine(sys.stderr)
        try:
            yield line
        finally:
            line.close()
    else:
        yield lambda job: None


class ProgressLine:
    """One live line on a terminal; elsewhere a line for each change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._last = ""

    def __call__(self, job: "Job") -> None:
        state = state_of(job)
        text = f"{state}  {job.progress.elapsed_seconds:.0f} s"
        if self._live:
            self._rewrite(text)
        elif state != self._last:
            self._stream.write(text + "\n")
            self._last = state
        self._stream.flush()

    def _rewrite(self, text: str) -> None:
        # A line that wraps could not be rewritten.
        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + text.ljust(len(self._last)))
        self._last = text

    def close(self) -> None:
        """Leave the live line as it is and go on below it."""
        if self._live and self._last:
            self._stream.write("\n")
            self._stream.flush()


def state_of(job: "Job") -> str:
    """Such as `running  7/10 trials  best 0.981 (trial 5)  81 epochs`."""
    progress = job.progress
    of = f"/{progress.max_trials}" if progress.max_trials else ""
    parts = [job.state, f"{progress.ended}{of} trials"]
    if job.best and job.best.score is not None:
        parts.append(f"best {job.best.score:.4g} (trial {job.best.trial})")
    return "  ".join([*parts, f"{progress.epochs} epochs"])
