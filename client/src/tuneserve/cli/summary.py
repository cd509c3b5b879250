"""A run as Markdown, for the step summary of a CI service or a comment on a merge request."""

from collections.abc import Iterator

from tuneserve.cli.exits import Exit
from tuneserve.cli.gates import Gate, Judged, number
from tuneserve.cli.markdown import code, table, text
from tuneserve.cli.pictures import best_so_far, mermaid
from tuneserve.cli.report import Report
from tuneserve.cli.text import seconds, sparkline

_TITLES = {
    Exit.MET: "every gate met",
    Exit.GATE_MISSED: "a gate was missed",
    Exit.JOB_FAILED: "the job failed",
    Exit.TIMED_OUT: "not ended in time",
    Exit.INTERRUPTED: "interrupted",
}


def summary(report: Report) -> str:
    """The whole page; no links, and nothing of the job's own texts is taken for Markdown."""
    return "\n\n".join(part for part in _parts(report) if part) + "\n"


def _parts(report: Report) -> Iterator[str]:
    yield f"## {text(report.name)}: {_title(report)}"
    yield _job(report)
    yield _problem(report)
    yield "\n".join(f"- {text(warning)}" for warning in report.warnings)
    yield _gates(report)
    yield _baseline(report)
    yield _hyperparameters(report)
    yield _search(report)
    yield _price(report)


def _title(report: Report) -> str:
    if report.exit == Exit.MET and report.is_dry:
        return "dry run, nothing submitted"
    if report.exit == Exit.MET and not report.gates:
        return "succeeded"
    if report.exit == Exit.USAGE and report.job and report.job.is_terminal:
        return "a file could not be written"
    return _TITLES.get(report.exit, "not run")


def _job(report: Report) -> str:
    if report.job is None:
        return ""
    taken = "would be taken from before" if report.is_dry else "taken from before"
    how = f"{taken}: the same spec on the same data" if report.is_reused else "made by this run"
    return f"Job {code(report.job.id)} ({text(report.job.state)}), {how}."


def _problem(report: Report) -> str:
    # Missed gates are told by their table.
    if report.exit in (Exit.MET, Exit.GATE_MISSED) or not report.problem:
        return ""
    lines = [f"> {text(line)}" for line in report.problem.splitlines() if line.strip()]
    return "\n>\n".join([f"> **{report.verdict.replace('_', ' ')}**", *lines, *_causes(report)])


def _causes(report: Report) -> list[str]:
    """The most frequent causes among the trials of a job that failed."""
    causes = report.job.error.trials if report.job and report.job.error else ()
    return [
        f"> {one.get('count')} times {code(one.get('code'))}: {text(one.get('message'))}" for one in causes
    ]


def _gates(report: Report) -> str:
    if not report.gates:
        return ""
    rows = [_judged(one) for one in report.judged] or [_unjudged(gate) for gate in report.gates]
    return table(["Gate", "Limit", "Actual", "Verdict"], rows)


def _unjudged(gate: Gate) -> list[str]:
    return [*_gate(gate), "", "not judged"]


def _judged(one: Judged) -> list[str]:
    actual = number(one.actual) if one.reason is None else text(one.reason)
    return [*_gate(one.gate), actual, "met" if one.is_met else "**missed**"]


def _gate(gate: Gate) -> list[str]:
    origin = "" if gate.baseline is None else " not worse than the baseline"
    sign = "≥" if gate.bound == "min" else "≤"
    return [code(gate.metric) + origin, f"{sign} {number(gate.limit)}"]


def _baseline(report: Report) -> str:
    baseline = report.baseline
    if baseline is None:
        return ""
    values, deltas = report.values, baseline.deltas(report.values)
    rows = [
        [code(name), number(values[name]), number(baseline.values[name]), _signed(delta)]
        for name, delta in deltas.items()
    ]
    head = f"### Against the baseline {code(baseline.job.id)}"
    return "\n\n".join([head, table(["Metric", "Now", "Baseline", "Change"], rows)]) if rows else ""


def _signed(delta: float) -> str:
    return f"{'+' if delta > 0 else '±' if delta == 0 else '-'}{number(abs(delta))}"


def _hyperparameters(report: Report) -> str:
    if report.best is None:
        return ""
    head = f"### Best hyperparameters (trial {report.best.trial})"
    rows = [[code(name), code(value)] for name, value in report.best.hyperparameters.items()]
    return "\n\n".join([head, table(["Name", "Value"], rows) if rows else "None were left open."])


def _search(report: Report) -> str:
    found = best_so_far(report.scores, report.objective)
    if not found:
        return ""
    of = f"best {code(report.objective)} so far, {number(found[0])} to {number(found[-1])}"
    line = f"{sparkline(found, 32)} {of}"
    return "\n\n".join(["### The search", mermaid(found, report.objective), line])


def _price(report: Report) -> str:
    rows = []
    estimate, job = report.estimate, report.job
    if job is not None:
        rows.append(["Trials", _of(job.progress.ended, estimate.get("trials"))])
        rows.append(["Epochs", _of(job.progress.epochs, estimate.get("epochs"))])
        rows.append(["Search", seconds(job.progress.elapsed_seconds)])
    elif estimate:
        rows.append(["Trials", f"at most {number(estimate.get('trials'))}"])
        rows.append(["Epochs", f"at most {number(estimate.get('epochs'))}"])
    rows.append(["This run", seconds(report.seconds)])
    return "\n\n".join(["### Price and time", table(["What", "How much"], rows)])


def _of(count: int, most: object) -> str:
    return f"{number(count)} of at most {number(most)}" if isinstance(most, int) else number(count)
