"""Whole searches in a moment: the trials of an oracle, with outcomes made up."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from schemas.distributions import Value
from schemas.specs import JobSpec
from schemas.states import TrialState
from schemas.trials import Suggestion, Trial
from tests.tuning.makers import new_trial
from tuning import oracles
from tuning.oracles import Exhausted, Wait

Values = Mapping[str, Value]
Outcome = Callable[[int, Values], dict[str, Any]]


def walk(spec: JobSpec, count: int | None = None) -> list[Values]:
    """What one oracle suggests, that is never rebuilt: to the end, or so many."""
    oracle = oracles.rebuild(spec, [])
    found: list[Values] = []
    while count is None or len(found) < count:
        try:
            found.append(oracle.suggest().values)
        except (Exhausted, Wait):
            break
    return found


def scored(number: int, values: Values) -> dict[str, Any]:
    """An outcome by chance, the same for the same configuration."""
    digest = hashlib.sha256(key_of(values).encode()).digest()
    return {"score": digest[0] / 256}


def trial_of(number: int, suggestion: Suggestion, **more: Any) -> Trial:
    """The trial of a suggestion, as the store gives it back: through JSON."""
    values = json.loads(json.dumps(dict(suggestion.values)))
    effort = suggestion.effort
    stage = json.loads(json.dumps(effort.stage))
    return new_trial(number, values, effort=replace(effort, stage=stage), **more)


def ended(trial: Trial, outcome: Mapping[str, Any]) -> Trial:
    return new_trial(trial.number, trial.hyperparameters, effort=trial.effort, **outcome)


def searched(
    spec: JobSpec,
    count: int,
    outcome: Outcome = scored,
    parallel: int = 1,
    last_first: bool = False,
) -> list[Trial]:
    """A whole search of at most ``count`` trials, whose oracle is rebuilt at each step."""
    trials: list[Trial] = []
    while True:
        oracle = oracles.rebuild(spec, trials)
        running = [trial.number for trial in trials if not trial.state.is_terminal]
        while len(running) < parallel and len(trials) < count:
            try:
                suggested = oracle.suggest()
            except Exhausted:
                break
            except Wait:
                if not running:
                    raise
                break
            running.append(len(trials))
            trials.append(trial_of(len(trials), suggested, state=TrialState.RUNNING))
        if not running:
            return trials
        number = running[-1] if last_first else running[0]
        trials[number] = ended(trials[number], outcome(number, trials[number].hyperparameters))


def key_of(values: Values) -> str:
    return json.dumps(dict(values), sort_keys=True)


def pair_of(trial: Trial) -> str:
    return key_of(trial.hyperparameters) + str(trial.effort)
