"""What a run leaves: files, and what it says on stdout."""

import os
from pathlib import Path

from tuneserve.cli.context import Output
from tuneserve.cli.gates import Judged, number
from tuneserve.cli.junit import junit
from tuneserve.cli.refusals import Refused
from tuneserve.cli.report import Report
from tuneserve.cli.summary import summary
from tuneserve.cli.text import as_json
from tuneserve.cli.validate import price
from tuneserve.jobs import MODEL_NAME

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names a file that others may have written to before: a summary is added at its end."""


BESIDE_THE_MODEL = ("best.json", "summary.md")
"""Files of `--output` that are made here."""


def prepare(folder: Path) -> None:
    """Make a folder that files will be written into: better found now than after the search."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise Refused(f"{folder}: cannot be written to")


def clear(folder: Path) -> None:
    """Remove what an earlier run left in the folder: its model must not be taken for that of this one."""
    for name in (MODEL_NAME, *BESIDE_THE_MODEL):
        (folder / name).unlink(missing_ok=True)


def write_folder(report: Report, folder: Path) -> None:
    """`best.json` and `summary.md` beside the model, if that was downloaded."""
    if not report.artifacts:
        return
    best, page = (folder / name for name in BESIDE_THE_MODEL)
    report.artifacts += [best, page]
    best.write_text(as_json(report.best_document), encoding="utf-8")
    page.write_text(summary(report), encoding="utf-8")


def write_junit(report: Report, path: Path) -> None:
    """The JUnit file."""
    prepare(path.parent)
    path.write_bytes(junit(report))


def write_summary(report: Report, path: Path) -> None:
    """The summary: a new file, or the end of the one that GitHub shows."""
    prepare(path.parent)
    is_shared = str(path) == os.environ.get(STEP_SUMMARY)
    with path.open("a" if is_shared else "w", encoding="utf-8") as file:
        file.write(summary(report))


def show(report: Report, output: Output) -> None:
    """On stdout: the document with `--json`, else the verdict and the gates."""
    if output.as_json:
        output.data(report.document())
        return
    if job := report.job:
        reused = "would be (dry run)" if report.is_dry else report.is_reused
        output.details([("job", job.id), ("verdict", report.verdict), ("reused", reused)])
    elif report.is_dry and report.estimate:
        space = report.validation.space if report.validation else None
        output.details(price(space or {}, report.estimate))
    if report.judged:
        output.table(["GATE", "ACTUAL", "VERDICT"], [_row(one) for one in report.judged])


def _row(one: Judged) -> tuple[str, str, str]:
    return str(one.gate), one.reason or number(one.actual), "met" if one.is_met else "missed"
