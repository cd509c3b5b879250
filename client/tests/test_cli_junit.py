"""The JUnit file: read by a library, and of the shape that readers of JUnit agree on."""

from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree

import pytest
from cli_reports import judged, made_report
from junitparser import Error, Failure, JUnitXml, Skipped, TestSuite

from tuneserve.cli.exits import Exit
from tuneserve.cli.gates import Gate
from tuneserve.cli.junit import junit
from tuneserve.cli.report import Report


def suite_of(report: Report) -> TestSuite:
    (suite,) = JUnitXml.fromfile(io.BytesIO(junit(report)))
    return suite


def results(suite: TestSuite) -> dict[str, list[Any]]:
    return {case.name: case.result for case in suite}


def test_gates_that_are_met() -> None:
    suite = suite_of(made_report())
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 0, 0, 0)
    assert list(results(suite)) == ["job", "val_accuracy >= 0.97", "parameters <= 2,000,000"]
    found = {one.name: one.value for one in suite.properties()}
    assert found["job"] == "job_1"
    assert found["hyperparameters.training.learning_rate"] == "0.00093"
    assert (found["spec_digest"], found["dataset_digest"]) == ("sha256:aa", "sha256:bb")
    assert (found["reused"], found["verdict"], found["val_accuracy"]) == ("false", "met", "0.98")


def test_a_gate_that_is_missed_says_what_was_expected() -> None:
    report = made_report(exit=Exit.GATE_MISSED, problem="1 of 1 gates missed")
    report.judged = [judged(Gate("val_accuracy", "min", 0.99), 0.98)]
    suite = suite_of(report)
    (failure,) = results(suite)["val_accuracy >= 0.99"]
    assert isinstance(failure, Failure)
    assert failure.message == "expected val_accuracy >= 0.99, but it is 0.98"
    assert failure.text == "expected: val_accuracy >= 0.99\nactual: 0.98"
    assert (suite.failures, suite.errors, results(suite)["job"]) == (1, 0, [])


def test_a_value_that_is_missing_is_a_failure_too() -> None:
    report = made_report(exit=Exit.GATE_MISSED)
    report.judged = [judged(Gate("test_auc", "min", 0.9), None, "it was not finite")]
    (failure,) = results(suite_of(report))["test_auc >= 0.9"]
    assert failure.message == "expected test_auc >= 0.9, but it was not finite"


@pytest.mark.parametrize(
    "code",
    [
        Exit.JOB_FAILED,
        Exit.USAGE,
        Exit.KEY,
        Exit.NOT_FOUND,
        Exit.UNREACHABLE,
        Exit.TIMED_OUT,
        Exit.INTERRUPTED,
    ],
)
def test_a_run_that_did_not_come_to_the_gates(code: Exit) -> None:
    report = Report(exit=code, problem="first line\nsecond", gates=[Gate("score", "min", 0.9)])
    suite = suite_of(report)
    (error,) = results(suite)["job"]
    assert isinstance(error, Error)
    assert (error.type, error.message, error.text) == (code.name.lower(), "first line", "first line\nsecond")
    (skipped,) = results(suite)["score >= 0.9"]
    assert isinstance(skipped, Skipped)
    assert (suite.errors, suite.failures, suite.skipped) == (1, 0, 1)


def test_what_xml_cannot_hold_is_left_out() -> None:
    hostile = 'a\x00\x1b[31m\ud800\ufffe<&>"]]>' + "\U0001f600é"
    report = Report(exit=Exit.JOB_FAILED, problem=hostile)
    (error,) = results(suite_of(report))["job"]
    assert error.message == 'a[31m<&>"]]>\U0001f600é'
    # Nothing to tell is no fault of the file.
    assert suite_of(Report(exit=Exit.JOB_FAILED, problem="\x00")).errors == 1


def test_the_shape_that_readers_agree_on() -> None:
    """Of the JUnit schemas of Ant, Jenkins and Surefire: attributes, and the order of the elements."""
    report = made_report(exit=Exit.GATE_MISSED)
    report.judged = [judged(Gate("val_accuracy", "min", 0.99), 0.98)]
    root = ElementTree.fromstring(junit(report))
    assert (root.tag, [child.tag for child in root]) == ("testsuites", ["testsuite"])
    suite = root[0]
    assert set(suite.attrib) == {
        "name", "timestamp", "hostname", "tests", "failures", "errors", "skipped", "time"
    }  # fmt: skip
    assert [child.tag for child in suite] == ["properties", "testcase", "testcase"]
    assert all(set(one.attrib) == {"name", "value"} for one in suite[0])
    for case in suite.iter("testcase"):
        assert set(case.attrib) == {"name", "classname", "time"}
        assert len(case) <= 1
    assert len(suite.get("timestamp", "")) == len("2026-01-02T03:04:05")
