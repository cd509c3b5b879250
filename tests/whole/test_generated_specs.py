"""Specs made from the published document, run to their end by the real service."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.specs import QUICK, Json, examples, specs
from tests.whole.conftest import Service
from tuneserve import Client, Job

pytestmark = pytest.mark.parametrize("shared_service", ["sqlite"], indirect=True)

# How many of each family are run, how many parameters they may have, and how many trials. Keras' ResNets and
# EfficientNets take minutes: `test_export.py` runs one of each.
COUNTS = {
    "cnn": (4, 300_000, 1),
    "layers": (4, 300_000, 2),
    "mlp": (2, 300_000, 2),
    "vit": (1, 100_000, 1),
    "xception": (1, 300_000, 1),
    "transfer": (1, 5_000_000, 1),
}
CLASSES, IMAGES = 4, 30
SECONDS = 400


def test_generated_specs_run_to_their_end(shared_service: Service) -> None:
    with shared_service.client() as client:
        posted = [client.jobs.create(spec) for spec in chosen(client, few_digits(client))]
        assert len(posted) == sum(count for count, *_ in COUNTS.values())
        jobs = [job.wait(timeout=SECONDS, progress=False, raise_on_failure=False) for job in posted]
        assert [said(job) for job in jobs if job.state != "succeeded"] == []
        for job in jobs:
            best = job.best_result()
            assert best.score is not None
            assert "model.keras" in best.artifacts


def few_digits(client: Client) -> str:
    """The id of an uploaded data set of images of 8 x 8 pixels."""
    x, y = load_digits(return_X_y=True)
    kept = np.concatenate([np.flatnonzero(y == digit)[:IMAGES] for digit in range(CLASSES)])
    return client.datasets.upload(x[kept].reshape(-1, 8, 8).astype(np.uint8), y[kept]).id


def chosen(client: Client, dataset: str) -> Iterator[Json]:
    """Of the specs that are generated for each family, the first that are cheap enough."""
    document = client.get("/v1/openapi.json")
    for family, (count, parameters, trials) in COUNTS.items():
        limits = {"dataset": {"const": dataset}, "max_trials": {"maximum": trials}}
        found = examples(specs(document, family, QUICK, limits), 12 * count, family)
        cheap = [spec for spec in found if is_cheap(client, spec, parameters)]
        yield from cheap[:count]


def is_cheap(client: Client, spec: Json, parameters: int) -> bool:
    """Whether all trials can be built, and are small."""
    model = spec["model"]
    # There is no network.
    if model["family"] == "transfer" and model.get("weights") != "none":
        return False
    checked = client.jobs.validate(spec)
    if not checked.valid or checked.estimate is None:
        return False
    feasible = "infeasible_model" not in [warning["code"] for warning in checked.warnings]
    return feasible and checked.estimate["largest_parameters"] <= parameters


def said(job: Job) -> Any:
    """What went wrong, and with what."""
    return job.error, [(trial.state, trial.error) for trial in job.trials()], job.spec
