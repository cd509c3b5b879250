"""The Celery application: how messages travel."""

import pytest

from schemas.settings import Settings
from tasks.app import CONTROL, TRIALS, make_app
from tasks.context import Context
from tasks.worker import register


def test_it_opens_no_connection() -> None:
    app = make_app(Settings(broker_url="redis://192.0.2.1:1/0"))
    assert app.main == "tuneserve"


def test_a_redis_cluster_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Cluster is not supported"):
        make_app(Settings(broker_url="redis+cluster://localhost:6379"))


def test_messages_are_json_taken_early_one_at_a_time() -> None:
    conf = make_app(Settings()).conf
    assert (conf.task_acks_late, conf.task_ignore_result) == (False, True)
    assert (conf.accept_content, conf.task_serializer) == (["json"], "json")
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_disable_prefetch
    assert conf.result_backend is None
    assert not conf.worker_enable_remote_control


def test_a_slot_has_minutes_to_import_tensorflow() -> None:
    assert make_app(Settings()).conf.worker_proc_alive_timeout >= 60


def test_there_are_two_queues() -> None:
    assert {queue.name for queue in make_app(Settings()).conf.task_queues} == {TRIALS, CONTROL}


def test_slots_are_replaced_as_set() -> None:
    conf = make_app(Settings(slot_trials=7, slot_memory_mb=100)).conf
    assert conf.worker_max_tasks_per_child == 7
    assert conf.worker_max_memory_per_child == 100 * 1024


def test_reconcile_is_due_every_few_seconds_on_the_control_queue() -> None:
    due = make_app(Settings(reconcile_seconds=3.0)).conf.beat_schedule["reconcile"]
    assert (due["task"], due["schedule"]) == ("reconcile", 3.0)
    assert due["options"]["queue"] == CONTROL


def test_every_message_has_its_task() -> None:
    settings = Settings()
    app = make_app(settings)
    register(app, Context(settings))
    assert {name for name in app.tasks if not name.startswith("celery.")} == {
        "plan",
        "trial",
        "finish",
        "reconcile",
    }


def test_two_applications_are_apart() -> None:
    first, second = make_app(Settings(slot_trials=1)), make_app(Settings(slot_trials=2))
    assert first.conf.worker_max_tasks_per_child == 1
    assert second.conf.worker_max_tasks_per_child == 2
