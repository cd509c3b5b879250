"""Training of one model: real nets on small images."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from schemas.models import Infeasible, Phase
from schemas.models.cnn import Cnn
from schemas.models.mlp import Mlp
from schemas.objective import Objective
from schemas.training import OPTIMIZERS, Training
from schemas.trials import Epoch
from tests.tuning.makers import Recorder, bars, new_spec, recipe_of
from tuning import training
from tuning.metrics import measured, softmax
from tuning.models import Materials
from tuning.optimizers import optimizer
from tuning.training import Interrupted, NonFiniteObjective, Progress, Share, Trainee

ACCURACY = Objective("val_accuracy", "maximize", None)
LOSS = Objective("val_loss", "minimize", None)
IMAGES = bars()
SHARE = Share(IMAGES.x[:60], IMAGES.y[:60])
VALIDATION = Share(IMAGES.x[60:], IMAGES.y[60:])


def _training(**changes: Any) -> Training:
    return recipe_of(new_spec(training=changes)).training


def _trainee(seed: int = 0, model: dict[str, Any] | None = None, **changes: Any) -> Trainee:
    recipe = recipe_of(new_spec(model, training=changes))
    return training.trainee(recipe, SHARE.x, 3, seed, Materials())


def _train(trained: Trainee, objective: Objective = ACCURACY, recorder: Recorder | None = None) -> Progress:
    progress = Progress()
    training.train(trained, SHARE, VALIDATION, objective, recorder or Recorder(), progress)
    return progress


def _merit(epoch: Epoch) -> tuple[float, float]:
    return epoch.metrics["val_accuracy"] or 0.0, -(epoch.metrics["val_loss"] or 0.0)


@dataclass(frozen=True)
class _TwoPhases(Cnn):
    """Half of the epochs, then the others at ten times the rate."""

    def phases(self, epochs: int, learning_rate: float) -> list[Phase]:
        return [Phase(epochs // 2, learning_rate), Phase(epochs - epochs // 2, 10 * learning_rate)]


def _in_two_phases(trained: Trainee) -> Trainee:
    model = _TwoPhases(**vars(trained.recipe.model))
    return replace(trained, recipe=replace(trained.recipe, model=model))


class TestOptimizer:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_every_optimizer_takes_the_learning_rate(self, name: str) -> None:
        made = optimizer(_training(optimizer=name, momentum=0.7), 0.0123)
        assert type(made).__name__.lower() == name
        assert float(made.learning_rate) == pytest.approx(0.0123)

    @pytest.mark.parametrize("name", ["sgd", "rmsprop"])
    def test_those_with_momentum_take_it(self, name: str) -> None:
        assert optimizer(_training(optimizer=name, momentum=0.7), 0.1).momentum == 0.7


class TestTrainee:
    def test_the_same_seed_makes_the_same_weights(self) -> None:
        first = _trainee(seed=0).net.get_weights()
        again = _trainee(seed=0).net.get_weights()
        other = _trainee(seed=1).net.get_weights()
        assert all((a == b).all() for a, b in zip(first, again, strict=True))
        assert any((a != b).any() for a, b in zip(first, other, strict=True))

    def test_what_cannot_be_built_is_infeasible(self) -> None:
        with pytest.raises(Infeasible):
            _trainee(model={"blocks": 5})

    def test_scaling_is_learned_from_the_images_given(self) -> None:
        scaling = _trainee().net.get_layer("scaling")
        low, high = float(SHARE.x.min()), float(SHARE.x.max())
        assert scaling.scale == pytest.approx(1 / (high - low))
        assert scaling.offset == pytest.approx(-low / (high - low))


class TestTrain:
    def test_it_learns_reports_every_epoch_and_keeps_the_best(self) -> None:
        recorder = Recorder()
        progress = _train(_trainee(epochs=6, batch_size=16, learning_rate=0.01), LOSS, recorder)
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
        trained = _trainee(epochs=5, optimizer="sgd", learning_rate=0.5, batch_size=8)
        recorder = Recorder()
        progress = _train(trained, LOSS, recorder)
        assert progress.best is not None
        trained.net.set_weights(progress.weights)
        probabilities = softmax(training.predict(trained.net, VALIDATION.x))
        loss = measured(probabilities, VALIDATION.y, ["loss"])["loss"]
        losses = [epoch.metrics["val_loss"] or 0.0 for epoch in recorder.epochs]
        assert loss == pytest.approx(min(losses), rel=1e-3, abs=1e-5)
        assert progress.best.metrics["val_loss"] == min(losses)

    def test_of_epochs_with_equal_accuracy_the_lowest_loss_is_best(self) -> None:
        recorder = Recorder()
        progress = _train(_trainee(epochs=4, learning_rate=1e-5), ACCURACY, recorder)
        assert progress.best == max(recorder.epochs, key=_merit)

    def test_early_stopping_ends_early(self) -> None:
        stopping = {"monitor": "val_accuracy", "patience": 1}
        recorder = Recorder()
        _train(_trainee(epochs=50, learning_rate=1e-12, early_stopping=stopping), ACCURACY, recorder)
        assert len(recorder.epochs) < 5

    def test_early_stopping_watches_the_last_phase_only(self) -> None:
        """A head that no longer improves is when fine-tuning should begin; a refit has the same phases."""
        stopping = {"monitor": "val_accuracy", "patience": 0}
        trained = _in_two_phases(_trainee(epochs=8, learning_rate=1e-12, early_stopping=stopping))
        recorder = Recorder()
        _train(trained, ACCURACY, recorder)
        assert [epoch.epoch for epoch in recorder.epochs] == [1, 2, 3, 4, 5, 6]
        rates = [epoch.learning_rate for epoch in recorder.epochs]
        assert rates == pytest.approx([1e-12] * 4 + [1e-11] * 2)

    def test_large_numbers_with_small_differences_are_learned_in_16_bits(self) -> None:
        """What comes in raw is scaled before it is rounded: around 10,000 halves know steps of 8 only."""
        rng = np.random.default_rng(0)
        y = np.arange(200) % 2
        x = (10_000 + rng.normal(size=(200, 3)) + 4 * y[:, np.newaxis]).astype(np.float32)
        spec = new_spec(
            training={"epochs": 10, "batch_size": 16, "mixed_precision": True},
            preprocessing={"scaling": "standardize"},
        )
        recipe = replace(recipe_of(spec), model=Mlp(1, 16, "relu", dropout=0.0, l2=0.0))
        trained = training.trainee(recipe, x[:150], 2, 0, Materials())
        progress = Progress()
        shares = Share(x[:150], y[:150]), Share(x[150:], y[150:])
        training.train(trained, *shares, ACCURACY, Recorder(), progress)
        assert progress.best is not None
        assert (progress.best.metrics["val_accuracy"] or 0) > 0.9

    def test_a_batch_larger_than_the_data_is_all_of_it(self) -> None:
        recorder = Recorder()
        _train(_trainee(epochs=1, batch_size=4096), recorder=recorder)
        assert recorder.steps == 1

    def test_an_absurd_learning_rate_is_non_finite(self) -> None:
        changes = {"epochs": 20, "optimizer": "sgd", "learning_rate": 100.0, "batch_size": 4}
        trained = _trainee(model={"activation": "softplus", "l2": 10.0}, **changes)
        recorder = Recorder()
        with pytest.raises(NonFiniteObjective, match="epoch"):
            _train(trained, LOSS, recorder)
        assert None in recorder.epochs[-1].metrics.values()
        assert all(value is None or np.isfinite(value) for value in recorder.epochs[-1].metrics.values())

    @pytest.mark.parametrize("raised", [Interrupted(), RuntimeError("lease lost")])
    def test_what_the_reporter_raises_ends_it_within_a_step(self, raised: Exception) -> None:
        recorder = Recorder(raised, after_steps=3)
        with pytest.raises(type(raised)):
            _train(_trainee(epochs=50, batch_size=4), recorder=recorder)
        assert recorder.steps == 4
        assert recorder.epochs == []

    def test_an_interruption_keeps_the_best_so_far(self) -> None:
        recorder, progress = Recorder(Interrupted(), after_steps=5), Progress()
        trained = _trainee(epochs=50, batch_size=16)
        with pytest.raises(Interrupted):
            training.train(trained, SHARE, VALIDATION, ACCURACY, recorder, progress)
        assert progress.best is not None
        assert progress.best.epoch == 1
        assert len(progress.weights) > 0


def test_blind_training_runs_its_epochs_and_can_be_interrupted() -> None:
    trained, recorder = _trainee(epochs=50, batch_size=30), Recorder()
    training.train_blindly(trained, 3, SHARE, recorder)
    assert recorder.steps == 3 * 2
    with pytest.raises(Interrupted):
        training.train_blindly(trained, 3, SHARE, Recorder(Interrupted()))


def test_blind_training_that_diverges_has_no_model() -> None:
    changes = {"epochs": 20, "optimizer": "sgd", "learning_rate": 100.0, "batch_size": 4}
    trained = _trainee(model={"activation": "softplus", "l2": 10.0}, **changes)
    with pytest.raises(NonFiniteObjective, match="The refit diverged"):
        training.train_blindly(trained, 20, SHARE, Recorder())


def test_evaluation_is_that_of_the_probabilities() -> None:
    class Fixed:
        """Says what it was given, as a model would."""

        def predict(self, x: Any, **_: Any) -> Any:
            return x

    probabilities = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    measured = training.evaluate(Fixed(), Share(probabilities, np.array([0, 1, 2])))
    assert measured["accuracy"] == pytest.approx(2 / 3)
    assert measured["loss"] == pytest.approx((-np.log(0.5) - np.log(1e-7)) / 3)
