"""Checkpoints: what goes on from one ends where the training in one go does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest

from schemas.models import Phase
from schemas.models.cnn import Cnn
from schemas.models.transfer import JOB, Transfer
from schemas.recipe import Recipe
from schemas.specs import JobSpec
from schemas.trials import FULL, Effort, Epoch
from tests.tuning.makers import MAX_PARAMETERS, Recorder, bars, new_spec, recipe_of
from tuning import training, trial
from tuning.checkpoints import Checkpoint, CheckpointMismatch, Start
from tuning.models import Materials
from tuning.training import Interrupted, Paused
from tuning.trial import Result

IMAGES = bars()
# The whole share is one batch.
WHOLE: dict[str, Any] = {"epochs": 4, "batch_size": 128}


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images in the order that they have: Keras' shuffling, which begins anew, is all that may differ."""
    feed = training._fed
    monkeypatch.setattr(training, "_fed", lambda *given: {**feed(*given), "shuffle": False})


@dataclass(frozen=True)
class _TwoPhases(Cnn):
    """Two epochs, then the others at half the rate."""

    def phases(self, epochs: int, learning_rate: float) -> list[Phase]:
        return [Phase(2, learning_rate), Phase(epochs - 2, learning_rate / 2)]


@dataclass(frozen=True)
class _Ruined(Cnn):
    """Two epochs, then the others at a rate that undoes them."""

    def phases(self, epochs: int, learning_rate: float) -> list[Phase]:
        return [Phase(2, learning_rate), Phase(epochs - 2, 1.0)]


@dataclass
class _Job:
    """Runs one configuration, with as much of it as asked for."""

    spec: JobSpec
    recipe: Recipe
    materials: Materials | None = None

    def run(
        self,
        until: int | None = None,
        start: Start | None = None,
        keep_state: bool = False,
        recorder: Recorder | None = None,
        effort: Effort = FULL,
    ) -> tuple[Result, list[Epoch]]:
        followed = recorder or Recorder()
        result = trial.run(
            self.spec,
            self.recipe,
            IMAGES,
            followed,
            MAX_PARAMETERS,
            self.materials,
            effort=replace(effort, until_epoch=until),
            start=start,
            keep_state=keep_state,
        )
        return result, followed.epochs


def _job(model: Mapping[str, Any] | None = None, two_phases: bool = False, **changes: Any) -> _Job:
    training = {**WHOLE, **changes.pop("training", {})}
    spec = new_spec(model, training, **changes)
    recipe = recipe_of(spec)
    if two_phases:
        recipe = replace(recipe, model=_TwoPhases(**vars(recipe.model)))
    return _Job(spec, recipe)


class _Pauser(Recorder):
    """Raises at the end of an epoch, the n-th that it is told of."""

    def __init__(self, after_epochs: int, raises: Exception | None = None) -> None:
        super().__init__()
        self._after, self._raised = after_epochs, raises or Paused()

    def epoch(self, epoch: Epoch) -> None:
        super().epoch(epoch)
        if len(self.epochs) == self._after:
            raise self._raised


def _through_a_file(state: Checkpoint | None, folder: Path) -> Checkpoint:
    assert state is not None
    state.save(folder / "state.npz")
    return Checkpoint.load(folder / "state.npz")


def _same_arrays(first: Sequence[Any], second: Sequence[Any], tolerance: float = 1e-5) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def _same_line(first: Sequence[Epoch], second: Sequence[Epoch]) -> None:
    assert [(one.fold, one.epoch) for one in first] == [(one.fold, one.epoch) for one in second]
    for one, other in zip(first, second, strict=True):
        assert one.learning_rate == pytest.approx(other.learning_rate)
        assert one.metrics == pytest.approx(other.metrics, rel=1e-4, abs=1e-6)


def _assert_cut_changes_nothing(
    job: _Job,
    cut: int,
    folder: Path,
    *,
    resumed: bool = True,
    in_one_go: tuple[Result, list[Epoch]] | None = None,
) -> None:
    """Resumed after a pause, or continued by a child: both end as the training in one go."""
    whole, line = in_one_go or job.run(keep_state=True)
    parent, first = job.run(until=cut, keep_state=True)
    assert (parent.last_epoch, parent.interrupted) == (cut, False)
    state = _through_a_file(parent.state, folder)
    own = Start(replace(state, best=parent.weights), own=first)
    ended, second = job.run(start=own if resumed else Start(state, before=first), keep_state=True)
    _same_line([*first, *second], line)
    assert whole.state is not None
    assert ended.state is not None
    assert ended.last_epoch == whole.last_epoch
    _same_arrays(ended.state.variables, whole.state.variables)
    _same_arrays(ended.state.optimizer, whole.state.optimizer)
    assert whole.best is not None
    assert ended.best is not None
    if resumed or whole.best.epoch > cut:
        assert ended.best.epoch == whole.best.epoch
        _same_arrays(ended.weights, whole.weights)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "adadelta"])
def test_an_optimizer_goes_on_with_what_it_remembers(optimizer: str, tmp_path: Path) -> None:
    momentum = {"momentum": 0.9} if optimizer in ("sgd", "rmsprop") else {}
    _assert_cut_changes_nothing(_job(training={"optimizer": optimizer, **momentum}), 2, tmp_path)


@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "cosine", "warm_up": 1},
        {"type": "step", "every": 3, "factor": 0.1},
        {"type": "plateau", "factor": 0.5, "patience": 1},
        {"type": "one_cycle"},
    ],
    ids=lambda one: one["type"],
)
def test_every_schedule_goes_on(schedule: dict[str, Any], tmp_path: Path) -> None:
    # At this rate the loss rises and falls: plateaus are found on both sides of the cut.
    training = {"epochs": 6, "optimizer": "sgd", "learning_rate": 0.5, "schedule": schedule}
    _assert_cut_changes_nothing(_job(training=training), 3, tmp_path)


def test_a_cut_may_be_between_two_phases(tmp_path: Path) -> None:
    job = _job(two_phases=True)
    in_one_go = job.run(keep_state=True)
    for resumed in (True, False):
        _assert_cut_changes_nothing(job, 2, tmp_path, resumed=resumed, in_one_go=in_one_go)


def test_batch_statistics_random_generators_and_augmentation_go_on(tmp_path: Path) -> None:
    job = _job({"batch_norm": True, "dropout": 0.3}, augmentation={"rotation": 0.1, "noise": 0.1})
    _assert_cut_changes_nothing(job, 2, tmp_path)


def test_mixed_images_and_16_bits_go_on(tmp_path: Path) -> None:
    job = _job(training={"mixed_precision": True, "batch_size": 16}, augmentation={"mixup": 0.4})
    _assert_cut_changes_nothing(job, 2, tmp_path)


@pytest.fixture
def backbone(tmp_path: Path) -> Materials:
    """An earlier job's model, as far as a backbone goes: three layers with weights."""
    pixels = keras.Input((8, 8, 1))
    maps = keras.layers.Rescaling(1 / 255, name="scaling")(pixels)
    maps = keras.layers.Conv2D(4, 3, activation="relu", name="first")(maps)
    maps = keras.layers.BatchNormalization(name="norm")(maps)
    maps = keras.layers.Conv2D(4, 3, activation="relu", name="second")(maps)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(maps)
    keras.Model(pixels, keras.layers.Dense(3, name="logits")(features)).save(tmp_path / "model.keras")
    return Materials(earlier_model=tmp_path / "model.keras")


def test_fine_tuning_goes_on(backbone: Materials, tmp_path: Path) -> None:
    """Two epochs with a frozen backbone, then two in which a part of it learns; cut in each, and between."""
    given = _job()
    model = Transfer(JOB, "job_1", "imagenet", "avg", 4, "relu", 0.3, 2, 0.5, 0.01)
    job = _Job(given.spec, replace(given.recipe, model=model), backbone)
    in_one_go = job.run(keep_state=True)
    for cut in (1, 2, 3):
        _assert_cut_changes_nothing(job, cut, tmp_path, in_one_go=in_one_go)


class TestParents:
    def test_only_its_own_epochs_are_a_childs_best(self) -> None:
        job = _job(training={"epochs": 4, "optimizer": "sgd", "learning_rate": 1e-12})
        parent, first = job.run(until=2, keep_state=True)
        assert parent.state is not None
        assert parent.state.best is None
        child, _ = job.run(start=Start(parent.state, before=first))
        assert child.best is not None
        assert child.best.epoch >= 3

    def test_more_images_set_the_optimizers_counter(self) -> None:
        schedule = {"type": "step", "every": 3, "factor": 0.1}
        job = _job(training={"batch_size": 8, "schedule": schedule})
        parent, first = job.run(until=2, keep_state=True, effort=Effort(data_share=0.3))
        assert parent.state is not None
        _, second = job.run(start=Start(parent.state, before=first))
        assert [one.learning_rate for one in second] == pytest.approx([0.01, 0.001])

    def test_one_that_goes_on_from_what_stopped_early_trains_one_epoch_more(self) -> None:
        stopping = {"monitor": "val_accuracy", "patience": 1}
        job = _job(training={"epochs": 20, "learning_rate": 1e-12, "early_stopping": stopping})
        parent, first = job.run(until=10, keep_state=True)
        assert parent.state is not None
        assert parent.last_epoch is not None
        assert parent.last_epoch < 10
        child, second = job.run(start=Start(parent.state, before=first))
        assert [one.epoch for one in second] == [parent.last_epoch + 1]
        assert child.best is not None

    def test_a_child_may_be_paused(self, tmp_path: Path) -> None:
        job = _job(training={"epochs": 6, "schedule": {"type": "plateau", "factor": 0.5, "patience": 1}})
        whole, line = job.run()
        parent, first = job.run(until=2, keep_state=True)
        assert parent.state is not None
        paused, second = job.run(start=Start(parent.state, before=first), recorder=_Pauser(2))
        start = Start(_through_a_file(paused.state, tmp_path), before=first, own=second)
        resumed, third = job.run(start=start)
        _same_line([*first, *second, *third], line)
        assert resumed.best is not None
        assert whole.best is not None
        assert resumed.best.epoch == whole.best.epoch


class TestPauses:
    def test_the_best_epoch_before_a_pause_stays_the_best(self, tmp_path: Path) -> None:
        job = _job(training={"epochs": 5}, objective={"metric": "val_loss"})
        job.recipe = replace(job.recipe, model=_Ruined(**vars(job.recipe.model)))
        whole, _ = job.run()
        paused, first = job.run(recorder=_Pauser(3))
        assert paused.best is not None
        resumed, _ = job.run(start=Start(_through_a_file(paused.state, tmp_path), own=first))
        assert whole.best is not None
        assert resumed.best is not None
        assert (resumed.best.epoch, resumed.best.metrics) == (whole.best.epoch, whole.best.metrics)
        assert whole.best.epoch <= 2
        _same_arrays(resumed.weights, whole.weights)

    def test_folds_go_on_with_the_one_that_was_paused(self, tmp_path: Path) -> None:
        job = _job(training={"epochs": 2}, split={"folds": 3})
        whole, line = job.run()
        assert whole.best is not None
        # At the end of the first fold; within the last one.
        for cut in (2, 5):
            paused, first = job.run(recorder=_Pauser(cut))
            state = _through_a_file(paused.state, tmp_path)
            assert (state.fold, state.epoch) == (1 + (cut - 1) // 2, 1 + (cut - 1) % 2)
            resumed, second = job.run(start=Start(state, own=first))
            _same_line([*first, *second], line)
            assert (resumed.paused, resumed.interrupted) == (False, False)
            assert resumed.best is not None
            assert resumed.best.metrics == pytest.approx(whole.best.metrics, rel=1e-4)
            assert [one["fold"] for one in resumed.best.folds or ()] == [1, 2, 3]

    def test_after_the_last_epoch_nothing_is_left_to_pause(self) -> None:
        result, _ = _job(training={"epochs": 2}).run(recorder=_Pauser(2))
        assert (result.paused, result.interrupted, result.state) == (False, False, None)
        assert result.best is not None

    def test_epochs_after_the_checkpoint_are_trained_again(self) -> None:
        """A slot may die after it was resumed: its checkpoint is older than its last report."""
        job = _job()
        _, line = job.run()
        paused, first = job.run(recorder=_Pauser(2))
        assert (paused.paused, paused.interrupted, paused.last_epoch) == (True, True, 2)
        assert paused.state is not None
        assert paused.state.best is not None
        _, second = job.run(start=Start(paused.state, own=[*first, line[2]]))
        _same_line(second, line[2:])

    def test_what_had_stopped_early_when_it_was_paused_has_ended(self) -> None:
        stopping = {"monitor": "val_accuracy", "patience": 1}
        job = _job(training={"epochs": 20, "learning_rate": 1e-12, "early_stopping": stopping})
        _, line = job.run()
        paused, first = job.run(recorder=_Pauser(len(line)))
        assert paused.state is not None
        resumed, second = job.run(start=Start(paused.state, own=first), keep_state=True)
        assert (second, resumed.interrupted, resumed.paused) == ([], False, False)
        assert resumed.best == paused.best
        assert resumed.last_epoch == len(line)
        assert resumed.state is not None
        assert resumed.state.best is None

    def test_a_stop_at_an_epochs_end_has_a_state_and_one_within_has_none(self) -> None:
        job = _job()
        stopped, _ = job.run(recorder=_Pauser(2, Interrupted()), keep_state=True)
        assert (stopped.interrupted, stopped.paused, stopped.last_epoch) == (True, False, 2)
        assert stopped.state is not None
        assert stopped.state.epoch == 2
        cancelled, _ = job.run(recorder=Recorder(Interrupted(), after_steps=2), keep_state=True)
        assert (cancelled.interrupted, cancelled.state, cancelled.last_epoch) == (True, None, 2)

    def test_a_pause_does_not_save_what_has_failed(self) -> None:
        training = {"epochs": 20, "optimizer": "sgd", "learning_rate": 100.0, "batch_size": 4}
        model = {"activation": "softplus", "l2": 10.0}
        whole, line = _job(model, training=training).run()
        assert whole.failure is not None
        result, _ = _job(model, training=training).run(recorder=_Pauser(len(line)))
        assert result.failure == whole.failure
        assert (result.paused, result.state) == (False, None)


class TestFiles:
    def _checkpoint(self, **changes: Any) -> Checkpoint:
        given: dict[str, Any] = {
            "fold": 2,
            "epoch": 7,
            "steps": 11,
            "variables": [
                np.arange(6, dtype=np.float32).reshape(2, 3),
                np.array([1.5, -2.0], ml_dtypes.bfloat16),
                np.array([0.1], np.float16),
                np.array([2**40, 3], np.int64),
                np.array([2**32 - 1, 3], np.uint32),
            ],
            "optimizer": [np.array(3, np.int64), np.array(0.5, ml_dtypes.bfloat16)],
            "best": [np.zeros((0, 3), np.float32)],
        }
        return Checkpoint(**{**given, **changes})

    @pytest.mark.parametrize("best", [None, [], [np.ones(2, np.float32)]])
    def test_everything_comes_back_with_its_type(self, best: Any, tmp_path: Path) -> None:
        made = self._checkpoint(best=best)
        again = _through_a_file(made, tmp_path)
        assert (again.fold, again.epoch, again.steps) == (2, 7, 11)
        assert (again.best is None) == (best is None)
        for name in ("variables", "optimizer", "best"):
            for one, other in zip(getattr(made, name) or (), getattr(again, name) or (), strict=True):
                assert (one.dtype, one.shape) == (other.dtype, other.shape)
                assert (one == other).all()

    def test_more_than_ten_keep_their_order(self, tmp_path: Path) -> None:
        made = self._checkpoint(variables=[np.array(index) for index in range(12)])
        assert [int(one) for one in _through_a_file(made, tmp_path).variables] == list(range(12))

    @pytest.mark.parametrize("damage", [b"", b"no archive", None])
    def test_what_is_damaged_is_a_mismatch(self, damage: bytes | None, tmp_path: Path) -> None:
        file = tmp_path / "state.npz"
        self._checkpoint().save(file)
        file.write_bytes(file.read_bytes()[:700] if damage is None else damage)
        with pytest.raises(CheckpointMismatch):
            Checkpoint.load(file)

    def test_pickles_are_not_opened(self, tmp_path: Path) -> None:
        file = tmp_path / "state.npz"
        np.savez(file, meta=np.array([{"layout": 1}], dtype=object))
        with pytest.raises(CheckpointMismatch):
            Checkpoint.load(file)

    def test_another_layout_is_a_mismatch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._checkpoint().save(tmp_path / "state.npz")
        monkeypatch.setattr("tuning.checkpoints._LAYOUT", 2)
        with pytest.raises(CheckpointMismatch, match="layout 1"):
            Checkpoint.load(tmp_path / "state.npz")


class TestMismatches:
    @pytest.fixture(scope="class")
    def pausing(self) -> tuple[Checkpoint, list[Epoch]]:
        """The state after the first epoch, and that epoch."""
        paused, first = _job().run(recorder=_Pauser(1))
        assert paused.state is not None
        return paused.state, first

    def test_another_net(self, pausing: tuple[Checkpoint, list[Epoch]]) -> None:
        state, first = pausing
        recorder = Recorder()
        with pytest.raises(CheckpointMismatch, match="model"):
            _job({"filters": 5}).run(start=Start(state, own=first), recorder=recorder)
        assert recorder.epochs == []

    def test_another_optimizer(self, pausing: tuple[Checkpoint, list[Epoch]]) -> None:
        state, first = pausing
        with pytest.raises(CheckpointMismatch, match="optimizer"):
            _job(training={"optimizer": "sgd"}).run(start=Start(state, own=first))

    def test_no_weights_of_the_best_epoch(self, pausing: tuple[Checkpoint, list[Epoch]]) -> None:
        state, first = pausing
        with pytest.raises(CheckpointMismatch, match="best"):
            _job().run(start=Start(replace(state, best=None), own=first))

    def test_folds_of_which_nothing_is_known(self) -> None:
        job = _job(training={"epochs": 2}, split={"folds": 2})
        paused, _ = job.run(recorder=_Pauser(3))
        assert paused.state is not None
        with pytest.raises(CheckpointMismatch, match="fold 1"):
            job.run(start=Start(paused.state))
