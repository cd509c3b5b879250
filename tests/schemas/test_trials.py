"""A trial: how long it took, and how it is answered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from schemas.states import TrialState
from schemas.trials import Epoch, Trial, TrialSchema

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
