"""Reports of runs, for the tests of what is made from them."""

from __future__ import annotations

from typing import Any

from tuneserve import Client, Job
from tuneserve.cli.gates import Gate, Judged
from tuneserve.cli.report import Report

BEST = {
    "job": "job_1",
    "trial": 3,
    "epoch": 7,
    "score": 0.98,
    "hyperparameters": {"training.learning_rate": 0.00093, "model.dropout": 0.4},
    "validation": {"loss": 0.07, "accuracy": 0.98},
    "test": {"loss": 0.09, "accuracy": 0.976},
    "model": {"parameters": 12_000, "bytes": 200_000, "prediction_seconds": 0.004},
    "refit": True,
    "artifacts": ["model.keras"],
}


def made_job(state: str = "succeeded", **changes: Any) -> Job:
    document = {
        "id": "job_1",
        "name": "letters",
        "state": state,
        "spec": {"name": "letters", "objective": {"metric": "val_accuracy"}},
        "spec_digest": "sha256:aa",
        "dataset_digest": "sha256:bb",
        "progress": {"max_trials": 10, "completed": 4, "epochs": 40, "elapsed_seconds": 93.1},
    }
    return Job(Client("http://127.0.0.1:9"), {**document, **changes})


def judged(gate: Gate, actual: float | None, reason: str | None = None) -> Judged:
    return Judged(gate, actual, actual is not None and gate.is_met(actual), reason)


def made_report(**changes: Any) -> Report:
    """Of a job that succeeded and met both of its gates."""
    gates = [Gate("val_accuracy", "min", 0.97), Gate("parameters", "max", 2e6)]
    report = Report(
        job=made_job(),
        gates=gates,
        judged=[judged(gates[0], 0.98), judged(gates[1], 12_000)],
        best_document=BEST,
        scores=[0.9, None, 0.98, 0.95],
        seconds=95.0,
    )
    for name, value in changes.items():
        setattr(report, name, value)
    return report
