"""Artefacts: rows that name blobs. A row is written in the transaction that ends the work."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from schemas.artifacts import Artifact
from schemas.pages import Page
from schemas.problems import NotFound
from store.pages import paged
from store.tables import ArtifactRow


def publish(session: Session, job_id: str, found: Sequence[Artifact]) -> list[str]:
    """Makes these the job's artefacts; says which blobs nothing names any more."""
    before = list(session.scalars(select(ArtifactRow.path).where(ArtifactRow.job_id == job_id)))
    session.execute(delete(ArtifactRow).where(ArtifactRow.job_id == job_id))
    session.add_all(
        ArtifactRow(
            job_id=job_id,
            name=one.name,
            path=one.path,
            bytes=one.bytes,
            sha256=one.sha256,
            media_type=one.media_type,
        )
        for one in found
    )
    session.flush()
    return before


def get(session: Session, job_id: str, name: str) -> Artifact:
    """One artefact of a job.

    Raises:
        NotFound: `artifact_not_found`.
    """
    row = session.get(ArtifactRow, (job_id, name))
    if row is None:
        raise NotFound("artifact_not_found", "The job has no such artefact.")
    return _artifact(row)


def names(session: Session, job_id: str) -> list[str]:
    mine = select(ArtifactRow.name).where(ArtifactRow.job_id == job_id)
    return list(session.scalars(mine.order_by(ArtifactRow.name)))


def page(session: Session, job_id: str, size: int, token: str | None) -> Page[Artifact]:
    query = select(ArtifactRow).where(ArtifactRow.job_id == job_id).order_by(ArtifactRow.name)
    found = paged(session, query, size, token)
    return Page([_artifact(row) for row in found.items], found.next_page_token)


def _artifact(row: ArtifactRow) -> Artifact:
    return Artifact(row.name, row.path, row.bytes, row.sha256, row.media_type, row.create_time)
