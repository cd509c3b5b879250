"""A trial worker's own sign of life, beside that of its trials; and a check that it still hears.

After a broker has been away, a Celery worker can be up and deaf (celery issues 8030, 10205, 10302). One
that does nothing while a trial has waited for long, though its message was sent again, ends itself; whoever
started it starts another.
"""

import os
import threading
import time
from collections.abc import Callable

from celery.worker import state
from sqlalchemy.exc import SQLAlchemyError

from schemas.logs import logger
from store import workers
from store.workers import Worker
from tasks.context import Context

_log = logger(__name__)

_PAUSE_SECONDS = 2.0
# So many times the pause before a message is sent again; a worker that hears has taken one by then.
_DEAF_AFTER_RESENDS = 6


class Presence:
    """A thread in the worker's parent process.

    Args:
        is_ready: whether all slots are warm; before that the worker does not count.
    """

    def __init__(self, context: Context, worker: Worker, is_ready: Callable[[], bool]) -> None:
        self._context = context
        self._worker = worker
        self._is_ready = is_ready
        self._idle_since: float | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()

    def _run(self) -> None:
        while not self._is_ready():
            if self._done.wait(0.2):
                return
        while True:
            try:
                self._look()
            except SQLAlchemyError as error:
                _log.warning("worker not noted as alive", error=str(error))
            if self._done.wait(_PAUSE_SECONDS):
                return

    def _look(self) -> None:
        with self._context.database.write() as session:
            workers.seen(session, self._worker)
            wanted = workers.queue_depth(session) > 0
        # Whatever a slot does, plan, train or finish, the worker has heard of it.
        self._end_if_deaf(wanted and not state.active_requests)

    def _end_if_deaf(self, missed: bool) -> None:
        if not missed:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        limit = _DEAF_AFTER_RESENDS * self._context.settings.resend_seconds
        if time.monotonic() - self._idle_since > limit:
            _log.error("worker hears nothing though trials wait; ending it")
            os._exit(1)
