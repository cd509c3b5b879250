"""The process that serves HTTP is small: it never imports what trains."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = ("tensorflow", "keras", "keras_tuner", "tuning", "jax", "torch", "sklearn", "optuna")
MAKE_AND_TELL = """
import json, sys
import psutil
from service.wsgi import make

app = make()
client = app.test_client()
statuses = [client.get(path).status_code for path in ("/healthz", "/v1/openapi.json", "/v1/docs/")]
print(json.dumps({
    "statuses": statuses,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "tasks": sorted(name for name in sys.modules if name.startswith("tasks")),
    "megabytes": psutil.Process().memory_info().rss / 2**20,
}))
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh interpreter holds after it has made the application and answered with it."""
    folder = tmp_path_factory.mktemp("fence")
    environment = {**os.environ, "TUNESERVE_DATA_FOLDER": str(folder), "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", MAKE_AND_TELL],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def test_the_application_works_there(fresh: dict[str, Any]) -> None:
    assert fresh["statuses"] == [200, 200, 200]
    assert {"service", "store", "schemas"} <= set(fresh["modules"])


def test_nothing_that_trains_is_imported(fresh: dict[str, Any]) -> None:
    assert set(FORBIDDEN) & set(fresh["modules"]) == set()


def test_of_the_queue_only_the_sending_side_is_imported(fresh: dict[str, Any]) -> None:
    assert set(fresh["tasks"]) <= {"tasks", "tasks.send", "tasks.app"}


def test_the_process_stays_under_150_megabytes(fresh: dict[str, Any]) -> None:
    assert fresh["megabytes"] < 150
