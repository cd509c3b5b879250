"""Wake-up calls: they carry ids, and a broker that is away is no error."""

import json
import time

import pytest
from redis import Redis

from schemas.settings import Settings
from tasks.send import WAITING, Sender
from tests.tasks.conftest import LINES, Messages


@pytest.fixture
def sender(valkey: str) -> Sender:
    return Sender(Settings(broker_url=valkey))


def test_messages_carry_ids_only(sender: Sender, messages: Messages) -> None:
    sender.plan("job_a")
    sender.trial("job_a", 3)
    sender.finish("job_a")
    # In the order in which slots take them: what takes a moment stands before what takes minutes.
    assert messages() == [("plan", ["job_a"]), ("finish", ["job_a"]), ("trial", ["job_a", 3])]


def test_the_trial_whose_turn_it_is_goes_ahead_of_those_that_wait(sender: Sender, messages: Messages) -> None:
    sender.trial("job_a", 0)
    sender.trial("job_b", 0, chosen=True)
    sender.plan("job_c")
    assert messages() == [("plan", ["job_c"]), ("trial", ["job_b", 0, True]), ("trial", ["job_a", 0])]


def test_a_trials_hard_limit_goes_with_it(sender: Sender, broker: Redis) -> None:
    sender.trial("job_a", 3, 75.0)
    sent = json.loads(broker.lrange(LINES[WAITING], 0, -1)[0])
    assert sent["headers"]["timelimit"] == [75.0, None]


def test_messages_in_line_are_counted(sender: Sender, messages: Messages) -> None:
    assert sender.waiting() == 0
    sender.plan("job_a")
    sender.trial("job_a", 3)
    assert sender.waiting() == 2
    messages()
    assert sender.waiting() == 0


def test_a_broker_that_answers_is_connected(sender: Sender) -> None:
    assert sender.is_connected()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis+socket:///nowhere/x.sock"])
def test_a_broker_that_is_away_is_no_error(url: str) -> None:
    sender = Sender(Settings(broker_url=url))
    sender.trial("job_a", 0, 10.0)
    assert sender.waiting() == 0
    assert not sender.is_connected()


def test_a_broker_that_is_away_does_not_keep_a_request_waiting() -> None:
    sender, began = Sender(Settings(broker_url="redis://127.0.0.1:1/0")), time.monotonic()
    sender.plan("job_a")
    assert time.monotonic() - began < 3
