"""Learning-rate range tests: one short training over a growing rate, and the rates worth searching.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from schemas.recipe import Recipe
from schemas.search import RangeTest
from schemas.specs import JobSpec
from schemas.trials import Epoch
from tuning import training
from tuning.data import Array, Arrays, divide
from tuning.models import Materials
from tuning.training import Interrupted, NonFiniteObjective, Reporter
from tuning.trial import Assignment, Failure, Result, device, failure_of
from tuning.watching import Interrupter

# A loss so many times the best one has diverged (fast.ai's `LRFinder`).
DIVERGED = 4.0
# The shares of its whole fall by which the loss has begun to fall, and has as good as ended.
BEGUN, DONE = 0.1, 0.95
# So far below the rate where the loss is lowest training is safe (Gugger 2018, "How Do You Find A Good
# Learning Rate").
MARGIN = 10.0
# A range is at least so many times as high as it is low: less is not worth a search.
NARROWEST = 3.0
# A fall of less than this share of the loss, or than so many deviations of its noise, is none.
_LEAST_FALL, _DEVIATIONS = 0.02, 4.0
MAX_POINTS = 200

CRITERION = (
    "min: where the smoothed loss has fallen by a tenth of its whole fall, and stays below that until its "
    "lowest point; max: a tenth of the rate where it has fallen by 95 % of it, or the rate of the steepest "
    "fall if that is higher; at least a factor of 3 apart"
)


class Average:
    """An exponential average without the pull of its beginning (as Adam's, Kingma and Ba 2015).

    Its memory is a twentieth of the steps: what it lags behind is the same share of the range of rates
    however many steps there are.
    """

    def __init__(self, steps: int) -> None:
        self.kept = min(max(1 - 20 / steps, 0.5), 0.98)
        self._total, self._weight = 0.0, 0.0

    def add(self, value: float) -> float:
        """The average, this value included."""
        self._total = self.kept * self._total + (1 - self.kept) * value
        self._weight = self.kept * self._weight + (1 - self.kept)
        return self._total / self._weight


@dataclass(frozen=True)
class Curve:
    """Losses of single batches over growing rates, raw and smoothed: three arrays (n,).

    Args:
        kept: the share of what was before in each smoothed value.
        has_diverged: the loss ended the test before its last step.
    """

    rates: Array
    losses: Array
    smoothed: Array
    kept: float
    has_diverged: bool

    @classmethod
    def of(cls, rates: Sequence[float], losses: Sequence[float], steps: int, has_diverged: bool) -> "Curve":
        average = Average(steps)
        smoothed = [average.add(loss) for loss in losses]
        return cls(np.array(rates), np.array(losses), np.array(smoothed), average.kept, has_diverged)


def described(curve: Curve) -> dict[str, Any]:
    """The curve, thinned to `MAX_POINTS` points (rate, loss, smoothed loss), and what it suggests.

    ``suggested`` and ``steepest`` are None where the loss does not fall by more than its noise;
    ``stopped_at`` is the last rate with a finite loss if it diverged, None if it never did.
    """
    count = len(curve.rates)
    shown = np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(int))
    columns = (curve.rates, curve.losses, curve.smoothed)
    found = _found(curve)
    return {
        "points": [[float(column[index]) for column in columns] for index in shown],
        "suggested": None if found is None else {"min": found.low, "max": found.high},
        "steepest": None if found is None else found.steepest,
        "stopped_at": float(curve.rates[-1]) if curve.has_diverged else None,
        "criterion": CRITERION,
    }


@dataclass(frozen=True)
class _Found:
    low: float
    high: float
    steepest: float


def _found(curve: Curve) -> _Found | None:
    """Smith's bounds, made computable: see `CRITERION`.

    He takes the lower one by eye where accuracy begins to rise, the upper one where it slows down, becomes
    ragged or falls. The lowest loss is past that: a net that has learned for a moment bears rates that one
    which begins does not, hence `MARGIN`. A net that has learned everything has a loss that creeps to 0 at
    any rate, hence `DONE`.
    """
    lead = max(3, len(curve.losses) // 10)
    lowest = int(curve.smoothed.argmin())
    if lowest < lead:
        return None
    start = float(curve.losses[:lead].mean())
    fall = start - float(curve.smoothed[lowest])
    if fall <= max(_LEAST_FALL * abs(start), _DEVIATIONS * _noise(curve, lead, lowest)):
        return None
    falling = slice(0, lowest + 1)
    still_high = np.flatnonzero(curve.smoothed[falling] > start - BEGUN * fall)
    first = int(still_high[-1]) + 1 if len(still_high) else 0
    slopes = np.gradient(curve.smoothed[falling], np.log(curve.rates[falling]))
    steepest = float(curve.rates[first + int(slopes[first:].argmin())])
    bottom = int(np.flatnonzero(curve.smoothed <= start - DONE * fall)[0])
    high = max(float(curve.rates[bottom]) / MARGIN, steepest)
    return _Found(*_wide(float(curve.rates[first]), high, curve), steepest)


def _noise(curve: Curve, lead: int, lowest: int) -> float:
    """The deviation of a smoothed loss from the mean of the first ones, if nothing was learned.

    From the median of what differs between neighbours, which neither a fall nor outliers move much.
    """
    differences = np.abs(np.diff(curve.losses[: lowest + 1]))
    deviation = float(np.median(differences)) / (0.6745 * math.sqrt(2))
    return deviation * math.sqrt((1 - curve.kept) / (1 + curve.kept) + 1 / lead)


def _wide(low: float, high: float, curve: Curve) -> tuple[float, float]:
    """At least `NARROWEST`, downwards if possible: too low a rate is slow, too high a one diverges."""
    low = max(min(low, high / NARROWEST), float(curve.rates[0]))
    return low, max(high, NARROWEST * low)


def run(
    spec: JobSpec,
    recipe: Recipe,
    arrays: Arrays,
    reporter: Reporter,
    max_parameters: int,
    materials: Materials | None = None,
) -> Result:
    """Trains a configuration for the steps of ``spec.search``, a range test.

    Of a net that has several phases, the first one. The result has a ``range_test`` and no score; one epoch
    is reported, at the end. A failure is a result, as in `tuning.trial.run`.
    """
    given = Assignment(spec, recipe, arrays, max_parameters, materials or Materials())
    try:
        parameters, curve = _trained(given, reporter)
    except Interrupted:
        return _result(interrupted=True)
    except Exception as error:
        failure = failure_of(error)
        if failure is None:
            raise
        return _result(failure=failure)
    return _result(parameters=parameters, last_epoch=1, range_test=described(curve))


def _result(
    parameters: int | None = None,
    failure: Failure | None = None,
    interrupted: bool = False,
    last_epoch: int | None = None,
    range_test: Mapping[str, Any] | None = None,
) -> Result:
    return Result(
        None, [], parameters, device(), failure, interrupted, last_epoch=last_epoch, range_test=range_test
    )


def _trained(given: Assignment, reporter: Reporter) -> tuple[int, Curve]:
    search = given.spec.search
    assert isinstance(search, RangeTest)
    prepared = given.prepare(divide(given.arrays.y, given.spec.split, given.spec.seed)[0])
    trained, share = prepared.trained, prepared.share
    parameters = given.count(trained)
    phase, _ = next(training.phases(given.recipe))
    training.prepare(trained, phase, share, GrowingRate(search.low, search.high, search.steps))
    recorder, began = _Recorder(reporter, search.steps), time.monotonic()
    epochs = math.ceil(search.steps / training.steps_of(trained, share))
    with suppress(_Ended):
        training.fit(trained, 0, epochs, share, [recorder])
    curve = recorder.curve()
    seen = Epoch(1, time.monotonic() - began, search.low, {"loss": float(curve.smoothed[-1])})
    # The test is over, whoever wants it to end now.
    with suppress(Interrupted):
        reporter.epoch(seen)
    return parameters, curve


class GrowingRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """From ``low`` in the first of so many steps to ``high`` in the last, by the same factor each."""

    def __init__(self, low: float, high: float, steps: int) -> None:
        self.low, self.high, self.steps = low, high, steps

    def __call__(self, step: Any) -> Any:
        share = ops.cast(step, "float32") / max(1, self.steps - 1)
        return self.low * ops.exp(math.log(self.high / self.low) * share)

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("low", "high", "steps")}


class _Ended(Exception):
    """The test has seen enough."""


class _Recorder(Interrupter):
    """Notes the loss of every batch, and ends the test after its last step or when the loss has diverged."""

    def __init__(self, reporter: Reporter, steps: int) -> None:
        super().__init__(reporter)
        self.steps = steps
        self.rate = 0.0
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.average, self.best = Average(steps), math.inf
        self.has_diverged = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        # Keras' own loss is the mean since the last reset.
        self.model.reset_metrics()
        self.rate = float(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, logs)
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self.has_diverged = True
            raise _Ended
        self._note(loss)
        if self.has_diverged or len(self.losses) == self.steps:
            raise _Ended

    def _note(self, loss: float) -> None:
        self.rates.append(self.rate)
        self.losses.append(loss)
        smoothed = self.average.add(loss)
        self.best = min(self.best, smoothed)
        self.has_diverged = smoothed > DIVERGED * self.best

    def curve(self) -> Curve:
        """Raises: NonFiniteObjective: there was no finite loss at all."""
        if not self.losses:
            raise NonFiniteObjective("loss is not finite in the first batch, at the lowest rate")
        return Curve.of(self.rates, self.losses, self.steps, self.has_diverged)
