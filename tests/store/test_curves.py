"""Learning curves: read by metric, cut at a checkpoint, followed through the parents."""

from collections.abc import Mapping

import pytest

from schemas.trials import Effort, Epoch, Suggestion
from store import curves, trials
from store.database import Database
from tests.store.makers import new_job, set_trial

Metrics = Mapping[str, float | None]


def epoch(number: int, fold: int = 1, **metrics: float | None) -> Epoch:
    return Epoch(number, 0.5, 0.01, metrics or {"loss": 1.0}, fold)


def job_of(database: Database, *parents: int | None) -> str:
    """A job with a trial for each of these, which goes on from that trial."""
    job_id = new_job(database)
    with database.write() as session:
        found = [Suggestion({}, Effort(parent=parent)) for parent in parents]
        trials.create(session, job_id, 0, found)
    return job_id


def add(database: Database, job_id: str, number: int, *epochs: Epoch) -> None:
    with database.write() as session:
        curves.add(session, job_id, number, epochs, 1)


def read(database: Database, job_id: str, number: int) -> list[tuple[int, int]]:
    """(fold, epoch) of what a trial has."""
    with database.read() as session:
        return [(one.fold, one.epoch) for one in curves.of(session, job_id, [number])[number]]


def test_curves_are_read_in_order_and_apart(database: Database) -> None:
    job_id = job_of(database, None, None, None)
    add(database, job_id, 0, epoch(2), epoch(1, fold=2), epoch(1))
    add(database, job_id, 1, epoch(1, loss=None))
    with database.read() as session:
        found = curves.of(session, job_id, [0, 1, 2])
    assert [(one.fold, one.epoch) for one in found[0]] == [(1, 1), (1, 2), (2, 1)]
    assert found[1] == [epoch(1, loss=None)]
    assert found[2] == []


def test_one_metric_of_all_trials_is_read_up_to_an_epoch(database: Database) -> None:
    job_id, other = job_of(database, None, None, None), job_of(database, None)
    for number in (0, 1):
        add(database, job_id, number, *(epoch(one, val_accuracy=0.1 * one, loss=9.0) for one in (1, 2, 3)))
    add(database, job_id, 0, epoch(1, fold=2, val_accuracy=0.7))
    add(database, other, 0, epoch(1, val_accuracy=0.3))
    with database.read() as session:
        found = curves.values(session, job_id, "val_accuracy", 1, 2)
        second = curves.values(session, job_id, "val_accuracy", 2, 9)
    assert set(found) == {0, 1}
    assert [(one.epoch, one.metrics) for one in found[0]] == [
        (1, {"val_accuracy": pytest.approx(0.1)}),
        (2, {"val_accuracy": pytest.approx(0.2)}),
    ]
    assert {number: [one.metrics for one in epochs] for number, epochs in second.items()} == {
        0: [{"val_accuracy": pytest.approx(0.7)}]
    }


@pytest.mark.parametrize("metrics", [{"val_loss": None}, {"loss": 1.0}])
def test_a_metric_that_is_not_finite_or_not_there_is_none(database: Database, metrics: Metrics) -> None:
    job_id = job_of(database, None)
    add(database, job_id, 0, epoch(1, **metrics))
    with database.read() as session:
        found = curves.values(session, job_id, "val_loss", 1, 9)
    assert [one.metrics for one in found[0]] == [{"val_loss": None}]


def test_epochs_are_counted_over_trials_and_folds(database: Database) -> None:
    job_id = job_of(database, None, None)
    add(database, job_id, 0, epoch(1), epoch(2), epoch(1, fold=2))
    add(database, job_id, 1, epoch(1))
    with database.read() as session:
        assert curves.count(session, job_id) == 4
    set_trial(database, job_id, 0, reused={"job": "job_x", "trial": 0})
    with database.read() as session:
        assert curves.count(session, job_id) == 1
        assert curves.count(session, "job_none") == 0


@pytest.mark.parametrize(
    ("fold", "last", "left"),
    [
        (0, 0, []),
        (1, 1, [(1, 1)]),
        (1, 2, [(1, 1), (1, 2)]),
        (2, 1, [(1, 1), (1, 2), (2, 1)]),
        (3, 0, [(1, 1), (1, 2), (2, 1), (2, 2)]),
    ],
)
def test_a_curve_is_cut_after_an_epoch_of_a_fold(
    database: Database, fold: int, last: int, left: list[tuple[int, int]]
) -> None:
    job_id = job_of(database, None, None)
    for number in (0, 1):
        add(database, job_id, number, epoch(1), epoch(2), epoch(1, fold=2), epoch(2, fold=2))
    with database.write() as session:
        curves.cut(session, job_id, 0, fold, last)
    assert read(database, job_id, 0) == left
    assert len(read(database, job_id, 1)) == 4


def test_what_a_trial_goes_on_from_is_the_line_of_its_parents(database: Database) -> None:
    job_id = job_of(database, None, 0, 1, None)
    add(database, job_id, 0, epoch(1, loss=3.0), epoch(2, loss=2.5))
    add(database, job_id, 1, epoch(3, loss=2.0))
    add(database, job_id, 3, epoch(1, loss=9.0))
    with database.read() as session:
        line = curves.before(session, job_id, 1)
        assert curves.before(session, job_id, None) == []
    assert [(one.epoch, one.metrics["loss"]) for one in line] == [(1, 3.0), (2, 2.5), (3, 2.0)]


def test_where_a_trial_went_back_its_own_epoch_counts(database: Database) -> None:
    job_id = job_of(database, None, 0)
    add(database, job_id, 0, epoch(1, loss=3.0), epoch(2, loss=2.5))
    add(database, job_id, 1, epoch(2, loss=2.0))
    with database.read() as session:
        line = curves.before(session, job_id, 1)
    assert [(one.epoch, one.metrics["loss"]) for one in line] == [(1, 3.0), (2, 2.0)]
