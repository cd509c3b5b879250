"""Learning rates that move during training, computed in the optimizer's own step.

A schedule that is set from a callback costs a call into Python and a write to the device at every step; one
that is a function of the optimizer's counter costs nothing that could be measured.
"""

from typing import Any

import keras
from keras import ops
from keras.optimizers.schedules import CosineDecay, ExponentialDecay, LearningRateSchedule

from schemas.models import Infeasible
from schemas.schedules import Cosine, Cyclical, Exponential, OneCycle, Schedule, Step


def learning_rate(schedule: Schedule, rate: float, epochs: int, steps: int) -> float | LearningRateSchedule:
    """What the optimizer is given.

    Args:
        rate: ``training.learning_rate``, or that of a phase.
        epochs: of the whole training, also if it should end earlier.
        steps: in an epoch.

    Raises:
        Infeasible: the two ends of a cycle are the wrong way round.
    """
    match schedule:
        case Step(every=every, factor=factor):
            return ExponentialDecay(rate, every * steps, factor, staircase=True)
        case Exponential(rate=factor):
            return ExponentialDecay(rate, steps, factor, staircase=True)
        case Cosine():
            return _cosine(schedule, rate, epochs, steps)
        case Cyclical():
            low, high = schedule.ends(rate)
            if low > high:
                raise Infeasible(f"the schedule's low, {low:g}, is above its high, {high:g}")
            half = max(1, round(schedule.step_size * steps))
            return CyclicalRate(low, high, half, schedule.mode, schedule.gamma)
        case OneCycle():
            return OneCycleRate(schedule, rate, epochs * steps)
    return rate


def _cosine(schedule: Cosine, rate: float, epochs: int, steps: int) -> float | LearningRateSchedule:
    warm_up = min(round(schedule.warm_up * steps), epochs * steps - 1)
    falling = epochs * steps - warm_up
    if not warm_up:
        return CosineDecay(rate, falling, alpha=schedule.floor)
    return CosineDecay(0.0, falling, alpha=schedule.floor, warmup_target=rate, warmup_steps=warm_up)


class CyclicalRate(LearningRateSchedule):  # type: ignore[misc]
    """Cyclical learning rates (Smith 2017, "Cyclical Learning Rates for Training Neural Networks").

    From ``low`` to ``high`` and back in ``2 * half`` steps. The height of a cycle stays
    (`triangular`), halves from cycle to cycle (`triangular2`), or is multiplied by ``gamma`` at every step
    (`exp_range`).
    """

    def __init__(self, low: float, high: float, half: int, mode: str, gamma: float) -> None:
        self.low, self.high, self.half, self.mode, self.gamma = low, high, half, mode, gamma

    def __call__(self, step: Any) -> Any:
        done = ops.cast(step, "float32")
        cycle = ops.floor(done / (2 * self.half))
        place = ops.abs(done / self.half - 2 * cycle - 1)
        height = (self.high - self.low) * ops.maximum(0.0, 1 - place)
        if self.mode == "triangular2":
            height = height / ops.power(2.0, cycle)
        elif self.mode == "exp_range":
            height = height * ops.power(self.gamma, done)
        return self.low + height

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("low", "high", "half", "mode", "gamma")}


class OneCycleRate(LearningRateSchedule):  # type: ignore[misc]
    """One cycle (Smith and Topin 2018, "Super-Convergence"), both ways along half a cosine."""

    def __init__(self, schedule: OneCycle, rate: float, steps: int) -> None:
        self.schedule, self.rate, self.steps = schedule, rate, steps

    def __call__(self, step: Any) -> Any:
        done = ops.cast(step, "float32")
        peak = max(1.0, self.schedule.peak_at * self.steps)
        rising = self._between(self.schedule.start, 1.0, done / peak)
        falling = self._between(1.0, self.schedule.end, (done - peak) / max(1.0, self.steps - peak))
        return self.rate * ops.where(done < peak, rising, falling)

    def _between(self, first: float, last: float, share: Any) -> Any:
        share = ops.clip(share, 0.0, 1.0)
        return last + (first - last) * 0.5 * (1 + ops.cos(3.141592653589793 * share))

    def get_config(self) -> dict[str, Any]:
        return {"schedule": self.schedule, "rate": self.rate, "steps": self.steps}


class Replayed(keras.callbacks.Callback):  # type: ignore[misc]
    """The rates that the epochs of another training had, one by one; then the last of them.

    For a refit of a training whose rate followed its validation loss: a refit has none.
    """

    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.rates = rates

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.rates:
            self.model.optimizer.learning_rate = self.rates[min(epoch, len(self.rates) - 1)]
