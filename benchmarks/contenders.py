"""The searches that are compared: ours, and what they are made from, each through its own interface."""

import os
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_tuner
import optuna

from benchmarks.cnn_table import EPOCHS
from benchmarks.problems import Problem
from schemas.distributions import Choice, FloatRange, Value
from schemas.spaces import Hyperparameter
from schemas.states import TrialState
from schemas.trials import FULL, Effort, Trial
from tuning import oracles
from tuning.spaces import hyperparameters

# What was spent by then, in full trainings, and what came out.
Step = tuple[float, float | None]
Search = Callable[[Problem, int, int], list[Step]]

SEED_STRIDE = 7_919
# Of a search that ends when it has spent its epochs.
MANY_TRIALS = 1_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ours(algorithm: str) -> Search:
    """Rebuilt from its trials at every step, as a worker that plans does it."""

    def search(problem: Problem, seed: int, budget: int) -> list[Step]:
        spec = problem.spec(algorithm, seed, MANY_TRIALS if algorithm == "hyperband" else budget)
        trials: list[Trial] = []
        steps: list[Step] = []
        spent = 0
        while spent < budget * EPOCHS:
            try:
                suggestion = oracles.rebuild(spec, trials).suggest()
            except (oracles.Exhausted, oracles.Wait):
                break
            epochs = suggestion.effort.until_epoch or EPOCHS
            score = problem.evaluate(suggestion.values, epochs)
            trials.append(ended(problem, len(trials), suggestion.values, score, suggestion.effort))
            spent += epochs - _trained(trials, suggestion.effort.parent)
            steps.append((spent / EPOCHS, score))
        return steps

    return search


def random_values(problem: Problem, number: int) -> dict[str, Value]:
    """One of the problem's configurations, drawn at random."""
    space = hyperparameters(problem.space).space
    return {one.name: one.random_sample(number * len(space) + place) for place, one in enumerate(space)}


def _trained(trials: list[Trial], number: int | None) -> int:
    """The epochs that a trial which goes on from another need not train again."""
    return 0 if number is None else trials[number].effort.until_epoch or EPOCHS


def ended(problem: Problem, number: int, values: Any, score: float | None, effort: Effort = FULL) -> Trial:
    """A trial as its row tells of it afterwards."""
    epochs = effort.until_epoch or EPOCHS
    failed = score is None
    return Trial(
        number=number,
        state=TrialState.FAILED if failed else TrialState.COMPLETED,
        attempt=1,
        hyperparameters=values,
        score=score,
        best_epoch=None if failed else epochs,
        metrics={} if failed else {problem.objective.metric: score},
        parameters=None,
        error={"code": "non_finite_objective", "message": ""} if failed else None,
        create_time=NOW,
        start_time=NOW,
        end_time=NOW,
        effort=effort,
        last_epoch=epochs,
    )


def keras_tuners(kind: type[keras_tuner.Oracle], **options: Any) -> Search:
    """One of Keras Tuner's oracles, asked and told as its own tuner does."""

    def search(problem: Problem, seed: int, budget: int) -> list[Step]:
        steps: list[Step] = []
        spent = 0
        # What sklearn checks in every call changes no number and takes two thirds of the time.
        unchecked = patch("sklearn.gaussian_process._gpr.validate_data", _as_they_are)
        with TemporaryDirectory(prefix="tns-bench-") as folder, unchecked, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            oracle = keras_tuners_oracle(kind, problem, seed, folder, **options)
            while spent < budget * EPOCHS:
                trial = oracle.create_trial("one")
                if trial.status != "RUNNING":
                    break
                values = trial.hyperparameters.values
                epochs = values.get("tuner/epochs", EPOCHS)
                own = {name: value for name, value in values.items() if not name.startswith("tuner/")}
                score = problem.evaluate(own, epochs)
                tell_keras_tuner(oracle, trial, score)
                spent += epochs - values.get("tuner/initial_epoch", 0)
                steps.append((spent / EPOCHS, score))
        return steps

    return search


def _as_they_are(estimator: Any, x: Any, y: Any = None, **_: Any) -> Any:
    return x if y is None else (x, y)


def keras_tuners_oracle(
    kind: type[keras_tuner.Oracle], problem: Problem, seed: int, folder: str, **options: Any
) -> keras_tuner.Oracle:
    direction = {"minimize": "min", "maximize": "max"}[problem.objective.direction]
    oracle = kind(
        objective=keras_tuner.Objective(problem.objective.metric, direction),
        hyperparameters=hyperparameters(problem.space),
        # It takes 0 for no seed, and adds 1 for every number that it draws: searches of neighbouring seeds
        # would try the same configurations, one place on.
        seed=1 + SEED_STRIDE * seed,
        # Three in a row would end its search.
        max_consecutive_failed_trials=MANY_TRIALS,
        **options,
    )
    oracle.verbose = 0
    oracle._set_project_dir(folder, "search")
    return oracle


def tell_keras_tuner(oracle: keras_tuner.Oracle, trial: Any, score: float | None) -> None:
    if score is not None:
        oracle.update_trial(trial.trial_id, {oracle.objective.name: score})
    trial.status = "FAILED" if score is None else "COMPLETED"
    oracle.end_trial(trial)


def optunas(sampler: Callable[[int], optuna.samplers.BaseSampler]) -> Search:
    """A study of Optuna's, asked and told."""

    def search(problem: Problem, seed: int, budget: int) -> list[Step]:
        study = optunas_study(sampler(seed), problem)
        steps: list[Step] = []
        for number in range(1, budget + 1):
            trial = study.ask()
            score = problem.evaluate(optunas_values(trial, problem), EPOCHS)
            study.tell(trial, score, None if score is not None else optuna.trial.TrialState.FAIL)
            steps.append((float(number), score))
        return steps

    return search


def optunas_study(sampler: optuna.samplers.BaseSampler, problem: Problem) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=sampler, direction=problem.objective.direction)


def optunas_values(trial: optuna.Trial, problem: Problem) -> dict[str, Value]:
    return {one.name: _optunas_value(trial, one) for one in problem.space}


def _optunas_value(trial: optuna.Trial, one: Hyperparameter) -> Value:
    given = one.distribution
    if isinstance(given, Choice):
        chosen: Value = trial.suggest_categorical(one.name, list(given.values))
        return chosen
    assert isinstance(given, FloatRange)
    if given.step is None:
        return trial.suggest_float(one.name, given.min, given.max, log=given.sampling == "log")
    # It has no steps on a logarithmic range: the number of the step is as good.
    return given.grid_values()[trial.suggest_int(one.name, 0, given.steps() - 1)]


def _quiet_cmaes(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


OURS = {name: ours(name) for name in ("random", "bayesian", "tpe", "cmaes", "hyperband")}
RANDOM, BAYESIAN, HYPERBAND = "Keras Tuner random", "Keras Tuner bayesian", "Keras Tuner hyperband"
TPE, CMAES = "Optuna tpe", "Optuna cmaes"
THEIRS = {
    RANDOM: keras_tuners(keras_tuner.oracles.RandomSearchOracle, max_trials=MANY_TRIALS),
    TPE: optunas(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    CMAES: optunas(_quiet_cmaes),
    HYPERBAND: keras_tuners(
        keras_tuner.oracles.HyperbandOracle, max_epochs=EPOCHS, hyperband_iterations=MANY_TRIALS
    ),
    BAYESIAN: keras_tuners(keras_tuner.oracles.BayesianOptimizationOracle, max_trials=MANY_TRIALS),
}
ORIGINALS = {"random": RANDOM, "bayesian": BAYESIAN, "tpe": TPE, "cmaes": CMAES, "hyperband": HYPERBAND}
# They choose epochs: only where there are some.
OF_EPOCHS = ("hyperband", HYPERBAND)
