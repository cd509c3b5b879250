"""The README's promises: its Python runs from top to bottom, and it names every error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sdk_server import Answer, Stream, event

import tuneserve
from tuneserve import config

if TYPE_CHECKING:
    from sdk_server import Server

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_python_runs(server: Server, job, tmp_path: Path) -> None:
    answer_all(server, job)
    code = "".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    environment = {**os.environ, "TUNESERVE_URL": server.url, "TUNESERVE_API_KEY": "tns_k_s"}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (tmp_path / "models" / "model.keras").read_bytes() == b"model"
    assert (tmp_path / "digits.keras").read_bytes() == b"model"
    assert json.loads((tmp_path / "history.json").read_text()) == {"mark": "line"}
    assert b"5 completed 0.98 {'val_accuracy': 0.9}" in ran.stdout
    assert b"3 5 1 {'val_accuracy': 0.9}" in ran.stdout
    sent = [asked.json() for asked in server.asked_for("POST /v1/jobs")]
    assert sent[1]["dataset"] == "ds_1"
    assert sent[1]["training"]["momentum"]["when"] == {"training.optimizer": ["sgd"]}


def answer_all(server: Server, job) -> None:
    """What the README's job comes to."""
    best = {"trial": 5, "validation": {"accuracy": 0.98}, "test": {"accuracy": 0.97}}
    epoch = {"epoch": 1, "metrics": {"val_accuracy": 0.9}}
    trial = {"number": 5, "state": "completed", "score": 0.98, "epochs": [epoch]}
    artifact = {"name": "model.keras", "sha256": sha256(b"model").hexdigest()}
    answers = {
        "GET /v1/datasets": {"items": []},
        "POST /v1/datasets": {"id": "ds_1", "samples": 200},
        "POST /v1/jobs:validate": {"valid": True},
        "POST /v1/jobs": job("queued"),
        "GET /v1/jobs": {"items": [job("succeeded")]},
        "GET /v1/jobs/job_1": job("succeeded", progress={"completed": 1}),
        "GET /v1/jobs/job_1/best": best,
        "GET /v1/jobs/job_1/trials": {"items": [trial]},
        "GET /v1/jobs/job_1/charts": {"items": [{"name": "history"}]},
        "GET /v1/jobs/job_1/charts/history": {"mark": "line"},
        "GET /v1/jobs/job_1/artifacts": {"items": [artifact]},
    }
    for route, body in answers.items():
        server.on(route, Answer(200, body))
    table = Answer(200, b"number\n5\n", {"Content-Type": "text/csv"})
    trials = Answer(200, answers["GET /v1/jobs/job_1/trials"])
    # Asked for by `wait`, by `trials` and by `trials_csv`, in this order.
    server.on("GET /v1/jobs/job_1/trials", trials, trials, table)
    server.on("GET /v1/jobs/job_1/artifacts/model.keras", Answer(200, b"model"))
    told = {"trial": 5, "epoch": 1, "metrics": {"val_accuracy": 0.9}}
    server.on("GET /v1/jobs/job_1/events", Stream([event("epoch", told, 3)]))


def test_the_other_python_is_python() -> None:
    blocks = re.findall(r"```py\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for code in blocks:
        compile(code, "README.md", "exec")


def test_the_config_file_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "config.toml"
    path.write_text(text.replace("~", str(tmp_path)))
    path.chmod(0o600)
    monkeypatch.setenv("TUNESERVE_CONFIG", str(path))
    assert config.settings(profile="lab").url == "https://tuneserve.lab.example.org"
    key = tmp_path / ".local" / "share" / "tuneserve" / "admin.key"
    key.parent.mkdir(parents=True)
    key.write_text("tns_a_b\n")
    key.chmod(0o600)
    assert config.settings().api_key == "tns_a_b"


def test_what_it_names_is_there() -> None:
    """Methods of a job and of the client's parts, wherever the text names one."""
    parts = {
        "job": tuneserve.Job,
        "client": tuneserve.Client,
        "client.jobs": tuneserve.Jobs,
        "client.datasets": tuneserve.Datasets,
    }
    named = re.findall(r"\b(job|client\.jobs|client\.datasets|client)\.([a-z_]+)\(", README)
    assert len(set(named)) > 20
    assert not [(part, name) for part, name in named if not hasattr(parts[part], name)]


def test_every_error_is_named() -> None:
    kinds = [name for name in tuneserve.__all__ if _is_error(name)]
    assert len(kinds) > 10
    assert not [name for name in kinds if f"`{name}`" not in README]


def _is_error(name: str) -> bool:
    kind = getattr(tuneserve, name)
    return isinstance(kind, type) and issubclass(kind, tuneserve.TuneserveError)
