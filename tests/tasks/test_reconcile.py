"""Reconcile: puts right what went wrong without a word, whatever one row may do."""

from pathlib import Path

import pytest
from sqlalchemy import text, update

from schemas.problems import Unavailable
from schemas.states import JobState, StopReason, TrialState
from store import jobs, searches, workers
from store.database import Database, clock
from store.tables import WorkerRow
from store.workers import Worker
from tasks.context import Context
from tasks.reconcile import reconcile
from tests.store.makers import (
    LONG,
    OVER,
    PROJECT,
    at_once,
    claim,
    complete,
    finishing_job,
    job_row,
    new_job,
    running_job,
    set_job,
    set_trial,
    state_of,
    trial_of,
    trial_row,
)
from tests.tasks.conftest import Messages


def _spoil(database: Database, table: str, column: str, job_id: str) -> None:
    """From now on the database refuses every change of this job's rows in a table."""
    if database.url.startswith("sqlite"):
        statements = [
            f"CREATE TRIGGER spoilt BEFORE UPDATE ON {table} WHEN OLD.{column} = '{job_id}'"
            " BEGIN SELECT RAISE(ABORT, 'a bad row'); END"
        ]
    else:
        statements = [
            "CREATE FUNCTION spoil() RETURNS trigger AS"
            " $$ BEGIN RAISE EXCEPTION 'a bad row'; END $$ LANGUAGE plpgsql",
            f"CREATE TRIGGER spoilt BEFORE UPDATE ON {table} FOR EACH ROW"
            f" WHEN (OLD.{column} = '{job_id}') EXECUTE FUNCTION spoil()",
        ]
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement))


def _lost_trial(database: Database) -> str:
    job_id = running_job(database, 1)
    claim(database, job_id, 0, seconds=OVER)
    return job_id


def test_a_lost_workers_trial_runs_again(context: Context, messages: Messages) -> None:
    job_id = _lost_trial(context.database)
    reconcile(context)
    assert trial_of(context.database, job_id, 0).state == TrialState.PENDING
    assert ("trial", [job_id, 0]) in messages()
    assert claim(context.database, job_id, 0).attempt == 2


def test_a_trial_that_takes_its_workers_down_is_given_up(context: Context) -> None:
    job_id = running_job(context.database, 1)
    for _ in range(3):
        claim(context.database, job_id, 0, seconds=OVER)
        reconcile(context)
    trial = trial_of(context.database, job_id, 0)
    assert trial.state == TrialState.FAILED
    assert trial.error is not None
    assert trial.error["code"] == "poison"


def test_a_trial_that_is_owned_goes_on(context: Context) -> None:
    job_id = running_job(context.database, 1)
    claimed = claim(context.database, job_id, 0, seconds=LONG)
    reconcile(context)
    complete(context.database, claimed)


def test_lost_messages_are_sent_again(context: Context, messages: Messages) -> None:
    waiting = running_job(context.database, 4)
    set_trial(context.database, waiting, 1, sent_at=0.0)
    unplanned, unfinished = new_job(context.database), finishing_job(context.database)
    for job_id in (unplanned, unfinished):
        set_job(context.database, job_id, sent_at=0.0)
    reconcile(context)
    assert sorted(messages()) == sorted(
        [("trial", [waiting, 1]), ("plan", [unplanned]), ("finish", [unfinished])]
    )


def test_messages_just_sent_are_not_sent_again(context: Context, messages: Messages) -> None:
    running_job(context.database, 2)
    new_job(context.database)
    late = running_job(context.database, 1)
    set_trial(context.database, late, 0, sent_at=0.0)
    reconcile(context)
    messages()
    reconcile(context)
    assert messages() == []


def test_while_others_stand_in_line_a_message_may_do_so_too(context: Context, messages: Messages) -> None:
    waiting = running_job(context.database, 1)
    set_trial(context.database, waiting, 0, sent_at=clock() - 2 * context.settings.resend_seconds)
    context.send.plan("job_another")
    reconcile(context)
    assert messages() == [("plan", ["job_another"])]
    reconcile(context)
    assert messages() == [("trial", [waiting, 0])]


def test_in_a_line_that_never_ends_a_lost_message_is_sent_again_too(
    context: Context, messages: Messages
) -> None:
    waiting = running_job(context.database, 1)
    set_trial(context.database, waiting, 0, sent_at=0.0)
    context.send.plan("job_another")
    reconcile(context)
    assert ("trial", [waiting, 0]) in messages()


def test_a_passed_deadline_ends_the_search(context: Context, messages: Messages) -> None:
    job_id = running_job(context.database, 2)
    claim(context.database, job_id, 0)
    set_job(context.database, job_id, deadline=clock() - 1)
    reconcile(context)
    assert job_row(context.database, job_id).stop_reason == StopReason.DEADLINE
    assert trial_row(context.database, job_id, 0).stop == StopReason.DEADLINE
    assert trial_of(context.database, job_id, 1).state == TrialState.CANCELLED
    assert ("plan", [job_id]) in messages()


def test_a_cancelling_job_is_cancelled_once_its_trials_have_ended(context: Context) -> None:
    job_id = running_job(context.database, 1)
    claimed = claim(context.database, job_id, 0)
    with context.database.write() as session:
        jobs.cancel(session, PROJECT, job_id)
    reconcile(context)
    assert state_of(context.database, job_id) == JobState.CANCELLING
    complete(context.database, claimed, TrialState.CANCELLED, None)
    reconcile(context)
    assert state_of(context.database, job_id) == JobState.CANCELLED


def test_a_cancelling_job_whose_worker_was_lost_is_cancelled(context: Context) -> None:
    job_id = running_job(context.database, 1)
    claim(context.database, job_id, 0, seconds=OVER)
    with context.database.write() as session:
        jobs.cancel(session, PROJECT, job_id)
    reconcile(context)
    assert state_of(context.database, job_id) == JobState.CANCELLED


def test_twice_at_once_is_like_once(context: Context) -> None:
    lost = [_lost_trial(context.database) for _ in range(3)]
    late = running_job(context.database, 1)
    set_job(context.database, late, deadline=clock() - 1)
    at_once(4, lambda _: reconcile(context))
    assert [trial_row(context.database, job_id, 0).losses for job_id in lost] == [1, 1, 1]
    assert job_row(context.database, late).stop_reason == StopReason.DEADLINE


def test_one_bad_row_stops_nothing_else_and_is_left_alone_after_three_faults(
    context: Context,
) -> None:
    bad, good = _lost_trial(context.database), _lost_trial(context.database)
    _spoil(context.database, "trials", "job_id", bad)
    reconcile(context)
    assert trial_of(context.database, good, 0).state == TrialState.PENDING
    assert job_row(context.database, bad).faults == 1
    for _ in range(3):
        reconcile(context)
    assert job_row(context.database, bad).faults == jobs.MAX_FAULTS


def test_a_job_whose_row_cannot_be_changed_stops_nothing_else(context: Context) -> None:
    """Not even its faults can be counted."""
    bad, good = new_job(context.database), _lost_trial(context.database)
    set_job(context.database, bad, deadline=clock() - 1)
    _spoil(context.database, "jobs", "id", bad)
    set_trial(context.database, good, 0, sent_at=0.0)
    reconcile(context)
    assert trial_of(context.database, good, 0).state == TrialState.PENDING
    with context.database.read() as session:
        assert workers.queue_depth(session) == 1


def test_a_job_whose_spec_cannot_be_read_stops_nothing_else(context: Context, messages: Messages) -> None:
    bad, good = running_job(context.database, 1), running_job(context.database, 1)
    for job_id in (bad, good):
        set_trial(context.database, job_id, 0, sent_at=0.0)
    set_job(context.database, bad, spec={"of": "another version"})
    reconcile(context)
    assert ("trial", [good, 0]) in messages()


def test_workers_that_are_gone_are_forgotten(context: Context) -> None:
    with context.database.write() as session:
        workers.seen(session, Worker("old", 1, [], "x"))
        session.flush()
        session.execute(update(WorkerRow).values(seen_at=0.0))
        workers.seen(session, Worker("new", 1, [], "x"))
    reconcile(context)
    with context.database.read() as session:
        assert [row.id for row in session.query(WorkerRow)] == ["new"]


def test_with_nothing_to_do_it_does_nothing(context: Context, messages: Messages) -> None:
    reconcile(context)
    assert messages() == []


def test_states_that_nothing_goes_on_from_are_deleted(context: Context, tmp_path: Path) -> None:
    """Of jobs that have ended, and of trials whose continuation has; not of those that are waited for."""
    ended, running = running_job(context.database, 1), running_job(context.database, 3)
    file = tmp_path / "state"
    file.write_bytes(b"state")
    for job_id, number in ((ended, 0), (running, 0), (running, 1)):
        context.blobs.put(f"{job_id}-{number}", file)
        set_trial(context.database, job_id, number, checkpoint=f"{job_id}-{number}")
    set_job(context.database, ended, state=JobState.CANCELLED)
    set_trial(context.database, running, 2, parent=0, state=TrialState.COMPLETED)
    reconcile(context)
    kept = [trial_row(context.database, *one).checkpoint for one in ((ended, 0), (running, 0), (running, 1))]
    assert kept == [None, None, f"{running}-1"]
    context.blobs.fetch(f"{running}-1", tmp_path / "kept")
    with pytest.raises(Unavailable):
        context.blobs.fetch(f"{running}-0", tmp_path / "gone")


def test_a_paused_job_is_left_in_peace(context: Context, messages: Messages) -> None:
    job_id = running_job(context.database, 2)
    set_trial(context.database, job_id, 0, sent_at=0.0)
    with context.database.write() as session:
        searches.pause(session, job_id)
    reconcile(context)
    assert messages() == []
    with context.database.write() as session:
        searches.resume(session, job_id)
    reconcile(context)
    assert sorted(messages()) == [("trial", [job_id, 0]), ("trial", [job_id, 1])]
