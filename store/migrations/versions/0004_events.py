"""what happened, for those who follow a job"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

import store.database

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROWS = 1000


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("time", store.database.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    # A column alone: SQLite would make the table anew for more.
    op.add_column("epochs", sa.Column("revision", sa.BigInteger(), nullable=True))
    _tell_what_there_is()
    op.create_index("ix_events_revision", "events", ["job_id", "revision", "id"], unique=False)
    place = ["job_id", "revision", "number", "fold", "epoch"]
    op.create_index("ix_epochs_revision", "epochs", place, unique=False)


def _tell_what_there_is() -> None:
    """Of jobs of before: an event for the state of each of their trials, and one for their own."""
    jobs = _table("jobs", id=sa.String, revision=sa.BigInteger, stop_reason=sa.String, **_COMMON)
    trials = _table(
        "trials",
        job_id=sa.String,
        number=sa.BigInteger,
        attempt=sa.BigInteger,
        score=sa.Double,
        best_epoch=sa.BigInteger,
        parameters=sa.BigInteger,
        stop=sa.String,
        **_COMMON,
    )
    epochs = _table("epochs", job_id=sa.String, revision=sa.BigInteger)
    told = sa.select(jobs.c.revision).where(jobs.c.id == epochs.c.job_id).scalar_subquery()
    op.get_bind().execute(sa.update(epochs).values(revision=told))
    its_job = trials.join(jobs, jobs.c.id == trials.c.job_id)
    of_trials = sa.select(trials, jobs.c.revision).select_from(its_job)
    _insert(_trial(row) for row in _rows(of_trials.order_by(trials.c.job_id, trials.c.number)))
    _insert(_job(row) for row in _rows(sa.select(jobs)))


_JSON = sa.JSON(none_as_null=True)
_COMMON: dict[str, Any] = {
    "state": sa.String,
    "error": _JSON,
    "create_time": sa.Double,
    "start_time": sa.Double,
    "end_time": sa.Double,
}


def _table(name: str, **columns: Any) -> sa.TableClause:
    return sa.table(name, *(sa.column(one, kind) for one, kind in columns.items()))


def _rows(query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
    return op.get_bind().execute(query).all()


def _job(row: sa.Row[Any]) -> dict[str, Any]:
    data = {"stop_reason": row.stop_reason, "error": row.error}
    return {"job_id": row.id, "number": None, "data": data, **_common(row)}


def _trial(row: sa.Row[Any]) -> dict[str, Any]:
    ended = row.state not in ("pending", "running")
    kept = ("attempt", "score", "best_epoch", "parameters", "error")
    data = {**{name: getattr(row, name) for name in kept}, "reason": row.stop if ended else None}
    return {"job_id": row.job_id, "number": row.number, "data": data, **_common(row)}


def _common(row: sa.Row[Any]) -> dict[str, Any]:
    time = row.end_time or row.start_time or row.create_time
    return {"revision": row.revision, "state": row.state, "time": time}


def _insert(found: Iterator[dict[str, Any]]) -> None:
    kinds: dict[str, Any] = {"revision": sa.BigInteger, "state": sa.String, "time": sa.Double, "data": _JSON}
    events = _table("events", job_id=sa.String, number=sa.BigInteger, **kinds)
    noted = list(found)
    for first in range(0, len(noted), _ROWS):
        op.get_bind().execute(sa.insert(events), noted[first : first + _ROWS])


def downgrade() -> None:
    raise RuntimeError("a database is not taken back: restore a copy")
