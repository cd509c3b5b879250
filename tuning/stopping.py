"""Stopping rules: whether a trial is to end early for what its learning curve looks like beside others.

Pure functions of curves. A curve's value is the objective's metric; one that is missing or not finite is
worse than any other. Folds are compared with the same fold of other trials, at the same epoch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from schemas.objective import Objective
from schemas.stopping import AshaStopping, MedianStopping, NoStopping, Stopping
from schemas.trials import Epoch

# The median of fewer is one trial's word, or halfway between the words of two. Ray asks for as many.
MIN_CURVES = 3

# Epoch -> cost in one fold: the lower, the better.
_Costs = Mapping[int, float]


@dataclass(frozen=True)
class Curve:
    """The epochs of another trial, of all its folds, its parents' included where it went on from one.

    Args:
        has_ended: nothing more will be reported, for whatever reason.
    """

    epochs: Sequence[Epoch]
    has_ended: bool


def should_stop(
    rule: Stopping, objective: Objective, own: Sequence[Epoch], others: Sequence[Curve], last_epoch: int
) -> bool:
    """Whether a trial is to end with the epoch that it has just reported, the last one in ``own``.

    In the last epoch of a fold there is nothing to save: no rule stops a trial there.

    Args:
        own: the trial's epochs, its parents' included where it went on from one.
        others: the other trials of the job, in any order.
        last_epoch: that the trial will train (in each fold) unless it is stopped.
    """
    if not own or own[-1].epoch >= last_epoch:
        return False
    fold, epoch = own[-1].fold, own[-1].epoch
    mine = _up_to(_costs(objective, own, fold), epoch)
    theirs = [(_costs(objective, one.epochs, fold), one.has_ended) for one in others]
    decide = _RULES[type(rule)]
    return decide(rule, epoch, mine, [(_up_to(one, epoch), ended) for one, ended in theirs if epoch in one])


def _none(rule: NoStopping, epoch: int, own: _Costs, others: Sequence[tuple[_Costs, bool]]) -> bool:
    return False


def _median(rule: MedianStopping, epoch: int, own: _Costs, others: Sequence[tuple[_Costs, bool]]) -> bool:
    """Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization", section 3.2.2.

    A trial stops at an epoch when its best value so far is strictly worse than the median of the means, over
    all epochs up to this one, of the ended trials that came as far.
    """
    means = [_mean(one) for one, has_ended in others if has_ended]
    if epoch < rule.grace_epochs or len(means) < MIN_CURVES:
        return False
    return min(own.values()) > median(means)


def _mean(costs: _Costs) -> float:
    """At least the lowest: rounding must not make a tie of equal curves into a difference."""
    return max(min(costs.values()), math.fsum(costs.values()) / len(costs))


def _asha(rule: AshaStopping, epoch: int, own: _Costs, others: Sequence[tuple[_Costs, bool]]) -> bool:
    """Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", in the form of Ray Tune's
    `AsyncHyperBandScheduler`, which stops trials where the paper promotes them.

    At each halt a trial goes on if its best value so far is among the best 1/factor of those that have been
    seen there until now, and one at least. Nobody waits: the first to come goes on.
    """
    if not is_halt(rule, epoch):
        return False
    best = min(own.values())
    recorded = sorted([best, *(min(one.values()) for one, _ in others)])
    return best > recorded[max(1, len(recorded) // rule.factor) - 1]


_RULES: dict[type[Stopping], Callable[[Any, int, _Costs, Sequence[tuple[_Costs, bool]]], bool]] = {
    NoStopping: _none,
    MedianStopping: _median,
    AshaStopping: _asha,
}


def is_halt(rule: AshaStopping, epoch: int) -> bool:
    """Whether trials are compared here: at the grace, and at its product with each power of the factor."""
    halt = rule.grace_epochs
    while halt < epoch:
        halt *= rule.factor
    return halt == epoch


def _costs(objective: Objective, epochs: Sequence[Epoch], fold: int) -> _Costs:
    """Of an epoch that was reported twice, what was said last."""
    return {one.epoch: _cost(objective, one) for one in epochs if one.fold == fold}


def _cost(objective: Objective, epoch: Epoch) -> float:
    value = epoch.metrics.get(objective.metric)
    if value is None or not math.isfinite(value):
        return math.inf
    return -value if objective.direction == "maximize" else value


def _up_to(costs: _Costs, epoch: int) -> _Costs:
    return {one: cost for one, cost in costs.items() if one <= epoch}
