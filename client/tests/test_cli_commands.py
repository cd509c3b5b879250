"""Commands against a real HTTP server that answers as a test says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sdk_server import Answer, Server, Stream

from tuneserve.cli.context import Output
from tuneserve.cli.exits import MEANINGS, Exit
from tuneserve.cli.program import COMMANDS, program

JOB = "GET /v1/jobs/job_1"
TRIAL = {
    "number": 5,
    "state": "completed",
    "attempt": 1,
    "hyperparameters": {"training.learning_rate": 0.00093, "model.dropout": 0.4},
    "score": 0.981,
    "best_epoch": 2,
    "epochs": [
        {"epoch": 1, "seconds": 0.6, "learning_rate": 0.001, "metrics": {"val_accuracy": 0.5}},
        {"epoch": 2, "seconds": 0.6, "learning_rate": 0.001, "metrics": {"val_accuracy": 0.981}},
    ],
    "parameters": 693962,
    "error": None,
}


@pytest.fixture
def tuneserve(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TUNESERVE_URL", server.url)
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_k_s")

    def run(*args: str, input: str | None = None) -> Result:
        return CliRunner().invoke(program, args, input=input, prog_name="tuneserve")

    return run


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "a.yaml"
    file.write_text(
        "dataset: builtin:digits\nmodel:\n  family: cnn\nbudget:\n  max_trials: 3\n", encoding="utf-8"
    )
    return file


def page(*items: Any, token: str | None = None) -> Answer:
    return Answer(200, {"items": list(items), "next_page_token": token})


def problem(status: int, code: str, **more: Any) -> Answer:
    return Answer(status, {"code": code, "title": "T", "detail": "Why.", "status": status, **more})


def events(*told: tuple[str, int | None, dict[str, Any]]) -> Stream:
    text = [
        f"event: {kind}\n{f'id: {n}' if n else ''}\ndata: {json.dumps(data)}\n\n" for kind, n, data in told
    ]
    return Stream([one.replace("\n\ndata", "\ndata").encode() for one in text])


def test_the_help_has_every_command_with_its_own_words(tuneserve: Any) -> None:
    told = tuneserve("--help")
    assert told.exit_code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name} " in told.output
        command = program.get_command(None, name) if name != "run" else None  # type: ignore[arg-type]
        if command and name != "events":
            assert command.help, name
            assert len(entry.help) <= 60, name
    for code, meaning in MEANINGS.items():
        assert f"{int(code):>3}  {meaning}" in told.output


def test_status(tuneserve: Any, server: Server, job: Any) -> None:
    document = job(stop_reason=None, create_time="2026-11-21T20:14:03.5Z", new_field=1)
    server.on(JOB, Answer(200, document))
    told = tuneserve("status", "job_1")
    rows = dict(line.split("\t") for line in told.stdout.splitlines())
    assert (rows["state"], rows["trials"]) == ("running", "7 of 10 (6 completed, 1 stopped)")
    assert rows["best"] == "0.981 (trial 5, epoch 7)"
    assert rows["created"] == "2026-11-21 20:14:03"
    assert json.loads(tuneserve("status", "job_1", "--json").stdout) == document
    assert json.loads(tuneserve("--json", "status", "job_1").stdout) == document


def test_names_cannot_reach_the_terminal(tuneserve: Any, server: Server, job: Any) -> None:
    evil = "\x1b]0;owned\x07\nid\tjob_9"
    server.on(JOB, Answer(200, job(name=evil, labels={evil: evil}, warnings=[{"code": "c", "detail": evil}])))
    server.on("GET /v1/jobs", page(job(name=evil)))
    for told in (tuneserve("status", "job_1"), tuneserve("list"), tuneserve("status", "job_1", "--json")):
        assert told.exit_code == 0
        assert "\x1b" not in told.output
        assert "owned" in told.output
    assert len(tuneserve("list").stdout.splitlines()) == 1
    server.on(JOB, problem(404, "job_not_found", detail=evil))
    assert "\x1b" not in tuneserve("status", "job_1").stderr


def test_list_pages_and_filters(tuneserve: Any, server: Server, job: Any) -> None:
    server.on("GET /v1/jobs", page(job(id="job_1"), token="t"), page(job(id="job_2"), job(id="job_3")))
    told = tuneserve(
        "list", "--state", "running", "--label", "team:vision", "--search", "let", "--since", "2026-01-02"
    )
    assert [line.split("\t")[0] for line in told.stdout.splitlines()] == ["job_1", "job_2", "job_3"]
    query = server.asked[0].query
    assert query["created_after"] == ["2026-01-02T00:00:00Z"]
    assert (query["state"], query["label"], query["q"]) == (["running"], ["team:vision"], ["let"])
    server.on("GET /v1/jobs", page(job(id="job_1"), job(id="job_2"), token="more"))
    told = json.loads(tuneserve("list", "--limit", "1", "--json").stdout)
    assert [one["id"] for one in told["items"]] == ["job_1"]
    server.on("GET /v1/jobs", page())
    assert tuneserve("list").stdout == ""


def test_submit_prints_the_id_alone(tuneserve: Any, server: Server, spec: Path, job: Any) -> None:
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    told = tuneserve("submit", str(spec), "--set", "training.epochs=5", "--idempotency-key", "k")
    assert (told.exit_code, told.stdout, told.stderr) == (0, "job_1\n", "")
    asked = server.asked[0]
    assert asked.json() == {
        "dataset": "builtin:digits",
        "model": {"family": "cnn"},
        "budget": {"max_trials": 3},
        "training": {"epochs": 5},
    }
    assert asked.headers["Idempotency-Key"] == "k"


def test_names_and_labels_are_options(tuneserve: Any, server: Server, spec: Path, job: Any) -> None:
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    told = tuneserve("submit", str(spec), "--name", "n", "--label", "team=vision", "--label", "a=b=c")
    asked = server.asked[0].json()
    assert (told.exit_code, asked["name"]) == (0, "n")
    assert asked["labels"] == {"team": "vision", "a": "b=c"}
    server.on("GET /v1/jobs", page())
    for text in ("team=vision", "team:vision"):
        tuneserve("list", "--label", text)
        assert server.asked[-1].query["label"] == ["team:vision"]


def test_submit_waits(tuneserve: Any, server: Server, spec: Path, job: Any) -> None:
    server.on("POST /v1/jobs", Answer(202, job("queued")))
    server.on(JOB, Answer(200, job("succeeded")))
    told = tuneserve("submit", str(spec), "--wait")
    assert (told.exit_code, told.stdout) == (0, "job_1\n")
    assert "succeeded  7/10 trials  best 0.981 (trial 5)" in told.stderr
    server.on(
        JOB, Answer(200, job("failed", error={"code": "all_trials_failed", "title": "T", "detail": "Out."}))
    )
    told = tuneserve("submit", str(spec), "--wait", "--json", "-q")
    assert (told.exit_code, told.stderr) == (1, "")
    assert json.loads(told.stdout)["state"] == "failed"
    server.on(JOB, Answer(200, job("running")))
    told = tuneserve("submit", str(spec), "--wait", "--timeout", "0.05")
    assert told.exit_code == 124
    assert "\njob_1 goes on: `tuneserve watch job_1` comes back, " in told.stderr
    assert told.stderr.endswith("\nError: job_1 is still running after 0.05 s\n")
    assert tuneserve("submit", str(spec), "--timeout", "5").exit_code == 2


def test_a_spec_that_the_service_refuses_is_told_by_lines(tuneserve: Any, server: Server, spec: Path) -> None:
    faults = [
        {"pointer": "/model/family", "code": "invalid_choice", "detail": "No."},
        {"pointer": "/training/epochs", "code": "value_out_of_range", "detail": "Too many."},
    ]
    server.on("POST /v1/jobs", problem(422, "invalid_document", errors=faults, request_id="r1"))
    told = tuneserve("submit", str(spec), "--set", "training.epochs=0")
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.splitlines() == [
        "Error: the spec does not fit (request r1)",
        f"{spec}:3:3 /model/family: No.",
        "--set training.epochs=0 /training/epochs: Too many.",
    ]


def test_validate(tuneserve: Any, server: Server, spec: Path) -> None:
    answer = {
        "valid": True,
        "spec": {"seed": 0},
        "space": {"open_values": 1, "size": None, "grid_size": 10},
        "estimate": {
            "trials": 3,
            "epochs": 30,
            "smallest_parameters": 1000,
            "largest_parameters": 20000,
            "training_images": 1258,
            "validation_images": 360,
            "test_images": 179,
        },
        "warnings": [{"code": "c", "pointer": "/model", "detail": "Hm."}],
        "errors": [],
        "spec_digest": "sha256:1",
        "dataset_digest": "sha256:2",
        "new": 1,
    }
    server.on("POST /v1/jobs:validate", Answer(200, answer))
    told = tuneserve("validate", str(spec))
    assert told.exit_code == 0
    rows = dict(line.split("\t") for line in told.stdout.splitlines())
    assert rows["parameters"] == "1,000 to 20,000"
    assert rows["images"] == "1,258 to train, 360 to validate, 179 to test"
    assert told.stderr == "Warning: /model Hm.\n"
    assert json.loads(tuneserve("validate", str(spec), "--json").stdout) == answer
    assert json.loads(tuneserve("validate", str(spec), "--resolved").stdout) == {"seed": 0}


def test_validate_tells_faults_with_or_without_a_service(tuneserve: Any, server: Server, spec: Path) -> None:
    wrong = ["--set", "model.droput=1", "--set", "seed=x"]
    told = tuneserve("validate", str(spec), "--offline", *wrong)
    assert (told.exit_code, told.stdout, server.asked) == (2, "", [])
    assert told.stderr.splitlines() == [
        "--set model.droput=1 /model/droput: unknown field; did you mean dropout?",
        '--set seed=x /seed: must be a whole number, not "x"',
        f"Error: 2 faults in {spec}",
    ]
    faults = [
        {"pointer": "/model/droput", "code": "unknown_field", "detail": "Unknown."},
        {"pointer": "/budget/max_trials", "code": "value_out_of_range", "detail": "Too few."},
    ]
    server.on("POST /v1/jobs:validate", Answer(200, {"valid": False, "errors": faults, "warnings": []}))
    told = tuneserve("validate", str(spec), *wrong)
    # The service's word where there is one, and what the schema alone has found.
    assert told.stderr.splitlines()[:-1] == [
        "--set model.droput=1 /model/droput: Unknown.",
        f"{spec}:5:3 /budget/max_trials: Too few.",
        '--set seed=x /seed: must be a whole number, not "x"',
    ]
    told = json.loads(tuneserve("validate", str(spec), *wrong, "--json").stdout)
    assert [one["pointer"] for one in told["errors"]] == ["/model/droput", "/budget/max_trials", "/seed"]
    server.on("POST /v1/jobs:validate", problem(500, "internal"))
    assert "did you mean dropout?" in tuneserve("validate", str(spec), *wrong).stderr
    told = tuneserve("validate", str(spec))
    assert (told.exit_code, told.stderr.splitlines()[0]) == (
        6,
        "The fields fit; the rest could not be checked.",
    )


def test_the_service_may_know_more_than_the_schema(tuneserve: Any, server: Server, spec: Path) -> None:
    server.on(
        "POST /v1/jobs:validate", Answer(200, {"valid": True, "spec": {}, "errors": [], "warnings": []})
    )
    told = tuneserve("validate", str(spec), "--set", "model.family=striped")
    assert told.exit_code == 0
    assert "it is newer, or has plugins" in told.stderr


def test_trials(tuneserve: Any, server: Server, job: Any) -> None:
    server.on(JOB, Answer(200, job()))
    server.on("GET /v1/jobs/job_1/trials", page(TRIAL))
    told = tuneserve("trials", "job_1", "--order-by", "score", "--state", "completed")
    assert told.stdout == "5\tcompleted\t0.981\t2\t693962\tlearning_rate=0.00093  dropout=0.4\t-\n"
    assert server.asked[0].query == {"state": ["completed"], "order_by": ["score"], "page_size": ["200"]}
    assert json.loads(tuneserve("trials", "job_1", "--json").stdout) == {"items": [TRIAL]}
    server.on("GET /v1/jobs/job_1/trials/5", Answer(200, TRIAL))
    assert json.loads(tuneserve("trials", "job_1", "5", "--json").stdout) == TRIAL
    told = tuneserve("trials", "job_1", "5").stdout
    assert told == "1\t0.6\t0.001\t0.5\n2\t0.6\t0.001\t0.981\n"


def test_trials_as_csv(tuneserve: Any, server: Server, job: Any) -> None:
    table = Answer(200, b"number,state\r\n5,completed\r\n", {"Content-Type": "text/csv; charset=utf-8"})
    server.on(JOB, Answer(200, job()))
    server.on("GET /v1/jobs/job_1/trials", table)
    told = tuneserve("trials", "job_1", "--csv")
    assert told.stdout_bytes == b"number,state\r\n5,completed\r\n"
    assert tuneserve("trials", "job_1", "--csv", "--json").exit_code == 2


def test_best(tuneserve: Any, server: Server) -> None:
    best = {
        "job": "job_1",
        "trial": 5,
        "epoch": 7,
        "score": 0.981,
        "hyperparameters": {"training.learning_rate": 0.00093},
        "validation": {"accuracy": 0.981, "loss": None},
        "test": None,
        "verified": None,
        "refit": True,
        "artifacts": ["model.keras"],
        "model": {"parameters": 693962, "bytes": 1843200, "prediction_seconds": 0.0021},
        "reproducibility": {},
    }
    server.on("GET /v1/jobs/job_1/best", Answer(200, best))
    told = tuneserve("best", "job_1").stdout
    assert "training.learning_rate\t0.00093\n" in told
    assert "validation\taccuracy=0.981  loss=-\n" in told
    assert "model\t693,962 parameters, 1.84 MB, 2.1 ms for an image\n" in told
    assert "test" not in told
    assert json.loads(tuneserve("best", "job_1", "--json").stdout) == best
    server.on("GET /v1/jobs/job_1/best", problem(409, "no_completed_trial"))
    told = tuneserve("best", "job_1")
    assert (told.exit_code, told.stderr) == (2, "Error: 409 no_completed_trial: Why.\n")


def test_logs(tuneserve: Any, server: Server, job: Any) -> None:
    time = "2026-11-21T20:14:03Z"
    epoch = {
        "trial": 0,
        "fold": 1,
        "epoch": 1,
        "seconds": 0.5,
        "learning_rate": 0.1,
        "metrics": {"loss": 0.5},
    }
    server.on(JOB, Answer(200, job("succeeded")))
    stream = events(
        ("job", None, {"time": time, "state": "running", "stop_reason": None, "error": None}),
        ("epoch", None, epoch),
        (
            "trial",
            None,
            {"time": time, "number": 0, "state": "completed", "score": 0.5, "hyperparameters": {"a.b": 1}},
        ),
        ("progress", 3, {"state": "running", "progress": {}, "best": None, "revision": 3}),
        ("dream", 4, {"of": "sheep"}),
        ("end", None, {"state": "succeeded", "stop_reason": None}),
    )
    server.on("GET /v1/jobs/job_1/events", stream)
    told = tuneserve("logs", "job_1", "--after", "1")
    assert [line[10:] for line in told.stdout.splitlines()] == [
        "job  running",
        "trial 0  epoch 1  loss=0.5",
        "trial 0  completed  score 0.5  b=1",
    ]
    assert server.asked_for("GET /v1/jobs/job_1/events")[0].query["follow"] == ["false"]
    lines = [
        json.loads(line) for line in tuneserve("events", "job_1", "--follow", "--json").stdout.splitlines()
    ]
    assert lines[1] == {"event": "epoch", "sequence": None, "data": epoch}
    assert lines[4] == {"event": "dream", "sequence": 4, "data": {"of": "sheep"}}


def test_watch_where_nothing_can_move(tuneserve: Any, server: Server, job: Any) -> None:
    server.on(JOB, Answer(200, job("running")), Answer(200, job("cancelled")))
    server.on(
        "GET /v1/jobs/job_1/events",
        events(
            ("trial", 3, {"number": 0, "state": "failed", "error": {"code": "out_of_memory"}}),
            ("end", 4, {"state": "cancelled", "stop_reason": "cancelled"}),
        ),
    )
    told = tuneserve("watch", "job_1")
    assert (told.exit_code, told.stdout) == (1, "")
    assert [line.strip() for line in told.stderr.splitlines()] == [
        "trial 0  failed  out_of_memory",
        "job_1 cancelled",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        problem(429, "too_many_streams"),
        problem(404, "route_not_found"),
        problem(406, "not_acceptable"),
        problem(503, "unavailable"),
        Answer(502, b"<h1>Bad gateway</h1>", {"Content-Type": "text/html"}),
        Answer(200, b"<h1>Welcome</h1>", {"Content-Type": "text/html"}),
    ],
    ids=lambda answer: str(answer.status),
)
def test_watch_without_a_stream_polls(answer: Answer, tuneserve: Any, server: Server, job: Any) -> None:
    server.on("GET /v1/jobs/job_1/events", answer)
    server.on(JOB, Answer(200, job("running")), Answer(200, job("running")), Answer(200, job("succeeded")))
    told = tuneserve("watch", "job_1", "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["state"] == "succeeded"


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_steering(tuneserve: Any, server: Server, job: Any, verb: str) -> None:
    server.on(JOB, Answer(200, job("running")))
    server.on(f"POST /v1/jobs/job_1:{verb}", Answer(202, job("changing")))
    told = tuneserve(verb, "job_1")
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr.startswith("job_1 is ")
    assert json.loads(tuneserve(verb, "job_1", "--json", "-q").stdout)["id"] == "job_1"


def test_cancel_a_trial(tuneserve: Any, server: Server, job: Any) -> None:
    server.on(JOB, Answer(200, job("running")))
    server.on("POST /v1/jobs/job_1/trials/5:cancel", Answer(202, TRIAL))
    assert tuneserve("cancel", "job_1", "--trial", "5").stderr == "trial 5 of job_1 is being ended\n"
    assert server.asked_for("POST /v1/jobs/job_1:cancel") == []


def test_extend_and_clone_and_delete(tuneserve: Any, server: Server, job: Any) -> None:
    server.on(JOB, Answer(200, job("succeeded")))
    server.on("PATCH /v1/jobs/job_1", Answer(200, job("running")))
    assert tuneserve("extend", "job_1", "--max-trials", "50").exit_code == 0
    assert server.asked_for("PATCH /v1/jobs/job_1")[0].json() == {"budget": {"max_trials": 50}}
    assert tuneserve("extend", "job_1").exit_code == 2
    server.on("POST /v1/jobs/job_1:clone", Answer(202, job("queued", id="job_2")))
    told = tuneserve("clone", "job_1", "--set", "training.epochs=9", "--set", "seed=", "--name", "again")
    assert told.stdout == "job_2\n"
    changed = {"training": {"epochs": 9}, "seed": None, "name": "again"}
    assert server.asked_for("POST /v1/jobs/job_1:clone")[0].json() == changed
    server.on("DELETE /v1/jobs/job_1", Answer(204))
    assert tuneserve("delete", "job_1").stderr == "Deleted job_1.\n"
    server.on("DELETE /v1/jobs/job_1", problem(409, "job_not_ended"))
    assert tuneserve("delete", "job_1").exit_code == 2


def test_download(tuneserve: Any, server: Server, job: Any, tmp_path: Path) -> None:
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    artifact = {"name": "model.keras", "bytes": 5, "sha256": digest, "media_type": "application/zip"}
    server.on(JOB, Answer(200, job("succeeded")))
    server.on("GET /v1/jobs/job_1/artifacts", page(artifact))
    server.on("GET /v1/jobs/job_1/artifacts/model.keras", Answer(200, b"hello"))
    told = tuneserve("download", "job_1", "-o", str(tmp_path / "out"))
    file = tmp_path / "out" / "model.keras"
    assert (told.exit_code, told.stdout, file.read_bytes()) == (0, f"{file}\n", b"hello")
    told = tuneserve("download", "job_1", "model.keras", "-o", str(tmp_path / "m.keras"), "--json")
    assert json.loads(told.stdout) == {"items": [{**artifact, "path": str(tmp_path / "m.keras")}]}
    assert tuneserve("download", "job_1", "--list").stdout.startswith(
        "model.keras\t5 B\tapplication/zip\t2cf2"
    )
    told = tuneserve("download", "job_1", "no.txt")
    assert (told.exit_code, "job_1 has no no.txt; it has model.keras." in told.stderr) == (5, True)
    told = tuneserve("download", "job_1", "-o", str(tmp_path / "m.keras"))
    assert (told.exit_code, "is a file: give the NAME" in told.stderr) == (2, True)
    server.on("GET /v1/jobs/job_1/artifacts", page())
    told = tuneserve("download", "job_1")
    assert (told.exit_code, "job_1 is succeeded and has no files." in told.stderr) == (5, True)


def test_charts(tuneserve: Any, server: Server, job: Any, tmp_path: Path) -> None:
    server.on(JOB, Answer(200, job()))
    server.on("GET /v1/jobs/job_1/charts", page({"name": "history", "title": "History", "description": "D."}))
    assert tuneserve("charts", "job_1").stdout == "history\tHistory\tD.\n"
    chart = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "mark": "line",
        "data": {"values": []},
    }
    server.on("GET /v1/jobs/job_1/charts/history", Answer(200, chart))
    assert json.loads(tuneserve("charts", "job_1", "history").stdout) == chart
    file = tmp_path / "a.json"
    assert tuneserve("charts", "job_1", "history", "-o", str(file)).stdout == f"{file}\n"
    assert json.loads(file.read_text(encoding="utf-8")) == chart
    assert tuneserve("charts", "job_1", "history", "-o", "a.gif").exit_code == 2
    assert tuneserve("charts", "job_1", "-o", "a.json").exit_code == 2
    assert tuneserve("charts", "job_1", "history", "-o", str(tmp_path / "no" / "a.json")).exit_code == 2


def test_init_never_writes_over_a_file(tuneserve: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    assert "Next: tuneserve validate" in tuneserve("init", "-o", str(file)).stderr
    file.write_text("mine", encoding="utf-8")
    assert tuneserve("init", "-o", str(file)).exit_code == 2
    assert file.read_text(encoding="utf-8") == "mine"
    assert tuneserve("init", "-o", str(file), "--force", "--dataset", "nonsense").exit_code == 2
    assert file.read_text(encoding="utf-8") == "mine"
    assert tuneserve("init", "-o", str(file), "--force", "--family", "vit").exit_code == 0
    assert "family: vit" in file.read_text(encoding="utf-8")
    assert tuneserve("init", "-o", str(tmp_path / "a.json")).exit_code == 0
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["model"]["family"] == "cnn"
    assert tuneserve("init", "-o", str(tmp_path / "a.toml")).exit_code == 2
    assert tuneserve("init", "-o", str(tmp_path / "no" / "a.yaml")).exit_code == 2


def test_doctor(tuneserve: Any, server: Server) -> None:
    info = {
        "version": "0.2.0",
        "limits": {"max_upload_bytes": 10**9, "max_parameters": 10**7},
        "workers": [{"id": "w", "slots": 2, "accelerators": ["GPU"]}],
        "slots": 2,
        "queue_depth": 3,
    }
    for path in ("healthz", "readyz"):
        server.on(f"GET /{path}", Answer(200, {"status": "ok"}))
    server.on("GET /v1/info", Answer(200, info))
    server.on("POST /v1/jobs:validate", Answer(200, {"valid": False, "errors": [], "warnings": []}))
    told = tuneserve("doctor")
    assert told.exit_code == 0
    assert "key\tok\tmay read and write\n" in told.stdout
    assert "workers\tok\t1 with 2 slots, GPU\n" in told.stdout
    assert "clock\tok\t" in told.stdout
    server.on("POST /v1/jobs:validate", problem(403, "insufficient_scope"))
    server.on("GET /v1/info", Answer(200, {**info, "slots": 0, "workers": []}))
    told = json.loads(tuneserve("doctor", "--json").stdout)
    assert told["exit_code"] == 0
    states = {check["name"]: check["state"] for check in told["checks"]}
    assert (states["key"], states["workers"]) == ("warning", "warning")
    server.on("GET /v1/info", problem(401, "invalid_key"))
    assert tuneserve("doctor").exit_code == 4
    server.on("GET /readyz", Answer(503, {"status": "unavailable", "checks": {"broker": False}}))
    assert tuneserve("doctor").exit_code == 6
    server.on("GET /healthz", Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}))
    told = tuneserve("doctor")
    assert told.exit_code == 6
    assert "not an answer of Tuneserve" in told.stdout


@pytest.mark.parametrize("path", ["healthz", "readyz", "v1/info"])
def test_doctor_knows_json_of_another_service(path: str, tuneserve: Any, server: Server) -> None:
    for one in ("healthz", "readyz"):
        server.on(f"GET /{one}", Answer(200, {"status": "ok"}))
    server.on("GET /v1/info", Answer(200, {"version": "0.2.0"}))
    server.on("POST /v1/jobs:validate", Answer(200, {"valid": False, "errors": [], "warnings": []}))
    assert tuneserve("doctor").exit_code == 0
    server.on(f"GET /{path}", Answer(200, {"hello": 1}))
    told = tuneserve("doctor")
    assert (told.exit_code, "not an answer of Tuneserve" in told.stdout) == (6, True)


FOREIGN = [
    ["list"],
    ["status", "job_1"],
    ["trials", "job_1"],
    ["trials", "job_1", "5"],
    ["best", "job_1"],
    ["download", "job_1"],
    ["charts", "job_1"],
    ["datasets", "list"],
    ["datasets", "show", "ds_1"],
    ["catalog"],
]


@pytest.mark.parametrize("command", FOREIGN, ids=" ".join)
def test_json_of_another_service_is_no_answer(
    command: list[str], tuneserve: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "next_answer", lambda *_: Answer(200, {"hello": 1}))
    told = tuneserve(*command)
    assert (told.exit_code, told.stdout) == (6, "")
    assert "not an answer of Tuneserve" in told.stderr


def test_doctor_without_an_address(tuneserve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNESERVE_URL")
    told = tuneserve("doctor")
    assert (told.exit_code, "address\tfault\tno address: give --url, set" in told.stdout) == (2, True)
    assert tuneserve("doctor", "--url", "http://127.0.0.1:1").exit_code == 6


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(401, "invalid_key"), Exit.KEY),
        (problem(403, "insufficient_scope"), Exit.KEY),
        (problem(404, "job_not_found"), Exit.NOT_FOUND),
        (problem(409, "conflict"), Exit.USAGE),
        (problem(422, "invalid"), Exit.USAGE),
        (problem(429, "rate_limited"), Exit.UNREACHABLE),
        (problem(500, "internal"), Exit.UNREACHABLE),
        (Answer(404, b"<html>", {"Content-Type": "text/html"}), Exit.UNREACHABLE),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), Exit.UNREACHABLE),
        (Answer(cut=0), Exit.UNREACHABLE),
    ],
)
def test_errors_are_one_line_and_a_code(answer: Answer, code: Exit, tuneserve: Any, server: Server) -> None:
    server.on(JOB, answer)
    told = tuneserve("status", "job_1", "--json")
    assert (told.exit_code, told.stdout) == (int(code), "")
    assert told.stderr.startswith("Error: ")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["status"],
        ["status", ""],
        ["status", "a\x1b"],
        ["nonsense"],
        ["list", "--limit", "x"],
        ["init", "--family", "x"],
        ["submit"],
        ["submit", "no.yaml"],
        ["catalog", "--no"],
        ["download", "job_1", "-o", ""],
        ["charts", "job_1", "history", "-o", ""],
        ["datasets", "upload", ""],
        ["init", "-o", ""],
    ],
)
def test_wrong_usage_is_2_and_asks_nothing(args: list[str], tuneserve: Any, server: Server) -> None:
    told = tuneserve(*args)
    assert (told.exit_code, told.stdout, server.asked) == (2, "", [])
    assert "Error: " in told.stderr
    assert "Traceback" not in told.stderr


def test_what_cannot_be_uploaded_is_told_with_its_path(
    tuneserve: Any, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    for name in ("empty", "a.py"):
        path = tmp_path / name
        told = tuneserve("datasets", "upload", str(path))
        assert (told.exit_code, told.stdout, server.asked) == (2, "", [])
        assert told.stderr.startswith(f"Error: {path}: ")
        assert told.stderr.count("\n") == 1


def test_what_is_no_wrong_usage_is_one_line(tuneserve: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("mine")
    told = tuneserve("init", "-o", str(file))
    assert told.stderr == f"Error: {file} is there already; --force writes over it.\n"
    told = tuneserve("run", str(file), "--min", "val_accuracy=97")
    assert told.stderr.startswith("Error: --min val_accuracy: ")
    assert (told.exit_code, told.stderr.count("\n")) == (2, 1)


def test_a_command_that_is_nearly_one(tuneserve: Any) -> None:
    told = tuneserve("sumbit", "a.yaml")
    assert (told.exit_code, "no command 'sumbit'; did you mean submit?" in told.stderr) == (2, True)
    assert "did you mean" not in tuneserve("nonsense").stderr


def test_a_fault_of_the_program_says_so(tuneserve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pages(*_: Any, **__: Any) -> None:
        raise KeyError("items")

    # No answer of a service is known to cause one.
    monkeypatch.setattr("tuneserve.client.Client.pages", pages)
    told = tuneserve("list")
    assert told.exit_code == 70
    fault = "KeyError: 'items'"
    assert told.stderr == f"Error: a fault of this program (--debug shows where): {fault}\n"
    assert "Traceback" in tuneserve("list", "--debug").stderr


def test_completion(tuneserve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell in ("zsh", "fish"):
        assert "_TUNESERVE_COMPLETE" in tuneserve("completion", shell).stdout
    monkeypatch.setenv("SHELL", "/bin/zsh")
    assert "#compdef tuneserve" in tuneserve("completion").stdout
    monkeypatch.setenv("SHELL", "/bin/csh")
    assert tuneserve("completion").exit_code == 2


def test_version(tuneserve: Any) -> None:
    from tuneserve import __version__

    assert tuneserve("version").stdout == f"{__version__}\n"
    assert tuneserve("--version").stdout == f"tuneserve {__version__}\n"


def test_a_trial_on_a_terminal_has_its_values_and_a_picture(
    tuneserve: Any, server: Server, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "for_people", True)
    server.on("GET /v1/jobs/job_1/trials/5", Answer(200, TRIAL))
    assert re.search(r"model\.dropout +0\.4\n", tuneserve("trials", "job_1", "5").stdout)
    server.on(JOB, Answer(200, job()))
    server.on("GET /v1/jobs/job_1/trials", page(TRIAL))
    assert "▁█" in tuneserve("trials", "job_1").stdout
