"""model.keras of every family loads and scores in plain Keras, far from anything of this project."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.whole import images
from tests.whole.conftest import Service
from tests.whole.images import Posted, spec
from tuneserve import Client

pytestmark = images.ON_SQLITE

SIDE, EACH = 32, 90
BRIEF = {"epochs": 1, "batch_size": 32}
# Training the large ones twice would only take longer.
AS_TRAINED = {"refit": False}
OURS = ("client", "schemas", "service", "store", "tasks", "tuneserve", "tuning")

# Runs without the environment's .pth files, one of which leads to this project.
SCORE = """
import importlib.util, json, sys, zipfile
sys.path.append(sys.argv[1])
task = json.load(sys.stdin)
ours = [name for name in task["ours"] if importlib.util.find_spec(name)]
import keras, numpy as np
with np.load(task["data"]) as arrays:
    x, y = arrays["x"], arrays["y"]
told = {}
for name, (file, test) in task["models"].items():
    model = keras.saving.load_model(file, safe_mode=True)
    names = json.loads(zipfile.ZipFile(file).read("class_names.json"))
    probabilities = model.predict(x[test], verbose=0)
    told[name] = {
        "accuracy": float(np.mean(np.array(names)[probabilities.argmax(axis=1)] == y[test])),
        "sums_to_one": bool(np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)),
        "again": bool(np.array_equal(probabilities, model.predict(x[test], verbose=0))),
        "names": names,
        "input": list(model.input_shape),
        "dtypes": sorted({layer.dtype_policy.name for layer in model.layers}),
        "layers": sorted({type(layer).__module__.split(".")[0] for layer in model._flatten_layers()}),
    }
ours += [name for name in task["ours"] if name in sys.modules]
json.dump({"ours": ours, "models": told}, sys.stdout)
"""

FAMILIES: dict[str, dict[str, Any]] = {
    "cnn": {
        "model": {"family": "cnn", "filters": 4, "batch_norm": True, "attention": "self", "dense_units": 8},
        "training": {**BRIEF, "mixed_precision": True},
        "preprocessing": {"image_size": [16, 20], "color": "grayscale", "scaling": "standardize"},
        "augmentation": {"rotation": 0.2, "color_jitter": 0.0, "mixup": 0.2},
    },
    "layers": {
        "model": {
            "family": "layers",
            "layers": [
                {"type": "SeparableConv2D", "filters": 8, "kernel_size": 3, "strides": 2},
                {"type": "GroupNormalization", "groups": 4},
                {"type": "PReLU"},
                {"type": "GlobalMaxPooling2D"},
            ],
        },
        "augmentation": {"flip": "horizontal", "color_jitter": 0.2, "cutmix": 0.5},
    },
    "mlp": {
        "model": {"family": "mlp", "units": 16},
        "preprocessing": {"image_size": 8, "color": "grayscale", "scaling": "none"},
    },
    "vit": {
        "model": {"family": "vit", "patch_size": 8, "width": 16, "depth": 1, "heads": 2},
        "preprocessing": {"color": "rgb"},
    },
    "resnet": {"model": {"family": "resnet", "version": "next"}, "preprocessing": {"image_size": 16}},
    "xception": {
        "model": {
            "family": "xception",
            "conv2d_num_filters": 32,
            "sep_num_filters": 16,
            "num_residual_blocks": 1,
        },
    },
    "efficientnet": {"model": {"family": "efficientnet", "resize": False}},
    "transfer": {
        "model": {
            "family": "transfer",
            "backbone": "mobilenet_v3_small",
            "weights": "none",
            "frozen_epochs": 1,
        },
        "training": {**BRIEF, "epochs": 2},
    },
}


def specs(client: Client) -> dict[str, images.Spec]:
    dataset = client.datasets.upload(*images.photographs(EACH, SIDE))
    common = {"result": AS_TRAINED, "split": {"validation": 0.2, "test": 0.3}}
    return {
        name: spec(dataset, **{"training": BRIEF, **common, **sections})
        for name, sections in FAMILIES.items()
    }


@pytest.fixture(scope="module")
def jobs(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Posted]:
    with shared_service.client() as client:
        yield Posted(client, specs(client), tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def scored(jobs: Posted) -> dict[str, Any]:
    """What plain Keras says of all the models, in one process far from this project."""
    data = jobs.folder / "photographs.npz"
    x, y = images.photographs(EACH, SIDE)
    np.savez(data, x=x, y=y)
    models = {name: (str(jobs.file(name)), jobs.split(name)["test"]) for name in FAMILIES}
    task = {"ours": OURS, "data": str(data), "models": models}
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCORE, sysconfig.get_path("purelib")],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        cwd=jobs.folder,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_nothing_of_this_project_was_there(scored: dict[str, Any]) -> None:
    assert scored["ours"] == []


def test_every_family_of_the_catalogue_was_exported(shared_service: Service) -> None:
    with shared_service.client() as client:
        catalogue = client.get("/v1/catalog")
    assert {one["name"] for one in catalogue["families"]} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_scores_in_plain_keras_what_was_told(jobs: Posted, scored: dict[str, Any], name: str) -> None:
    best, found = jobs.succeeded(name).best_result(), scored["models"][name]
    assert found["accuracy"] == best.test["accuracy"] == best.verified["accuracy"]
    assert best.verified["difference"] == 0
    assert found["sums_to_one"]
    assert found["again"], "nothing random is left in it"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_takes_raw_pixels_and_is_made_of_keras_alone(scored: dict[str, Any], name: str) -> None:
    found = scored["models"][name]
    assert found["input"] == [None, SIDE, SIDE, 3]
    assert found["names"] == ["china", "flower"]
    assert found["layers"] == ["keras"]
    assert found["dtypes"] == ["float32"], "trained in 16 bits or not"
