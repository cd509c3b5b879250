"""Interrupts: Ctrl-C from a person, SIGTERM from a CI runner; both end a run in an orderly way."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The first interrupt, SIGINT or SIGTERM; no `KeyboardInterrupt`, to which others have answers."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")


class Interrupts:
    """Turns the first interrupt into `Interrupted`; a second one leaves at once."""

    def __init__(self) -> None:
        self._pending: int | None = None
        self._is_held = False
        self._count = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        self._count += 1
        if self._count > 1:
            # Nothing may stand in the way: no report, no `finally`, no thread.
            os._exit(EXIT_CODE)
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
