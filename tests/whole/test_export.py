"""model.keras of every family loads and scores in plain Keras, far from anything of this project.

The service of this file has an operator's family and an operator's pretrained weights.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.whole import images
from tests.whole.conftest import Service
from tests.whole.images import Array, Posted, spec
from tuneserve import Client

pytestmark = images.ON_SQLITE

SIDE, EACH = 32, 90
BRIEF = {"epochs": 1, "batch_size": 32}
# Training the large ones twice would only take longer.
AS_TRAINED = {"refit": False}
PLUGIN = Path(__file__).parents[1] / "plugin"
OURS = ("client", "schemas", "service", "store", "striped", "tasks", "tuneserve", "tuning")

# Runs without the environment's .pth files, one of which leads to this project.
SCORE = """
import importlib.util, json, sys, zipfile
sys.path.append(sys.argv[1])
task = json.load(sys.stdin)
ours = [name for name in task["ours"] if importlib.util.find_spec(name)]
import keras, numpy as np
with np.load(task["data"]) as arrays:
    x, y = arrays["x"], arrays["y"]

def scores(probabilities, names, labels):
    likely = probabilities[np.arange(len(labels)), [names.index(label) for label in labels]]
    return {
        "accuracy": float(np.mean(np.array(names)[probabilities.argmax(axis=1)] == labels)),
        "loss": float(-np.log(np.maximum(likely, 1e-7)).mean(dtype=np.float64)),
    }

told = {}
for name, (file, test, validation) in task["models"].items():
    model = keras.saving.load_model(file, safe_mode=True)
    names = json.loads(zipfile.ZipFile(file).read("class_names.json"))
    probabilities = model.predict(x[test], verbose=0)
    told[name] = {
        "test": scores(probabilities, names, y[test]),
        "validation": scores(model.predict(x[validation], verbose=0), names, y[validation]),
        "sums_to_one": bool(np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)),
        "again": bool(np.array_equal(probabilities, model.predict(x[test], verbose=0))),
        "parameters": model.count_params(),
        "built": [(type(layer).__name__, layer.get_config()) for layer in model.layers],
        "names": names,
        "input": list(model.input_shape),
        "dtypes": sorted({layer.dtype_policy.name for layer in model.layers}),
        "layers": sorted({type(layer).__module__.split(".")[0] for layer in model._flatten_layers()}),
    }
ours += [name for name in task["ours"] if name in sys.modules]
json.dump({"ours": ours, "models": told}, sys.stdout, default=str)
"""

FAMILIES: dict[str, dict[str, Any]] = {
    "cnn": {
        "model": {
            "family": "cnn",
            "blocks": 2,
            "filters": 4,
            "batch_norm": True,
            "attention": "self",
            "dense_units": 8,
        },
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
        "model": {"family": "mlp", "layers": 3, "units": 16},
        "preprocessing": {"image_size": 8, "color": "grayscale", "scaling": "none"},
    },
    "vit": {
        "model": {"family": "vit", "patch_size": 8, "width": 24, "depth": 2, "heads": 3},
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
            "weights": "imagenet",
            "dense_units": 16,
            "frozen_epochs": 1,
        },
    },
    "striped": {"model": {"family": "striped", "units": 5}},
}

LONG = ("efficientnet", "resnet", "transfer")

# What those fields are in Keras: of a class of layers, an argument of each, from the input to the output.
BUILT: dict[str, dict[str, list[Any]]] = {
    "cnn": {
        "Resizing.height": [16],
        "Resizing.width": [20],
        "Conv2D.filters": [4, 8],
        "BatchNormalization.axis": [-1] * 2,
        "MultiHeadAttention.num_heads": [1],
        "Dense.units": [8, 2],
    },
    "layers": {
        "SeparableConv2D.filters": [8],
        "SeparableConv2D.kernel_size": [[3, 3]],
        "SeparableConv2D.strides": [[2, 2]],
        "GroupNormalization.groups": [4],
        "PReLU.trainable": [True],
        "GlobalMaxPooling2D.keepdims": [False],
        "Dense.units": [2],
    },
    "mlp": {"Resizing.height": [8], "Rescaling.scale": [1.0], "Dense.units": [16, 16, 16, 2]},
    "vit": {
        # 4 x 4 patches.
        "EinsumDense.output_shape": [[16, 24]],
        "MultiHeadAttention.num_heads": [3, 3],
        "MultiHeadAttention.key_dim": [8, 8],
        "Dense.units": [4 * 24, 24, 4 * 24, 24, 2],
    },
    # A convolution in groups for each block; the groups have 2, 8, 16 and 32 channels, as in Keras Tuner.
    "resnet": {
        "Resizing.height": [16],
        "DepthwiseConv2D.depth_multiplier": [2] * 3 + [8] * 4 + [16] * 6 + [32] * 3,
    },
    "xception": {"Conv2D.filters": [32, 16, 32], "SeparableConv2D.filters": [16, 16, 32, 32]},
    # Those of B0 (Tan & Le 2019, table 1).
    "efficientnet": {
        "Resizing.height": [],
        "DepthwiseConv2D.kernel_size": [[side, side] for side in (3, 3, 3, 5, 5, 3, 3, 3, *[5] * 7, 3)],
    },
    "transfer": {"Functional.name": ["backbone"], "Dense.units": [16, 2]},
    "striped": {"Dense.units": [5, 2]},
}


@dataclass(frozen=True)
class Operators:
    """A folder of pretrained weights, and those of the one net in it."""

    folder: Path
    weights: list[Array]


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Operators:
    """Random weights, since there is no network, with statistics of these images: without, all look alike."""
    import keras

    folder = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(1)
    net = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    for layer in images.of_type(net, "BatchNormalization"):
        layer.momentum = 0.0
    net(images.photographs(EACH, SIDE)[0].astype(np.float32), training=True)
    net.save_weights(folder / "mobilenet_v3_small.weights.h5")
    return Operators(folder, net.get_weights())


@pytest.fixture(scope="module")
def surroundings(operators: Operators) -> dict[str, str]:
    path = os.pathsep.join([str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "TUNESERVE_WEIGHTS_FOLDER": str(operators.folder)}


def specs(client: Client) -> dict[str, images.Spec]:
    dataset = client.datasets.upload(*images.photographs(EACH, SIDE))
    common = {"result": AS_TRAINED, "split": {"validation": 0.2, "test": 0.3}}
    # The longest first: at the end no slot is without work.
    ordered = sorted(FAMILIES, key=lambda name: name not in LONG)
    return {name: spec(dataset, **{"training": BRIEF, **common, **FAMILIES[name]}) for name in ordered}


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
    splits = {name: jobs.split(name) for name in FAMILIES}
    models = {
        name: (str(jobs.file(name)), split["test"], split["validation"]) for name, split in splits.items()
    }
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
    assert found["test"]["accuracy"] == best.test["accuracy"] == best.verified["accuracy"]
    assert found["test"]["loss"] == pytest.approx(best.test["loss"], rel=1e-5)
    assert best.verified["difference"] == 0
    assert found["sums_to_one"]
    assert found["again"], "nothing random is left in it"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_scores_what_the_trial_scored_while_it_trained(
    jobs: Posted, scored: dict[str, Any], name: str
) -> None:
    """The trial had images that were prepared before, and a net that was never saved."""
    told, found = jobs.succeeded(name).best_result().validation, scored["models"][name]["validation"]
    # In 16 bits the images in doubt fall to either side.
    is_half = "mixed_precision" in FAMILIES[name].get("training", {})
    assert found["loss"] == pytest.approx(told["loss"], rel=0.01 if is_half else 1e-5)
    assert found["accuracy"] == pytest.approx(told["accuracy"], abs=0.1 if is_half else 1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_spec_says_of_a_net_is_in_the_model(scored: dict[str, Any], name: str) -> None:
    for asked, expected in BUILT[name].items():
        kind, argument = asked.split(".")
        found = [config[argument] for one, config in scored["models"][name]["built"] if one == kind]
        assert found == expected, asked


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_has_the_parameters_that_its_trial_told(
    jobs: Posted, scored: dict[str, Any], name: str
) -> None:
    [trial] = jobs.trials(name)
    assert scored["models"][name]["parameters"] == trial.parameters


def test_a_frozen_backbone_has_the_weights_of_the_operators_file(jobs: Posted, operators: Operators) -> None:
    backbone = jobs.model("transfer").get_layer("backbone")
    for found, given in zip(backbone.get_weights(), operators.weights, strict=True):
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_takes_raw_pixels_and_is_made_of_keras_alone(scored: dict[str, Any], name: str) -> None:
    found = scored["models"][name]
    assert found["input"] == [None, SIDE, SIDE, 3]
    assert found["names"] == ["china", "flower"]
    assert found["layers"] == ["keras"]
    assert found["dtypes"] == ["float32"], "trained in 16 bits or not"
