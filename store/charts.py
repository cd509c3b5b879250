"""What charts are made of, read narrowly: of a trial a few columns, of its epochs one metric."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from schemas.charts import Point, Tried
from schemas.problems import NotFound
from schemas.states import TrialState
from store.tables import EpochRow, JobRow, TrialRow

_LOSS: Any = TrialRow.metrics["val_loss"].as_float()
_ERROR: Any = TrialRow.error["code"].as_string()
_COLUMNS = {
    "number": TrialRow.number,
    "state": TrialRow.state,
    "hyperparameters": TrialRow.hyperparameters,
    "score": TrialRow.score,
    "loss": _LOSS,
    "best_epoch": TrialRow.best_epoch,
    "last_epoch": TrialRow.last_epoch,
    "parent": TrialRow.parent,
    "stage": TrialRow.stage,
    "reused": TrialRow.reused,
    "error": _ERROR,
    "worker": TrialRow.worker,
    "start_time": TrialRow.start_time,
    "end_time": TrialRow.end_time,
}


def job(session: Session, project: str, job_id: str) -> tuple[int, Mapping[str, Any]]:
    """(revision, resolved spec).

    Raises:
        NotFound: there is none in this project.
    """
    query = select(JobRow.revision, JobRow.spec).where(JobRow.id == job_id, JobRow.project == project)
    found = session.execute(query).one_or_none()
    if found is None:
        raise NotFound("job_not_found", f"There is no job {job_id}.")
    return found.revision, found.spec


def trials(session: Session, job_id: str) -> list[Tried]:
    """All trials of a job, by number."""
    query = select(*_COLUMNS.values()).where(TrialRow.job_id == job_id).order_by(TrialRow.number)
    found = (dict(zip(_COLUMNS, row, strict=True)) for row in session.execute(query))
    return [Tried(**{**values, "state": TrialState(values["state"])}) for values in found]


def points(
    session: Session, job_id: str, metric: str, numbers: Sequence[int], most: int, kept: Iterable[int] = ()
) -> dict[int, list[Point]]:
    """One metric of these trials by epoch, as means over the folds.

    Args:
        most: of a trial with more epochs, only about so many are read, evenly spread.
        kept: epochs that are read in any case.
    """
    found: dict[int, list[Point]] = {number: [] for number in numbers}
    mine = (EpochRow.job_id == job_id, EpochRow.number.in_(numbers))
    longest = session.scalar(select(func.max(EpochRow.epoch)).where(*mine)) or 1
    spread = or_((EpochRow.epoch - 1) % math.ceil(longest / most) == 0, EpochRow.epoch.in_(set(kept)))
    value: Any = EpochRow.metrics[metric].as_float()
    query = select(EpochRow.number, EpochRow.epoch, func.avg(value), func.count()).where(*mine, spread)
    ordered = query.group_by(EpochRow.number, EpochRow.epoch).order_by(EpochRow.number, EpochRow.epoch)
    for number, epoch, mean, folds in session.execute(ordered):
        found[number].append(Point(epoch, mean, folds))
    return found
