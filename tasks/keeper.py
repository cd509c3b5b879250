"""Keeps a lease alive while the work goes on, and sees to it that work that has to end does end.

A thread beside the training renews the lease and reads the stop flag. The training asks `check` after
every step. When it does not (a step that takes for ever, a deadlock), the thread ends the process, and
Celery starts another in its place.
"""

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from schemas.logs import logger
from schemas.settings import Settings
from store.leases import LeaseLost
from store.trials import PAUSED

_log = logger(__name__)

TIMEOUT = "trial_timeout"
# Uploads of what a stopped trial has are given so long.
_PUT_AWAY_SECONDS = 300.0


class Stopped(Exception):
    """Whoever asked has been told to stop; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Keeper:
    """Context manager around the work of a lease.

    Args:
        renew: renews the lease in a transaction of its own; returns why to stop, if at all; raises
            `LeaseLost`.
        last_words: called with the reason before the process is ended, to write down what became of
            the work.
        limit_seconds: how long the work may take.
    """

    def __init__(
        self,
        settings: Settings,
        renew: Callable[[], str | None],
        last_words: Callable[[str], None],
        limit_seconds: float | None = None,
    ) -> None:
        self._settings = settings
        self._renew = renew
        self._last_words = last_words
        self._began = time.monotonic()
        self._limit = limit_seconds
        self._renewed = self._began
        self._reason: str | None = None
        self._reason_since = 0.0
        self._patience = settings.stop_seconds
        self._lost = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join(timeout=self._settings.lease_seconds)

    def check(self) -> None:
        """To be called often by the work.

        Raises:
            LeaseLost: somebody else has it now.
            Stopped: it is to end.
        """
        if self._lost:
            raise LeaseLost
        if self._reason is not None and not self.is_pausing:
            raise Stopped(self._reason)

    def heard(self) -> None:
        """The work has stopped, and puts away what it has: that may take longer than stopping."""
        self._patience = max(self._settings.stop_seconds, _PUT_AWAY_SECONDS)

    @property
    def is_pausing(self) -> bool:
        """Whether the work is to be left as it stands, where that can be done: at the end of an epoch."""
        return self._reason == PAUSED

    def told(self, reason: str | None) -> None:
        """Notes a reason to stop, which may have come with a write of the work; a pause may be over."""
        if reason != self._reason and self._reason in (None, PAUSED):
            self._reason, self._reason_since = reason, time.monotonic()

    def _keep(self) -> None:
        pause = min(1.0, self._settings.lease_seconds / 10)
        renewal = self._settings.lease_seconds / 5
        while not self._done.wait(pause):
            now = time.monotonic()
            if self._limit is not None and now - self._began > self._limit:
                self.told(TIMEOUT)
            if now - self._renewed > renewal or self._renewed == self._began:
                self._try_to_renew()
            self._end_if_deaf()

    def _try_to_renew(self) -> None:
        began = time.monotonic()
        try:
            self.told(self._renew())
            self._renewed = began
        except LeaseLost:
            self._lost = True
            self.told("lease_lost")
        except SQLAlchemyError as error:
            _log.warning("lease not renewed", error=str(error))
            if time.monotonic() - self._renewed > self._settings.lease_seconds * 2 / 3:
                _log.error("lease given up: the database does not answer")
                self._exit()

    def _end_if_deaf(self) -> None:
        if self._reason is None or self.is_pausing or self._done.is_set():
            return
        if time.monotonic() - self._reason_since > self._patience:
            _log.error("work does not stop; ending the process", reason=self._reason)
            if not self._lost:
                self._try_last_words(self._reason)
            self._exit()

    def _try_last_words(self, reason: str) -> None:
        try:
            self._last_words(reason)
        except Exception as error:
            # The lease ends by itself; reconcile takes it from there.
            _log.warning("last words not written", error=str(error))

    def _exit(self) -> None:
        os._exit(1)
