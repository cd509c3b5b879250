"""Searches of many kinds, as charts see them: made without a database."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from schemas.charts import Point, Rows, Tried
from schemas.objective import Objective
from schemas.specs import load_spec
from schemas.states import TrialState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEAST: dict[str, Any] = {
    "dataset": "builtin:digits",
    "model": {"family": "cnn"},
    "budget": {"max_trials": 1000},
}
ACCURACY = Objective("val_accuracy", "maximize", None)
LOSS = Objective("val_loss", "minimize", None)
RATE = {"type": "float", "min": 1e-5, "max": 1e-1, "sampling": "log"}
OPEN: dict[str, Any] = {
    "model": {
        "family": "cnn",
        "filters": {"type": "int", "min": 8, "max": 128, "sampling": "log"},
        "blocks": {"type": "int", "min": 1, "max": 3},
        "dropout": {"type": "float", "min": 0.0, "max": 0.6, "step": 0.1},
        "batch_norm": {"type": "boolean"},
    },
    "training": {
        "learning_rate": RATE,
        "optimizer": {"type": "choice", "values": ["adam", "sgd", "rmsprop"]},
        "momentum": {"type": "float", "min": 0.0, "max": 0.99, "when": {"training.optimizer": ["sgd"]}},
        "epochs": 12,
    },
}


SPACE = load_spec({**LEAST, **OPEN}).space


def rows(trials: list[Tried], objective: Objective = ACCURACY, points: Any = None) -> Rows:
    return Rows(objective, SPACE, trials, NOW, points or {})


def drawn_values(random: Random) -> dict[str, Any]:
    """One configuration of the space, by its samplings."""
    values: dict[str, Any] = {}
    for one in SPACE:
        if not one.is_active(values):
            continue
        given = one.distribution
        if given.count() is not None:
            values[one.name] = random.choice(given.grid_values())
        else:
            values[one.name] = given.at(random.random())  # type: ignore[attr-defined]
    return values


def score_of(values: Mapping[str, Any], random: Random) -> float:
    """A rate of 0.001 is best, more filters are better, the rest is noise."""
    rate = math.log10(values.get("training.learning_rate", 1e-3)) + 3
    width = math.log2(values.get("model.filters", 32)) / 7
    return round(0.97 - 0.09 * rate**2 - 0.05 * (1 - width) + random.gauss(0, 0.006), 4)


def curve_of(score: float, epochs: int, random: Random) -> list[Point]:
    return [
        Point(epoch, round(score * (1 - 0.6 * math.exp(-epoch / 3)) + random.gauss(0, 0.004), 4))
        for epoch in range(1, epochs + 1)
    ]


def at(seconds: float) -> datetime:
    return NOW - timedelta(hours=1) + timedelta(seconds=seconds)


def tried(number: int, score: float | None = 0.9, **changes: Any) -> Tried:
    """A completed trial, or a failed one without a score; eight seconds, four at once."""
    begin = 8.0 * (number // 4) + number % 4
    ended = Tried(
        number,
        TrialState.COMPLETED if score is not None else TrialState.FAILED,
        {"training.learning_rate": 1e-3},
        score=score,
        loss=None if score is None else round(1 - score, 4),
        best_epoch=None if score is None else 9,
        last_epoch=None if score is None else 12,
        error=None if score is not None else "non_finite_objective",
        worker="machine-17",
        start_time=at(begin),
        end_time=at(begin + 7 + number % 2),
    )
    return replace(ended, **changes)


def search(count: int = 30, objective: Objective = ACCURACY, epochs: int = 12) -> Rows:
    """A search of a mixed space, with a few failures."""
    random = Random(7)
    found: list[Tried] = []
    points = {}
    for number in range(count):
        values = drawn_values(random)
        score = score_of(values, random)
        if objective.direction == "minimize":
            score = 1.05 - score
        failed = number % 11 == 10
        states = {"state": TrialState.STOPPED} if number % 7 == 3 and not failed else {}
        found.append(tried(number, None if failed else score, hyperparameters=values, **states))
        points[number] = curve_of(score, epochs, random)
    return rows(found, objective, points)


def running() -> Rows:
    some = search(14)
    active = [
        tried(
            14 + place,
            None,
            state=TrialState.RUNNING,
            error=None,
            hyperparameters=drawn_values(Random(place)),
        )
        for place in range(3)
    ]
    active = [
        replace(one, start_time=NOW - timedelta(minutes=30 * one.number / 16), end_time=None)
        for one in active
    ]
    waiting = replace(active[0], number=17, state=TrialState.PENDING, start_time=None, worker=None)
    points = {**some.points, **{one.number: curve_of(0.8, 3, Random(one.number)) for one in active}}
    return replace(some, trials=[*some.trials, *active, waiting], points=points)


def cross_validated() -> Rows:
    some = search(8)
    points = {
        number: [replace(point, folds=3 if point.epoch < 9 else 2) for point in found]
        for number, found in some.points.items()
    }
    return replace(some, points=points)


def staged() -> Rows:
    """Nine configurations of two epochs, three of which go on to six, one to twelve."""
    random = Random(3)
    found: list[Tried] = []
    points = {}
    for number in range(13):
        stage = {"iteration": 0, "bracket": 1, "round": 0}
        values = drawn_values(random)
        parent, epochs = None, range(1, 3)
        if number in (9, 10, 11):
            parent, epochs = number - 9, range(3, 7)
        if number == 12:
            parent, epochs = 10, range(7, 13)
        if parent is not None:
            values = dict(found[parent].hyperparameters)
        score = 0.5 + 0.03 * epochs[-1] + random.random() / 20
        points[number] = [Point(epoch, 0.5 + 0.03 * epoch) for epoch in epochs]
        ends = {"best_epoch": epochs[-1], "last_epoch": epochs[-1]}
        found.append(tried(number, score, hyperparameters=values, stage=stage, parent=parent, **ends))
    return rows(found, points=points)


def range_test() -> Rows:
    only = tried(0, None, state=TrialState.COMPLETED, error=None, stage={"name": "lr_range_test"})
    return rows([replace(only, stage={"name": "range_test"})])


def one_category() -> Rows:
    some = search(12)
    same = [
        replace(one, hyperparameters={**one.hyperparameters, "training.optimizer": "adam"})
        for one in some.trials
    ]
    return replace(some, trials=same)


def constant() -> Rows:
    some = search(12)
    return replace(some, trials=[replace(one, score=0.5, state=TrialState.COMPLETED) for one in some.trials])


def reused() -> Rows:
    some = search(12)
    taken: dict[str, Any] = {"reused": {"job": "job_01abc", "trial": 4}, "worker": None}
    found = [
        replace(one, **taken, state=TrialState.COMPLETED, score=0.9, error=None, end_time=one.start_time)
        if one.number in (0, 1, 5)
        else one
        for one in some.trials
    ]
    return replace(some, trials=found)


def not_finite() -> Rows:
    some = search(6)
    broken = {number: [Point(1, math.nan), Point(2, None), Point(3, 0.7)] for number in some.points}
    return replace(some, points=broken)


def hostile() -> Rows:
    """Names and values that would be read as something else, were they put anywhere but into data."""
    space = load_spec({**LEAST, "model": {"family": "cnn"}, "training": {"optimizer": CHOICE}}).space
    one = next(iter(space))
    named = replace(one, name="a[0].b\\.c\"'</script><img src=x>${datum}")
    values = list(CHOICE["values"])
    found = [
        tried(number, 0.5 + number / 50, hyperparameters={named.name: values[number % 3]}, worker="w'\"\\")
        for number in range(12)
    ]
    return Rows(ACCURACY, replace(space, hyperparameters=(named,)), found, NOW, {0: [Point(1, 0.5)]})


CHOICE = {"type": "choice", "values": ["adam", "sgd", "rmsprop"]}

SEARCHES: dict[str, Callable[[], Rows]] = {
    "no trials": lambda: rows([]),
    "waiting": lambda: rows(
        [tried(0, None, state=TrialState.PENDING, error=None, start_time=None, end_time=None)]
    ),
    "running": running,
    "one trial": lambda: replace(search(1), points={0: [Point(1, 0.5)]}),
    "failed only": lambda: rows([tried(number, None) for number in range(4)]),
    "mixed": search,
    "a loss, with a target": lambda: search(20, Objective("val_loss", "minimize", 0.08)),
    "cross-validated": cross_validated,
    "staged": staged,
    "range test": range_test,
    "one category": one_category,
    "constant": constant,
    "reused": reused,
    "not finite": not_finite,
    "hostile": hostile,
    "nothing open": lambda: replace(search(6), space=load_spec(LEAST).space),
    "large": lambda: search(1000, epochs=3),
}
