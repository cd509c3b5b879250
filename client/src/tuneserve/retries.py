"""Retries: which errors are worth another try, and after how long."""

import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

from tuneserve.errors import ApiError, ConnectionFailed, TuneserveError

Answer = TypeVar("Answer")

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
"""A 500 is a fault of the code behind it: it would answer the same again."""

BACKOFF_SECONDS = 0.5
"""Before the first retry; it doubles with each."""

LONGEST_BACKOFF_SECONDS = 8.0
"""The doubling stops here."""

LONGEST_RETRY_AFTER_SECONDS = 60.0
"""A service that asks for more is not waited for: the caller should know."""


def with_retries(
    send: Callable[[], Answer],
    max_retries: int,
    *,
    until: float = math.inf,
    failed: Callable[[TuneserveError], None] | None = None,
) -> Answer:
    """Call `send` until it answers, at most `1 + max_retries` times.

    Args:
        until: Time of `time.monotonic()` after which there is no other try.
        failed: Called with each error that is followed by another try.
    """
    for attempt in range(max_retries):
        try:
            return send()
        except TuneserveError as error:
            delay = seconds_before_retry(error, attempt)
            if delay is None or time.monotonic() + delay >= until:
                raise
            if failed:
                failed(error)
            time.sleep(delay)
    return send()


def seconds_before_retry(error: TuneserveError, attempt: int) -> float | None:
    """Seconds to wait after the failure of `attempt` (from 0); None for an error that stays."""
    if isinstance(error, ConnectionFailed):
        return _backoff(attempt)
    if not isinstance(error, ApiError) or error.status not in RETRIED_STATUSES:
        return None
    if error.retry_after is None:
        return _backoff(attempt)
    if error.retry_after > LONGEST_RETRY_AFTER_SECONDS:
        return None
    # Never sooner than asked, and not all clients in the same instant.
    return error.retry_after + random.uniform(0, 0.1)


def _backoff(attempt: int) -> float:
    longest: float = min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2**attempt)
    return random.uniform(longest / 2, longest)
