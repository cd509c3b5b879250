"""What to try next, and when to end: from a job's spec and its trials, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.specs import JobSpec
from schemas.states import StopReason, TrialState
from schemas.trials import Known, Suggestion, Trial
from tuning import oracles

# Failures that every other trial of the job would have too.
_HOPELESS = ("dataset_unavailable", "dataset_unreadable")


@dataclass(frozen=True)
class Plan:
    """New trials to make, in order; or the reason why there will be no more.

    Neither: wait for what is in flight.
    """

    suggestions: Sequence[Suggestion] = ()
    stop_reason: StopReason | None = None


def plan(
    spec: JobSpec,
    trials: Sequence[Trial],
    earlier: Sequence[Known] = (),
    *,
    is_spent: bool = False,
) -> Plan:
    """The next step of a job's search.

    A configuration that cannot be built costs nothing: the budget asks for another in its place.

    Args:
        earlier: what is known from other jobs.
        is_spent: whether the trials have cost all that the budget allows.
    """
    reason = _early_end(spec, trials)
    if reason is None and is_spent:
        reason = StopReason.BUDGET_EXHAUSTED
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
    return _suggestions(spec, trials, earlier, room)


def _early_end(spec: JobSpec, trials: Sequence[Trial]) -> StopReason | None:
    if any(spec.objective.is_met(trial.score) for trial in trials):
        return StopReason.TARGET_REACHED
    if any(trial.error is not None and trial.error["code"] in _HOPELESS for trial in trials):
        return StopReason.TOO_MANY_FAILURES
    failed = sum(trial.state == TrialState.FAILED and not trial.is_infeasible for trial in trials)
    limit = spec.budget.max_failed_trials
    if limit is not None and failed >= limit:
        return StopReason.TOO_MANY_FAILURES
    return StopReason.PLATEAU if _is_level(spec, trials) else None


def _is_level(spec: JobSpec, trials: Sequence[Trial]) -> bool:
    """Whether none of the last trials was better than the best before them."""
    plateau = spec.budget.plateau
    ended = [trial for trial in trials if trial.score is not None and trial.end_time is not None]
    if plateau is None or len(ended) <= plateau.trials:
        return False
    ended.sort(key=lambda trial: (trial.end_time, trial.number))
    scores = [trial.score for trial in ended if trial.score is not None]
    best = max if spec.objective.direction == "maximize" else min
    before, after = best(scores[: -plateau.trials]), best(scores[-plateau.trials :])
    gained = after - before if spec.objective.direction == "maximize" else before - after
    return gained <= plateau.min_delta


def _suggestions(spec: JobSpec, trials: Sequence[Trial], earlier: Sequence[Known], room: int) -> Plan:
    if room <= 0:
        return Plan()
    oracle = oracles.rebuild(spec, trials, earlier)
    suggestions: list[Suggestion] = []
    while len(suggestions) < room:
        try:
            suggestions.append(oracle.suggest())
        except oracles.Wait:
            break
        except oracles.Exhausted as end:
            # What was found before counts first; the next plan comes to the same end.
            return Plan(suggestions, None if suggestions else end.reason)
    return Plan(suggestions)
