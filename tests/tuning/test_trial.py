"""One trial: its score, its failures as results, its interruption."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.models import Infeasible
from schemas.specs import JobSpec
from schemas.trials import ERROR_CODES, Effort, Epoch
from tests.tuning.makers import MAX_PARAMETERS, Recorder, bars, new_spec, recipe_of
from tuning import training, trial
from tuning.data import DatasetUnreadable
from tuning.models import Materials
from tuning.training import Interrupted, NonFiniteObjective, Share
from tuning.trial import Result

IMAGES = bars()


def _run(spec: JobSpec, recorder: Recorder | None = None, max_parameters: int = MAX_PARAMETERS) -> Result:
    return trial.run(spec, recipe_of(spec), IMAGES, recorder or Recorder(), max_parameters)


def _scores(recorder: Recorder) -> list[Any]:
    return [(epoch.epoch, dict(epoch.metrics)) for epoch in recorder.epochs]


def _bests(recorder: Recorder) -> list[Any]:
    return [(epoch.epoch, epoch.metrics) for epoch in recorder.epochs]


def test_the_same_seed_gives_the_same_scores_zero_too() -> None:
    seen = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        recorder = Recorder()
        _run(new_spec(model={"dropout": 0.3}, seed=seed), recorder)
        seen[name] = _scores(recorder)
    assert seen["first"] == seen["again"] != seen["other"]


def test_a_result_has_the_best_epoch_and_its_weights() -> None:
    recorder = Recorder()
    spec = new_spec(training={"epochs": 4, "batch_size": 8})
    result = _run(spec, recorder)
    scores = [epoch.metrics["val_accuracy"] or 0.0 for epoch in recorder.epochs]
    assert result.best is not None
    assert result.best.metrics["val_accuracy"] == max(scores)
    assert (result.best.epoch, result.best.metrics) in _bests(recorder)
    assert (result.failure, result.interrupted) == (None, False)
    assert result.parameters == recipe_of(spec).model.count_parameters((8, 8, 1), 3)
    assert sum(array.size for array in result.weights) == result.parameters
    assert result.device


def test_what_cannot_be_built_is_a_result() -> None:
    result = _run(new_spec(model={"blocks": 5}))
    assert result.failure is not None
    assert result.failure.code == "infeasible_model"
    assert (result.best, result.parameters) == (None, None)


def test_too_many_parameters_are_a_result() -> None:
    result = _run(new_spec(), max_parameters=10)
    assert result.failure is not None
    assert result.failure.code == "infeasible_model"


def test_a_loss_that_is_not_finite_is_a_result_and_never_best() -> None:
    diverging = {"epochs": 20, "optimizer": "sgd", "learning_rate": 100.0, "batch_size": 4}
    result = _run(new_spec({"activation": "softplus", "l2": 10.0}, diverging))
    assert result.failure is not None
    assert result.failure.code == "non_finite_objective"
    assert result.best is None


def test_an_interrupted_trial_keeps_the_best_so_far() -> None:
    recorder = Recorder(Interrupted(), after_steps=20)
    result = _run(new_spec(training={"epochs": 100, "batch_size": 8}), recorder)
    assert result.interrupted
    assert result.failure is None
    assert result.best is not None
    assert (result.best.epoch, result.best.metrics) in _bests(recorder)
    assert result.weights


def test_a_trial_interrupted_in_its_first_epoch_has_no_score() -> None:
    result = _run(new_spec(), Recorder(Interrupted()))
    assert (result.best, result.interrupted, result.failure) == (None, True, None)


class _Stopper(Recorder):
    """Ends a trial in the epoch after so many."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._last = epochs

    def check(self) -> None:
        if len(self.epochs) >= self._last:
            raise Interrupted


THREE_FOLDS: dict[str, Any] = {"training": {"epochs": 2, "batch_size": 8}, "split": {"folds": 3}}


def _best_of(recorder: Recorder, fold: int) -> Epoch:
    """A fold's best epoch."""
    found = [epoch for epoch in recorder.epochs if epoch.fold == fold]
    return max(found, key=lambda one: (one.metrics["val_accuracy"] or 0.0, -(one.metrics["val_loss"] or 0.0)))


def test_of_folds_that_are_all_done_the_result_is_the_mean() -> None:
    recorder = Recorder()
    result = _run(new_spec(**{**THREE_FOLDS, "split": {"folds": 2}}), recorder)
    bests = [_best_of(recorder, fold) for fold in (1, 2)]
    scores = [one.metrics["val_accuracy"] or 0.0 for one in bests]
    assert result.best is not None
    assert [(one["fold"], one["score"], one["best_epoch"]) for one in result.best.folds or ()] == [
        (one.fold, score, one.epoch) for one, score in zip(bests, scores, strict=True)
    ]
    assert result.best.metrics["val_accuracy"] == pytest.approx(np.mean(scores))
    assert result.best.deviation == pytest.approx(np.std(scores, ddof=1))
    assert (result.weights, result.interrupted) == ([], False)


def test_a_trial_interrupted_in_its_second_fold_is_worth_its_first() -> None:
    # Two epochs of the first fold, one of the second: which is not done, and counts nowhere.
    recorder = _Stopper(epochs=3)
    result = _run(new_spec(**THREE_FOLDS), recorder)
    assert [(one.fold, one.epoch) for one in recorder.epochs] == [(1, 1), (1, 2), (2, 1)]
    first = _best_of(recorder, 1)
    assert (result.interrupted, result.failure, result.weights) == (True, None, [])
    assert result.best is not None
    assert result.best.folds == [
        {
            "fold": 1,
            "score": first.metrics["val_accuracy"],
            "best_epoch": first.epoch,
            "metrics": first.metrics,
        }
    ]
    assert (result.best.metrics, result.best.epoch) == (first.metrics, first.epoch)
    assert result.best.deviation is None


def test_a_trial_interrupted_in_its_first_fold_is_worth_what_that_has_come_to() -> None:
    recorder = _Stopper(epochs=1)
    result = _run(new_spec(**THREE_FOLDS), recorder)
    assert result.interrupted
    assert result.best is not None
    assert result.best.metrics == recorder.epochs[0].metrics
    assert [one["fold"] for one in result.best.folds or ()] == [1]


def test_what_says_nothing_about_the_configuration_comes_through() -> None:
    with pytest.raises(ConnectionError):
        _run(new_spec(), Recorder(ConnectionError("away")))


class _ResourceExhaustedError(Exception):
    """As TensorFlow says it."""


_ResourceExhaustedError.__name__ = "ResourceExhaustedError"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Infeasible("x"), "infeasible_model"),
        (NonFiniteObjective("x"), "non_finite_objective"),
        (DatasetUnreadable("x"), "dataset_unreadable"),
        (MemoryError(), "out_of_memory"),
        (_ResourceExhaustedError("OOM"), "out_of_memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), "out_of_memory"),
        (ValueError("x"), None),
    ],
)
def test_failures_have_codes_of_the_contract(error: Exception, code: str | None) -> None:
    failure = trial.failure_of(error)
    assert (failure.code if failure else None) == code
    assert code is None or code in ERROR_CODES


def test_an_error_without_text_has_a_message() -> None:
    failure = trial.failure_of(Infeasible())
    assert failure is not None
    assert failure.message


def test_weights_come_back_from_a_file_in_order(tmp_path: Path) -> None:
    # More than ten arrays: as text, arr_10 stands before arr_2.
    spec = new_spec(model={"blocks": 3, "batch_norm": True})
    recipe = recipe_of(spec)
    models = [training.trainee(recipe, IMAGES.x, 3, seed, Materials()).net for seed in (0, 1)]
    assert len(models[0].get_weights()) > 10
    trial.save_weights(models[0].get_weights(), tmp_path / "weights.npz")
    trial.load_weights(models[1], tmp_path / "weights.npz")
    pairs = zip(models[0].get_weights(), models[1].get_weights(), strict=True)
    assert all((first == second).all() for first, second in pairs)


def test_metrics_are_plain_json() -> None:
    result = _run(new_spec())
    assert result.best is not None
    assert json.loads(json.dumps(dict(result.best.metrics), allow_nan=False))
    assert all(isinstance(array, np.ndarray) for array in result.weights)


class TestEffort:
    def test_a_part_has_every_class_and_the_images_of_smaller_parts(self) -> None:
        share = Share(np.arange(40), np.repeat([0, 1, 2], [30, 9, 1]))
        small, large = (trial.part_of(share, size, seed=3) for size in (0.2, 0.5))
        assert np.bincount(small.y).tolist() == [6, 2, 1]
        assert set(small.x) < set(large.x)
        assert (np.diff(small.x) > 0).all()
        assert (trial.part_of(share, 0.2, seed=3).x == small.x).all()
        assert set(trial.part_of(share, 0.2, seed=4).x) != set(small.x)
        assert trial.part_of(share, 1.0, seed=3) is share

    def test_fewer_images_and_epochs_with_the_rates_of_all_epochs(self) -> None:
        cosine = {"epochs": 8, "batch_size": 4, "schedule": {"type": "cosine"}}
        spec = new_spec(training=cosine)
        whole, part = Recorder(), Recorder()
        _run(spec, whole)
        effort = Effort(until_epoch=3, data_share=0.25)
        result = trial.run(spec, recipe_of(spec), IMAGES, part, MAX_PARAMETERS, effort=effort)
        assert (result.last_epoch, result.interrupted, result.state) == (3, False, None)
        rates = [epoch.learning_rate for epoch in whole.epochs]
        assert [epoch.learning_rate for epoch in part.epochs] == pytest.approx(rates[:3])
        assert part.steps / 3 == pytest.approx(0.25 * whole.steps / 8, abs=1)

    def test_more_epochs_than_the_recipe_has_are_those_of_the_recipe(self) -> None:
        spec, recorder = new_spec(), Recorder()
        trial.run(spec, recipe_of(spec), IMAGES, recorder, MAX_PARAMETERS, effort=Effort(until_epoch=9))
        assert len(recorder.epochs) == 2
