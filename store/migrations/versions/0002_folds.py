"""folds of cross-validated trials"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("trials", schema=None) as batch_op:
        batch_op.add_column(sa.Column("folds", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("deviation", sa.Double(), nullable=True))
    with op.batch_alter_table("epochs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("fold", sa.BigInteger(), nullable=False, server_default="1"))
        batch_op.drop_constraint("pk_epochs", type_="primary")
        batch_op.create_primary_key("pk_epochs", ["job_id", "number", "fold", "epoch"])
    with op.batch_alter_table("epochs", schema=None) as batch_op:
        batch_op.alter_column("fold", server_default=None)


def downgrade() -> None:
    raise RuntimeError("a database is not taken back: restore a copy")
