"""Trials as a table for spreadsheets: the artefact `trials.csv`, and what the API gives as text/csv."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.trials import Trial

MEDIA_TYPE = "text/csv"

_FIXED = ("number", "state", "attempt", "score", "deviation", "best_epoch", "parameters", "seconds")
# What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Columns:
    """Names of hyperparameters and metrics, each sorted."""

    hyperparameters: Sequence[str]
    metrics: Sequence[str]

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> "Columns":
        """Those of any of the trials."""
        hyperparameters: set[str] = set()
        metrics: set[str] = set()
        for trial in trials:
            hyperparameters.update(trial.hyperparameters)
            metrics.update(trial.metrics)
        return cls(sorted(hyperparameters), sorted(metrics))


def header(columns: Columns) -> str:
    """The first line."""
    return _lines([[*_FIXED, *columns.hyperparameters, *columns.metrics, "error"]])


def body(trials: Iterable[Trial], columns: Columns) -> str:
    """One line a trial."""
    return _lines(_cells(trial, columns) for trial in trials)


def _cells(trial: Trial, columns: Columns) -> Iterator[Any]:
    for name in _FIXED:
        yield getattr(trial, name)
    for name in columns.hyperparameters:
        yield trial.hyperparameters.get(name)
    for name in columns.metrics:
        yield trial.metrics.get(name)
    yield trial.error["code"] if trial.error else None


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: Any) -> Any:
    """Names and choices are the client's: what a spreadsheet would compute gets an apostrophe before it.

    Numbers stay numbers, negative ones too.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
