"""Milliseconds that the next configuration takes, beside Keras Tuner's Bayesian search and Optuna's TPE.

The claim: `tpe` takes less than 10 ms where 1,000 trials have finished, the rebuilding of its oracle from
them included; for a plan of several trials it is rebuilt once. Side by side in one run on Hartmann's function
of six floats (and where it says so on Func-2C, which mixes kinds), the trials before drawn at random.

Prints the median and the longest of several suggestions, the median of the processor's time (which tells what
it takes where others use the machine too), and for ours how much of it is the rebuilding. With one thread.
"""

import argparse
import gc
import os
import time
import warnings
from collections.abc import Callable, Sequence
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

# Before NumPy is there: the matrices are small, and threads that wait for each other take longer.
os.environ["OMP_NUM_THREADS"] = "1"

import keras_tuner
import optuna

from benchmarks.cnn_table import EPOCHS
from benchmarks.contenders import (
    MANY_TRIALS,
    ended,
    keras_tuners_oracle,
    optunas_study,
    optunas_values,
    random_values,
    tell_keras_tuner,
)
from benchmarks.problems import Problem, functions
from schemas.distributions import Value
from schemas.trials import Trial
from tuning import oracles

FINISHED = {
    "tpe": (45, 200, 1_000),
    "bayesian": (20, 50, 200),
    "cmaes": (200, 1_000),
    "random": (200, 1_000),
    "hyperband": (200, 1_000),
}
THEIRS_FINISHED, MANY_FINISHED = 45, 1_000


# Milliseconds, and those of the processor.
Times = tuple[float, float]


def timed(call: Callable[[], Any]) -> tuple[Any, Times]:
    began, ticks = time.perf_counter(), time.process_time()
    result = call()
    return result, (1000 * (time.perf_counter() - began), 1000 * (time.process_time() - ticks))


def row(
    name: str, problem: Problem, finished: int, times: Sequence[Times], rebuilding: Sequence[Times] = ()
) -> None:
    wall, ticks = zip(*times, strict=True)
    rebuilt = f"{median(one for _, one in rebuilding):>10.2f}" if rebuilding else ""
    cells = f"{finished:>8} {median(wall):>10.2f} {max(wall):>10.2f} {median(ticks):>10.2f} {rebuilt}"
    print(f"{name:<22} {problem.name:<10} {cells}", flush=True)


def drawn(problem: Problem, count: int) -> list[Trial]:
    """So many finished trials of a random search."""
    drawn = (random_values(problem, number) for number in range(count))
    return [
        ended(problem, number, values, problem.evaluate(values, EPOCHS))
        for number, values in enumerate(drawn)
    ]


def ours(algorithm: str, problem: Problem, finished: int, repeats: int) -> None:
    spec = problem.spec(algorithm, 0, 2 * finished)
    trials = drawn(problem, finished)
    whole, rebuilding = [], []
    for _ in range(repeats):
        gc.collect()
        rebuilding.append(timed(lambda: oracles.rebuild(spec, trials))[1])
        whole.append(timed(lambda: oracles.rebuild(spec, trials).suggest())[1])
    # What a process does only once is nobody's.
    row(f"ours: {algorithm}", problem, finished, whole[1:], rebuilding[1:])


def keras_tuners(problem: Problem, repeats: int) -> None:
    kind = keras_tuner.oracles.BayesianOptimizationOracle
    times = []
    with TemporaryDirectory(prefix="tns-bench-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Its first points are random, and cost nothing.
        oracle = keras_tuners_oracle(
            kind, problem, 0, folder, max_trials=MANY_TRIALS, num_initial_points=THEIRS_FINISHED
        )
        for number in range(THEIRS_FINISHED + repeats):
            trial, took = timed(lambda: oracle.create_trial("one"))
            if number >= THEIRS_FINISHED:
                times.append(took)
            tell_keras_tuner(oracle, trial, problem.evaluate(trial.hyperparameters.values, EPOCHS))
    row("Keras Tuner bayesian", problem, THEIRS_FINISHED, times)


def optunas(problem: Problem, finished: int, repeats: int) -> None:
    study = optunas_study(optuna.samplers.TPESampler(seed=0), problem)
    # It draws its first trials at random.
    startup = optunas_study(optuna.samplers.RandomSampler(seed=0), problem)
    for _ in range(finished):
        trial = startup.ask()
        startup.tell(trial, problem.evaluate(optunas_values(trial, problem), EPOCHS))
    study.add_trials(startup.trials)
    times = []
    for _ in range(repeats):
        (trial, values), took = timed(lambda: _asked(study, problem))
        times.append(took)
        study.tell(trial, problem.evaluate(values, EPOCHS))
    row("Optuna tpe", problem, finished, times[1:])


def _asked(study: optuna.Study, problem: Problem) -> tuple[optuna.Trial, dict[str, Value]]:
    trial = study.ask()
    return trial, optunas_values(trial, problem)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=21)
    repeats = parser.parse_args().repeats
    floats, mixed = (one for one in functions() if one.name in ("hartmann6", "func2c"))
    heads = f"{'median ms':>10} {'longest':>10} {'processor':>10} {'rebuilding':>10}"
    print(f"{'':<22} {'problem':<10} {'finished':>8} {heads}")
    for algorithm, counts in FINISHED.items():
        for finished in counts:
            ours(algorithm, floats, finished, repeats)
    ours("tpe", mixed, MANY_FINISHED, repeats)
    keras_tuners(floats, max(5, repeats // 4))
    optunas(floats, THEIRS_FINISHED, repeats)
    optunas(floats, MANY_FINISHED, repeats)
    optunas(mixed, MANY_FINISHED, repeats)


if __name__ == "__main__":
    main()
