"""Training of one model: real nets on small images."""

from typing import Any

import keras
import numpy as np
import pytest

from schemas.models import Infeasible
from schemas.recipe import OPTIMIZERS, Training
from schemas.search import Objective
from schemas.trials import Epoch
from tests.tuning.makers import MAX_PARAMETERS, Recorder, bars, new_spec, recipe_of
from tuning import models, training
from tuning.training import Interrupted, NonFiniteObjective, Progress, Share

ACCURACY = Objective("val_accuracy", "maximize", None)
LOSS = Objective("val_loss", "minimize", None)
IMAGES = bars()
SHARE = Share(IMAGES.x[:60], IMAGES.y[:60])
VALIDATION = Share(IMAGES.x[60:], IMAGES.y[60:])


def _training(**changes: Any) -> Training:
    return recipe_of(new_spec(training=changes)).training


def _compiled(seed: int = 0, **changes: Any) -> keras.Model:
    recipe = recipe_of(new_spec(training=changes))
    return training.compiled(recipe, SHARE.x, 3, seed, MAX_PARAMETERS)


def _train(
    model: keras.Model,
    given: Training,
    objective: Objective = ACCURACY,
    recorder: Recorder | None = None,
) -> Progress:
    progress = Progress()
    reporter = recorder or Recorder()
    training.train(model, given, SHARE, VALIDATION, objective, reporter, progress)
    return progress


def _merit(epoch: Epoch) -> tuple[float, float]:
    return epoch.metrics["val_accuracy"] or 0.0, -(epoch.metrics["val_loss"] or 0.0)


class TestOptimizer:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_every_optimizer_takes_the_learning_rate(self, name: str) -> None:
        made = training.optimizer(_training(optimizer=name, learning_rate=0.0123, momentum=0.7))
        assert type(made).__name__.lower() == name
        assert float(made.learning_rate) == pytest.approx(0.0123)

    @pytest.mark.parametrize("name", ["sgd", "rmsprop"])
    def test_those_with_momentum_take_it(self, name: str) -> None:
        assert training.optimizer(_training(optimizer=name, momentum=0.7)).momentum == 0.7


class TestCompiled:
    def test_the_same_seed_makes_the_same_weights(self) -> None:
        first = _compiled(seed=0).get_weights()
        again = _compiled(seed=0).get_weights()
        other = _compiled(seed=1).get_weights()
        assert all((a == b).all() for a, b in zip(first, again, strict=True))
        assert any((a != b).any() for a, b in zip(first, other, strict=True))

    def test_what_cannot_be_built_is_infeasible(self) -> None:
        recipe = recipe_of(new_spec(model={"blocks": 5}))
        with pytest.raises(Infeasible):
            training.compiled(recipe, SHARE.x, 3, 0, MAX_PARAMETERS)

    def test_scaling_is_learned_from_the_images_given(self) -> None:
        scaling = _compiled().get_layer("scaling")
        low, high = float(SHARE.x.min()), float(SHARE.x.max())
        assert scaling.scale == pytest.approx(1 / (high - low))
        assert scaling.offset == pytest.approx(-low / (high - low))


class TestTrain:
    def test_it_learns_reports_every_epoch_and_keeps_the_best(self) -> None:
        given = _training(epochs=6, batch_size=16, learning_rate=0.01)
        model, recorder = _compiled(learning_rate=0.01), Recorder()
        progress = _train(model, given, LOSS, recorder)
        assert [epoch.epoch for epoch in recorder.epochs] == [1, 2, 3, 4, 5, 6]
        for epoch in recorder.epochs:
            assert set(epoch.metrics) == {"loss", "accuracy", "val_loss", "val_accuracy"}
            assert epoch.seconds > 0
            assert epoch.learning_rate == pytest.approx(0.01)
        losses = [epoch.metrics["val_loss"] or 0.0 for epoch in recorder.epochs]
        assert losses[-1] < losses[0]
        assert progress.best is not None
        assert progress.best.epoch == 1 + losses.index(min(losses))

    def test_the_best_epochs_weights_are_kept_not_the_last(self) -> None:
        # So large a step that the first epoch is undone by those that follow.
        given = _training(epochs=5, optimizer="sgd", learning_rate=0.5, batch_size=8)
        model, recorder = _compiled(optimizer="sgd", learning_rate=0.5), Recorder()
        progress = _train(model, given, LOSS, recorder)
        assert progress.best is not None
        model.set_weights(progress.weights)
        loss = training.evaluate(models.with_probabilities(model), VALIDATION)["loss"]
        losses = [epoch.metrics["val_loss"] or 0.0 for epoch in recorder.epochs]
        assert loss == pytest.approx(min(losses), rel=1e-3, abs=1e-5)
        assert progress.best.metrics["val_loss"] == min(losses)

    def test_of_epochs_with_equal_accuracy_the_lowest_loss_is_best(self) -> None:
        given, recorder = _training(epochs=4, learning_rate=1e-5), Recorder()
        progress = _train(_compiled(learning_rate=1e-5), given, ACCURACY, recorder)
        assert progress.best == max(recorder.epochs, key=_merit)

    def test_early_stopping_ends_early(self) -> None:
        stopping = {"monitor": "val_accuracy", "patience": 1}
        given = _training(epochs=50, learning_rate=1e-12, early_stopping=stopping)
        recorder = Recorder()
        _train(_compiled(learning_rate=1e-12), given, ACCURACY, recorder)
        assert len(recorder.epochs) < 5

    def test_a_batch_larger_than_the_data_is_all_of_it(self) -> None:
        recorder = Recorder()
        _train(_compiled(), _training(epochs=1, batch_size=4096), recorder=recorder)
        assert recorder.steps == 1

    def test_an_absurd_learning_rate_is_non_finite(self) -> None:
        changes = {"epochs": 20, "optimizer": "sgd", "learning_rate": 100.0, "batch_size": 4}
        recipe = recipe_of(new_spec(training=changes, model={"activation": "softplus", "l2": 10.0}))
        model, recorder = training.compiled(recipe, SHARE.x, 3, 0, MAX_PARAMETERS), Recorder()
        with pytest.raises(NonFiniteObjective, match="epoch"):
            _train(model, recipe.training, LOSS, recorder)
        assert None in recorder.epochs[-1].metrics.values()
        assert all(value is None or np.isfinite(value) for value in recorder.epochs[-1].metrics.values())

    @pytest.mark.parametrize("raised", [Interrupted(), RuntimeError("lease lost")])
    def test_what_the_reporter_raises_ends_it_within_a_step(self, raised: Exception) -> None:
        recorder = Recorder(raised, after_steps=3)
        given = _training(epochs=50, batch_size=4)
        with pytest.raises(type(raised)):
            _train(_compiled(), given, recorder=recorder)
        assert recorder.steps == 4
        assert recorder.epochs == []

    def test_an_interruption_keeps_the_best_so_far(self) -> None:
        recorder, progress = Recorder(Interrupted(), after_steps=5), Progress()
        given = _training(epochs=50, batch_size=16)
        with pytest.raises(Interrupted):
            training.train(_compiled(), given, SHARE, VALIDATION, ACCURACY, recorder, progress)
        assert progress.best is not None
        assert progress.best.epoch == 1
        assert len(progress.weights) > 0


def test_blind_training_runs_its_epochs_and_can_be_interrupted() -> None:
    given = _training(epochs=50, batch_size=30)
    recorder = Recorder()
    training.train_blindly(_compiled(), given, 3, SHARE, recorder)
    assert recorder.steps == 3 * 2
    with pytest.raises(Interrupted):
        training.train_blindly(_compiled(), given, 3, SHARE, Recorder(Interrupted()))


def test_evaluation_is_that_of_the_probabilities() -> None:
    class Fixed:
        """Says what it was given, as a model would."""

        def predict(self, x: Any, **_: Any) -> Any:
            return x

    probabilities = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    measured = training.evaluate(Fixed(), Share(probabilities, np.array([0, 1, 2])))
    assert measured["accuracy"] == pytest.approx(2 / 3)
    assert measured["loss"] == pytest.approx((-np.log(0.5) - np.log(1e-7)) / 3)
