"""Trials as a table of pandas."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tuneserve.errors import MissingExtra

if TYPE_CHECKING:
    from pandas import DataFrame

    from tuneserve.trials import Trial

COUNTS = ("number", "best_epoch", "parameters")
"""Whole numbers, of which some may be missing."""


def trials_frame(trials: "Iterable[Trial]") -> "DataFrame":
    """One row a trial, in the order given.

    Columns: `number`, `state`, `score`, `best_epoch`, `parameters`, `seconds` (from start to end), each
    hyperparameter by its name, the metrics of the best epoch (of the folds' best epochs the means), and
    `error` (the code). What a trial does not have is missing.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise MissingExtra("pandas", "a data frame") from None

    listed = list(trials)
    rows = [_row(trial) for trial in listed]
    frame = pandas.DataFrame(rows, columns=_columns(listed))
    return frame.astype(dict.fromkeys(COUNTS, "Int64")).astype({"score": "float64", "seconds": "float64"})


def _row(trial: "Trial") -> dict[str, Any]:
    return {
        **_metrics(trial),
        **trial.hyperparameters,
        "number": trial.number,
        "state": trial.state,
        "score": trial.score,
        "best_epoch": trial.best_epoch,
        "parameters": trial.parameters,
        "seconds": _seconds(trial),
        "error": trial.error.code if trial.error else None,
    }


def _columns(trials: "list[Trial]") -> list[str]:
    """Each once, hyperparameters and metrics in the order in which they are first met."""
    names = ["number", "state", "score", "best_epoch", "parameters", "seconds"]
    names += [name for trial in trials for name in trial.hyperparameters]
    names += [name for trial in trials for name in _metrics(trial)]
    return [*dict.fromkeys(name for name in names if name != "error"), "error"]


def _metrics(trial: "Trial") -> Mapping[str, float | None]:
    if trial.folds:
        return _means([fold.metrics for fold in trial.folds])
    at_best = (epoch.metrics for epoch in trial.epochs if epoch.epoch == trial.best_epoch)
    return next(at_best, {})


def _means(found: list[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The mean of each metric that all folds have."""
    means: dict[str, float | None] = {}
    for name in found[0]:
        values = [value for metrics in found if (value := metrics.get(name)) is not None]
        means[name] = sum(values) / len(values) if len(values) == len(found) else None
    return means


def _seconds(trial: "Trial") -> float | None:
    if trial.start_time is None or trial.end_time is None:
        return None
    return (trial.end_time - trial.start_time).total_seconds()
