"""`tuneserve run` against the whole service: every exit code, the interrupts, and what is left behind."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml
from markdown_it import MarkdownIt

from tests.whole.conftest import Service
from tests.whole.images import ON_SQLITE
from tuneserve import Client
from tuneserve.cli.gates import offered

pytestmark = ON_SQLITE

SCRIPT = Path(__file__).parents[2] / "client" / "tests" / "exit_codes.sh"

CODES = {
    "met": 0,
    "reused": 0,
    "baseline": 0,
    "dry": 0,
    "failed": 1,
    "usage": 2,
    "missed": 3,
    "key": 4,
    "not_found": 5,
    "unreachable": 6,
    "timed_out": 124,
    "interrupted": 130,
    "terminated": 130,
    "interrupted_cancels": 130,
    "terminated_cancels": 130,
}


@dataclass
class Runs:
    """What the script left: a document, a JUnit file and a summary for each run."""

    folder: Path
    said: str
    code: int
    client: Client

    def document(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return document

    def state(self, name: str) -> str:
        return self.client.jobs.get(self.document(name)["job"]["id"]).state


@pytest.fixture(scope="module")
def runs(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The script, once for all tests; the jobs that it left running end afterwards."""
    folder = tmp_path_factory.mktemp("runs")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TUNESERVE_")},
        "TUNESERVE": str(Path(sys.executable).parent / "tuneserve"),
        "TUNESERVE_URL": shared_service.url,
        "TUNESERVE_API_KEY": shared_service.key,
    }
    done = subprocess.run(
        ["bash", SCRIPT, folder], env=environment, capture_output=True, text=True, timeout=120
    )
    with shared_service.client() as client:
        yield Runs(folder, done.stdout + done.stderr, done.returncode, client)
        for job in client.jobs.list():
            if not job.is_terminal:
                job.cancel()


def test_every_exit_code(runs: Runs) -> None:
    assert runs.code == 0, runs.said
    assert dict.fromkeys(line.split()[1] for line in runs.said.splitlines()).keys() == CODES.keys()
    assert {name: runs.document(name)["exit_code"] for name in CODES} == CODES


def test_every_run_leaves_reports_that_can_be_read(runs: Runs) -> None:
    for name, code in CODES.items():
        (suite,) = JUnitXml.fromfile(str(runs.folder / f"{name}.xml"))
        failed = {"failures": suite.failures, "errors": suite.errors}
        assert failed == {"failures": int(code == 3), "errors": int(code not in (0, 3))}, name
        page = (runs.folder / f"{name}.md").read_text()
        tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page)
        assert {"heading_open", "table_open"} <= {token.type for token in tokens}, name
        assert not any(token.type.startswith("html") for token in tokens), name


def test_gates_on_all_that_a_job_has(runs: Runs) -> None:
    document = runs.document("met")
    best = document["best"]
    there = {f"val_{name}" for name in best["validation"]} | {f"test_{name}" for name in best["test"]}
    facts = {"score", "parameters", "model_bytes", "prediction_seconds"}
    # What the client promises before the job is submitted is what the job then has.
    assert set(offered(document["job"]["spec"])) == there | facts
    assert [gate["met"] for gate in document["gates"]] == [True] * 7
    assert all(gate["actual"] is not None for gate in document["gates"])
    assert 0 < best["model"]["prediction_seconds"] < 60


def test_the_model_is_there_and_the_search_is_drawn(runs: Runs) -> None:
    document = runs.document("met")
    files = [Path(name).name for name in document["artifacts"]]
    assert files == ["model.keras", "best.json", "summary.md"]
    assert (runs.folder / "model" / "model.keras").stat().st_size == runs.document("met")["best"]["model"][
        "bytes"
    ]
    assert (runs.folder / "missed-model" / "model.keras").exists()
    assert "xychart-beta" in (runs.folder / "met.md").read_text()


def test_the_same_spec_on_the_same_data_is_answered_by_the_job_that_is_there(runs: Runs) -> None:
    made = runs.document("met")
    for name in ("reused", "missed", "baseline"):
        again = runs.document(name)
        assert (again["reused"], again["job"]["id"]) == (True, made["job"]["id"])
        assert again["seconds"] < 5
    assert runs.document("baseline")["baseline"]["deltas"]["val_accuracy"] == 0


def test_an_interrupt_leaves_the_job_or_cancels_it(runs: Runs) -> None:
    assert runs.state("timed_out") in ("queued", "running")
    assert runs.state("terminated") in ("queued", "running")
    for name in ("interrupted_cancels", "terminated_cancels"):
        assert runs.state(name) in ("cancelling", "cancelled")
    assert "tuneserve watch job_" in (runs.folder / "terminated.err").read_text()


def test_the_same_key_follows_the_same_job(runs: Runs, shared_service: Service) -> None:
    from click.testing import CliRunner

    from tuneserve.cli.program import program

    command = [
        "--url",
        shared_service.url,
        "--api-key",
        shared_service.key,
        "run",
        str(runs.folder / "long.yaml"),
    ]
    command += ["--idempotency-key", "build-7", "--timeout", "0.1", "--json"]
    first, second = (CliRunner().invoke(program, command) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (124, 124)
    documents = [json.load(io.StringIO(result.stdout)) for result in (first, second)]
    assert documents[0]["job"]["id"] == documents[1]["job"]["id"]
