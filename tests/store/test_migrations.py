"""A database of an older release, taken to the newest one with all that is in it; and what is new there."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

import store
from schemas.specs import load_spec
from schemas.states import JobState, TrialState
from schemas.trials import Epoch, Trial
from store import artifacts, attempts, jobs, trials
from store.attempts import Outcome
from store.database import Database
from tests.store import test_database
from tests.store.makers import LONG, PROJECT, claim, complete, job_with_trials, new_spec, trial_of

bare = test_database.bare

JOB = "job_old"
BEFORE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CURVE = [
    Epoch(number, 0.5 * number, 0.01 / number, {"val_accuracy": 0.05 * number, "val_loss": None})
    for number in range(1, 13)
]
FOLDS = [
    {"fold": 1, "score": 0.75, "best_epoch": 2, "metrics": {"val_accuracy": 0.75, "val_loss": 0.5}},
    {"fold": 2, "score": 0.25, "best_epoch": 1, "metrics": {"val_accuracy": 0.25, "val_loss": None}},
]


def migrate_to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(store.__file__)).parent / "migrations"))
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def insert(database: Database, table: str, **values: Any) -> None:
    """A row, in plain SQL: the code knows only the newest tables."""
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    plain = {
        name: json.dumps(value) if isinstance(value, (dict, list)) else value
        for name, value in values.items()
    }
    with database.write() as session:
        session.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), plain)


def old_job(database: Database) -> None:
    """A job as release 0001 had it: a trial that is done, one that runs, one that failed."""
    spec = new_spec()
    waiting = {"attempt": 1, "losses": 0, "lease_epoch": 1, "sent_at": 0.0}
    insert(
        database,
        "jobs",
        id=JOB,
        project=PROJECT,
        name="from before",
        labels={"team": "vision"},
        state="running",
        spec=spec.resolved,
        spec_digest=spec.digest,
        dataset="builtin:digits",
        dataset_digest="sha256:0",
        warnings=[],
        revision=7,
        priority=5,
        max_trials=10,
        parallel_trials=4,
        faults=0,
        create_time=BEFORE.timestamp(),
        **waiting,
    )
    common = {"job_id": JOB, "create_time": BEFORE.timestamp(), **waiting}
    done = {"state": "completed", "score": 0.6, "best_epoch": 12, "metrics": CURVE[-1].metrics}
    hyperparameters = {"training.learning_rate": 0.003}
    insert(database, "trials", number=0, hyperparameters=hyperparameters, parameters=77, **done, **common)
    running = {"state": "running", "metrics": {}, "lease_expires_at": 4e9, "worker": "worker-1"}
    insert(database, "trials", number=1, hyperparameters={}, **running, **common)
    failed = {"state": "failed", "metrics": {}, "error": {"code": "out_of_memory", "message": "x"}}
    insert(database, "trials", number=2, hyperparameters={}, **failed, **common)
    for number, epochs in ((0, CURVE), (1, CURVE[:1])):
        for one in epochs:
            place = {"job_id": JOB, "number": number, "epoch": one.epoch}
            told = {"seconds": one.seconds, "learning_rate": one.learning_rate, "metrics": one.metrics}
            insert(database, "epochs", **place, **told)
    described = {"path": "jobs/x", "bytes": 3, "sha256": "0" * 64, "media_type": "text/csv"}
    insert(database, "artifacts", job_id=JOB, name="trials.csv", create_time=BEFORE.timestamp(), **described)


@pytest.fixture
def old(bare: Database) -> Database:
    """A database of release 0001, with a job in it."""
    migrate_to(bare, "0001")
    old_job(bare)
    return bare


def trials_of(database: Database) -> list[Trial]:
    return [trial_of(database, JOB, number) for number in range(3)]


def test_the_trials_and_epochs_of_an_older_release_are_kept(old: Database) -> None:
    assert not old.is_migrated()
    old.migrate()
    assert old.is_migrated()
    done, running, failed = trials_of(old)
    assert done.epochs == CURVE
    assert (done.state, done.score, done.best_epoch) == (TrialState.COMPLETED, 0.6, 12)
    assert (done.metrics, done.parameters) == (CURVE[-1].metrics, 77)
    assert (done.hyperparameters, done.create_time) == ({"training.learning_rate": 0.003}, BEFORE)
    assert (running.state, running.epochs) == (TrialState.RUNNING, CURVE[:1])
    assert (failed.error, failed.epochs) == ({"code": "out_of_memory", "message": "x"}, [])
    assert {(one.deviation, one.folds) for one in (done, running, failed)} == {(None, None)}


def test_the_job_of_an_older_release_is_kept_with_its_artifacts(old: Database) -> None:
    old.migrate()
    with old.read() as session:
        job = jobs.get(session, PROJECT, JOB)
        assert artifacts.names(session, JOB) == ["trials.csv"]
    assert (job.name, job.labels, job.state) == ("from before", {"team": "vision"}, JobState.RUNNING)
    assert (job.spec, job.revision) == (new_spec().resolved, 7)
    assert job.best is not None
    assert (job.best.trial, job.best.score) == (0, 0.6)


def test_the_epochs_of_an_older_release_are_still_a_trials_and_one_of_each(old: Database) -> None:
    old.migrate()
    told = {"seconds": 1.0, "learning_rate": 0.1, "metrics": {}}
    with pytest.raises(IntegrityError):
        insert(old, "epochs", job_id=JOB, number=0, fold=1, epoch=12, **told)
    with pytest.raises(IntegrityError):
        insert(old, "epochs", job_id=JOB, number=9, fold=1, epoch=1, **told)
    insert(old, "epochs", job_id=JOB, number=0, fold=2, epoch=12, **told)
    with old.write() as session:
        session.execute(text("DELETE FROM jobs"))
        assert session.scalar(text("SELECT count(*) FROM epochs")) == 0


def test_a_trial_of_an_older_release_can_be_tried_again(old: Database) -> None:
    old.migrate()
    with old.write() as session:
        session.execute(text("UPDATE trials SET state = 'pending' WHERE number = 1"))
    claimed = claim(old, JOB, 1)
    with old.write() as session:
        attempts.report(session, claimed.lease, CURVE[0], LONG)
    complete(old, claimed, deviation=0.25, folds=FOLDS)
    found = trial_of(old, JOB, 1)
    assert (found.epochs, found.deviation, found.folds) == ([CURVE[0]], 0.25, FOLDS)


def test_folds_come_back_as_they_were_written(database: Database) -> None:
    job_id = job_with_trials(database, 2, split={"folds": 2})
    claimed = claim(database, job_id, 0)
    curve = [
        Epoch(number, 0.5, 0.01, {"val_accuracy": 0.1 * fold, "val_loss": None}, fold)
        for fold in (1, 2)
        for number in (1, 2)
    ]
    # Whichever order they come in: they are told by fold, then by epoch.
    for one in reversed(curve):
        with database.write() as session:
            attempts.report(session, claimed.lease, one, LONG)
    metrics = {"val_accuracy": 0.5, "val_loss": None}
    done = Outcome(
        TrialState.COMPLETED, score=0.5, best_epoch=2, metrics=metrics, deviation=0.3535, folds=FOLDS
    )
    with database.write() as session:
        attempts.complete(session, claimed.lease, done)
        page = trials.page(session, job_id, 10, None, None, "number")
        listed = trials.every(session, job_id)
    found = trial_of(database, job_id, 0)
    assert (found.deviation, found.folds, found.epochs) == (0.3535, FOLDS, curve)
    assert page.items[0] == found
    assert [(one.deviation, one.folds) for one in listed] == [(0.3535, FOLDS), (None, None)]


def test_only_grids_keep_their_order_and_the_digest_is_that_of_what_is_left(bare: Database) -> None:
    migrate_to(bare, "0001")
    old_job(bare)
    spec = new_spec(search={"algorithm": "random"}).resolved
    before = {**spec, "search": {**spec["search"], "order": "row_major"}}
    grid = new_spec(search={"algorithm": "grid", "order": "outside_in"})
    with bare.write() as session:
        columns = session.execute(text("SELECT * FROM jobs")).keys()
        names = ", ".join(columns)
        others = ", ".join("'job_grid'" if name == "id" else name for name in columns)
        copied = f"INSERT INTO jobs ({names}) SELECT {others} FROM jobs WHERE id = '{JOB}'"
        session.execute(text(copied))
        change = text("UPDATE jobs SET spec = :spec, spec_digest = :digest WHERE id = :id")
        session.execute(change, {"spec": json.dumps(before), "digest": "sha256:old", "id": JOB})
        kept = {"spec": json.dumps(grid.resolved), "digest": "sha256:kept", "id": "job_grid"}
        session.execute(change, kept)
    bare.migrate()
    with bare.read() as session:
        changed, same = (jobs.get(session, PROJECT, one) for one in (JOB, "job_grid"))
    assert (changed.spec, changed.spec_digest) == (spec, load_spec(spec).digest)
    assert (same.spec, same.spec_digest) == (grid.resolved, grid.digest)
