"""What a run came to, as far as it came: what the JUnit file, the summary and `--json` are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneserve.best import Best
from tuneserve.cli.baseline import Baseline
from tuneserve.cli.exits import Exit
from tuneserve.cli.gates import Gate, Judged, Values, document_of, objective, values_of
from tuneserve.jobs import Job
from tuneserve.validation import Validation


@dataclass
class Report:
    """Filled on the way: a run that fails, or is interrupted, is reported with what is known by then.

    `exit` is what the command will exit with, and `problem` why that is not 0; `title` is the spec's name, or
    its file's. `scores` has the
    score of each trial that ended, in the order in which they did; `seconds` is how long the run took.
    """

    exit: Exit = Exit.MET
    problem: str | None = None
    is_dry: bool = False
    title: str = ""
    validation: Validation | None = None
    job: Job | None = None
    is_reused: bool = False
    gates: list[Gate] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    baseline: Baseline | None = None
    best_document: Mapping[str, Any] | None = None
    scores: list[float | None] = field(default_factory=list)
    artifacts: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """A word for `exit`: met, gate_missed, job_failed, timed_out, interrupted, ..."""
        return self.exit.name.lower()

    @property
    def best(self) -> Best | None:
        """The best trial and its model, of a job that succeeded."""
        return Best.parse(self.best_document) if self.best_document else None

    @property
    def values(self) -> Values:
        """What gates are held against; empty before there is a model."""
        return values_of(self.best) if self.best else {}

    @property
    def spec(self) -> Mapping[str, Any]:
        """As resolved; empty before the service has seen it."""
        found = self.job.spec if self.job else self.validation.spec if self.validation else None
        return found or {}

    @property
    def name(self) -> str:
        """What the run is called in reports: as the spec says or its file is called, whatever came of it."""
        return str(self.title or (self.job and self.job.name) or self.spec.get("name") or "job")

    @property
    def objective(self) -> str:
        """The metric that the trials are compared by."""
        return objective(self.spec)

    @property
    def estimate(self) -> Mapping[str, Any]:
        """The price, as `:validate` has it."""
        return (self.validation.estimate if self.validation else None) or {}

    def document(self) -> dict[str, Any]:
        """The one document of `--json`; every key is always there."""
        judged = [one.document() for one in self.judged] or [document_of(gate) for gate in self.gates]
        return {
            "verdict": self.verdict,
            "exit_code": int(self.exit),
            "problem": self.problem,
            "dry_run": self.is_dry,
            "job": self.job.raw if self.job else None,
            "reused": self.is_reused,
            "gates": judged,
            "baseline": self.baseline.document(self.values) if self.baseline else None,
            "best": self.best_document,
            "artifacts": [str(path) for path in self.artifacts],
            "estimate": self.estimate or None,
            "warnings": self.warnings,
            "seconds": round(self.seconds, 3),
        }
