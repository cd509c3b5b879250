"""A trial: how long it took, and how it is answered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.states import TrialState
from schemas.trials import FULL, RANGE_TEST, Effort, Epoch, Trial, TrialSchema

START = datetime(2026, 1, 1, tzinfo=UTC)


def trial() -> Trial:
    return Trial(
        number=0,
        state=TrialState.COMPLETED,
        attempt=1,
        hyperparameters={"training.learning_rate": 0.01},
        score=0.9,
        best_epoch=1,
        metrics={"val_loss": None},
        parameters=10,
        error=None,
        create_time=START,
        start_time=START,
        end_time=START + timedelta(seconds=2.5),
    )


def test_a_trial_lasts_from_start_to_end() -> None:
    assert trial().seconds == 2.5


def test_a_trial_that_has_not_ended_has_no_duration() -> None:
    assert replace(trial(), end_time=None).seconds is None
    assert replace(trial(), start_time=None).seconds is None


def test_epochs_are_answered_only_where_they_were_loaded() -> None:
    epoch = Epoch(1, 0.5, 0.01, {"loss": 0.1, "val_loss": None})
    answered = TrialSchema().dump(replace(trial(), epochs=[epoch]))
    assert answered["epochs"] == [
        {
            "epoch": 1,
            "fold": 1,
            "seconds": 0.5,
            "learning_rate": 0.01,
            "metrics": {"loss": 0.1, "val_loss": None},
        }
    ]
    assert TrialSchema().dump(trial())["epochs"] is None


def test_a_trial_says_what_of_a_full_training_it_was_given() -> None:
    effort = Effort(3, 0.5, 7, {"bracket": 2, "round": 1})
    answered = TrialSchema().dump(replace(trial(), effort=effort, last_epoch=3, stop_reason="asha"))
    assert answered["effort"] == {
        "until_epoch": 3,
        "data_share": 0.5,
        "parent": 7,
        "stage": {"bracket": 2, "round": 1},
    }
    assert (answered["last_epoch"], answered["stop_reason"]) == (3, "asha")
    plain = TrialSchema().dump(trial())
    assert plain["effort"] == {"until_epoch": None, "data_share": 1.0, "parent": None, "stage": None}
    new = ("last_epoch", "stop_reason", "reused", "range_test")
    assert [plain[name] for name in new] == [None] * 4


def test_a_reused_trial_names_where_its_result_is_from() -> None:
    answered = TrialSchema().dump(replace(trial(), reused={"job": "job_1", "trial": 3}))
    assert answered["reused"] == {"job": "job_1", "trial": 3}


def test_a_range_test_is_answered_with_its_curve_and_what_it_suggests() -> None:
    found = {
        "points": [[1e-7, 2.3, 2.3], [1e-6, None, 2.2]],
        "suggested": {"min": 1e-6, "max": 1e-2},
        "steepest": 1e-3,
        "stopped_at": 0.5,
        "criterion": "Smith 2017",
    }
    assert TrialSchema().dump(replace(trial(), range_test=found))["range_test"] == found


@pytest.mark.parametrize(
    ("effort", "whole", "full", "range_test"),
    [
        (FULL, True, True, False),
        (Effort(until_epoch=2), False, False, False),
        (Effort(data_share=0.5), False, False, False),
        (Effort(parent=1), True, False, False),
        (Effort(stage={"name": "fine"}), True, True, False),
        (Effort(stage={"name": RANGE_TEST}), True, False, True),
    ],
)
def test_an_effort_says_how_much_of_a_training_it_is(
    effort: Effort, whole: bool, full: bool, range_test: bool
) -> None:
    assert (effort.is_whole, effort.is_full, effort.is_range_test) == (whole, full, range_test)
