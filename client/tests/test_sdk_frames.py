"""Trials as a table of pandas."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

from tuneserve import MissingExtra, Trial
from tuneserve.frames import trials_frame


def trial(number: int, **changes: Any) -> Trial:
    return Trial.parse({"number": number, "state": "completed", **changes})


def epoch(epoch: int, **metrics: float) -> dict[str, Any]:
    return {"epoch": epoch, "metrics": metrics}


FULL = trial(
    0,
    hyperparameters={"training.learning_rate": 0.01, "training.optimizer": "sgd"},
    score=0.9,
    best_epoch=2,
    parameters=1234,
    epochs=[epoch(1, accuracy=0.5, loss=2.0), epoch(2, accuracy=0.9, loss=1.0), epoch(3, accuracy=0.8)],
    start_time="2026-01-02T03:04:05Z",
    end_time="2026-01-02T03:05:06.5Z",
)  # fmt: skip


def test_one_row_a_trial() -> None:
    failed = trial(
        1,
        state="failed",
        hyperparameters={"training.optimizer": "adam", "training.momentum": 0.9},
        error={"code": "out_of_memory", "message": "too large"},
    )
    frame = trials_frame(iter([FULL, failed]))
    assert list(frame.columns) == [
        "number", "state", "score", "best_epoch", "parameters", "seconds", "training.learning_rate",
        "training.optimizer", "training.momentum", "accuracy", "loss", "error",
    ]  # fmt: skip
    first, second = frame.to_dict("records")
    assert first["seconds"] == 61.5
    assert (first["best_epoch"], first["parameters"]) == (2, 1234)
    assert (first["accuracy"], first["loss"]) == (0.9, 1.0)
    assert pd.isna(first["training.momentum"])
    assert pd.isna(first["error"])
    assert (second["number"], second["state"], second["error"]) == (1, "failed", "out_of_memory")
    assert second["training.optimizer"] == "adam"
    missing = ("score", "best_epoch", "parameters", "seconds", "accuracy")
    assert all(pd.isna(second[name]) for name in missing)
    kinds = frame.dtypes.astype(str)
    assert [kinds[name] for name in ("number", "best_epoch", "parameters")] == ["Int64"] * 3
    assert kinds["score"] == kinds["seconds"] == "float64"


def test_folds_are_told_by_their_mean() -> None:
    folds = [
        {"fold": 1, "best_epoch": 3, "metrics": {"val_accuracy": 0.8, "val_loss": 1.0}},
        {"fold": 2, "best_epoch": 5, "metrics": {"val_accuracy": 0.9, "val_loss": None}},
    ]
    (row,) = trials_frame([trial(0, folds=folds, epochs=[epoch(1, val_accuracy=0.1)])]).to_dict("records")
    assert row["val_accuracy"] == pytest.approx(0.85)
    assert pd.isna(row["val_loss"])


def test_no_trials_are_an_empty_table() -> None:
    frame = trials_frame([])
    assert len(frame) == 0
    assert list(frame.columns)[-1] == "error"
    assert frame["best_epoch"].dtype == "Int64"


def test_the_own_columns_win_over_values_of_the_same_name() -> None:
    odd = trial(
        3, hyperparameters={"state": "liquid", "error": 1}, best_epoch=1, epochs=[epoch(1, number=9.0)]
    )
    (row,) = trials_frame([odd]).to_dict("records")
    assert (row["number"], row["state"]) == (3, "completed")
    assert pd.isna(row["error"])


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match="a data frame needs more packages: pip install pandas"):
        trials_frame([FULL])


def test_large_packages_are_imported_late() -> None:
    modules = ", ".join(
        f"tuneserve.{name}" for name in ("datasets", "frames", "keras_layers", "models", "spaces")
    )
    script = f"import sys, {modules}; assert not {{'keras', 'numpy', 'pandas'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
