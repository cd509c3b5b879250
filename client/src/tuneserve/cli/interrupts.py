"""Interrupts: Ctrl-C from a person, SIGTERM from a CI runner; both end a run in an orderly way."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


ECHO_SECONDS = 0.5
"""A second signal within this time is the first one again: `timeout` and CI runners signal a process and its
group, and so reach it twice."""


class Interrupted(BaseException):
    """The first interrupt, SIGINT or SIGTERM; no `KeyboardInterrupt`, to which others have answers."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")


class Interrupts:
    """Turns the first interrupt into `Interrupted`; a second one, that is no echo of it, leaves at once."""

    def __init__(self) -> None:
        self._pending: int | None = None
        self._is_held = False
        self._first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        now = time.monotonic()
        if self._first is not None:
            if now - self._first < ECHO_SECONDS:
                return
            # Nothing may stand in the way: no report, no `finally`, no thread.
            os._exit(EXIT_CODE)
        self._first = now
        if self._is_held:
            self._pending = number
        else:
            raise Interrupted(number)

    def settle(self) -> None:
        """From here on a first interrupt changes nothing: the run is on its way out already."""
        self._is_held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """The first interrupt waits for the end of the block: of a job that is being made, for its id."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._pending is not None:
            raise Interrupted(self._pending)


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle SIGINT and SIGTERM within the block; the handlers of before are put back after it."""
    handler = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's: elsewhere there is nothing to handle.
        yield handler
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield handler
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends what is in the block as Ctrl-C does: by every `finally`, so that no part of a file stays.

    Where somebody handles or ignores the signal already, nothing is changed.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def bounded(action: Callable[[], object], seconds: float) -> str | None:
    """Do something that must not hold the way out: None when it is done, else why it is not."""
    problems: list[str] = [f"no answer in {seconds:g} s"]

    def run() -> None:
        try:
            action()
            problems.clear()
        except Exception as error:
            problems[:] = [str(error)]

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return problems[0] if problems else None
