"""A worker that hears nothing ends itself; one that is busy does not."""

import os
from dataclasses import replace
from typing import Any

import pytest
from celery.worker import state

from store import workers
from store.workers import Worker
from tasks.context import Context
from tasks.presence import Presence
from tests.store.makers import running_job

WORKER = Worker("worker-1", 1, [], "3.11")


class Request:
    """In the place of Celery's, which need a message and a pool."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def presence(context: Context) -> Any:
    """One that has no patience: its second look is late already."""
    context.settings = replace(context.settings, resend_seconds=0.0)
    return Presence(context, WORKER, lambda: True)


def test_idle_while_trials_wait_it_ends(sqlite_context: Context, ended: list[int]) -> None:
    running_job(sqlite_context.database, 1)
    made = presence(sqlite_context)
    made._look()
    made._look()
    assert ended[-1:] == [1]


def test_busy_with_anything_it_stays(sqlite_context: Context, ended: list[int]) -> None:
    """A slot that finishes a job owns no trial; ended for that, the job would be finished again and again."""
    running_job(sqlite_context.database, 1)
    made, request = presence(sqlite_context), Request()
    state.active_requests.add(request)
    try:
        made._look()
        made._look()
    finally:
        state.active_requests.discard(request)
    assert ended == []


def test_with_nothing_to_do_it_stays_and_is_noted_as_alive(sqlite_context: Context, ended: list[int]) -> None:
    made = presence(sqlite_context)
    made._look()
    made._look()
    assert ended == []
    with sqlite_context.database.read() as session:
        assert workers.alive(session) == [WORKER]
