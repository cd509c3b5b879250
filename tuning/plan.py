"""What to try next, and when to end: from a job's spec and its trials, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.distributions import Value
from schemas.specs import JobSpec
from schemas.states import StopReason, TrialState
from schemas.trials import Trial
from tuning import oracles

# Failures that every other trial of the job would have too.
_HOPELESS = ("dataset_unavailable", "dataset_unreadable")


@dataclass(frozen=True)
class Plan:
    """New trials to make, in order; or the reason why there will be no more.

    Neither: wait for what is in flight.
    """

    suggestions: Sequence[dict[str, Value]] = ()
    stop_reason: StopReason | None = None


def plan(spec: JobSpec, trials: Sequence[Trial]) -> Plan:
    """The next step of a job's search.

    A configuration that cannot be built costs nothing: the budget asks for another in its place.
    """
    reason = _early_end(spec, trials)
    if reason is not None:
        return Plan(stop_reason=reason)
    infeasible = sum(trial.is_infeasible for trial in trials)
    left = spec.budget.max_trials - (len(trials) - infeasible)
    if left <= 0:
        return Plan(stop_reason=StopReason.COMPLETED)
    if infeasible >= oracles.most_infeasible(spec):
        # The space has hardly anything else.
        return Plan(stop_reason=StopReason.SPACE_EXHAUSTED)
    in_flight = sum(not trial.state.is_terminal for trial in trials)
    room = min(left, spec.budget.parallel_trials - in_flight)
    return _suggestions(spec, trials, room)


def _early_end(spec: JobSpec, trials: Sequence[Trial]) -> StopReason | None:
    if any(spec.objective.is_met(trial.score) for trial in trials):
        return StopReason.TARGET_REACHED
    if any(trial.error is not None and trial.error["code"] in _HOPELESS for trial in trials):
        return StopReason.TOO_MANY_FAILURES
    failed = sum(trial.state == TrialState.FAILED and not trial.is_infeasible for trial in trials)
    limit = spec.budget.max_failed_trials
    return StopReason.TOO_MANY_FAILURES if limit is not None and failed >= limit else None


def _suggestions(spec: JobSpec, trials: Sequence[Trial], room: int) -> Plan:
    oracle = oracles.rebuild(spec, trials)
    suggestions: list[dict[str, Value]] = []
    while len(suggestions) < room:
        try:
            suggestions.append(oracle.suggest())
        except oracles.Wait:
            break
        except oracles.Exhausted:
            # What was found before counts first; the next plan comes to the same end.
            return Plan(suggestions, None if suggestions else StopReason.SPACE_EXHAUSTED)
    return Plan(suggestions)
