"""The tables. What a column means is said here, once."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.database import Moment, clock


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        datetime: Moment,
        float: Double,
        int: BigInteger,
    }


class Leased:
    """Work that one worker owns for a while: see `store.leases`."""

    attempt: Mapped[int] = mapped_column(default=0)
    losses: Mapped[int] = mapped_column(default=0)  # attempts that ended without a word
    lease_epoch: Mapped[int] = mapped_column(default=0)  # named in every write of the owner
    lease_expires_at: Mapped[float | None]  # by the database's clock; set while owned
    worker: Mapped[str | None] = mapped_column(String(100))
    sent_at: Mapped[float] = mapped_column(default=clock())  # when a message last went out


# After so many errors over one job, reconcile leaves it alone: one bad row must not stop the rest.
MAX_FAULTS = 3


class JobRow(Leased, Table):
    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_project_id", "project", "id"),
        Index("ix_jobs_state", "state"),
        Index("ix_jobs_project_spec_digest", "project", "spec_digest", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(20))
    stop_reason: Mapped[str | None] = mapped_column(String(40))
    spec: Mapped[dict[str, Any]]  # as resolved
    spec_digest: Mapped[str] = mapped_column(String(80))
    dataset: Mapped[str] = mapped_column(String(100))
    dataset_digest: Mapped[str] = mapped_column(String(80))
    warnings: Mapped[list[Any]]
    error: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]  # what finishing found out: test metrics and the like
    revision: Mapped[int] = mapped_column(default=1)  # moves with every change a client could see
    priority: Mapped[int]
    max_trials: Mapped[int]
    parallel_trials: Mapped[int]
    deadline: Mapped[float | None]
    rested_at: Mapped[float | None]  # since when it has been paused
    rested_seconds: Mapped[float] = mapped_column(default=0.0)  # paused, or ended, before it went on
    turn: Mapped[float] = mapped_column(default=0.0)  # see `store.turns`
    faults: Mapped[int] = mapped_column(default=0)  # errors of reconcile over this row
    create_time: Mapped[datetime] = mapped_column(default=clock())
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]


class TrialRow(Leased, Table):
    __tablename__ = "trials"
    __table_args__ = (
        Index("ix_trials_state", "state"),
        Index("ix_trials_cache_key", "cache_key"),
        # The few that reconcile looks for every other second.
        Index(
            "ix_trials_checkpoint",
            "job_id",
            sqlite_where=text("checkpoint IS NOT NULL"),
            postgresql_where=text("checkpoint IS NOT NULL"),
        ),
        # A NULL is never less than anything: an owned trial without an end of its lease would be
        # lost for ever.
        CheckConstraint("state <> 'running' OR lease_expires_at IS NOT NULL", name="leased"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(20))
    hyperparameters: Mapped[dict[str, Any]]
    until_epoch: Mapped[int | None]  # these four: `schemas.trials.Effort`
    data_share: Mapped[float] = mapped_column(default=1.0)
    parent: Mapped[int | None]
    stage: Mapped[dict[str, Any] | None]
    stop: Mapped[str | None] = mapped_column(String(40))  # told to stop, and why
    score: Mapped[float | None]
    deviation: Mapped[float | None]  # of the folds' scores
    best_epoch: Mapped[int | None]
    folds: Mapped[list[Any] | None]  # of a cross-validated trial: score and metrics of each
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    parameters: Mapped[int | None]
    device: Mapped[str | None] = mapped_column(String(100))
    weights: Mapped[str | None] = mapped_column(Text)  # blob of the best epoch's weights
    checkpoint: Mapped[str | None] = mapped_column(Text)  # blob of a state that training goes on from
    checkpoint_fold: Mapped[int | None]
    checkpoint_epoch: Mapped[int | None]
    last_epoch: Mapped[int | None]
    used_seconds: Mapped[float] = mapped_column(default=0.0)  # by attempts that did not end the trial
    range_test: Mapped[dict[str, Any] | None]
    cache_key: Mapped[str | None] = mapped_column(String(80))  # equal for trials of equal outcome
    reused: Mapped[dict[str, Any] | None]  # the job and trial that the result was taken from
    error: Mapped[dict[str, Any] | None]
    create_time: Mapped[datetime] = mapped_column(default=clock())
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]


class EpochRow(Table):
    __tablename__ = "epochs"
    __table_args__ = (
        ForeignKeyConstraint(["job_id", "number"], ["trials.job_id", "trials.number"], ondelete="CASCADE"),
        Index("ix_epochs_revision", "job_id", "revision", "number", "fold", "epoch"),
    )

    job_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fold: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seconds: Mapped[float]
    learning_rate: Mapped[float]
    metrics: Mapped[dict[str, Any]]
    revision: Mapped[int | None]  # the job's, when it was reported


class EventRow(Table):
    """A change of state of a job, or of one of its trials: see `store.events`."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_revision", "job_id", "revision", "id"),)

    # Numbered by the database, in the order of writing. SQLite does so only with its own type of integer.
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    revision: Mapped[int]  # the job's, with this change
    number: Mapped[int | None]  # of the trial; NULL for the job itself
    state: Mapped[str] = mapped_column(String(20))
    data: Mapped[dict[str, Any]]
    time: Mapped[datetime] = mapped_column(default=clock())


class DatasetRow(Table):
    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("project", "digest"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(80))
    shape: Mapped[list[Any]]
    samples: Mapped[int]
    classes: Mapped[list[Any]]
    dtype: Mapped[str] = mapped_column(String(20))
    bytes: Mapped[int]
    warnings: Mapped[list[Any]]
    create_time: Mapped[datetime] = mapped_column(default=clock())


class ArtifactRow(Table):
    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    path: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    media_type: Mapped[str] = mapped_column(String(100))
    create_time: Mapped[datetime] = mapped_column(default=clock())


class KeyRow(Table):
    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[Any]]
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the secret; the secret is not kept
    create_time: Mapped[datetime] = mapped_column(default=clock())
    expire_time: Mapped[datetime | None]
    revoke_time: Mapped[datetime | None]


class AnswerRow(Table):
    """The answer to a POST, kept under its idempotency key."""

    __tablename__ = "answers"

    project: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))  # of method, path and body
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[str | None] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(default=clock(), index=True)


class WorkerRow(Table):
    """A trial worker; a row that is not seen any more is dropped by reconcile."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    slots: Mapped[int]
    accelerators: Mapped[list[Any]]
    version: Mapped[str] = mapped_column(String(40))
    start_time: Mapped[datetime] = mapped_column(default=clock())
    seen_at: Mapped[float] = mapped_column(default=clock())
