"""`tuneserve run` against a real server: every exit code, and what is written on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cli_reports import BEST
from click.testing import CliRunner, Result
from junitparser import JUnitXml
from sdk_server import Answer, Server

from tuneserve.cli import interrupts as signals
from tuneserve.cli import reporting
from tuneserve.cli.exits import Exit
from tuneserve.cli.interrupts import Interrupted, Interrupts, bounded, interrupts
from tuneserve.cli.program import program
from tuneserve.cli.run import run as command

MODEL = b"a model"
SPEC = {
    "training": {"metrics": ["loss", "accuracy"], "early_stopping": None},
    "objective": {"metric": "val_accuracy"},
    "split": {"test": 0.1},
    "search": {"algorithm": "random"},
    "seed": 0,
}
VALID = {
    "valid": True,
    "spec": SPEC,
    "estimate": {"trials": 10, "epochs": 100, "smallest_parameters": 500, "largest_parameters": 90_000},
    "warnings": [],
    "errors": [],
    "spec_digest": "sha256:aa",
    "dataset_digest": "sha256:bb",
}
DIGESTS = {"spec_digest": "sha256:aa", "dataset_digest": "sha256:bb"}


class Service:
    """A server that makes `job_1`, which succeeds; tests change what they are about."""

    def __init__(self, server: Server, job: Any) -> None:
        self.server = server
        self.job = job
        server.on("POST /v1/jobs:validate", Answer(200, VALID))
        server.on("POST /v1/jobs", Answer(202, self.made("queued")))
        server.on("GET /v1/jobs/job_1", Answer(200, self.made("succeeded"), {"ETag": '"9"'}))
        server.on("GET /v1/jobs/job_1/best", Answer(200, BEST))
        trial = {"number": 0, "state": "completed", "score": 0.98, "end_time": "2026-01-02T03:04:05Z"}
        server.on("GET /v1/jobs/job_1/trials", Answer(200, {"items": [trial]}))
        artifact = {"name": "model.keras", "sha256": sha256(MODEL).hexdigest(), "bytes": len(MODEL)}
        server.on("GET /v1/jobs/job_1/artifacts", Answer(200, {"items": [artifact]}))
        server.on("GET /v1/jobs/job_1/artifacts/model.keras", Answer(200, MODEL, {"ETag": '"m"'}))

    def made(self, state: str, **changes: Any) -> dict[str, Any]:
        return dict(self.job(state, spec=SPEC, **DIGESTS, **changes))

    def runs_on(self) -> None:
        """The job does not end."""
        self.server.on("GET /v1/jobs/job_1", Answer(200, self.made("running"), {"ETag": '"1"'}), Answer(304))

    @property
    def posted(self) -> list[str]:
        return [asked.path for asked in self.server.asked if asked.method == "POST"]


@pytest.fixture
def service(server: Server, job: Any, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("TUNESERVE_URL", server.url)
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_k_s")
    return Service(server, job)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command in an empty folder that has a spec."""
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text("dataset: builtin:digits\nlabels: {team: vision}\n")

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(program, ["run", "spec.yaml", *arguments])

    return invoke


def gates_of(result: Result) -> dict[str, Any]:
    return {gate["metric"]: gate for gate in json.loads(result.stdout)["gates"]}


def test_met(service: Service, run: Any) -> None:
    result = run("--min", "val_accuracy=0.97", "--max", "parameters=2e6")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "job\tjob_1",
        "verdict\tmet",
        "reused\tfalse",
        "val_accuracy >= 0.97\t0.98\tmet",
        "parameters <= 2,000,000\t12,000\tmet",
    ]
    assert "Job job_1" in result.stderr


def test_missed_is_told_with_its_numbers(service: Service, run: Any) -> None:
    result = run("--min", "test_accuracy=0.98", "--max", "test_accuracy=0.99", "--json")
    assert result.exit_code == 3
    assert "Missed: test_accuracy >= 0.98, but it is 0.976." in result.stderr
    document = json.loads(result.stdout)
    assert (document["verdict"], document["exit_code"]) == ("gate_missed", 3)
    assert [gate["met"] for gate in document["gates"]] == [False, True]


def test_a_metric_that_is_null_is_missed(service: Service, run: Any) -> None:
    service.server.on("GET /v1/jobs/job_1/best", Answer(200, {**BEST, "model": None}))
    result = run("--max", "prediction_seconds=1")
    assert result.exit_code == 3
    assert "Missed: prediction_seconds <= 1, but the result does not tell it." in result.stderr


def test_the_document_has_a_stable_shape(service: Service, run: Any, server: Server) -> None:
    done = json.loads(run("--json").stdout)
    server.on("POST /v1/jobs:validate", Answer(401, {"code": "invalid_key", "title": "Unauthorized"}))
    refused = json.loads(run("--json").stdout)
    assert list(done) == list(refused)
    assert (done["job"]["id"], done["best"]["trial"], done["reused"]) == ("job_1", 3, False)
    assert (refused["job"], refused["best"], refused["verdict"]) == (None, None, "key")


def test_a_gate_that_cannot_be_is_found_before_anything_is_submitted(service: Service, run: Any) -> None:
    service.server.on("GET /v1/catalog", Answer(200, {"families": [], "metrics": [{"name": "f1"}]}))
    result = run("--min", "val_f1=0.9", "--min", "val_acc=0.9")
    assert result.exit_code == 2
    assert "No gate can be on val_f1: it is not measured; put f1 into training.metrics." in result.stderr
    assert "No gate can be on val_acc: there is no such metric; is val_auc meant?" not in result.stderr
    assert "This job will have: score, val_loss, val_accuracy, test_loss, test_accuracy" in result.stderr
    assert service.posted == ["/v1/jobs:validate"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--min", "val_accuracy=97"],
        ["--max", "parameters=2M"],
        ["--tolerance", "0.1"],
        ["--baseline", "job_0", "--tolerance", "nan"],
        ["--baseline", "job_0", "--tolerance", "-1"],
        ["--timeout", "soon"],
        ["--timeout", "0"],
        ["--label", "novalue"],
        ["--set", "nonsense"],
        ["--junit", "spec.yaml/report.xml"],
        ["--output", "spec.yaml"],
        ["--dataset", "no/such/folder"],
        ["--junit", ""],
        ["--summary", ""],
        ["--output", ""],
    ],
)
def test_wrong_usage_asks_the_service_nothing(service: Service, run: Any, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
    assert service.server.asked == []


def test_a_spec_that_does_not_fit_is_told_with_its_lines(service: Service, run: Any) -> None:
    error = {"pointer": "/labels/team", "code": "invalid_type", "detail": "Not a label."}
    service.server.on("POST /v1/jobs:validate", Answer(200, {"valid": False, "errors": [error]}))
    result = run("--junit", "report.xml")
    assert result.exit_code == 2
    assert "spec.yaml:2:10 /labels/team: Not a label." in result.stderr
    assert JUnitXml.fromfile("report.xml").errors == 1


def test_a_data_set_that_is_not_there_is_not_found(service: Service, run: Any) -> None:
    error = {"pointer": "/dataset", "code": "dataset_not_found", "detail": "There is no data set ds_9."}
    service.server.on("POST /v1/jobs:validate", Answer(200, {"valid": False, "errors": [error]}))
    result = run("--dataset", "ds_9")
    assert result.exit_code == 5
    assert service.server.asked[0].json()["dataset"] == "ds_9"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(401, {"code": "invalid_key", "title": "Unauthorized"}), Exit.KEY),
        (Answer(403, {"code": "insufficient_scope", "title": "Forbidden"}), Exit.KEY),
        (Answer(404, {"code": "not_found", "title": "Not Found"}), Exit.NOT_FOUND),
        (Answer(500, {"code": "internal", "title": "Fault"}), Exit.UNREACHABLE),
        (Answer(200, b"<html>a proxy</html>", {"Content-Type": "text/html"}), Exit.UNREACHABLE),
        (Answer(200, {"hello": 1}), Exit.UNREACHABLE),
        (Answer(200, VALID, cut=0), Exit.UNREACHABLE),
    ],
)
def test_what_the_service_answers_becomes_a_code_and_a_report(
    service: Service, run: Any, answer: Answer, code: Exit
) -> None:
    service.server.on("POST /v1/jobs:validate", answer)
    result = run("--junit", "report.xml", "--summary", "summary.md", "--min", "score=0.5")
    assert result.exit_code == code
    (suite,) = JUnitXml.fromfile("report.xml")
    assert (suite.errors, suite.skipped) == (1, 1)
    assert f"**{code.name.lower()}**".replace("_", " ") in Path("summary.md").read_text()


def test_a_job_that_fails(service: Service, run: Any) -> None:
    cause = {"code": "out_of_memory", "count": 2, "message": "No room."}
    error = {"code": "all_trials_failed", "title": "t", "detail": "All 2 failed.", "trials": [cause]}
    service.server.on("GET /v1/jobs/job_1", Answer(200, service.made("failed", error=error)))
    result = run("--junit", "r.xml", "--summary", "s.md", "--output", "model")
    assert result.exit_code == 1
    assert "all_trials_failed: All 2 failed." in result.stderr
    assert "2 times `out_of_memory`: No room." in Path("s.md").read_text()
    assert list(Path("model").iterdir()) == []


def test_a_job_that_is_cancelled_by_somebody(service: Service, run: Any) -> None:
    service.server.on("GET /v1/jobs/job_1", Answer(200, service.made("cancelled")))
    assert run().exit_code == 1


@pytest.mark.parametrize(("more", "is_cancelled"), [([], False), (["--cancel-on-timeout"], True)])
def test_timed_out(service: Service, run: Any, more: list[str], is_cancelled: bool) -> None:
    service.runs_on()
    service.server.on("POST /v1/jobs/job_1:cancel", Answer(202, service.made("cancelling")))
    result = run("--timeout", "0.05", "--junit", "r.xml", *more)
    assert result.exit_code == 124
    assert ("being cancelled" in result.stderr) == is_cancelled
    assert ("tuneserve watch job_1" in result.stderr) != is_cancelled
    assert ("/v1/jobs/job_1:cancel" in service.posted) == is_cancelled
    assert JUnitXml.fromfile("r.xml").errors == 1


class Alarm:
    """Sends this process a signal once the server has been asked for something."""

    def __init__(self, server: Server, route: str, number: int) -> None:
        self.thread = threading.Thread(target=self._send, args=(server, route, number))
        self.thread.start()

    def _send(self, server: Server, route: str, number: int) -> None:
        gone = threading.Event()
        for _ in range(2000):
            if server.asked_for(route):
                os.kill(os.getpid(), number)
                return
            gone.wait(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("more", "is_cancelled"), [([], False), (["--cancel-on-interrupt"], True)])
def test_interrupted(service: Service, run: Any, number: int, more: list[str], is_cancelled: bool) -> None:
    service.runs_on()
    service.server.on("POST /v1/jobs/job_1:cancel", Answer(202, service.made("cancelling")))
    before = signal.getsignal(number)
    alarm = Alarm(service.server, "GET /v1/jobs/job_1", number)
    result = run("--json", "--junit", "r.xml", "--summary", "s.md", *more)
    alarm.thread.join()
    assert result.exit_code == 130, result.output
    assert signal.getsignal(number) == before
    document = json.loads(result.stdout)
    assert (document["verdict"], document["job"]["id"]) == ("interrupted", "job_1")
    assert signal.Signals(number).name in document["problem"]
    assert ("/v1/jobs/job_1:cancel" in service.posted) == is_cancelled
    assert ("goes on" in result.stderr) != is_cancelled
    assert JUnitXml.fromfile("r.xml").errors == 1
    assert "interrupted" in Path("s.md").read_text()


def test_interrupted_while_the_job_is_being_made(service: Service, run: Any) -> None:
    """The id is waited for: a job that nobody knows of could not be cancelled."""
    service.runs_on()
    service.server.on("POST /v1/jobs/job_1:cancel", Answer(202, service.made("cancelling")))
    alarm = Alarm(service.server, "POST /v1/jobs", signal.SIGTERM)
    result = run("--cancel-on-interrupt")
    alarm.thread.join()
    assert result.exit_code == 130
    assert "Job job_1 is being cancelled." in result.stderr


def test_a_cancellation_that_hangs_does_not_hold_the_way_out() -> None:
    stuck = threading.Event()
    assert bounded(stuck.wait, 0.01) == "no answer in 0.01 s"
    stuck.set()
    assert bounded(lambda: None, 1) is None
    assert "divi" in str(bounded(lambda: 1 // 0, 1))


def test_a_held_interrupt_comes_at_the_end_of_the_block() -> None:
    done = []

    def make() -> None:
        with handler.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("made")
        done.append("not reached")

    with interrupts() as handler, pytest.raises(Interrupted, match="SIGINT"):
        make()
    assert done == ["made"]


def test_a_signal_that_comes_twice_at_once_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `timeout` sends it, to the process and to its group."""
    monkeypatch.setattr(os, "_exit", sys.exit)
    handler = Interrupts()
    with pytest.raises(Interrupted, match="SIGTERM"):
        handler(signal.SIGTERM, None)
    handler(signal.SIGTERM, None)
    monkeypatch.setattr(signals, "ECHO_SECONDS", 0.0)
    with pytest.raises(SystemExit, match="130"):
        handler(signal.SIGTERM, None)


def test_an_interrupt_in_the_instant_of_the_end_is_reported(
    service: Service, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Interrupts.settle

    def late(handler: Interrupts) -> None:
        monkeypatch.setattr(Interrupts, "settle", settle)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Interrupts, "settle", late)
    result = run("--junit", "r.xml", "--json")
    assert (result.exit_code, json.loads(result.stdout)["verdict"]) == (130, "interrupted")
    assert JUnitXml.fromfile("r.xml").errors == 1


STUCK = """
import sys, time
from tuneserve.cli import interrupts as signals
from tuneserve.cli.interrupts import Interrupted, interrupts
signals.ECHO_SECONDS = 0
with interrupts():
    try:
        print("ready", flush=True)
        time.sleep(20)
    except Interrupted:
        print("first", flush=True)
        time.sleep(20)
    finally:
        print("never", flush=True)
"""


def test_a_second_interrupt_leaves_at_once() -> None:
    stuck = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True)
    assert stuck.stdout is not None
    with stuck.stdout as said:
        assert said.readline() == "ready\n"
        stuck.send_signal(signal.SIGINT)
        assert said.readline() == "first\n"
        stuck.send_signal(signal.SIGTERM)
        assert said.read() == ""
    assert stuck.wait(5) == 130


def test_elsewhere_than_in_the_main_thread_there_are_no_signals() -> None:
    entered: list[bool] = []

    def enter() -> None:
        with interrupts():
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [True]


def test_reuse_takes_the_newest_that_has_a_model(service: Service, run: Any, server: Server) -> None:
    jobs = [service.made("succeeded", id=f"job_{n}") for n in (3, 2, 1)]
    server.on("GET /v1/jobs", Answer(200, {"items": jobs}))
    server.on("GET /v1/jobs/job_3/best", Answer(200, {**BEST, "artifacts": []}))
    server.on("GET /v1/jobs/job_2/best", Answer(200, {**BEST, "model": None}))
    result = run("--reuse", "--json", "--max", "parameters=2e6", "--junit", "r.xml", "--summary", "s.md")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["reused"], document["job"]["id"]) == (True, "job_1")
    assert service.posted == ["/v1/jobs:validate"]
    query = server.asked_for("GET /v1/jobs")[0].query
    asked = {name: query[name] for name in ("state", "spec_digest", "dataset_digest")}
    assert asked == {"state": ["succeeded"], "spec_digest": ["sha256:aa"], "dataset_digest": ["sha256:bb"]}
    assert "Reusing job_1" in result.stderr
    (suite,) = JUnitXml.fromfile("r.xml")
    assert {one.name: one.value for one in suite.properties()}["reused"] == "true"
    assert "taken from before" in Path("s.md").read_text()


def test_without_a_job_to_reuse_one_is_submitted(service: Service, run: Any, server: Server) -> None:
    server.on("GET /v1/jobs", Answer(200, {"items": []}))
    result = run("--reuse", "--json")
    assert (result.exit_code, json.loads(result.stdout)["reused"]) == (0, False)
    assert "/v1/jobs" in service.posted


@pytest.fixture
def baseline(service: Service, server: Server) -> Service:
    server.on("GET /v1/jobs/job_0", Answer(200, service.made("succeeded", id="job_0")))
    before = {**BEST, "job": "job_0", "validation": {"accuracy": 0.985, "loss": 0.065}}
    server.on("GET /v1/jobs/job_0/best", Answer(200, before))
    return service


@pytest.mark.parametrize(
    ("tolerance", "code"), [([], 3), (["--tolerance", "0.004"], 3), (["--tolerance", "0.005"], 0)]
)
def test_no_worse_than_the_baseline(baseline: Service, run: Any, tolerance: list[str], code: int) -> None:
    result = run("--baseline", "job_0", *tolerance, "--json")
    assert result.exit_code == code
    document = json.loads(result.stdout)
    (gate,) = document["gates"]
    assert (gate["metric"], gate["bound"], gate["baseline"]) == ("val_accuracy", "min", 0.985)
    assert document["baseline"]["deltas"]["val_accuracy"] == pytest.approx(-0.005)


def test_a_loss_is_worse_when_it_is_higher(baseline: Service, run: Any) -> None:
    arguments = ["--baseline", "job_0", "--tolerance", "0.005", "--max", "val_loss=0.5", "--json"]
    result = run(*arguments, "--max", "parameters=2e6")
    assert result.exit_code == 0
    limits = [
        (gate["metric"], gate["bound"]) for gate in json.loads(result.stdout)["gates"] if gate["baseline"]
    ]
    # Sizes are shown beside the baseline's, not held to them.
    assert limits == [("val_accuracy", "min"), ("val_loss", "max")]


def test_a_baseline_that_is_not_there_or_has_no_model(baseline: Service, run: Any, server: Server) -> None:
    assert run("--baseline", "job_9").exit_code == 5
    server.on("GET /v1/jobs/job_0/best", Answer(409, {"code": "no_completed_trial", "title": "Conflict"}))
    result = run("--baseline", "job_0")
    assert (result.exit_code, "job_0 is succeeded and has no model" in result.stderr) == (2, True)
    server.on("GET /v1/jobs/job_0/best", Answer(200, {**BEST, "validation": {"loss": 0.1}}))
    result = run("--baseline", "job_0")
    assert (result.exit_code, "has no val_accuracy. It has: score, val_loss" in result.stderr) == (2, True)
    assert "/v1/jobs" not in baseline.posted


def test_scores_by_other_objectives_are_not_compared(baseline: Service, run: Any, server: Server) -> None:
    spec = {**SPEC, "objective": {"metric": "val_loss"}}
    server.on("GET /v1/jobs/job_0", Answer(200, {**baseline.made("succeeded", id="job_0"), "spec": spec}))
    result = run("--baseline", "job_0", "--tolerance", "0.9", "--json", "--summary", "s.md")
    found = json.loads(result.stdout)["baseline"]
    assert (result.exit_code, found["metrics"]["score"]) == (0, None)
    assert "score" not in found["deltas"]
    assert found["deltas"]["val_accuracy"] == pytest.approx(-0.005)
    assert "| `score` |" not in Path("s.md").read_text()


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"dataset_digest": "sha256:cc"}, "another data set"),
        ({"spec": {**SPEC, "seed": 1}}, "divided the data"),
    ],
)
def test_a_baseline_of_other_images_is_warned_of(
    baseline: Service, run: Any, server: Server, changes: dict[str, Any], warning: str
) -> None:
    document = {**baseline.made("succeeded", id="job_0"), **changes}
    server.on("GET /v1/jobs/job_0", Answer(200, document))
    result = run("--baseline", "job_0", "--tolerance", "0.9", "--summary", "s.md")
    assert result.exit_code == 0
    assert warning in result.stderr
    assert warning in Path("s.md").read_text()


def test_output_has_the_model_also_when_a_gate_was_missed(service: Service, run: Any) -> None:
    result = run("--output", "out/model", "--min", "score=0.99", "--json")
    assert result.exit_code == 3
    folder = Path("out/model")
    assert (folder / "model.keras").read_bytes() == MODEL
    assert json.loads((folder / "best.json").read_text())["trial"] == 3
    assert "a gate was missed" in (folder / "summary.md").read_text()
    assert json.loads(result.stdout)["artifacts"] == [
        str(folder / n) for n in ("model.keras", "best.json", "summary.md")
    ]


def test_output_has_nothing_of_an_earlier_run(service: Service, run: Any) -> None:
    names = ("model.keras", "best.json", "summary.md", "mine.txt")
    Path("out").mkdir()
    for name in names:
        Path("out", name).write_text("before")
    assert run("--output", "out", "--dry-run").exit_code == 0
    assert {path.name for path in Path("out").iterdir()} == set(names)
    service.server.on("GET /v1/jobs/job_1", Answer(200, service.made("failed")))
    assert run("--output", "out").exit_code == 1
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]


def test_a_model_that_is_not_the_published_one_is_not_left(service: Service, run: Any) -> None:
    service.server.on("GET /v1/jobs/job_1/artifacts/model.keras", Answer(200, b"another", {"ETag": '"m"'}))
    result = run("--output", "model", "--junit", "r.xml")
    assert result.exit_code == 6
    assert list(Path("model").iterdir()) == []
    assert JUnitXml.fromfile("r.xml").errors == 1


def test_a_dry_run_submits_nothing(service: Service, run: Any) -> None:
    result = run("--dry-run", "--min", "val_accuracy=0.9", "--max", "parameters=400", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["dry_run"], document["job"], document["estimate"]["trials"]) == (True, None, 10)
    assert [gate["met"] for gate in document["gates"]] == [None, None]
    assert service.posted == ["/v1/jobs:validate"]
    assert "the smallest model of this space has 500" in result.stderr
    assert "parameters\t500 to 90,000" in run("--dry-run").stdout


def test_warnings_of_spec_and_result_are_told_once(service: Service, run: Any, server: Server) -> None:
    first, second = {"code": "a", "detail": "Of the spec."}, {"code": "b", "detail": "Near chance."}
    server.on("POST /v1/jobs:validate", Answer(200, {**VALID, "warnings": [first]}))
    server.on("GET /v1/jobs/job_1", Answer(200, service.made("succeeded", warnings=[first, second])))
    result = run("--json", "--summary", "s.md")
    assert json.loads(result.stdout)["warnings"] == ["Of the spec.", "Near chance."]
    assert result.stderr.count("Of the spec.") == 1
    assert "- Near chance." in Path("s.md").read_text()


def test_an_interrupt_on_the_way_out_changes_nothing() -> None:
    with interrupts() as handler:
        handler.settle()
        os.kill(os.getpid(), signal.SIGTERM)


def test_labels_key_and_changes_go_to_the_service(service: Service, run: Any, server: Server) -> None:
    run("--label", "commit=abc=1", "--idempotency-key", "build-7", "--set", "budget.max_trials=3")
    (posted,) = server.asked_for("POST /v1/jobs")
    assert posted.json()["labels"] == {"team": "vision", "commit": "abc=1"}
    assert posted.json()["budget"] == {"max_trials": 3}
    assert posted.headers["Idempotency-Key"] == "build-7"


def test_a_data_set_is_uploaded_first(service: Service, run: Any, server: Server) -> None:
    import numpy as np

    np.savez("images.npz", x=np.zeros((4, 8, 8), np.uint8), y=[0, 0, 1, 1])
    server.on("GET /v1/datasets", Answer(200, {"items": []}))
    server.on("POST /v1/datasets", Answer(201, {"id": "ds_7"}))
    assert run("--dataset", "images.npz").exit_code == 0
    assert server.asked_for("POST /v1/jobs")[0].json()["dataset"] == "ds_7"


def test_an_empty_data_set_is_not_the_folder_that_one_is_in(service: Service, run: Any) -> None:
    """As the variable of a pipeline that is not set would have it."""
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "1.png").write_bytes(b"an image")
    result = run("--dataset", "")
    assert (result.exit_code, "'--dataset': it is empty" in result.stderr) == (2, True)
    assert service.server.asked == []


def test_a_step_summary_is_added_to_what_is_there(
    service: Service, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("s.md").write_text("before\n")
    monkeypatch.setenv(reporting.STEP_SUMMARY, "s.md")
    run("--summary", "s.md")
    assert Path("s.md").read_text().startswith("before\n## spec: succeeded")
    monkeypatch.delenv(reporting.STEP_SUMMARY)
    run("--summary", "s.md")
    assert Path("s.md").read_text().startswith("## spec: succeeded")


def test_a_report_that_cannot_be_written_fails_a_run_that_met_its_gates(service: Service, run: Any) -> None:
    Path("full").symlink_to("/dev/full")
    result = run("--junit", "full", "--summary", "s.md", "--json")
    told = "full: No space left on device"
    assert (result.exit_code, f"Warning: {told}" in result.stderr) == (2, True)
    assert json.loads(result.stdout)["problem"] == told
    page = Path("s.md").read_text()
    assert page.startswith("## spec: a file could not be written\n")
    assert told in page
    assert run("--summary", "full").exit_code == 2


def test_a_best_that_is_not_of_this_service_misses_no_gate(service: Service, run: Any) -> None:
    service.server.on("GET /v1/jobs/job_1/best", Answer(200, {"hello": 1}))
    assert run("--min", "score=0.5").exit_code == 6


def test_quiet_leaves_stderr_to_warnings(service: Service, run: Any) -> None:
    assert run("--quiet", "--min", "score=0.99").stderr == ""


def test_the_page_has_every_option_and_every_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
    options = [name for one in command.params for name in one.opts if name.startswith("--")]
    assert [name for name in options if f"`{name}" not in page] == []
    assert [code for code in Exit if f"| {int(code)} |" not in page] == [Exit.INTERNAL, Exit.PIPE_CLOSED]


def test_a_dry_run_judges_the_job_that_would_be_reused(service: Service, run: Any, server: Server) -> None:
    server.on("GET /v1/jobs", Answer(200, {"items": [service.made("succeeded")]}))
    result = run("--dry-run", "--reuse", "--min", "val_accuracy=0.99", "--summary", "s.md")
    assert (result.exit_code, "Dry run: would reuse job_1" in result.stderr) == (3, True)
    assert "val_accuracy >= 0.99\t0.98\tmissed" in result.stdout
    assert "would be taken from before" in Path("s.md").read_text()
    assert service.posted == ["/v1/jobs:validate"]


@pytest.mark.parametrize("valid", [True, False])
def test_reports_have_one_name_whatever_comes_of_the_run(service: Service, run: Any, valid: bool) -> None:
    if not valid:
        service.server.on("POST /v1/jobs:validate", Answer(200, {"valid": False, "errors": []}))
    for options, name in ((["--set", "name=small"], "small"), ([], "spec")):
        run("--junit", "r.xml", *options)
        assert [suite.name for suite in JUnitXml.fromfile("r.xml")] == [f"tuneserve.{name}"]
