"""What our oracles add to Keras Tuner's: they are rebuilt from rows, and write no files."""

import hashlib
from typing import Any

import keras_tuner
from keras_tuner.src.engine import oracle as engine
from keras_tuner.src.engine import trial as engine_trial

from schemas.distributions import Value
from schemas.specs import JobSpec
from schemas.states import TrialState
from schemas.trials import Trial
from tuning import spaces

Status = engine_trial.TrialStatus


def most_infeasible(spec: JobSpec) -> int:
    """So many configurations that cannot be built are passed over, before a search is given up."""
    return 100 + 10 * spec.budget.max_trials


class Wait(Exception):
    """No suggestion before a trial that is in flight has ended."""


class Exhausted(Exception):
    """Every configuration of the space has been tried."""


class RebuiltOracle(keras_tuner.Oracle):  # type: ignore[misc]
    """Mixed in before one of Keras Tuner's oracles."""

    def __init__(self, spec: JobSpec) -> None:
        objective = keras_tuner.Objective(
            spec.objective.metric, {"maximize": "max", "minimize": "min"}[spec.objective.direction]
        )
        super().__init__(
            objective=objective,
            max_trials=spec.budget.max_trials + most_infeasible(spec),
            hyperparameters=self.declare(spec),
            allow_new_entries=False,
            tune_new_entries=False,
            seed=spec.seed,
        )
        # Keras Tuner takes a seed of 0 for none and draws one.
        self.seed = spec.seed
        self.verbose = 0
        self.space = spec.space

    def declare(self, spec: JobSpec) -> keras_tuner.HyperParameters:
        return spaces.hyperparameters(spec.space)

    def restore(self, trial: Trial) -> None:
        """Takes in a trial of the job as if it had been suggested and reported here."""
        trial_id = self._trial_id(trial.number)
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(trial.hyperparameters)
        known = engine_trial.Trial(hyperparameters, trial_id, _status(trial))
        known.score, known.best_step = trial.score, trial.best_epoch or 0
        self.trials[trial_id] = known
        self.start_order.append(trial_id)
        self._record_values(known)
        if trial.state.is_terminal:
            self.end_order.append(trial_id)
        else:
            self.ongoing_trials[trial_id] = known

    def suggest(self) -> dict[str, Value]:
        """The values of the next trial; from now on it counts as in flight.

        Raises:
            Wait: ask again when a trial has ended.
            Exhausted: there is nothing left to try.
        """
        number = len(self.trials)
        try:
            suggested = self.create_trial(self._trial_id(number))
        finally:
            # Keras Tuner keeps a lock for every oracle that there ever was.
            engine.LOCKS.pop(self, None)
            engine.THREADS.pop(self, None)
        if suggested.status == Status.IDLE:
            raise Wait
        if suggested.status == Status.STOPPED:
            raise Exhausted
        return dict(suggested.hyperparameters.values)

    def seed_of(self, number: int) -> int:
        """A seed for suggestion ``number``, the same whoever asks, 0 being a seed like others."""
        text = f"{self.seed}/{number}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:6])

    def _trial_id(self, number: int) -> str:
        return f"{number:0{len(str(self.max_trials))}d}"

    def save(self) -> None:
        """Rows are the truth; Keras Tuner's files are not written."""

    def _save_trial(self, trial: Any) -> None:
        """Likewise."""


def _status(trial: Trial) -> str:
    if not trial.state.is_terminal:
        return str(Status.RUNNING)
    scored = trial.state in TrialState.scored() and trial.score is not None
    return str(Status.COMPLETED if scored else Status.FAILED)
