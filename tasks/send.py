"""Wake-up calls: ids only. One that does not get through is sent again by reconcile."""

from typing import Any

from kombu.exceptions import ChannelError, KombuError, OperationalError
from redis.exceptions import RedisError

from schemas.logs import logger
from schemas.settings import Settings
from tasks.app import TRIALS, make_app

_log = logger(__name__)

# Priorities of messages on Redis, the lowest number first. A plan takes milliseconds and may stand before a
# job's first trial; behind the trials of others it would wait for hours.
FIRST, CHOSEN, WAITING = 0, 3, 6


class Sender:
    """Sends messages; never raises over a broker that is away, for nothing is lost."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_app(settings)
        # kombu would try for seconds, in every request; reconcile tries again anyway.
        self._app.conf.broker_transport_options = {
            **self._app.conf.broker_transport_options,
            "max_retries": 0,
        }

    def plan(self, job_id: str) -> None:
        """The job may have room for trials, or have come to its end."""
        self._send("plan", TRIALS, job_id, priority=FIRST)

    def trial(
        self, job_id: str, number: int, time_limit: float | None = None, *, chosen: bool = False
    ) -> None:
        """A trial waits for a slot.

        Args:
            time_limit: seconds after which its process is killed.
            chosen: it is its turn; otherwise whoever gets the message looks first whose turn it is.
        """
        arguments = (job_id, number, *([True] if chosen else []))
        urgency = CHOSEN if chosen else WAITING
        self._send("trial", TRIALS, *arguments, time_limit=time_limit, priority=urgency)

    def finish(self, job_id: str) -> None:
        """The job's search is over: make its model."""
        self._send("finish", TRIALS, job_id, priority=FIRST)

    def is_connected(self) -> bool:
        """Whether the broker answers."""
        try:
            with self._app.connection_for_write(connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        except (KombuError, RedisError, OSError):
            return False
        return True

    def waiting(self) -> int:
        """How many messages stand in line for a slot; none when the broker does not say."""
        try:
            with self._app.connection_for_write(connect_timeout=2) as connection:
                channel: Any = connection.default_channel
                line = channel.queue_declare(queue=TRIALS, passive=True)
        except (ChannelError, KombuError, RedisError, OSError):
            # Redis has no empty queues.
            return 0
        return int(line.message_count)

    def _send(self, name: str, queue: str, *arguments: Any, **options: Any) -> None:
        try:
            self._app.send_task(name, arguments, queue=queue, retry=False, **options)
        except (OperationalError, KombuError, RedisError, OSError) as error:
            _log.warning("message not sent", task=name, arguments=arguments, error=str(error))
