"""Every file in examples/ runs on the real service; only the budgets are cut down."""

import json
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.whole.conftest import Service, states
from tuneserve import Job

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
GRID, LARGE_GRID, SWEEP, TRANSFER, VIT, DEEP, FOLDS = (
    "grid-learning-rate-dropout-batch-size",
    "grid-that-explodes",
    "learning-rate-outside-in",
    "transfer-freeze-unfreeze",
    "vision-transformer",
    "depth-width-residual-attention",
    "random-learning-rate-dropout-batch-size",
)
# Two trials of most; all where the point is in all of them, and one of what takes as long as ten others.
TRIALS = {TRANSFER: 1, GRID: 12, VIT: 1, FOLDS: 1, DEEP: 1}
# Where the order is the point. The beginning of another grid has hardly more than its first values.
IN_ORDER = (GRID, LARGE_GRID, SWEEP)
# Much more than it takes, also on a machine that has other things to do.
SECONDS = 1800

# One database is enough: what is tested here is between the spec and the trained model.
pytestmark = pytest.mark.parametrize("shared_service", ["sqlite"], indirect=True)


def cut(name: str) -> dict[str, Any]:
    """The example with few trials of one epoch, or of two where that is the least that shows it.

    Most trials are handed out as they are: to train once more is paid for in `test_recipe_*.py`.
    """
    spec: dict[str, Any] = deepcopy(EXAMPLES[name])
    is_open = isinstance(spec["training"]["epochs"], dict)
    spec["training"]["epochs"] = {"type": "choice", "values": [1, 2]} if is_open else 1
    if name == TRANSFER:
        spec["training"]["epochs"], spec["model"]["frozen_epochs"] = 2, 1
    spec["budget"]["max_trials"] = min(TRIALS.get(name, 2), spec["budget"]["max_trials"])
    if spec["search"]["algorithm"] == "grid" and name not in IN_ORDER:
        spec["search"] = {"algorithm": "random"}
    if spec["model"]["family"] in ("cnn", "transfer", "vit"):
        spec["result"] = {"refit": False}
    return spec


@pytest.fixture(scope="module")
def finished(shared_service: Service) -> Iterator[dict[str, Job]]:
    """The ended jobs by the names of their files; all were posted at once, the longest first."""
    ordered = sorted(EXAMPLES, key=lambda name: name not in TRIALS)
    with shared_service.client() as client:
        jobs = {name: client.jobs.create(cut(name)) for name in ordered}
        until = time.monotonic() + SECONDS
        for job in jobs.values():
            job.wait(timeout=max(1.0, until - time.monotonic()), progress=False, raise_on_failure=False)
        yield jobs


def test_every_example_succeeds_with_every_trial(finished: dict[str, Job]) -> None:
    ends = {name: (job.state, job.error, states(job)) for name, job in finished.items()}
    wanted = {name: ["completed"] * cut(name)["budget"]["max_trials"] for name in EXAMPLES}
    assert ends == {name: ("succeeded", None, trials) for name, trials in wanted.items()}


def test_every_example_gives_a_model_that_scores_what_was_said(finished: dict[str, Job]) -> None:
    for name, job in finished.items():
        best = job.best_result()
        assert "model.keras" in best.artifacts, name
        if EXAMPLES[name].get("split", {}).get("test") == 0:
            assert (best.test, best.verified) == ({}, {}), name
        else:
            assert best.verified["difference"] == 0, name


def test_the_grid_is_3_by_2_by_2_on_3_folds(finished: dict[str, Job]) -> None:
    trials = list(finished[GRID].trials())
    assert len({tuple(sorted(trial.hyperparameters.items())) for trial in trials}) == 12
    for trial in trials:
        assert [fold.fold for fold in trial.folds] == [1, 2, 3]
        assert trial.deviation is not None
        assert trial.score == pytest.approx(sum(fold.score for fold in trial.folds) / 3)


def test_the_sweep_begins_with_both_ends(finished: dict[str, Job]) -> None:
    rates = {
        trial.number: trial.hyperparameters["training.learning_rate"] for trial in finished[SWEEP].trials()
    }
    assert [rates[0], rates[1]] == pytest.approx([0.1, 1e-7])
