"""How many streams of events may be open: each of them holds a thread of the API."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from threading import BoundedSemaphore, Event, Lock

from schemas.problems import TooManyRequests

_RETRY_SECONDS = "10"


class Streams:
    """The places for streams; safe to use from many threads.

    Half of the threads, at most, answer streams, and with those that hold a GET until something changes no
    more than ``waiting`` allows: whatever is followed, other requests are answered at once.

    Args:
        waiting: places of requests that wait for something to happen.
        threads: of the API.
        each: places that one key may have.
    """

    def __init__(self, waiting: BoundedSemaphore, threads: int, each: int) -> None:
        self._waiting = waiting
        self._most = threads // 2
        self._each = each
        self._open: Counter[str] = Counter()
        self._lock = Lock()
        # Set when the process is to end: no stream outlives it.
        self.stopping = Event()

    def open(self, key: str) -> Callable[[], None]:
        """Takes a place; gives what gives it back, once, however often it is called.

        Raises:
            TooManyRequests: there is none for this key, or none at all.
        """
        with self._lock:
            if self._open[key] >= self._each:
                raise _too_many(f"This key has {self._each} streams open already")
            if self._open.total() >= self._most or not self._waiting.acquire(blocking=False):
                raise _too_many("All the threads for streams are taken")
            self._open[key] += 1
        place = ExitStack()
        place.callback(self._close, key)
        return place.close

    def _close(self, key: str) -> None:
        with self._lock:
            self._open[key] -= 1
            # Keys that follow nothing any more take no memory.
            self._open += Counter()
        self._waiting.release()


def _too_many(why: str) -> TooManyRequests:
    text = f"{why}: ask for the job itself from time to time, or come back later."
    return TooManyRequests("too_many_streams", text, headers={"Retry-After": _RETRY_SECONDS})
