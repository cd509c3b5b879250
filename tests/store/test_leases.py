"""Leases: whoever holds one may write, and nobody else."""

import pytest

from store import jobs, leases
from store.database import Database
from store.leases import Lease, LeaseLost
from store.tables import JobRow, TrialRow
from tests.store.makers import (
    LONG,
    OVER,
    claim,
    complete,
    finishing_job,
    job_row,
    running_job,
    trial_row,
)


def _renew(database: Database, lease: Lease, seconds: float = LONG) -> None:
    with database.write() as session:
        leases.renew(session, lease, seconds)


def _finish(database: Database, job_id: str, seconds: float = LONG) -> Lease:
    with database.write() as session:
        lease = jobs.claim_finish(session, job_id, "w", seconds)
    assert lease is not None
    return lease


def test_a_lease_without_number_is_on_the_job() -> None:
    assert Lease("job_x", None, 1).row is JobRow
    assert Lease("job_x", 0, 1).row is TrialRow


def test_renewing_moves_the_end_of_a_trials_lease(database: Database) -> None:
    job_id = running_job(database, 1)
    claimed = claim(database, job_id, 0, seconds=OVER)
    before = trial_row(database, job_id, 0).lease_expires_at
    _renew(database, claimed.lease)
    after = trial_row(database, job_id, 0).lease_expires_at
    assert before is not None
    assert after is not None
    assert after - before > LONG


def test_renewing_moves_the_end_of_a_jobs_lease(database: Database) -> None:
    job_id = finishing_job(database)
    lease = _finish(database, job_id, OVER)
    before = job_row(database, job_id).lease_expires_at
    _renew(database, lease)
    after = job_row(database, job_id).lease_expires_at
    assert before is not None
    assert after is not None
    assert after - before > LONG


def test_another_epoch_is_refused(database: Database) -> None:
    job_id = running_job(database, 1)
    claim(database, job_id, 0)
    for epoch in (0, 2):
        with pytest.raises(LeaseLost):
            _renew(database, Lease(job_id, 0, epoch))


def test_another_trial_is_refused(database: Database) -> None:
    job_id = running_job(database, 2)
    claimed = claim(database, job_id, 0)
    with pytest.raises(LeaseLost):
        _renew(database, Lease(job_id, 1, claimed.lease.epoch))


def test_an_ended_trial_has_no_owner(database: Database) -> None:
    job_id = running_job(database, 1)
    claimed = claim(database, job_id, 0)
    complete(database, claimed)
    with pytest.raises(LeaseLost):
        _renew(database, claimed.lease)


def test_an_owner_may_write_any_column(database: Database) -> None:
    job_id = running_job(database, 1)
    claimed = claim(database, job_id, 0)
    with database.write() as session:
        leases.changed(session, claimed.lease, device="GPU:0")
    assert trial_row(database, job_id, 0).device == "GPU:0"


def test_a_refused_write_changes_nothing(database: Database) -> None:
    job_id = running_job(database, 1)
    claim(database, job_id, 0)
    with pytest.raises(LeaseLost), database.write() as session:
        leases.changed(session, Lease(job_id, 0, 7), device="GPU:0")
    assert trial_row(database, job_id, 0).device is None


def test_a_finish_that_was_taken_over_cannot_be_renewed(database: Database) -> None:
    job_id = finishing_job(database)
    first = _finish(database, job_id, OVER)
    second = _finish(database, job_id)
    assert second.epoch == first.epoch + 1
    with pytest.raises(LeaseLost):
        _renew(database, first)
    _renew(database, second)
