"""Waiting: following a job to its end, by events, or by polling where there are none."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from tuneserve import events
from tuneserve.errors import ApiError, ConnectionFailed, ServerFault, TuneserveError, WaitTimeout
from tuneserve.events import Event, Silence
from tuneserve.progress import Watcher
from tuneserve.responses import FOREIGN
from tuneserve.retries import seconds_before_retry
from tuneserve.trials import OPEN_STATES, Trial

if TYPE_CHECKING:
    from tuneserve.jobs import Job

HOLD_SECONDS = 20
"""How long the service is asked to hold its answer to a poll while nothing changes."""

POLL_SECONDS = 0.5
"""Shortest time between two polls, for a service that changes fast."""

IDLE_POLL_SECONDS = 2.0
"""The same where nothing has changed, for a service that does not hold its answer."""

OUTAGE_SECONDS = 120.0
"""How long a service that has answered before may be away, such as for a restart."""

OnTrial = Callable[[Trial], None]


class Waiting:
    """One wait for a job: until when, and what to call on the way."""

    def __init__(self, job: "Job", timeout: float | None, watcher: Watcher, on_trial: OnTrial | None) -> None:
        self._job = job
        self._timeout = math.inf if timeout is None else timeout
        self._deadline = time.monotonic() + self._timeout
        self._watcher = watcher
        self._on_trial = on_trial
        self._told: set[int] = set()
        self._answered = -math.inf

    def run(self) -> None:
        """Return when the job has ended; raises `WaitTimeout`, and what the callbacks raise."""
        if not self._look():
            self._show()
        if not self._job.is_terminal:
            self._follow_events()
            self._look()
        while not self._job.is_terminal:
            self._poll()

    def _follow_events(self) -> None:
        """Until the job ends, the time is nearly over, or there are no events to be had.

        Nearly, because a stream may be silent for so long: the rest is left to polls, which end in time.
        """
        with closing(self._job._events(self._job.revision, retry=self._retry)) as stream:
            while self._left() > events.PATIENCE_SECONDS and not self._job.is_terminal:
                # What the callbacks raise is the caller's: only the stream's own errors end here.
                try:
                    event = next(stream)
                except (StopIteration, ApiError, ConnectionFailed):
                    return
                self._answered = time.monotonic()
                if event is not None:
                    self._take(event)

    def _take(self, event: Event) -> None:
        if event.type == "trial" and event.data.get("state") not in OPEN_STATES:
            self._tell(event.data.get("number"))
        if event.type in ("job", "progress", "end"):
            self._job._told(event.data, is_end=event.type == "end")
            # The end is shown by the look that follows, with everything in it.
            if not self._job.is_terminal:
                self._watcher(self._job)

    def _poll(self) -> None:
        left, began = self._left(), time.monotonic()
        if left <= 0:
            raise WaitTimeout(self._job, self._timeout)
        changed = self._look(int(min(left, HOLD_SECONDS)))
        if not self._job.is_terminal:
            pause = min(left, POLL_SECONDS if changed else IDLE_POLL_SECONDS)
            time.sleep(max(0.0, pause - (time.monotonic() - began)))

    def _look(self, hold: int = 0) -> bool:
        try:
            # How a job ended is asked for whatever the time.
            changed = self._job._refresh(hold, math.inf if self._job.is_terminal else self._deadline)
        except (ApiError, ConnectionFailed) as error:
            self._endure(error)
            return False
        self._answered = time.monotonic()
        if changed:
            self._show()
        return changed

    def _show(self) -> None:
        self._tell_ended()
        self._watcher(self._job)

    def _endure(self, error: TuneserveError) -> None:
        """Nothing, where the service was there before and may come back; else raises the error.

        Raises `WaitTimeout` where the answer would have come, but after the time.
        """
        if not self._job.is_terminal and isinstance(error, ConnectionFailed) and self._left() <= 0:
            raise WaitTimeout(self._job, self._timeout) from error
        away = time.monotonic() - self._answered
        if self._job.is_terminal or not _may_pass(error) or away > OUTAGE_SECONDS:
            raise error

    def _tell(self, number: int | None) -> None:
        if self._on_trial and number is not None and number not in self._told:
            self._tell_all(lambda: [self._job.trial(number)])

    def _tell_ended(self) -> None:
        progress = self._job.progress
        # Trials of a job that has ended may still be stopping: counted as open, and over a moment later.
        is_stopping = self._job.is_terminal and progress.pending + progress.running > 0
        if self._on_trial and (is_stopping or progress.ended != len(self._told)):
            self._tell_all(lambda: list(self._job.trials(order_by="number")))

    def _tell_all(self, ask: Callable[[], list[Trial]]) -> None:
        try:
            trials = ask()
        except (ApiError, ConnectionFailed) as error:
            # Those that are missed now are found with the next change.
            self._endure(error)
            return
        for trial in trials:
            self._tell_of(trial)

    def _tell_of(self, trial: Trial) -> None:
        if self._on_trial and trial.is_ended and trial.number not in self._told:
            self._told.add(trial.number)
            self._on_trial(trial)

    def _retry(self, error: TuneserveError, failures: int) -> float | None:
        """A stream that is refused or held back is not asked for again: polls do as well."""
        if isinstance(error, Silence | ApiError):
            return None
        delay = seconds_before_retry(error, failures)
        return delay if delay is not None and self._left() - delay > events.PATIENCE_SECONDS else None

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def _may_pass(error: TuneserveError) -> bool:
    """Whether an error says nothing about the job: an outage, one fault in hours, a proxy's page."""
    is_fault = isinstance(error, ServerFault) or (isinstance(error, ApiError) and error.code == FOREIGN)
    return is_fault or seconds_before_retry(error, 0) is not None
