"""digests of specs leave out what no result depends on; jobs are found by them"""

import hashlib
from typing import Any

import rfc8785
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NOT_DIGESTED = ("name", "labels", "priority", "dataset")


def upgrade() -> None:
    op.create_index("ix_jobs_project_spec_digest", "jobs", ["project", "spec_digest", "id"], unique=False)
    _digest_anew()


def _digest_anew() -> None:
    """Of every job; also where its result names the digest that the job had."""
    texts = (sa.column("id", sa.String), sa.column("spec_digest", sa.String))
    documents = (sa.column("spec", sa.JSON), sa.column("result", sa.JSON(none_as_null=True)))
    jobs = sa.table("jobs", *texts, *documents)
    connection = op.get_bind()
    for job_id in connection.scalars(sa.select(jobs.c.id)).all():
        row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()
        digest = _digest(row.spec)
        result = _with_digest(row.result, row.spec_digest, digest)
        changed = sa.update(jobs).where(jobs.c.id == job_id)
        connection.execute(changed.values(spec_digest=digest, result=result))


def _digest(spec: dict[str, Any]) -> str:
    asked = {name: value for name, value in spec.items() if name not in _NOT_DIGESTED}
    return "sha256:" + hashlib.sha256(rfc8785.dumps(asked)).hexdigest()


def _with_digest(result: dict[str, Any] | None, before: str, digest: str) -> dict[str, Any] | None:
    known = (result or {}).get("reproducibility", {})
    if result is None or known.get("spec_digest") != before:
        return result
    return {**result, "reproducibility": {**known, "spec_digest": digest}}


def downgrade() -> None:
    raise RuntimeError("a database is not taken back: restore a copy")
