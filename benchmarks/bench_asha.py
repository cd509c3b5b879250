"""Epochs that random search saves by the stopping rule `asha`.

The claim: the best score of a plain search of 60 trials is reached within a third of its epochs. Both draw
the same configurations in the same order, 20 seeds. Replayed on the tables of real trainings (`cnn_table`),
of 9 and of 27 epochs: several workers, each an epoch at a time, the rule asked after every epoch as a trial
that runs asks it. Where the rule has ended the very trial that was the best, the search with it goes on until
another is as good. With a factor of 3 it cannot take less than 0.26 of 9 epochs a trial, and 0.11 of 27.

Prints the median of that share; and of the harder one, which holds the epochs against those that the plain
search took until its best trial had ended, with quartiles; how many trials the search with the rule had begun
by then; and what the rule saves, and loses in accuracy, when 60 trials are all there are. With ``--real``
once in earnest: two jobs of a running service, on MNIST images.
"""

import argparse
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import islice, product
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks import cnn_table
from benchmarks.cnn_table import Curve, Grid
from benchmarks.running import service
from schemas.stopping import Stopping, StoppingSchema
from schemas.trials import Epoch
from tuneserve import Client
from tuneserve.jobs import Job
from tuning import oracles, stopping

TRIALS, SEEDS, WORKERS = 60, 20, (2, 4)
OBJECTIVE = cnn_table.spec().objective
# Of a real job; a search with the rule goes on for longer, until it has found what it is to find.
REAL_TRIALS, REAL_EPOCHS, LONGER = 30, 27, 3


@dataclass
class Training:
    """A trial that is replayed: its whole curve, and how far it has come."""

    curve: Curve
    trained: int = 0
    is_over: bool = False

    @cached_property
    def whole(self) -> list[Epoch]:
        values = enumerate(self.curve.val_accuracy, start=1)
        return [Epoch(number, 1.0, 0.0, {"val_accuracy": value}) for number, value in values]

    @property
    def epochs(self) -> list[Epoch]:
        return self.whole[: self.trained]

    @property
    def score(self) -> float:
        """The best so far."""
        return max(self.curve.val_accuracy[: self.trained], default=0.0)

    def step(self) -> None:
        self.trained += 1
        self.is_over = self.trained == len(self.curve.val_accuracy)


def configurations(grid: Grid, seed: int) -> list[Curve]:
    """The curves of what random search tries, in order, to the last; it learns nothing from the scores."""
    curves = cnn_table.load(grid)
    search, budget = {"algorithm": "random"}, {"max_trials": len(curves)}
    oracle = oracles.rebuild(cnn_table.spec(grid, seed=seed, search=search, budget=budget), ())
    return [curves[cnn_table.key(oracle.suggest().values)] for _ in curves]


def replay(
    grid: Grid, rule: Stopping, given: Iterable[Curve], workers: int, target: float = math.inf
) -> list[Training]:
    """The trials as they are when one has reached the ``target``, or all have ended."""
    waiting = iter(given)
    begun: list[Training] = []
    running: list[Training] = []
    while True:
        running = [one for one in running if not one.is_over]
        fresh = [Training(curve) for curve in islice(waiting, workers - len(running))]
        begun, running = [*begun, *fresh], [*running, *fresh]
        if not running:
            return begun
        for training in running:
            training.step()
            if training.score >= target:
                return begun
            training.is_over |= stops(grid, rule, training, begun)


def stops(grid: Grid, rule: Stopping, training: Training, begun: list[Training]) -> bool:
    others = [stopping.Curve(one.epochs, one.is_over) for one in begun if one is not training and one.trained]
    return stopping.should_stop(rule, OBJECTIVE, training.epochs, others, grid.epochs)


def epochs(trainings: Iterable[Training]) -> int:
    return sum(one.trained for one in trainings)


def rule(name: str) -> Stopping:
    loaded: Stopping = StoppingSchema().load({"rule": name})
    return loaded


@dataclass(frozen=True)
class Comparison:
    """
    Args:
        of_all: the epochs until the plain search's best score with the rule, over all epochs of the plain
            search.
        ratio: the same over the epochs that the plain search took until that score: it did not know that
            it was its best, and went on.
        begun: trials that the search with the rule had begun by then.
        saved: the share of the epochs of all trials that the rule saves, when there are no more of them.
        lost: the accuracy that this costs.
    """

    of_all: float
    ratio: float
    begun: int
    saved: float
    lost: float


def compare(grid: Grid, seed: int, workers: int) -> Comparison:
    """Infinite when the search with the rule never gets there."""
    curves = configurations(grid, seed)
    whole = replay(grid, rule("none"), curves[:TRIALS], workers)
    best = max(one.score for one in whole)
    plain = replay(grid, rule("none"), curves[:TRIALS], workers, best)
    halved = replay(grid, rule("asha"), curves, workers, best)
    all_halved = replay(grid, rule("asha"), curves[:TRIALS], workers)
    got_there = max(one.score for one in halved) >= best
    return Comparison(
        epochs(halved) / epochs(whole) if got_there else math.inf,
        epochs(halved) / epochs(plain) if got_there else math.inf,
        len(halved),
        1 - epochs(all_halved) / epochs(whole),
        best - max(one.score for one in all_halved),
    )


def replayed(seeds: int) -> None:
    ratio = f"{'of all epochs':>14} {'until the best':>15} {'quartiles':>14}"
    heads = f"{ratio} {'trials':>7} {'saved of all':>12} {'lost':>8}"
    print(f"{'epochs':>6} {'workers':>7} {heads}")
    made = [grid for grid in cnn_table.GRIDS.values() if grid.file.exists()]
    for grid, workers in product(made, WORKERS):
        found = [compare(grid, seed, workers) for seed in range(seeds)]
        # Without interpolation: some may be infinite.
        ratios = np.quantile([one.ratio for one in found], [0.25, 0.75], method="closest_observation")
        cells = f"{median(one.of_all for one in found):>14.3f} {median(one.ratio for one in found):>15.3f}"
        cells += f" {f'{ratios[0]:.3f} to {ratios[1]:.3f}':>14}"
        whole = f"{mean(one.saved for one in found):>12.0%} {mean(one.lost for one in found):>8.4f}"
        print(
            f"{grid.epochs:>6} {workers:>7} {cells} {median(one.begun for one in found):>7.0f} {whole}",
            flush=True,
        )


def document(dataset: str, name: str, trials: int) -> dict[str, Any]:
    return {
        "name": f"bench-asha-{name}",
        "dataset": dataset,
        "split": {"validation": 0.4, "test": 0},
        "model": {
            "family": "cnn",
            "filters": {"type": "choice", "values": [8, 16, 32]},
            "kernel_size": {"type": "choice", "values": [3, 5]},
            "dense_units": 64,
            "dropout": {"type": "float", "min": 0.0, "max": 0.6},
        },
        "training": {
            "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
            "learning_rate": {"type": "float", "min": 1e-4, "max": 0.1, "sampling": "log"},
            "momentum": 0.9,
            "batch_size": {"type": "choice", "values": [32, 128]},
            "epochs": REAL_EPOCHS,
        },
        "search": {"algorithm": "random", "stopping": {"rule": name}},
        "budget": {"max_trials": trials},
        "result": {"refit": False},
    }


def upload(client: Client) -> str:
    """The images of the table."""
    arrays = cnn_table.images()
    return client.datasets.upload(arrays.x, arrays.y, name="mnist").id


def ends(job: Job) -> Iterator[tuple[Any, float]]:
    """(when, validation accuracy) of every epoch of a job: a trial's epochs end one after the other."""
    for trial in job.trials():
        seen = job.trial(trial.number)
        if seen.start_time is None or seen.end_time is None:
            continue
        # The work before the first epoch is told from the end: what comes after the last is little.
        now = seen.end_time - timedelta(seconds=sum(one.seconds or 0.0 for one in seen.epochs))
        for one in seen.epochs:
            now += timedelta(seconds=one.seconds or 0.0)
            yield now, one.metrics["val_accuracy"] or 0.0


def until(job: Job, score: float) -> int | None:
    """The epochs that a job had trained when it reached the score."""
    scores = [accuracy for _, accuracy in sorted(ends(job))]
    return next((number for number, one in enumerate(scores, start=1) if one >= score), None)


def really() -> None:
    with service() as running:
        dataset = upload(running.client)
        plain = running.client.jobs.create(document(dataset, "none", REAL_TRIALS))
        plain.wait(timeout=3600, progress=False)
        best = max(accuracy for _, accuracy in ends(plain))
        # It ends when it has found as good a one: what it is asked for here.
        longer = document(dataset, "asha", LONGER * REAL_TRIALS)
        halved = running.client.jobs.create({**longer, "objective": {"target": best}})
        halved.wait(timeout=3600, progress=False)
        before, after = until(plain, best), until(halved, best)
        print(f"plain, {REAL_TRIALS} trials of {REAL_EPOCHS} epochs: best {best:.4f} after {before} epochs")
        if after is None or before is None:
            reached = max(accuracy for _, accuracy in ends(halved))
            total = len(list(ends(halved)))
            print(f"with asha: only {reached:.4f}, in {total} epochs of {LONGER * REAL_TRIALS} trials")
        else:
            whole = after / (REAL_TRIALS * REAL_EPOCHS)
            print(f"with asha: after {after}, {after / before:.2f} of those and {whole:.2f} of all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--real", action="store_true", help="train, in a service of its own (minutes)")
    given = parser.parse_args()
    if given.real:
        really()
    else:
        replayed(given.seeds)


if __name__ == "__main__":
    main()
