"""Training of one net: its phases and epochs, the best epoch's weights, and ways to stop."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras

from schemas.metrics import ALWAYS
from schemas.models import Phase
from schemas.recipe import Recipe
from schemas.schedules import Plateau, Schedule
from schemas.objective import Objective
from schemas.training import Training
from schemas.trials import Epoch
from tuning import models
from tuning.augmentation import augmented
from tuning.data import Array
from tuning.devices import accelerators, compiles, for_prediction
from tuning.metrics import finite, measured, softmax
from tuning.mixing import Mixing
from tuning.models import Materials
from tuning.models.transfer import thaw
from tuning.optimizers import image_weights, loss, optimizer
from tuning.preprocessing import Scaling
from tuning.schedules import Replayed, learning_rate

# Images predicted at once when nothing has to be learned from them.
EVALUATION_BATCH = 1024
# From so many epochs at the end of a refit its weights are chosen.
LAST_EPOCHS = 4


class NonFiniteObjective(RuntimeError):
    """The loss or the objective became NaN or infinite."""


class Interrupted(Exception):
    """Somebody wants this training to end now; the best epoch so far is kept."""


class Reporter(Protocol):
    """Where a training tells how it goes; either may raise to end it."""

    def epoch(self, epoch: Epoch) -> None: ...
    def check(self) -> None: ...


class Silence:
    """A reporter for trainings that nobody follows."""

    def epoch(self, epoch: Epoch) -> None:
        pass

    def check(self) -> None:
        pass


@dataclass(frozen=True)
class Share:
    """Prepared inputs (N, H, W, C) or (N, F), and their labels (N,)."""

    x: Array
    y: Array


@dataclass
class Progress:
    """What a training has come to; kept from outside, so that an interruption loses nothing."""

    best: Epoch | None = None
    weights: list[Array] = field(default_factory=list)


@dataclass(frozen=True)
class Trainee:
    """A net, from prepared inputs to logits, and the model that is trained: the net behind augmentation."""

    recipe: Recipe
    net: keras.Model
    model: keras.Model
    scaling: Scaling
    classes: int
    seed: int


def trainee(recipe: Recipe, x: Array, classes: int, seed: int, materials: Materials) -> Trainee:
    """A fresh net for inputs like ``x``, from which its scaling is learned.

    Raises:
        Infeasible: nothing can be built from this configuration.
        WeightsUnavailable: it starts from weights that cannot be had here.
    """
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(seed)
    recipe.augmentation.fits(x.shape[1:])
    scaling = Scaling.learn(recipe.preprocessing, x)
    with _precision(recipe.training.mixed_precision):
        net = models.build(recipe.model, x.shape[1:], classes, scaling, materials)
        model = augmented(net, recipe.augmentation, scaling)
    return Trainee(recipe, net, model, scaling, classes, seed)


@contextmanager
def _precision(mixed: bool) -> Iterator[None]:
    """16-bit floats where they are fast: halves on GPUs, with a scaled loss; bfloat16 elsewhere."""
    before = keras.config.dtype_policy()
    if mixed:
        keras.config.set_dtype_policy("mixed_float16" if accelerators() else "mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def train(
    trained: Trainee,
    share: Share,
    validation: Share,
    objective: Objective,
    reporter: Reporter,
    progress: Progress,
    fold: int = 1,
) -> None:
    """Trains for the epochs asked for, scoring each on the validation share.

    Raises:
        Infeasible: the training as asked for cannot be.
        NonFiniteObjective: and whatever the reporter raises.
    """
    epochs = trained.recipe.training.epochs
    for phase, first in _phases(trained.recipe):
        last = first + phase.epochs
        watcher = _Watcher(trained, validation, objective, reporter, progress, fold, may_stop=last == epochs)
        _fit(trained, phase, first, last, share, [watcher])


def train_blindly(
    trained: Trainee, epochs: int, share: Share, reporter: Reporter, rates: Sequence[float] = ()
) -> int:
    """Trains for so many epochs with nothing held out to score on; says which epoch's weights were kept.

    At a constant learning rate the last epoch may be an unlucky one. Of the last `LAST_EPOCHS`, the one with
    the lowest loss on the images that were trained on is kept. `benchmarks/bench_refit.py` holds that
    against the last epoch: on two data sets with four configurations each it was never worse.

    Args:
        rates: those that the trial's epochs had, for a schedule that followed the validation loss.

    Raises:
        NonFiniteObjective: the loss of none of those epochs is finite.
    """
    chooser = _LowestLoss(trained, reporter, share, epochs)
    callbacks: list[keras.callbacks.Callback] = [chooser]
    if isinstance(trained.recipe.training.schedule, Plateau):
        callbacks.append(Replayed(list(rates)))
    for phase, first in _phases(trained.recipe):
        last = min(first + phase.epochs, epochs)
        if first < last:
            _fit(trained, phase, first, last, share, callbacks)
    if not math.isfinite(chooser.loss):
        raise NonFiniteObjective(
            "The refit diverged; with `refit: false` the best trial's own weights are kept."
        )
    trained.net.set_weights(chooser.weights)
    return chooser.epoch


def _phases(recipe: Recipe) -> Iterator[tuple[Phase, int]]:
    """Each phase with the number of epochs before it."""
    first = 0
    for phase in recipe.model.phases(recipe.training.epochs, recipe.training.learning_rate):
        yield phase, first
        first += phase.epochs


def _fit(
    trained: Trainee,
    phase: Phase,
    first: int,
    last: int,
    share: Share,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Epochs ``first`` (from 0) to ``last`` of a training, with an optimizer of their own."""
    training = trained.recipe.training
    batch = min(training.batch_size, len(share.x))
    if phase.unfrozen is not None:
        thaw(trained.net, phase.unfrozen)
    steps = math.ceil(len(share.x) / batch)
    rate = learning_rate(training.schedule, phase.learning_rate, phase.epochs, steps)
    _compile(trained, rate)
    trained.model.fit(
        **_fed(trained, share, batch, first),
        initial_epoch=first,
        epochs=last,
        callbacks=callbacks,
        verbose=0,
    )


def _compile(trained: Trainee, rate: Any) -> None:
    training, mixes = trained.recipe.training, trained.recipe.augmentation.mixes
    accuracy = keras.metrics.CategoricalAccuracy if mixes else keras.metrics.SparseCategoricalAccuracy
    trained.model.compile(
        optimizer=optimizer(training, rate),
        loss=loss(training, trained.classes, mixes),
        metrics=[accuracy(name="accuracy")],
        jit_compile="auto" if compiles() else False,
    )
    for_prediction(trained.net)


def _fed(trained: Trainee, share: Share, batch: int, first: int) -> dict[str, Any]:
    """The arguments of `fit` that say what is trained on."""
    recipe = trained.recipe
    weights = image_weights(recipe.training, share.y, trained.classes)
    if not recipe.augmentation.mixes:
        return {"x": share.x, "y": share.y, "sample_weight": weights, "batch_size": batch}
    mixing = recipe.augmentation
    mixed = Mixing(
        share.x,
        share.y,
        classes=trained.classes,
        batch_size=batch,
        seed=trained.seed,
        mixup=mixing.mixup,
        cutmix=mixing.cutmix,
        weights=weights,
        epoch=first,
    )
    return {"x": mixed, "shuffle": False}


def evaluate(model: keras.Model, share: Share, names: Sequence[str] = ALWAYS) -> dict[str, float | None]:
    """The named metrics of a model that gives probabilities; one that is not finite is None."""
    return measured(predict(model, share.x), share.y, names)


def predict(model: keras.Model, x: Array) -> Array:
    """Predictions (N, classes) for inputs (N, ...)."""
    for_prediction(model)
    predictions: Array = model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)
    return predictions


def metric_names(training: Training, objective: Objective) -> list[str]:
    """Of every epoch: what is always there, what was asked for, and what the spec is judged by."""
    early = training.early_stopping
    judged = [objective.metric, *([early.monitor] if early else [])]
    return list(dict.fromkeys([*ALWAYS, *training.metrics, *(name.removeprefix("val_") for name in judged)]))


class _Interrupter(keras.callbacks.Callback):  # type: ignore[misc]
    """Asks after every step whether to go on: Keras' own flag is looked at once an epoch."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self.reporter = reporter

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.reporter.check()


class _LowestLoss(_Interrupter):
    """Keeps the weights of that of the last epochs which has the lowest loss on ``share``."""

    def __init__(self, trained: Trainee, reporter: Reporter, share: Share, epochs: int) -> None:
        super().__init__(reporter)
        self.net = trained.net
        self.share = share
        self.first = epochs - LAST_EPOCHS
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


class _Watcher(_Interrupter):
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
        self.began, self.rate = 0.0, 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        for follower in self.followers:
            follower.set_model(self.model)
            follower.on_train_begin()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.monotonic()
        self.rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        scored = measured(softmax(predict(self.net, self.validation.x)), self.validation.y, self.names)
        metrics = {name: finite(value) for name, value in values.items()}
        metrics |= {f"val_{name}": value for name, value in scored.items()}
        seen = Epoch(epoch + 1, time.monotonic() - self.began, self.rate, metrics, self.fold)
        if self._is_best(seen):
            self.progress.best = seen
            self.progress.weights = self.net.get_weights()
        self.reporter.epoch(seen)
        for name in ("loss", self.objective.metric):
            if metrics.get(name) is None:
                raise NonFiniteObjective(f"{name} is {values.get(name, 'not finite')} in epoch {epoch + 1}")
        for follower in self.followers:
            follower.on_epoch_end(
                epoch, {name: value for name, value in metrics.items() if value is not None}
            )

    def _is_best(self, seen: Epoch) -> bool:
        best = self.progress.best
        return self.objective.prefers(seen.metrics, {} if best is None else best.metrics)


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
