"""How near a search comes to the best value: ours beside Keras Tuner's and Optuna's at equal trials.

The claims: none of our algorithms is worse than what it is made from, and the default is better than Keras
Tuner's Bayesian search. On four published test functions and on a table of real trainings (`cnn_table`), 20
seeds, one trial at a time, 50 trials; hyperband on the table only, with the epochs of 50 trials. Every
original is driven through its own interface with its own defaults, over the same space.

Prints the regret, the distance of the best value so far from the best there is (median and quartiles of the
seeds), after 10, 25 and 50 trials; then for each pair the medians after 50 and one-sided p-values of the
Mann-Whitney U test (1947): that ours is worse, and that it is better.

Keras Tuner's Bayesian search takes a quarter of an hour. So runs are kept in a file, and taken from it when
neither the algorithm nor the problem has changed since.
"""

import argparse
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path

# Before NumPy is there: the matrices are small, and threads that wait for each other take longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import mannwhitneyu

from benchmarks.cnn_table import EPOCHS
from benchmarks.contenders import (
    BAYESIAN,
    OF_EPOCHS,
    ORIGINALS,
    OURS,
    SEED_STRIDE,
    THEIRS,
    Step,
    random_values,
)
from benchmarks.problems import Problem, problems
from schemas.search import DEFAULT

TRIALS = (10, 25, 50)
SEEDS, FEW_SEEDS = 20, 5
# A p-value below this says that there is a difference.
LEVEL = 0.05
# Values of a problem that tell it from others.
DRAWN = 200

ROOT = Path(__file__).parent.parent
# (problem, contender): the steps of each seed.
Runs = dict[tuple[str, str], list[list[Step]]]


def edition(contender: str, problem: Problem) -> str:
    """Changes when the contender or the problem does."""
    return f"{_contender_edition(contender)} {_problem_edition(problem)}"


@cache
def _contender_edition(contender: str) -> str:
    packages = [f"{name} {version(name)}" for name in ("keras-tuner", "optuna", "scikit-learn")]
    packages.append(f"seeds {SEED_STRIDE}")
    own = sorted((ROOT / "tuning" / "oracles").rglob("*.py")) if contender in OURS else []
    return _digest([*(text.encode() for text in packages), *(source.read_bytes() for source in own)])


@cache
def _problem_edition(problem: Problem) -> str:
    """From many of its values, so that what its code looks like does not matter."""
    drawn = [random_values(problem, number) for number in range(DRAWN)]
    known = [(values, problem.evaluate(values, EPOCHS)) for values in drawn]
    return _digest([json.dumps(known).encode()])


def _digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


class Cache:
    """A file of runs, a line of JSON for each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.known = {tuple(key): steps for key, steps in map(json.loads, lines)}

    def run(self, problem: Problem, contender: str, seed: int) -> list[Step]:
        key = (problem.name, contender, edition(contender, problem), seed)
        if key not in self.known:
            search = {**OURS, **THEIRS}[contender]
            self.known[key] = search(problem, seed, max(TRIALS))
            with self.file.open("a") as stream:
                stream.write(json.dumps([key, self.known[key]]) + "\n")
        steps: list[Step] = self.known[key]
        return steps


def pairs(some: list[Problem], contenders: list[str]) -> Iterator[tuple[Problem, str]]:
    for problem, contender in product(some, contenders):
        if problem.has_epochs or contender not in OF_EPOCHS:
            yield problem, contender


def regret(problem: Problem, steps: list[Step], trials: int) -> float:
    """After the work of so many full trials; infinite before the first score."""
    seen = [problem.regret(score) for spent, score in steps if score is not None and spent <= trials + 1e-9]
    return min(seen, default=float("inf"))


def regrets(problem: Problem, runs: list[list[Step]], trials: int = max(TRIALS)) -> list[float]:
    return [regret(problem, steps, trials) for steps in runs]


def print_regrets(some: list[Problem], runs: Runs) -> None:
    heads = "".join(f"{f'{trials} trials':>33}" for trials in TRIALS)
    print(f"\n{'regret: median (quartiles)':<36}{heads}")
    for problem in some:
        print(f"{problem.name}: {problem.source}; best {problem.optimum:g}")
        for contender in [name for name in (*OURS, *THEIRS) if (problem.name, name) in runs]:
            cells = (regrets(problem, runs[problem.name, contender], trials) for trials in TRIALS)
            print(f"    {contender:<32}" + "".join(_cell(values) for values in cells))


def _cell(values: list[float]) -> str:
    low, middle, high = quartiles(values)
    return f"{f'{middle:.3g} ({low:.3g} to {high:.3g})':>33}"


def quartiles(values: list[float]) -> list[float]:
    """Without interpolation: some may be infinite."""
    found: list[float] = np.quantile(values, [0.25, 0.5, 0.75], method="closest_observation").tolist()
    return found


def print_comparison(title: str, versus: Mapping[str, str], some: list[Problem], runs: Runs) -> None:
    if not {name for _, name in runs} & set(versus.values()):
        return
    print(f"\n{title}, after {max(TRIALS)} trials")
    head = f"{'ours':<10} {'theirs':<22} {'problem':<12} {'ours':>10} {'theirs':>10}"
    print(f"{head} {'p worse':>8} {'p better':>8}  verdict")
    for (mine, theirs), problem in product(versus.items(), some):
        if (problem.name, mine) in runs and (problem.name, theirs) in runs:
            a, b = (regrets(problem, runs[problem.name, name]) for name in (mine, theirs))
            worse, better = (mannwhitneyu(a, b, alternative=way).pvalue for way in ("greater", "less"))
            medians = f"{quartiles(a)[1]:>10.3g} {quartiles(b)[1]:>10.3g}"
            line = f"{mine:<10} {theirs:<22} {problem.name:<12} {medians} {worse:>8.3f} {better:>8.3f}"
            print(f"{line}  {_verdict(worse, better)}")


def _verdict(worse: float, better: float) -> str:
    return "WORSE" if worse < LEVEL else "better" if better < LEVEL else "not worse"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{FEW_SEEDS} seeds")
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--only", nargs="*", default=[*OURS, *THEIRS], help="contenders")
    parser.add_argument("--problems", nargs="*", default=None)
    default = Path(tempfile.gettempdir()) / "tuneserve-bench-search.jsonl"
    parser.add_argument("--cache", type=Path, default=default, help="the file in which runs are kept")
    given = parser.parse_args()
    seeds = given.seeds or (FEW_SEEDS if given.quick else SEEDS)
    some = [one for one in problems() if given.problems is None or one.name in given.problems]
    cached = Cache(given.cache)
    runs: Runs = {(problem.name, name): [] for problem, name in pairs(some, given.only)}
    # Seed by seed, so that what is stopped has as many of each.
    for seed, (problem, contender) in product(range(seeds), pairs(some, given.only)):
        runs[problem.name, contender].append(cached.run(problem, contender, seed))
    print(f"{seeds} seeds")
    print_regrets(some, runs)
    print_comparison("Ours beside what it is made from", ORIGINALS, some, runs)
    print_comparison("The default beside Keras Tuner's Bayesian search", {DEFAULT: BAYESIAN}, some, runs)
    print_comparison("All of ours beside it", dict.fromkeys(OURS, BAYESIAN), some, runs)


if __name__ == "__main__":
    main()
