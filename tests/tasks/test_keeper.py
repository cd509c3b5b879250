"""The keeper: renews, tells, and ends what does not listen."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from schemas.settings import Settings
from store.leases import LeaseLost
from tasks.keeper import TIMEOUT, Keeper, Stopped
from tests.conftest import wait_until

SETTINGS = Settings(lease_seconds=1.0, stop_seconds=60.0)
ROOT = Path(__file__).parents[2]
# Work that never asks; each case says how it is told, and writes its last words to a file.
DEAF = """
import sys, time
from pathlib import Path
from sqlalchemy.exc import OperationalError
from schemas.settings import Settings
from store.leases import LeaseLost
from tasks.keeper import Keeper

def lost(): raise LeaseLost
def away(): raise OperationalError("x", {}, Exception("away"))

case, file = sys.argv[1], Path(sys.argv[2])
renew = {"told": lambda: "cancelled", "timeout": lambda: None, "lost": lost, "away": away}[case]
limit = 0.2 if case == "timeout" else None
settings = Settings(lease_seconds=1.0, stop_seconds=0.3)
def last_words(reason):
    file.write_text(reason)
    if case == "told":
        raise RuntimeError("not even that")
with Keeper(settings, renew, last_words, limit):
    time.sleep(60)
print("went on")
"""


class Renewals:
    """Counts, answers, raises what it is given."""

    def __init__(self, answer: str | None = None) -> None:
        self.count = 0
        self.answer = answer
        self.error: Exception | None = None

    def __call__(self) -> str | None:
        self.count += 1
        if self.error is not None:
            raise self.error
        return self.answer


def _keeper(renew: Callable[[], str | None], limit: float | None = None) -> Keeper:
    return Keeper(SETTINGS, renew, lambda reason: None, limit)


def _raised(keeper: Keeper) -> Any:
    """What ``check`` raises, if anything."""
    try:
        keeper.check()
    except (Stopped, LeaseLost) as error:
        return error
    return None


def test_it_renews_again_and_again() -> None:
    renewals = Renewals()
    with _keeper(renewals) as keeper:
        wait_until(lambda: renewals.count >= 3, 10, "three renewals")
        keeper.check()


def test_it_ends_with_the_work() -> None:
    renewals = Renewals()
    before = threading.active_count()
    with _keeper(renewals):
        wait_until(lambda: renewals.count, 10, "a renewal")
    assert threading.active_count() == before
    count = renewals.count
    time.sleep(0.5)
    assert renewals.count == count


def test_it_tells_the_work_to_stop() -> None:
    with _keeper(Renewals("cancelled")) as keeper:
        stopped = wait_until(lambda: _raised(keeper), 10, "the work is told")
    assert isinstance(stopped, Stopped)
    assert stopped.reason == "cancelled"


def test_it_keeps_the_lease_while_the_work_stops() -> None:
    renewals = Renewals("cancelled")
    with _keeper(renewals):
        wait_until(lambda: renewals.count >= 3, 10, "renewals after the flag")


def test_it_says_that_the_lease_is_lost() -> None:
    renewals = Renewals()
    renewals.error = LeaseLost()
    with _keeper(renewals) as keeper:
        lost = wait_until(lambda: _raised(keeper), 10, "the work is told")
    assert isinstance(lost, LeaseLost)


def test_it_tells_when_the_time_is_over() -> None:
    with _keeper(Renewals(), limit=0.2) as keeper:
        stopped = wait_until(lambda: _raised(keeper), 10, "the work is told")
    assert stopped.reason == TIMEOUT


def test_a_reason_that_came_with_a_report_counts_and_the_first_stays() -> None:
    keeper = _keeper(Renewals())
    keeper.told(None)
    keeper.check()
    keeper.told("deadline")
    keeper.told("cancelled")
    with pytest.raises(Stopped) as caught:
        keeper.check()
    assert caught.value.reason == "deadline"


def test_a_database_away_for_a_moment_is_survived() -> None:
    renewals = Renewals()
    with _keeper(renewals) as keeper:
        wait_until(lambda: renewals.count, 10, "a renewal")
        renewals.error = OperationalError("x", {}, Exception("away"))
        before = renewals.count
        wait_until(lambda: renewals.count > before, 10, "a failed renewal")
        renewals.error = None
        before = renewals.count
        wait_until(lambda: renewals.count > before, 10, "a renewal again")
        keeper.check()


@pytest.mark.parametrize(
    ("case", "words"),
    [("told", "cancelled"), ("timeout", TIMEOUT), ("lost", None), ("away", None)],
)
def test_deaf_work_ends_with_its_process(tmp_path: Path, case: str, words: str | None) -> None:
    file = tmp_path / "words"
    ran = subprocess.run(
        [sys.executable, "-c", DEAF, case, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=45,
    )
    assert (ran.returncode, ran.stdout.count("went on")) == (1, 0), ran.stderr
    assert (file.read_text() if file.exists() else None) == words


def test_a_pause_is_for_the_end_of_an_epoch_not_for_now() -> None:
    keeper = _keeper(Renewals())
    keeper.told("paused")
    keeper.check()
    assert keeper.is_pausing
    keeper.told(None)
    assert not keeper.is_pausing, "the job was resumed before the trial noticed"


def test_what_ends_the_work_for_good_comes_before_a_pause() -> None:
    keeper = _keeper(Renewals())
    keeper.told("paused")
    keeper.told("cancelled")
    keeper.told(None)
    assert isinstance(_raised(keeper), Stopped)
    assert not keeper.is_pausing


def test_work_that_pauses_is_not_killed_for_taking_its_time() -> None:
    quick = replace(SETTINGS, stop_seconds=0.1)
    with Keeper(quick, Renewals("paused"), lambda reason: None) as keeper:
        wait_until(lambda: keeper.is_pausing, 10, "it is told")
        time.sleep(1.5)
        keeper.check()


class Still(Keeper):
    """Not begun: its thread's looks are made by hand, and an end is only noted."""

    def __init__(self, settings: Settings) -> None:
        self.ends = 0
        super().__init__(settings, Renewals(), lambda reason: None)

    def _exit(self) -> None:
        self.ends += 1

    def look_after(self, seconds: float) -> None:
        """Looks once, as if the work had been told to stop so long ago."""
        self._reason_since = time.monotonic() - seconds
        self._end_if_deaf()


def test_work_that_has_heard_may_take_its_time_to_put_away_what_it_has() -> None:
    deaf, listening = Still(SETTINGS), Still(SETTINGS)
    for keeper in (deaf, listening):
        keeper.told("deadline")
        keeper.look_after(SETTINGS.stop_seconds - 1)
    listening.heard()
    for keeper in (deaf, listening):
        keeper.look_after(SETTINGS.stop_seconds + 1)
    assert (deaf.ends, listening.ends) == (1, 0)
    listening.look_after(1000)
    assert listening.ends == 1, "but not for ever"


def test_patience_that_an_operator_has_is_never_shortened() -> None:
    keeper = Still(replace(SETTINGS, stop_seconds=900.0))
    keeper.told("deadline")
    keeper.heard()
    keeper.look_after(800)
    assert keeper.ends == 0
