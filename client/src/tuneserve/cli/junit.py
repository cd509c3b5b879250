"""A run as a JUnit file: one suite, a case for the job and one for each gate."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from tuneserve.cli.exits import Exit
from tuneserve.cli.gates import Gate, Judged, number
from tuneserve.cli.report import Report

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as a reference."""


def junit(report: Report) -> bytes:
    """The file's content, UTF-8."""
    suite = Element("testsuite", name=_clean(f"tuneserve.{report.name}"))
    suite.set("timestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    suite.set("hostname", "localhost")
    _properties(suite, _facts(report))
    _cases(suite, report)
    _count(suite, report.seconds)
    suites = Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    content: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _clean(text: object) -> str:
    return _NOT_XML.sub("", str(text))


def _facts(report: Report) -> Iterator[tuple[str, object]]:
    yield "verdict", report.verdict
    if report.job:
        yield "job", report.job.id
        yield "state", report.job.state
        yield "reused", str(report.is_reused).lower()
        yield "spec_digest", report.job.spec_digest
        yield "dataset_digest", report.job.dataset_digest
    if report.baseline:
        yield "baseline", report.baseline.job.id
        yield "tolerance", report.baseline.tolerance
    for name, value in (report.best.hyperparameters if report.best else {}).items():
        yield f"hyperparameters.{name}", value
    for metric, measured in report.values.items():
        if measured is not None:
            yield metric, measured


def _properties(suite: Element, facts: Iterable[tuple[str, object]]) -> None:
    properties = SubElement(suite, "properties")
    for name, value in facts:
        SubElement(properties, "property", name=_clean(name), value=_clean(value))


def _cases(suite: Element, report: Report) -> None:
    _problem(_case(suite, "job", report.seconds), report)
    for judged in report.judged:
        case = _case(suite, _title(judged.gate), 0.0)
        if not judged.is_met:
            _failure(case, judged)
    for gate in [] if report.judged else report.gates:
        why = "dry run" if report.is_dry and report.exit == Exit.MET else "there is no result"
        SubElement(_case(suite, _title(gate), 0.0), "skipped", message=why)


def _title(gate: Gate) -> str:
    if gate.baseline is None:
        return str(gate)
    return f"{gate} (baseline {number(gate.baseline)})"


def _case(suite: Element, name: str, seconds: float) -> Element:
    given = {"classname": suite.get("name", ""), "name": _clean(name), "time": f"{seconds:.3f}"}
    return SubElement(suite, "testcase", given)


def _problem(case: Element, report: Report) -> None:
    # A gate that was missed is told at its own case.
    if report.exit in (Exit.MET, Exit.GATE_MISSED):
        return
    text = _clean(report.problem or report.verdict)
    error = SubElement(case, "error", type=report.verdict, message=text.splitlines()[0] if text else "")
    error.text = text


def _failure(case: Element, judged: Judged) -> None:
    gate = judged.gate
    found = judged.reason if judged.actual is None else f"it is {number(judged.actual)}"
    message = f"expected {gate}, but {found}"
    failure = SubElement(case, "failure", type="gate_missed", message=_clean(message))
    failure.text = f"expected: {gate}\nactual: {judged.reason if judged.actual is None else judged.actual!r}"


def _count(suite: Element, seconds: float) -> None:
    cases = suite.findall("testcase")
    counted = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    suite.set("tests", str(len(cases)))
    for attribute, element in counted.items():
        suite.set(attribute, str(sum(case.find(element) is not None for case in cases)))
    suite.set("time", f"{seconds:.3f}")
