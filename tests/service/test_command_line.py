"""The command line `tuneserve` against the real application over real HTTP."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from tests.conftest import Api
from tuneserve.cli.init import FAMILIES
from tuneserve.cli.program import program

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Run = Callable[..., Result]


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    # The application's own lines would go to the stdout that the runner gives to the command.
    with capture_logs():
        yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def tuneserve(url: str, api: Api, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TUNESERVE_URL", url)
    monkeypatch.setenv("TUNESERVE_API_KEY", api.key)

    def run(*args: str, input: str | None = None) -> Result:
        return CliRunner().invoke(program, args, input=input, prog_name="tuneserve")

    return run


def test_what_init_writes_is_valid_for_every_family(tuneserve: Run, tmp_path: Path) -> None:
    for family in FAMILIES:
        file = tmp_path / f"{family}.yaml"
        assert tuneserve("init", "--family", family, "-o", str(file)).exit_code == 0
        told = tuneserve("validate", str(file))
        assert (told.exit_code, told.stderr) == (0, ""), family
        assert "valid\tyes\n" in told.stdout


def test_a_job_from_the_spec_to_its_deletion(tuneserve: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    tuneserve("init", "-o", str(file))
    sets = ["--set", "budget.max_trials=3", "--set", "labels.team=vision", "--set", 'name="a\\tb"']
    job_id = tuneserve("submit", str(file), *sets).stdout.strip()
    told = tuneserve("status", job_id)
    assert "state\tqueued\n" in told.stdout
    assert tuneserve("list", "--label", "team:vision").stdout.startswith(f"{job_id}\ta\\tb\tqueued\t0/3\t-\t")
    assert tuneserve("list", "--label", "team:sound").stdout == ""
    assert json.loads(tuneserve("trials", job_id, "--json").stdout) == {"items": []}
    assert tuneserve("pause", job_id).stderr == f"{job_id} is paused\n"
    assert tuneserve("resume", job_id).exit_code == 0
    other = tuneserve(
        "clone", job_id, "--set", "training.epochs=2", "--set", "model={family: mlp}"
    ).stdout.strip()
    cloned = json.loads(tuneserve("status", other, "--json").stdout)
    assert (cloned["spec"]["training"]["epochs"], cloned["spec"]["model"]["family"]) == (2, "mlp")
    assert tuneserve("extend", other, "--max-trials", "9").exit_code == 0
    assert json.loads(tuneserve("status", other, "--json").stdout)["progress"]["max_trials"] == 9
    assert tuneserve("best", job_id).exit_code == 2
    assert tuneserve("cancel", job_id).stderr.startswith(f"{job_id} is cancel")
    assert tuneserve("delete", other).exit_code == 2
    assert tuneserve("status", "job_nowhere").exit_code == 5


def test_faults_have_their_lines(tuneserve: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "dataset: builtin:digits\nmodel:\n  family: cnn\n  filters: {type: int, min: 9, max: 3}\n"
        "training:\n  schedul: {type: step}\nbudget: {max_trials: 3}\n",
        encoding="utf-8",
    )
    told = tuneserve("validate", str(file))
    assert told.exit_code == 2
    assert f"{file}:6:3 /training/schedul: " in told.stderr
    assert f"{file}:4:" in told.stderr
    assert told.stderr.endswith(f"faults in {file}\n")
    # The order of a range is the service's to check: the schema cannot.
    offline = tuneserve("validate", str(file), "--offline")
    assert offline.stderr.count("\n") == 2
    told = tuneserve("submit", str(file))
    assert (told.exit_code, told.stdout) == (2, "")
    assert f"{file}:6:3 /training/schedul: " in told.stderr


def test_data_sets(tuneserve: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 8, 8), dtype="uint8")
    np.savez(tmp_path / "shades.npz", x=images, y=np.array(["dark", "light"] * 20))
    told = tuneserve("datasets", "upload", str(tmp_path / "shades.npz"))
    dataset_id = told.stdout.strip()
    assert dataset_id.startswith("ds_")
    assert "40 samples of shape 8, 8" in told.stderr
    assert tuneserve("datasets", "upload", str(tmp_path / "shades.npz")).stdout.strip() == dataset_id
    row = tuneserve("datasets", "list").stdout.split("\t")
    assert (row[0], row[1], row[2], row[4]) == (dataset_id, "shades", "40", "2")
    assert "dark\t20\nlight\t20\n" in tuneserve("datasets", "show", dataset_id).stdout
    assert json.loads(tuneserve("datasets", "show", dataset_id, "--json").stdout)["samples"] == 40
    assert tuneserve("datasets", "rm", dataset_id).stderr == f"Removed {dataset_id}.\n"
    assert tuneserve("datasets", "show", dataset_id).exit_code == 5


def test_the_catalogue_and_the_doctor(tuneserve: Run, make_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "families\tcnn\t" in tuneserve("catalog").stdout
    assert "learning_rate\t" in tuneserve("catalog", "training").stdout
    assert "filters\tinteger 1 to 4096\t32\t" in tuneserve("catalog", "cnn").stdout
    assert tuneserve("catalog", "nonsense").exit_code == 2
    told = tuneserve("doctor")
    assert told.exit_code == 0
    assert "key\tok\tmay read and write\n" in told.stdout
    assert "workers\twarning\tnone is alive" in told.stdout
    monkeypatch.setenv("TUNESERVE_API_KEY", make_api(scopes=["read"]).key)
    assert "key\twarning\tmay read, but not submit jobs\n" in tuneserve("doctor").stdout
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_wrong_wrong")
    assert tuneserve("doctor").exit_code == 4
    assert tuneserve("list").exit_code == 4
