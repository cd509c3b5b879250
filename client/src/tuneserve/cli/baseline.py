"""The baseline: an earlier job whose model the new one must not be worse than."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tuneserve.best import Best
from tuneserve.cli.context import fetched
from tuneserve.cli.gates import (
    FACTS,
    SCORE,
    Gate,
    GateError,
    Spec,
    check_tolerance,
    direction,
    objective,
    values_of,
)
from tuneserve.client import Client
from tuneserve.errors import Conflict
from tuneserve.jobs import MODEL_NAME, Job
from tuneserve.paths import api_path


@dataclass(frozen=True)
class Baseline:
    """A job that has a model, and what that model came to; `warnings` say why it may not be comparable.

    `has_same_objective` is whether its score is of the metric that the new job is judged by.
    """

    job: Job
    best: Best
    tolerance: float
    warnings: tuple[str, ...] = ()
    has_same_objective: bool = True

    @property
    def values(self) -> dict[str, float | None]:
        """By the names that gates have; a score of another metric is left out."""
        values = values_of(self.best)
        return values if self.has_same_objective else {**values, SCORE: None}

    def document(self, values: Mapping[str, float | None]) -> dict[str, Any]:
        """As `--json` has it; `values` are those of the new model, if there is one."""
        return {
            "job": self.job.id,
            "tolerance": self.tolerance,
            "warnings": list(self.warnings),
            "metrics": self.values,
            "deltas": self.deltas(values),
        }

    def deltas(self, values: Mapping[str, float | None]) -> dict[str, float]:
        """What the new model has more than the baseline, for each metric that both have."""
        both = {name: (values.get(name), known) for name, known in self.values.items()}
        return {
            name: new - known for name, (new, known) in both.items() if new is not None and known is not None
        }


def best_document(client: Client, job_id: str) -> dict[str, Any] | None:
    """`GET /v1/jobs/{id}/best` as it is; None for a job without a trial that has a score."""
    try:
        return fetched(client, api_path("jobs", job_id, "best"), "trial")
    except Conflict:
        return None


def has_model(best: Mapping[str, Any] | None) -> bool:
    """Whether the model is still there to be downloaded."""
    return best is not None and MODEL_NAME in (best.get("artifacts") or ())


def read_baseline(client: Client, job_id: str, tolerance: float, spec: Spec, digest: str | None) -> Baseline:
    """The baseline for a job of this resolved spec, on the data set with this digest.

    Raises:
        NotFound: There is no such job.
        GateError: It has no model.
    """
    job = client.jobs.get(job_id)
    document = best_document(client, job.id)
    if document is None or not has_model(document):
        raise GateError(f"The baseline {job.id} is {job.state} and has no model.")
    warnings = tuple(_differences(job, spec, digest))
    is_same = objective(job.spec) == objective(spec)
    return Baseline(job, Best.parse(document), tolerance, warnings, is_same)


def _differences(job: Job, spec: Spec, digest: str | None) -> Iterable[str]:
    if digest and job.dataset_digest and job.dataset_digest != digest:
        yield f"the baseline {job.id} is of another data set: its numbers are of other images."
    elif any(job.spec.get(name) != spec.get(name) for name in ("split", "seed")):
        yield f"the baseline {job.id} divided the data otherwise: its numbers are of other images of the set."


def baseline_gates(baseline: Baseline, spec: Spec, gates: Iterable[Gate]) -> list[Gate]:
    """Not worse than the baseline, by more than the tolerance: the objective, and every metric of a gate.

    Sizes and times are shown beside those of the baseline but not held to it: one tolerance cannot
    be right for shares and for bytes.

    Raises:
        GateError: The baseline has no such number, or the tolerance is one that nothing exceeds.
    """
    named = [objective(spec), *(gate.metric for gate in gates if gate.metric not in (*FACTS, SCORE))]
    return [_gate(baseline, metric) for metric in dict.fromkeys(named)]


def _gate(baseline: Baseline, metric: str) -> Gate:
    values = baseline.values
    known = values.get(metric)
    if known is None:
        there = ", ".join(name for name, value in values.items() if value is not None)
        raise GateError(f"The baseline {baseline.job.id} has no {metric}. It has: {there}.")
    check_tolerance(baseline.tolerance, metric)
    bound = direction(metric)
    limit = known - baseline.tolerance if bound == "min" else known + baseline.tolerance
    return Gate(metric, bound, limit, known)
