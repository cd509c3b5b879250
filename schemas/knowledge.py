"""What the trials of one job say about the space of another: a warm start."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.distributions import Distribution, Value, same
from schemas.recipe import SECTIONS, leaves
from schemas.specs import JobSpec
from schemas.states import TrialState
from schemas.trials import Known, Trial

# Failures that the configuration is to blame for: an algorithm that learns counts them as worse than any
# result. Of the others (a lost worker, the storage) it is told nothing.
TELLING = ("out_of_memory", "infeasible_model", "non_finite_objective", "trial_timeout")


def telling(trials: Sequence[Trial]) -> list[Trial]:
    """Those that were trained in full, or failed for what they are."""
    return [trial for trial in trials if _is_telling(trial)]


def _is_telling(trial: Trial) -> bool:
    if trial.effort.until_epoch is not None or trial.effort.data_share < 1:
        return False
    if trial.state == TrialState.FAILED:
        return trial.error is not None and trial.error["code"] in TELLING
    return trial.state in TrialState.scored() and trial.score is not None


@dataclass(frozen=True)
class Knowledge:
    """What is known of a space from an earlier job.

    Args:
        outside: trials left out because a value is none of the space's.
        different: what the two jobs have fixed differently; all trials are left out then, for their scores
            are of something else.
    """

    known: tuple[Known, ...]
    outside: int = 0
    different: tuple[str, ...] = ()


def known_from(spec: JobSpec, earlier: JobSpec, trials: Sequence[Trial]) -> Knowledge:
    """The trials of an earlier job that are points of this one's space."""
    fixed, different = dict(_values(spec, {})), dict[str, None]()
    known: list[Known] = []
    told = telling(trials)
    for trial in told:
        had = dict(_values(earlier, trial.hyperparameters))
        unlike = [name for name, value in fixed.items() if name in had and not same(had[name], value)]
        different |= dict.fromkeys(unlike)
        values = None if unlike else _placed(spec, had)
        if values is not None:
            known.append(Known(values, trial.score))
    outside = 0 if different else len(told) - len(known)
    return Knowledge(tuple(known), outside, tuple(different))


def _values(spec: JobSpec, values: Mapping[str, Value]) -> Iterator[tuple[str, Any]]:
    """Every value of a spec's recipe that is fixed, or that a configuration gives it."""
    for name, value in leaves({section: spec.document[section] for section in SECTIONS}):
        if not isinstance(value, Distribution):
            yield name, value
        elif name in values:
            yield name, values[name]


def _placed(spec: JobSpec, had: Mapping[str, Any]) -> dict[str, Value] | None:
    """The values as a point of the space; None when they are none."""
    placed: dict[str, Value] = {}
    for one in spec.space:
        if not one.is_active(placed):
            continue
        value = had.get(one.name)
        if value is None or not one.distribution.contains(value):
            return None
        placed[one.name] = one.distribution.own(value)
    return placed
