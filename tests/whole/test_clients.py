"""Those who build on the service: a generated client, curl, the SDK and a notebook, on one real service."""

import json
import os
import re
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from sklearn.datasets import load_digits

from tests.whole.conftest import Service
from tuneserve import Client, Job, Trial, hp

ROOT = Path(__file__).parents[2]
HTTP = ROOT / "docs" / "http.md"
NOTEBOOK = ROOT / "docs" / "first-search.ipynb"
CHARTS = ["history", "curves", "parallel", "importance", "timeline"]

# What clients do has nothing to do with where the rows are.
pytestmark = pytest.mark.parametrize("shared_service", ["sqlite"], indirect=True)

# Runs with the generated package alone: nothing of ours is imported.
GENERATED = """
import io, json, sys, time
from generated import AuthenticatedClient
from generated.api.artifacts import artifacts_download
from generated.api.datasets import datasets_list
from generated.api.jobs import jobs_best, jobs_create, jobs_get, jobs_validate
from generated.api.trials import trials_list
from generated.models import JobSpec

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
spec = JobSpec.from_dict({
    "dataset": "builtin:digits",
    "model": {"family": "cnn", "filters": {"type": "choice", "values": [4, 8]}, "blocks": 1},
    "training": {
        "learning_rate": {"type": "float", "min": 1e-3, "max": 1e-2, "sampling": "log"},
        "epochs": 1,
    },
    "budget": {"max_trials": 2},
})
checked = jobs_validate.sync(client=client, body=spec)
job = jobs_create.sync(client=client, body=spec)
while job.state not in ("succeeded", "failed", "cancelled"):
    time.sleep(0.2)
    job = jobs_get.sync(job.id, client=client)
best = jobs_best.sync(job.id, client=client)
trials = trials_list.sync(job.id, client=client)
model = artifacts_download.sync_detailed(job.id, "model.keras", client=client)
print(json.dumps({
    "valid": checked.valid,
    "state": job.state,
    "completed": job.progress.completed,
    "score": best.score,
    "open": sorted(best.hyperparameters.to_dict()),
    "trials": [trial.state for trial in trials.items],
    "model": model.content[:2].decode(),
    "ours": [name for name in sys.modules if name.split(".")[0] in ("tuneserve", "schemas", "service")],
}))
"""


# What there is to do with the SDK where nothing but `./client[cli]` is installed.
ALONE = """
import json, sys
from importlib.metadata import distributions
from tuneserve import Client, MissingExtra, hp

with Client() as client:
    dataset = client.datasets.upload("images")
    job = client.jobs.create(
        dataset=dataset,
        model={"family": "cnn", "filters": hp.Choice([4, 8]), "blocks": 1},
        training={"epochs": 1},
        budget={"max_trials": 2},
    )
    job.wait(timeout=120)
    job.chart("history").save("history.json")
    model = job.download_model("model.keras")
    missing = []
    for needs_more in (job.best_model, job.to_dataframe):
        try:
            needs_more()
        except MissingExtra as error:
            missing.append(str(error))
    print(json.dumps({
        "state": job.state,
        "events": [event.type for event in job.events()][-1],
        "trials": len(list(job.trials())),
        "rows": job.trials_csv().count("\\n"),
        "model": model.stat().st_size,
        "missing": missing,
        "installed": sorted(one.name.lower() for one in distributions()),
        "spec": {"dataset": dataset.id, "model": {"family": "cnn"}, "budget": {"max_trials": 1}},
    }))
"""


def tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def test_a_client_generated_from_the_document_completes_a_job(
    shared_service: Service, tmp_path: Path
) -> None:
    with shared_service.client() as client:
        document = tmp_path / "openapi.json"
        document.write_text(json.dumps(client.get("/v1/openapi.json")))
    generated = subprocess.run(
        [
            *(tool("openapi-python-client"), "generate", "--path", document, "--meta", "none"),
            *("--output-path", tmp_path / "generated", "--fail-on-warning"),
        ],
        # It puts what it has written into form with ruff.
        env={**os.environ, "PATH": f"{tool('ruff').parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert generated.returncode == 0, generated.stdout + generated.stderr
    ran = subprocess.run(
        [sys.executable, "-c", GENERATED, shared_service.url, shared_service.key],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told.pop("score") > 0
    assert told == {
        "valid": True,
        "state": "succeeded",
        "completed": 2,
        "open": ["model.filters", "training.learning_rate"],
        "trials": ["completed", "completed"],
        "model": "PK",
        "ours": [],
    }


def zipped_digits(file: Path, each: int = 30) -> None:
    """PNGs of three of scikit-learn's digits, a folder for each."""
    digits = load_digits()
    with zipfile.ZipFile(file, "w") as archive:
        for digit in range(3):
            for place, image in enumerate(digits.images[digits.target == digit][:each]):
                content = BytesIO()
                Image.fromarray((image * 15).astype("uint8")).save(content, "PNG")
                archive.writestr(f"images/{['zero', 'one', 'two'][digit]}/{place}.png", content.getvalue())


def test_the_walk_with_curl_comes_to_its_end(shared_service: Service, tmp_path: Path) -> None:
    zipped_digits(tmp_path / "images.zip")
    blocks = re.findall(r"```bash\n(.*?)```", HTTP.read_text(), re.DOTALL)
    assert "admin.key" in blocks[0], "the first says where a person finds address and key"
    script = "set -euo pipefail\n" + "\n".join(blocks[1:])
    surroundings = {"URL": f"{shared_service.url}/v1", "KEY": shared_service.key}
    ran = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, **surroundings},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = Said(tmp_path, ran.stdout)
    assert [one["name"] for one in said.json("dataset.json")["classes"]] == ["one", "two", "zero"]
    assert said.json("job.json")["state"] == "succeeded"
    assert said.json("history.json")["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
    assert said.events()[-1] == "end"
    assert said.events().count("epoch") == 12
    assert "\n304\n" in ran.stdout
    assert re.search(r'^"?number"?,', ran.stdout, re.MULTILINE), "the table of trials"
    assert '"pointer":"/budget/max_trials"' in ran.stdout.replace(" ", "")
    assert zipfile.is_zipfile(tmp_path / "model.keras")
    digest = re.search(r"^([0-9a-f]{64})  model.keras$", ran.stdout, re.MULTILINE)
    assert digest is not None
    assert ran.stdout.count(digest[1]) == 2, "the list of artefacts has it too"


class Said:
    """What the walk has left and printed."""

    def __init__(self, folder: Path, printed: str) -> None:
        self.folder, self.printed = folder, printed

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def events(self) -> list[str]:
        return re.findall(r"^event: (\w+)$", (self.folder / "events.txt").read_text(), re.MULTILINE)


def test_the_sdk_from_a_folder_of_images_to_a_prediction(
    shared_service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upload, job, live progress, best model, prediction, with a real worker."""
    zipped_digits(tmp_path / "images.zip")
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        archive.extractall(tmp_path)
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "cache"))
    told: list[Trial] = []
    states: list[tuple[str, int]] = []

    def watch(job: Job) -> None:
        states.append((job.state, job.progress.epochs))

    with Client(shared_service.url, shared_service.key) as client:
        dataset = client.datasets.upload(tmp_path / "images")
        assert client.datasets.upload(tmp_path / "images").id == dataset.id
        job = client.jobs.create(
            dataset=dataset,
            model={"family": "cnn", "filters": hp.Choice([4, 8]), "blocks": 1},
            training={"learning_rate": hp.Float(1e-3, 1e-2, sampling="log"), "epochs": 4, "batch_size": 16},
            budget={"max_trials": 3},
        )
        job.wait(timeout=120, progress=watch, on_trial=told.append)
        assert sorted(trial.number for trial in told) == [0, 1, 2]
        assert all(len(trial.epochs) == 4 for trial in told)
        assert states == sorted(states, key=lambda one: one[1])
        assert len({epochs for _, epochs in states}) > 2, "seen while it ran"
        best = job.best_result()
        assert best.score == max(trial.score or 0.0 for trial in told)
        model = job.best_model()
        images = np.stack([image * 15 for image in load_digits().images[:12]]).astype("uint8")
        assert model.predict(images[..., None], verbose=0).shape == (12, 3)
        assert best.model is not None
        assert best.model.parameters == model.count_params()
        assert best.model.bytes == job.download_model(tmp_path).stat().st_size
        assert best.model.prediction_seconds > 0


def test_the_client_alone_does_all_but_load_the_model(shared_service: Service, tmp_path: Path) -> None:
    """An environment of its own, with what `pip install ./client[cli]` brings."""
    zipped_digits(tmp_path / "images.zip")
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        archive.extractall(tmp_path)
    uv, home = tool("uv"), tmp_path / "alone" / "bin"
    pinned = ROOT / "requirements" / "dev.txt"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home.parent], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", home / "python", "-c", pinned, f"{ROOT}/client[cli]"],
        check=True,
    )
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("TUNESERVE_", "PYTHON"))
    }
    surroundings = {**clean, "TUNESERVE_URL": shared_service.url, "TUNESERVE_API_KEY": shared_service.key}

    def ran(*command: Any) -> str:
        ended = subprocess.run(
            command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=150
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    told = json.loads(ran(home / "python", "-c", ALONE))
    assert (told["state"], told["events"], told["trials"], told["rows"]) == ("succeeded", "end", 2, 3)
    assert told["model"] == (tmp_path / "model.keras").stat().st_size
    assert ["pip install keras" in told["missing"][0], "pip install pandas" in told["missing"][1]] == [
        True,
        True,
    ]
    others = {"tensorflow", "tensorflow-cpu", "keras", "flask", "marshmallow", "numpy", "pandas"}
    assert others & set(told["installed"]) == set()
    (tmp_path / "spec.json").write_text(json.dumps({**told["spec"], "training": {"epochs": 1}}))
    report = json.loads(
        ran(home / "tuneserve", "run", "spec.json", "--min", "val_accuracy=0.01", "--output", "out", "--json")
    )
    assert report["verdict"] == "met"
    assert (tmp_path / "out" / "model.keras").exists()
    assert "reached" in ran(home / "tuneserve", "doctor")


class Watched(NotebookClient):
    """Counts how often what a cell had shown was drawn anew."""

    redrawn = 0

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        self.redrawn += msg["msg_type"] == "update_display_data"
        return super().process_message(msg, cell, cell_index)


def test_the_notebook_shows_what_it_showed(shared_service: Service, tmp_path: Path) -> None:
    stored = nbformat.read(NOTEBOOK, as_version=4)
    again = nbformat.read(NOTEBOOK, as_version=4)
    for cell in again.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    runner = Watched(again, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    surroundings = {
        "TUNESERVE_URL": shared_service.url,
        "TUNESERVE_API_KEY": shared_service.key,
        "TUNESERVE_CACHE": str(tmp_path / "cache"),
    }
    runner.execute(env={**os.environ, **surroundings})
    assert shown(again) == shown(stored)
    assert runner.redrawn > 3, "the progress is live"
    charts = [data for data in pictures(again) if "image/png" in data]
    assert [data["text/plain"].split("'")[1] for data in charts] == CHARTS
    for data in charts:
        assert data["application/vnd.vegalite.v5+json"]["$schema"].endswith("/v5.json")
    text = "".join(one.get("text", "") for cell in again.cells for one in cell.get("outputs", ()))
    assert re.search(r"^trial 9: completed", text, re.MULTILINE)
    predicted, true = (re.findall(r"\d", line) for line in text.splitlines()[-2:])
    assert sum(one == other for one, other in zip(predicted, true, strict=True)) >= 10, "it has learned"


def pictures(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    return [one["data"] for cell in notebook.cells for one in cell.get("outputs", ()) if "data" in one]


def shown(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """What kinds of things are shown below the cells."""
    return [sorted(data) for data in pictures(notebook)]
