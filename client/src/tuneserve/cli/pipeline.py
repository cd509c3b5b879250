"""The steps of `tuneserve run`, each of which leaves what it found in the report."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import gates as gating
from tuneserve.cli import reporting, specs
from tuneserve.cli.baseline import baseline_gates, best_document, has_model, read_baseline
from tuneserve.cli.context import Output, connect
from tuneserve.cli.exits import Exit, exit_of
from tuneserve.cli.interrupts import Interrupted, Interrupts, bounded
from tuneserve.cli.labels import labelled
from tuneserve.cli.refusals import Refused
from tuneserve.cli.report import Report
from tuneserve.cli.uploads import uploaded
from tuneserve.cli.validate import lines, told_at
from tuneserve.errors import JobFailed, NotFound, TuneserveError, WaitTimeout

if TYPE_CHECKING:
    from tuneserve.client import Client
    from tuneserve.jobs import Job
    from tuneserve.trials import Trial

CANCEL_SECONDS = 5.0
"""How long an interrupt waits for the cancellation to be taken: runners kill some seconds after they ask."""

MOST_CANDIDATES = 20
"""Jobs with the same spec and data that are looked at for one with a model."""


@dataclass(frozen=True)
class Options:
    """The options of the command, as given."""

    path: Path | None
    sets: Sequence[str]
    dataset: str | None
    mins: Sequence[str]
    maxs: Sequence[str]
    baseline: str | None
    tolerance: float | None
    timeout: float | None
    reuse: bool
    junit: Path | None
    summary: Path | None
    folder: Path | None
    cancel_on_interrupt: bool
    cancel_on_timeout: bool
    labels: Sequence[str]
    idempotency_key: str | None
    dry_run: bool

    @property
    def files(self) -> list[Path]:
        """The reports that are wanted."""
        return [path for path in (self.junit, self.summary) if path]


class Pipeline:
    """One run: `run`, then `fail` if it raised, and in any case `close`."""

    def __init__(self, options: Options, output: Output, interrupts: Interrupts) -> None:
        self.options = options
        self.output = output
        self.report = Report(is_dry=options.dry_run, title=_stem(options.path))
        self._interrupts = interrupts
        self._start = time.monotonic()

    def run(self) -> None:
        """From the spec to the verdict.

        Raises:
            click.ClickException: Something does not fit; nothing was submitted.
            TuneserveError: The service could not be asked, the job failed, or it has not ended in time.
        """
        if self.options.folder and not self.options.dry_run:
            reporting.clear(self.options.folder)
        source = self._read()
        client = connect()
        spec = self._spec(client, source)
        self._validate(client, source, spec)
        self._gate(client)
        self._reuse(client)
        if self.options.dry_run:
            if self.report.job:
                self._judge(client)
            return
        if self.report.job is None:
            self._submit(client, source, spec)
        self._follow()
        self._judge(client)
        self._download()

    def fail(self, error: BaseException) -> None:
        """Keep what ended the run, and let the job go on or not."""
        self.report.exit = _exit_of(error)
        self.report.problem = _told(error)
        if self.report.exit == Exit.INTERRUPTED:
            self._leave(self.options.cancel_on_interrupt)
        elif isinstance(error, WaitTimeout):
            self._leave(self.options.cancel_on_timeout)
        elif (job := self.report.job) and not job.is_terminal:
            self._leave(False)

    def close(self) -> None:
        """Write the reports and say on stdout what came out."""
        self.report.seconds = time.monotonic() - self._start
        given = {
            reporting.write_folder: self.options.folder,
            reporting.write_junit: self.options.junit,
            reporting.write_summary: self.options.summary,
        }
        for write, path in given.items():
            if path:
                self._write(write, path)
        reporting.show(self.report, self.output)

    def _write(self, write: Callable[[Report, Path], None], path: Path) -> None:
        try:
            write(self.report, path)
        except OSError as error:
            self._miss(f"{path}: {error.strerror or error}")
        except click.ClickException as error:
            self._miss(f"{path}: {error.format_message()}")

    def _miss(self, told: str) -> None:
        """A report that could not be written fails a run that nothing else has failed."""
        self.output.warn(told)
        if self.report.exit == Exit.MET:
            self.report.exit, self.report.problem = Exit.USAGE, told

    def _read(self) -> specs.Source:
        """What can be found wrong without a service."""
        if self.options.tolerance is not None and self.options.baseline is None:
            raise click.UsageError("--tolerance goes with --baseline.")
        self.report.gates = gating.read_gates(self.options.mins, self.options.maxs)
        source = specs.read_source(self.options.path, self.options.sets)
        self.report.title = str(source.spec.get("name") or self.report.title)
        source.spec.update(labelled(source.spec, self.options.labels))
        for path in self.options.files:
            reporting.prepare(path.parent)
        if self.options.folder:
            reporting.prepare(self.options.folder)
        return source

    def _spec(self, client: "Client", source: specs.Source) -> Mapping[str, Any]:
        """The spec with the data set that was given; a file or folder is uploaded."""
        given = self.options.dataset
        if given is None:
            return source.spec
        if not Path(given).exists():
            if not given.startswith(("ds_", "builtin:")):
                raise Refused(f"--dataset {given}: no such file or folder, and no id of a data set.")
            return {**source.spec, "dataset": given}
        dataset = uploaded(client, given, progress="auto" if self.output.live else False)
        self.output.note(f"Data set {dataset.id}")
        return {**source.spec, "dataset": dataset.id}

    def _validate(self, client: "Client", source: specs.Source, spec: Mapping[str, Any]) -> None:
        found = client.jobs.validate(spec)
        self.report.validation = found
        self._warn_of(found.warnings)
        if found.valid:
            return
        places = lines(source, found.errors)
        if found.errors and all(one.code.endswith("_not_found") for one in found.errors):
            raise NotFound(404, found.errors[0].code, "Not Found", "; ".join(places))
        raise specs.SpecError("\n".join(["the spec does not fit", *places]))

    def _gate(self, client: "Client") -> None:
        """All gates, checked against what the job will have."""
        report, spec = self.report, self.report.spec
        if absent := gating.absent(report.gates, spec):
            raise gating.absence(absent, spec, _catalog(client))
        for doubt in gating.doubts(report.gates, spec, report.estimate):
            self._warn(doubt)
        if self.options.baseline is None:
            return
        digest = report.validation.dataset_digest if report.validation else None
        tolerance = self.options.tolerance or 0.0
        report.baseline = read_baseline(client, self.options.baseline, tolerance, spec, digest)
        for warning in report.baseline.warnings:
            self._warn(warning)
        report.gates = [*report.gates, *baseline_gates(report.baseline, spec, report.gates)]

    def _reuse(self, client: "Client") -> None:
        if not self.options.reuse:
            return
        self.report.job = self._equal(client)
        self.report.is_reused = self.report.job is not None
        if self.report.job:
            how = "Dry run: would reuse" if self.options.dry_run else "Reusing"
            self.output.note(f"{how} {self.report.job.id}: the same spec on the same data.")
        else:
            self.output.note("No earlier job with the same spec and data has a model.")

    def _equal(self, client: "Client") -> "Job | None":
        """The newest job with the same spec and data that succeeded and has what is asked for."""
        found = self.report.validation
        if found is None or not found.spec_digest or not found.dataset_digest:
            return None
        same = client.jobs.list(
            "succeeded", spec_digest=found.spec_digest, dataset_digest=found.dataset_digest
        )
        for job in islice(same, MOST_CANDIDATES):
            best = best_document(client, job.id)
            if best and has_model(best) and (best.get("model") or not self._wants_facts):
                return job
        return None

    @property
    def _wants_facts(self) -> bool:
        """Whether a gate is on what only jobs of newer services tell."""
        return any(gate.metric in gating.FACTS for gate in self.report.gates)

    def _submit(self, client: "Client", source: specs.Source, spec: Mapping[str, Any]) -> None:
        # An interrupt in the middle would leave a job that nobody knows the id of.
        with self._interrupts.held(), told_at(source):
            self.report.job = client.jobs.create(spec, idempotency_key=self.options.idempotency_key)
        self.output.note(f"Job {self.report.job.id}")

    def _follow(self) -> None:
        job = _made(self.report)
        try:
            self.output.follow(job, self.options.timeout)
        finally:
            if job.is_terminal and (self.options.summary or self.options.folder):
                self._read_scores(job)
        if job.state != "succeeded":
            raise JobFailed(job)

    def _read_scores(self, job: "Job") -> None:
        try:
            ended = sorted((one for one in job.trials(page_size=200) if one.end_time), key=_by_end)
        except TuneserveError as error:
            # A picture that is missing is no reason to fail.
            self._warn(f"no picture of the search: {error}")
            return
        self.report.scores = [trial.score for trial in ended]

    def _judge(self, client: "Client") -> None:
        report = self.report
        self._warn_of(_made(report).warnings)
        report.best_document = best_document(client, _made(report).id)
        report.judged = gating.judge(report.gates, report.values)
        missed = [one for one in report.judged if not one.is_met]
        for one in missed:
            found = one.reason or f"it is {gating.number(one.actual)}"
            self.output.note(f"Missed: {one.gate}, but {found}.")
        if missed:
            report.exit = Exit.GATE_MISSED
            report.problem = f"{len(missed)} of {len(report.judged)} gates missed"

    def _download(self) -> None:
        folder = self.options.folder
        if folder is None:
            return
        if not has_model(self.report.best_document):
            self._warn("the job has no model to download.")
            return
        self.report.artifacts.append(_made(self.report).download_model(folder))

    def _leave(self, cancel: bool) -> None:
        """Say what becomes of the job, after cancelling it if that is wanted."""
        job = self.report.job
        if job is None or self.report.is_reused:
            self._add("Nothing was submitted.")
        elif job.is_terminal:
            self._add(f"Job {job.id} has ended: {job.state}.")
        elif not cancel:
            come_back = f"`tuneserve watch {job.id}` comes back, `tuneserve cancel {job.id}` ends it"
            self._add(f"Job {job.id} goes on: {come_back}.")
        elif problem := bounded(job.cancel, CANCEL_SECONDS):
            self._add(f"Job {job.id} could not be cancelled and goes on: {problem}")
        else:
            self._add(f"Job {job.id} is being cancelled.")

    def _add(self, sentence: str) -> None:
        self.output.note(sentence)
        self.report.problem = f"{self.report.problem}\n{sentence}"

    def _warn_of(self, warnings: Iterable[Mapping[str, Any]]) -> None:
        """What the service found odd; of the spec and of the result, each once."""
        for warning in warnings:
            told = str(warning.get("detail") or warning.get("code"))
            if told not in self.report.warnings:
                self._warn(told)

    def _warn(self, warning: str) -> None:
        self.report.warnings.append(warning)
        self.output.warn(warning)


def _exit_of(error: BaseException) -> Exit:
    if isinstance(error, Interrupted):
        return Exit.INTERRUPTED
    return Exit.USAGE if isinstance(error, click.ClickException) else exit_of(error)


def _told(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    return str(error) or type(error).__name__


def _stem(path: Path | None) -> str:
    """What a run is called whose spec has no name, or cannot be read."""
    return "" if path is None or str(path) == "-" else path.stem


def _catalog(client: "Client") -> Mapping[str, Any]:
    try:
        return client.catalog()
    except TuneserveError:
        return {}


def _made(report: Report) -> "Job":
    assert report.job is not None, "a job has been made or found"
    return report.job


def _by_end(trial: "Trial") -> tuple[Any, int]:
    return trial.end_time, trial.number
