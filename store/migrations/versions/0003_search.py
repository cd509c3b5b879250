"""what every search algorithm needs: efforts, checkpoints, the trial cache, turns"""

import hashlib

import rfc8785
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Column by column: SQLite would make a table anew to alter more of it, and dropping the old jobs would take
    # their trials along.
    op.add_column("jobs", sa.Column("rested_at", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("rested_seconds", sa.Double(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("turn", sa.Double(), nullable=False, server_default="0"))
    op.add_column("trials", sa.Column("until_epoch", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("data_share", sa.Double(), nullable=False, server_default="1"))
    op.add_column("trials", sa.Column("parent", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("stage", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("trials", sa.Column("checkpoint", sa.Text(), nullable=True))
    op.add_column("trials", sa.Column("checkpoint_fold", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("checkpoint_epoch", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("last_epoch", sa.BigInteger(), nullable=True))
    op.add_column("trials", sa.Column("used_seconds", sa.Double(), nullable=False, server_default="0"))
    op.add_column("trials", sa.Column("range_test", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("trials", sa.Column("cache_key", sa.String(length=80), nullable=True))
    op.add_column("trials", sa.Column("reused", sa.JSON(none_as_null=True), nullable=True))
    op.create_index("ix_trials_cache_key", "trials", ["cache_key"], unique=False)
    kept = sa.text("checkpoint IS NOT NULL")
    op.create_index("ix_trials_checkpoint", "trials", ["job_id"], sqlite_where=kept, postgresql_where=kept)
    _only_grids_have_an_order()


def _only_grids_have_an_order() -> None:
    """Specs of before say the order of a grid with every algorithm; now it is a grid's own."""
    columns = (sa.column("id", sa.String), sa.column("spec", sa.JSON), sa.column("spec_digest", sa.String))
    jobs = sa.table("jobs", *columns)
    connection = op.get_bind()
    for job_id, spec in connection.execute(sa.select(jobs.c.id, jobs.c.spec)).all():
        search = spec.get("search", {})
        if search.get("algorithm") != "grid" and search.pop("order", None) is not None:
            digest = "sha256:" + hashlib.sha256(rfc8785.dumps(spec)).hexdigest()
            changed = sa.update(jobs).where(jobs.c.id == job_id).values(spec=spec, spec_digest=digest)
            connection.execute(changed)


def downgrade() -> None:
    raise RuntimeError("a database is not taken back: restore a copy")
