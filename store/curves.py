"""Learning curves: what each epoch of each trial came to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from schemas.trials import Epoch
from store.tables import EpochRow, TrialRow


def add(session: Session, job_id: str, number: int, epochs: Iterable[Epoch], revision: int) -> None:
    """Writes epochs down, at the revision to which the job was moved for them."""
    session.add_all(
        EpochRow(
            job_id=job_id,
            number=number,
            fold=epoch.fold,
            epoch=epoch.epoch,
            seconds=epoch.seconds,
            learning_rate=epoch.learning_rate,
            metrics=dict(epoch.metrics),
            revision=revision,
        )
        for epoch in epochs
    )


def of(session: Session, job_id: str, numbers: Sequence[int]) -> dict[int, list[Epoch]]:
    """The epochs of each of these trials, in one query."""
    curves: dict[int, list[Epoch]] = {number: [] for number in numbers}
    mine = (EpochRow.job_id == job_id, EpochRow.number.in_(numbers))
    order = (EpochRow.number, EpochRow.fold, EpochRow.epoch)
    for row in session.scalars(select(EpochRow).where(*mine).order_by(*order)):
        seen = Epoch(row.epoch, row.seconds, row.learning_rate, row.metrics, row.fold)
        curves[row.number].append(seen)
    return curves


def values(
    session: Session, job_id: str, metric: str, fold: int, until_epoch: int
) -> Mapping[int, list[Epoch]]:
    """One metric of every trial of a job, in one fold, up to an epoch; nothing else of the epochs is read."""
    curves: dict[int, list[Epoch]] = {}
    value: Any = EpochRow.metrics[metric].as_float()
    mine = (EpochRow.job_id == job_id, EpochRow.fold == fold, EpochRow.epoch <= until_epoch)
    found = select(EpochRow.number, EpochRow.epoch, value).where(*mine)
    for number, epoch, one in session.execute(found.order_by(EpochRow.number, EpochRow.epoch)):
        curves.setdefault(number, []).append(Epoch(epoch, 0.0, 0.0, {metric: one}, fold))
    return curves


def count(session: Session, job_id: str) -> int:
    """Epochs that were trained for a job: not those of results that were taken from others."""
    mine = EpochRow.job_id == job_id
    taken = select(TrialRow.number).where(TrialRow.job_id == job_id, TrialRow.reused.is_not(None))
    # Two counts over the index: a join of all epochs with their trials takes four times as long.
    of_all = select(func.count()).select_from(EpochRow).where(mine).scalar_subquery()
    of_those = (
        select(func.count()).select_from(EpochRow).where(mine, EpochRow.number.in_(taken)).scalar_subquery()
    )
    return int(session.scalar(select(of_all - of_those)) or 0)


def cut(session: Session, job_id: str, number: int, fold: int, epoch: int) -> None:
    """Forgets what a trial trained after an epoch of a fold; (0, 0) forgets all."""
    later = or_(EpochRow.fold > fold, (EpochRow.fold == fold) & (EpochRow.epoch > epoch))
    session.execute(delete(EpochRow).where(EpochRow.job_id == job_id, EpochRow.number == number, later))


def before(session: Session, job_id: str, parent: int | None) -> list[Epoch]:
    """The epochs of a trial's parent, and of that one's, in order: what it has gone on from."""
    line: dict[int, Epoch] = {}
    while parent is not None:
        line = {one.epoch: one for one in of(session, job_id, [parent])[parent]} | line
        parent = session.scalar(
            select(TrialRow.parent).where(TrialRow.job_id == job_id, TrialRow.number == parent)
        )
    return [line[epoch] for epoch in sorted(line)]
