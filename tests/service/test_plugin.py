"""A family of an operator's own, by an entry point: no line of ours names it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "plugin"

CHECK = """
import json, sys
from schemas.datasets import BUILTINS
from schemas.estimates import estimate
from schemas.models import FAMILIES
from schemas.specs import load_spec
from service.catalog import catalog, described

spec = load_spec({
    "dataset": "builtin:digits",
    "model": {"family": "striped", "units": {"type": "int", "min": 2, "max": 4}},
    "budget": {"max_trials": 9},
})
priced = estimate(spec, BUILTINS["builtin:digits"], 10**6)
print(json.dumps({
    "families": list(FAMILIES),
    "fields": list(described(FAMILIES["striped"].schema)),
    "parameters": [priced.smallest_parameters, priced.largest_parameters],
    "space": [one.name for one in spec.space],
    "heavy": sorted({name.partition(".")[0] for name in sys.modules} & {"keras", "tensorflow", "numpy"}),
    "builder": "striped.builder" in sys.modules,
}))
"""

TRAIN = """
import json, sys
from schemas.specs import load_spec
from tests.tuning.makers import MAX_PARAMETERS, Recorder, bars
from tuning import trial

spec = load_spec({
    "dataset": "builtin:digits",
    "model": {"family": "striped"},
    "training": {"epochs": 2, "learning_rate": 0.01},
    "budget": {"max_trials": 1},
})
result = trial.run(spec, spec.recipe({}), bars(), Recorder(), MAX_PARAMETERS)
print(json.dumps({"epochs": result.best.epoch if result.best else 0, "parameters": result.parameters,
                  "failure": str(result.failure)}))
"""


def interpreter(code: str, plugin: Path = PLUGIN) -> subprocess.CompletedProcess[str]:
    """A fresh one in which the plugin is installed."""
    path = os.pathsep.join([str(plugin), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


def told(code: str) -> dict[str, Any]:
    ran = interpreter(code)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def broken(tmp_path: Path, entry: str) -> str:
    """What is said at the end by an interpreter in which the entry point is another."""
    copied = tmp_path / "plugin"
    shutil.copytree(PLUGIN, copied, ignore=shutil.ignore_patterns("__pycache__"))
    file = next(copied.glob("*.dist-info")) / "entry_points.txt"
    file.write_text(f"[tuneserve.models]\n{entry}\n")
    ran = interpreter("import schemas.models", copied)
    assert ran.returncode != 0
    return ran.stderr.splitlines()[-1]


def test_the_api_knows_it_and_stays_light() -> None:
    found = told(CHECK)
    assert found["families"][-1] == "striped"
    assert found["fields"] == ["units"]
    assert found["space"] == ["model.units"]
    # Eight rows to 2 or 4 units, to ten classes.
    assert found["parameters"] == [9 * 2 + 3 * 10, 9 * 4 + 5 * 10]
    assert (found["heavy"], found["builder"]) == ([], False)


def test_a_worker_trains_it() -> None:
    found = told(TRAIN)
    assert found["epochs"] in (1, 2), found["failure"]
    assert found["parameters"] == 9 * 8 + 9 * 3


def test_without_it_installed_there_is_none() -> None:
    ran = interpreter("from schemas.models import FAMILIES; print('striped' in FAMILIES)", ROOT)
    assert ran.stdout.strip() == "False", ran.stderr


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("striped = striped.family:NO_FAMILY", ["striped", "tuneserve.models", "no schemas.models.Family"]),
        ("again = schemas.models:_OURS", ["again", "tuneserve.models", "no schemas.models.Family"]),
        ("taken = schemas.models.cnn_again:FAMILY", ["schemas.models.cnn_again"]),
        ("gone = striped.gone:FAMILY", ["striped.gone"]),
    ],
)
def test_a_broken_entry_point_says_so(tmp_path: Path, entry: str, said: list[str]) -> None:
    last = broken(tmp_path, entry)
    assert all(part in last for part in said), last


def test_a_name_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    last = broken(tmp_path, "one = striped.family:FAMILY\ntwo = striped.family:FAMILY")
    assert "entry point two" in last
    assert "a family striped already" in last
