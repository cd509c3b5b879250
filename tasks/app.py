"""The Celery application: how messages travel. Rows are the truth; a message only wakes somebody."""

from celery import Celery
from kombu import Queue

from schemas.settings import Settings

TRIALS, CONTROL = "trials", "control"

# A slot's process imports TensorFlow before it is up: 12 s on two busy cores, and Celery's default
# of 4 s would kill it, and its replacement, for ever.
_IMPORT_SECONDS = 180


def make_app(settings: Settings) -> Celery:
    """Opens no connection.

    Raises:
        ValueError: a broker that Celery does not support.
    """
    if "cluster" in settings.broker_url.split("://")[0]:
        raise ValueError("Redis Cluster is not supported; TUNESERVE_BROKER_URL must name one server")
    app = Celery("tuneserve", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        # Early: whoever takes a message claims the row. Late, a trial of more than an hour would be
        # delivered again and again (celery issue 5935).
        task_acks_late=False,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_queues=[Queue(TRIALS), Queue(CONTROL)],
        task_default_queue=TRIALS,
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_proc_alive_timeout=_IMPORT_SECONDS,
        worker_max_tasks_per_child=settings.slot_trials,
        worker_max_memory_per_child=settings.slot_memory_mb * 1024,
        worker_soft_shutdown_timeout=1.0,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_connect_timeout": 2,
            "socket_timeout": 20,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        beat_schedule={
            "reconcile": {
                "task": "reconcile",
                "schedule": settings.reconcile_seconds,
                # A look that comes late is not worth having: the next one is due.
                "options": {"queue": CONTROL, "expires": 4 * settings.reconcile_seconds},
            }
        },
    )
    return app
