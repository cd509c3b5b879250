"""What goes on beside a training: scoring, reporting, keeping the best, and ending it."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras

from schemas.metrics import ALWAYS
from schemas.objective import Objective
from schemas.schedules import Plateau, Schedule
from schemas.training import Training
from schemas.trials import Epoch
from tuning.data import Array
from tuning.metrics import finite, measured, softmax
from tuning.trainees import Share, Trainee, predict


class NonFiniteObjective(RuntimeError):
    """The loss or the objective became NaN or infinite."""


class Interrupted(Exception):
    """Somebody wants this training to end now; the best epoch so far is kept."""


class Paused(Interrupted):
    """Somebody wants this training to go on later, from the end of the epoch that was just reported."""


class Reporter(Protocol):
    """Where a training tells how it goes; either may raise to end it, `Paused` from ``epoch`` only."""

    def epoch(self, epoch: Epoch) -> None: ...
    def check(self) -> None: ...


class Silence:
    """A reporter for trainings that nobody follows."""

    def epoch(self, epoch: Epoch) -> None:
        pass

    def check(self) -> None:
        pass


@dataclass
class Progress:
    """What a training has come to; kept from outside, so that an interruption loses nothing.

    Args:
        last: the last epoch that was trained here.
        is_whole: whether the net is as that epoch left it; False within an epoch.
    """

    best: Epoch | None = None
    weights: list[Array] = field(default_factory=list)
    last: int | None = None
    is_whole: bool = False


def best_of(objective: Objective, epochs: Iterable[Epoch]) -> Epoch | None:
    """The one that a training of these epochs has kept; None if none has a score."""
    best: Epoch | None = None
    for epoch in epochs:
        if objective.prefers(epoch.metrics, {} if best is None else best.metrics):
            best = epoch
    return best


def metric_names(training: Training, objective: Objective) -> list[str]:
    """Of every epoch: what is always there, what was asked for, and what the spec is judged by."""
    early = training.early_stopping
    judged = [objective.metric, *([early.monitor] if early else [])]
    return list(dict.fromkeys([*ALWAYS, *training.metrics, *(name.removeprefix("val_") for name in judged)]))


class Interrupter(keras.callbacks.Callback):  # type: ignore[misc]
    """Asks after every step whether to go on: Keras' own flag ends nothing but the training."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter = reporter

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.reporter.check()


class LowestLoss(Interrupter):
    """Keeps the weights of that epoch from ``first`` (from 0) on which has the lowest loss on ``share``."""

    def __init__(self, trained: Trainee, reporter: Reporter, share: Share, first: int) -> None:
        super().__init__(reporter)
        self.net = trained.net
        self.share = share
        self.first = first
        self.loss = math.inf
        self.epoch = 0
        self.weights: list[Array] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch < self.first:
            return
        found = measured(softmax(predict(self.net, self.share.x)), self.share.y, ["loss"])["loss"]
        known = math.inf if found is None else found
        if known < self.loss:
            self.loss, self.epoch, self.weights = known, epoch + 1, self.net.get_weights()


class Watcher(Interrupter):
    """Scores and reports every epoch, keeps the weights of the best, and ends what no longer improves.

    Args:
        may_stop: in the last phase only: a head that no longer improves on a frozen backbone is when
            fine-tuning should begin, and a refit has to have the same phases.
    """

    def __init__(
        self,
        trained: Trainee,
        validation: Share,
        objective: Objective,
        reporter: Reporter,
        progress: Progress,
        fold: int,
        *,
        may_stop: bool,
    ) -> None:
        super().__init__(reporter)
        training = trained.recipe.training
        self.net = trained.net
        self.validation = validation
        self.names = metric_names(training, objective)
        self.objective = objective
        self.progress = progress
        self.fold = fold
        # Keras' own, told of our metrics: they look at values that `fit` does not have.
        self.followers = [*(_early_stopping(training) if may_stop else []), *_plateau(training.schedule)]
        self.has_begun = False
        self.began, self.rate = 0.0, 0.0

    def replay(self, model: keras.Model, epochs: Sequence[Epoch]) -> bool:
        """Tells the followers of epochs that were trained before; whether they would have ended it there.

        ``model`` is compiled: the rate of its optimizer follows too.
        """
        self._begin(model)
        model.stop_training = False
        for epoch in epochs:
            model.stop_training = False
            self._follow(epoch)
        return bool(model.stop_training)

    def on_train_begin(self, logs: Any = None) -> None:
        if not self.has_begun:
            self._begin(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.progress.is_whole = False
        self.began = time.monotonic()
        self.rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        scored = measured(softmax(predict(self.net, self.validation.x)), self.validation.y, self.names)
        metrics = {name: finite(value) for name, value in values.items()}
        metrics |= {f"val_{name}": value for name, value in scored.items()}
        seen = Epoch(epoch + 1, time.monotonic() - self.began, self.rate, metrics, self.fold)
        self._keep(seen)
        for name in ("loss", self.objective.metric):
            if metrics.get(name) is None:
                # It has failed, whoever may have wanted it to pause or to stop.
                with suppress(Interrupted):
                    self.reporter.epoch(seen)
                raise NonFiniteObjective(f"{name} is {values.get(name, 'not finite')} in epoch {epoch + 1}")
        # Before the report: what that raises leaves the rate as the next epoch has it.
        self._follow(seen)
        self.reporter.epoch(seen)

    def _begin(self, model: keras.Model) -> None:
        self.has_begun = True
        for follower in self.followers:
            follower.set_model(model)
            follower.on_train_begin()

    def _follow(self, seen: Epoch) -> None:
        metrics = {name: value for name, value in seen.metrics.items() if value is not None}
        for follower in self.followers:
            follower.on_epoch_end(seen.epoch - 1, dict(metrics))

    def _keep(self, seen: Epoch) -> None:
        progress = self.progress
        progress.last, progress.is_whole = seen.epoch, True
        best = progress.best
        if self.objective.prefers(seen.metrics, {} if best is None else best.metrics):
            progress.best, progress.weights = seen, self.net.get_weights()


def _early_stopping(training: Training) -> list[keras.callbacks.Callback]:
    given = training.early_stopping
    if given is None:
        return []
    mode = "min" if given.monitor.endswith("loss") else "max"
    stop = keras.callbacks.EarlyStopping(
        monitor=given.monitor, mode=mode, patience=given.patience, min_delta=given.min_delta
    )
    return [stop]


def _plateau(schedule: Schedule) -> list[keras.callbacks.Callback]:
    if not isinstance(schedule, Plateau) or schedule.factor == 1.0:
        return []
    return [
        keras.callbacks.ReduceLROnPlateau(
            monitor="val_loss", factor=schedule.factor, patience=schedule.patience, min_delta=0.0
        )
    ]
