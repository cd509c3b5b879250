"""Data sets: uploaded ones have a row and a blob; built-in ones are known by heart."""

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from schemas.datasets import BUILTIN_PREFIX, BUILTINS, Dataset, LabelClass
from schemas.pages import Page
from schemas.problems import Conflict, NotFound
from schemas.states import JobState
from store.pages import paged
from store.tables import DatasetRow, JobRow


def blob_path(project: str, dataset_id: str) -> str:
    """Where the bytes of an upload lie. Not under their digest: deleting one upload must never take the
    bytes of the same upload made again."""
    return f"datasets/{project}/{dataset_id}.npz"


def create(session: Session, project: str, found: Dataset) -> tuple[Dataset, bool]:
    """Inserts a data set; (the one that was there, False) when the same bytes are known."""
    known = by_digest(session, project, found.digest)
    if known is not None:
        return known, False
    row = DatasetRow(
        id=found.id,
        project=project,
        name=found.name,
        kind=found.kind,
        digest=found.digest,
        shape=list(found.shape),
        samples=found.samples,
        classes=[[one.name, one.count] for one in found.classes],
        dtype=found.dtype,
        bytes=found.bytes,
        warnings=list(found.warnings),
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        known = by_digest(session, project, found.digest)
        assert known is not None, "the digest is what was there already"
        return known, False
    return _dataset(row), True


def by_digest(session: Session, project: str, digest: str) -> Dataset | None:
    row = session.scalar(select(DatasetRow).where(DatasetRow.project == project, DatasetRow.digest == digest))
    return None if row is None else _dataset(row)


def exists(session: Session, dataset_id: str) -> bool:
    return session.get(DatasetRow, dataset_id) is not None


def get(session: Session, project: str, dataset_id: str) -> Dataset:
    """A data set of the project, or a built-in one.

    Raises:
        NotFound: `dataset_not_found`.
    """
    if dataset_id in BUILTINS:
        return BUILTINS[dataset_id]
    row = session.get(DatasetRow, dataset_id)
    if row is None or row.project != project:
        raise not_found(dataset_id)
    return _dataset(row)


def not_found(dataset_id: str) -> NotFound:
    hint = f" Built-in are: {', '.join(BUILTINS)}." if BUILTIN_PREFIX in dataset_id else ""
    return NotFound("dataset_not_found", f"There is no data set {dataset_id}.{hint}")


def page(
    session: Session, project: str, size: int, token: str | None, digest: str | None = None
) -> Page[Dataset]:
    """A page of the project's uploads, newest first."""
    query = select(DatasetRow).where(DatasetRow.project == project)
    if digest is not None:
        query = query.where(DatasetRow.digest == digest)
    found = paged(session, query.order_by(DatasetRow.id.desc()), size, token)
    return Page([_dataset(row) for row in found.items], found.next_page_token)


def remove(session: Session, project: str, dataset_id: str) -> Dataset:
    """Deletes the row of an upload.

    Raises:
        NotFound: `dataset_not_found`.
        Conflict: `dataset_in_use`, by a job that has not ended.
    """
    found = get(session, project, dataset_id)
    if found.kind == "builtin":
        raise Conflict("dataset_builtin", f"{dataset_id} is built in.")
    used = select(JobRow.id).where(JobRow.dataset == dataset_id, JobRow.state.in_(JobState.live()))
    if (job := session.scalar(used.limit(1))) is not None:
        raise Conflict("dataset_in_use", f"Job {job} uses {dataset_id}.")
    session.execute(delete(DatasetRow).where(DatasetRow.id == dataset_id))
    return found


def _dataset(row: DatasetRow) -> Dataset:
    return Dataset(
        id=row.id,
        name=row.name,
        kind=row.kind,
        digest=row.digest,
        shape=tuple(row.shape),
        samples=row.samples,
        classes=tuple(LabelClass(name, count) for name, count in row.classes),
        dtype=row.dtype,
        bytes=row.bytes,
        warnings=row.warnings,
        create_time=row.create_time,
    )
