"""The published contract: a valid document that says neither more nor less than the schemas check."""

import copy
import re
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import update

from schemas.models import FAMILIES
from schemas.models.kinds import LAYERS
from schemas.problems import Invalid
from schemas.schedules import SCHEDULES
from schemas.search import ALGORITHMS, SEARCHES
from schemas.specs import load_spec
from schemas.stopping import RULES
from schemas.tunables import DISTRIBUTIONS
from store.tables import TrialRow
from tests.conftest import Api
from tests.service.rows import add_trials, complete, npz, posted, services, upload
from tests.specs import checker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# The routes of api.md that exist so far.
ROUTES = {
    "/v1/jobs": {"get", "post"},
    "/v1/jobs:validate": {"post"},
    "/v1/jobs/{job_id}": {"get", "patch", "delete"},
    "/v1/jobs/{job_id}:cancel": {"post"},
    "/v1/jobs/{job_id}:pause": {"post"},
    "/v1/jobs/{job_id}:resume": {"post"},
    "/v1/jobs/{job_id}:clone": {"post"},
    "/v1/jobs/{job_id}/best": {"get"},
    "/v1/jobs/{job_id}/events": {"get"},
    "/v1/jobs/{job_id}/charts": {"get"},
    "/v1/jobs/{job_id}/charts/{name}": {"get"},
    "/v1/jobs/{job_id}/trials": {"get"},
    "/v1/jobs/{job_id}/trials/{number}": {"get"},
    "/v1/jobs/{job_id}/trials/{number}:cancel": {"post"},
    "/v1/jobs/{job_id}/artifacts": {"get"},
    "/v1/jobs/{job_id}/artifacts/{name}": {"get"},
    "/v1/datasets": {"get", "post"},
    "/v1/datasets/{dataset_id}": {"get", "delete"},
    "/v1/catalog": {"get"},
    "/v1/info": {"get"},
    "/healthz": {"get"},
    "/readyz": {"get"},
}
OPEN = {"/healthz", "/readyz"}

LEAST: dict[str, Any] = {
    "dataset": "builtin:digits",
    "model": {"family": "cnn"},
    "budget": {"max_trials": 1},
}
VALID: list[dict[str, Any]] = [
    {},
    {"name": "letters", "labels": {"team": "vision"}, "seed": 0, "priority": 9, "dataset": "ds_01k"},
    {"split": {"validation": 0.3, "test": 0, "stratify": False}},
    {"preprocessing": {"scaling": {"type": "choice", "values": ["unit", "none"]}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1, "max": 9, "step": 2, "default": 3}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, 32], "ordered": True}}},
    {
        "model": {
            "family": "cnn",
            "dropout": 0,
            "l2": {"type": "float", "min": 1e-5, "max": 1, "sampling": "log"},
        }
    },
    {"model": {"family": "cnn", "dropout": {"type": "float", "min": 0.3, "max": 0.7, "step": 0.1}}},
    {"model": {"family": "cnn", "l2": {"type": "int", "min": 0, "max": 5}}},
    {"model": {"family": "cnn", "batch_norm": {"type": "boolean", "default": None, "when": None}}},
    {"model": {"family": "cnn", "batch_norm": {"type": "choice", "values": [True, False]}}},
    {"training": {"early_stopping": None}},
    {"training": {"early_stopping": {"patience": {"type": "int", "min": 1, "max": 5}}}},
    {
        "training": {
            "epochs": 3.0,
            "momentum": {"type": "choice", "values": [0, 0.5], "when": {"training.epochs": [3]}},
        }
    },
    {"search": {"algorithm": "grid"}},
    {"objective": {"metric": "val_loss", "direction": "minimize", "target": 0.1}},
    {"objective": {"direction": None, "target": None}},
    {"budget": {"max_trials": 3, "max_seconds": None, "max_trial_seconds": 60.5, "max_failed_trials": 1}},
    {"result": {"refit": False, "exports": ["keras"]}},
]
INVALID: list[dict[str, Any]] = [
    {"model": {"family": "lambda"}},
    {"model": {}},
    {"model": {"family": "cnn", "module": "os"}},
    {"model": {"family": "cnn", "filters": 0}},
    {"model": {"family": "cnn", "filters": 10**9}},
    {"model": {"family": "cnn", "filters": 3.7}},
    {"model": {"family": "cnn", "filters": "32"}},
    {"model": {"family": "cnn", "filters": None}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 0, "max": 10**9}}},
    {"model": {"family": "cnn", "filters": {"type": "float", "min": 1, "max": 9}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1, "max": 9, "stepp": 2}}},
    {"model": {"family": "cnn", "filters": {"type": "int", "min": 1, "max": 9, "step": 0}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16]}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, 16]}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, "a"]}}},
    {"model": {"family": "cnn", "filters": {"type": "choice", "values": [16, 10**9]}}},
    {"model": {"family": "cnn", "activation": "os.system"}},
    {"model": {"family": "cnn", "batch_norm": 1}},
    {"state": "running"},
    {"id": "job_x"},
    {"training": {"learning_rate": 0}},
    {"training": {"learning_rate": {"type": "float", "min": 0.1, "max": 10**9}}},
    {"training": {"learning_rate": {"type": "float", "min": "0.1", "max": 1}}},
    {"training": {"learning_rate": {"type": "float", "min": 0.1, "max": 1, "sampling": "cubic"}}},
    {"training": {"momentum": {"type": "choice", "values": [0, 0.5], "when": {"training.epochs": []}}}},
    {"training": {"early_stopping": {"patienc": 1}}},
    {"search": {"algorithm": "magic"}},
    {"objective": {"metric": "accuracy"}},
    {"budget": {"max_trials": 10**9}},
    {"budget": {}},
    {"result": {"exports": ["pickle"]}},
    {"result": {"exports": []}},
    {"seed": -1},
    {"name": 5},
    {"labels": {"team": 1}},
    {"dataset": "../../etc"},
    {"dataset": "ds_x; DROP"},
    {"split": {"validation": 0}},
]


def model(family: str, **arguments: Any) -> dict[str, Any]:
    return {"model": {"family": family, **arguments}}


def layer(kind: str, **arguments: Any) -> dict[str, Any]:
    return model("layers", layers=[{"type": kind, **arguments}])


def schedule(kind: Any, **arguments: Any) -> dict[str, Any]:
    return {"training": {"schedule": {"type": kind, **arguments}}}


def among(*values: Any, **more: Any) -> dict[str, Any]:
    return {"type": "choice", "values": list(values), **more}


def whole(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return {"type": "int", "min": low, "max": high, **more}


def real(low: Any, high: Any, **more: Any) -> dict[str, Any]:
    return {"type": "float", "min": low, "max": high, **more}


def rate(value: Any) -> dict[str, Any]:
    return {"training": {"learning_rate": value}}


def filters(value: Any) -> dict[str, Any]:
    return model("cnn", filters=value)


def norm(value: Any) -> dict[str, Any]:
    return model("cnn", batch_norm=value)


def search(algorithm: Any, **options: Any) -> dict[str, Any]:
    return {"search": {"algorithm": algorithm, **options}}


def stopping(**rule: Any) -> dict[str, Any]:
    return {"search": {"stopping": rule}}


def budget(**limits: Any) -> dict[str, Any]:
    return {"budget": {"max_trials": 3, **limits}}


RATE = rate(real(1e-4, 1e-1))
COSINE = among("cosine", "one_cycle", "constant", default="cosine")
REPEAT: dict[str, Any] = {"repeat": whole(0, 3), "layers": [{"type": "Dense", "units": 8}]}
FOUR_DEEP: dict[str, Any] = {"repeat": 1, "layers": [{"type": "Flatten"}]}
for _ in range(3):
    FOUR_DEEP = {"repeat": 2, "layers": [FOUR_DEEP]}

# By what they are about: a spec's changes that both accept, and some that both refuse.
Table = dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]

FAMILY_TABLE: Table = {
    "cnn": (
        [
            model("cnn"),
            model("cnn", blocks=3, convs_per_block=2, filters=16, filter_growth=1, kernel_size=5),
            model("cnn", pooling="stride", residual=True, attention="self", head="global_max"),
            model(
                "cnn", attention=among("none", "squeeze_excite"), conv_dropout=0.25, initializer="he_normal"
            ),
            model("cnn", dense_layers=0, dense_units=0, l2=0.001, activation="gelu"),
        ],
        [
            model("cnn", blocks=0),
            model("cnn", filter_growth=1.5),
            model("cnn", pooling="min"),
            model("cnn", attention=True),
            model("cnn", residual="yes"),
            model("cnn", patch_size=4),
            model("cnn", dropout=1),
            model("cnn", initializer="zeros"),
        ],
    ),
    "layers": (
        [
            model("layers", layers=[{"type": "Flatten"}, {"type": "Dense", "units": 8}]),
            model("layers", layers=[REPEAT, {"repeat": among(0, 2), "layers": [{"type": "Flatten"}]}]),
            model("layers", layers=[FOUR_DEEP]),
        ],
        [
            model("layers"),
            model("layers", layers=[]),
            model("layers", layers=3),
            model("layers", layers=["Dense"]),
            model("layers", layers=[{}]),
            model("layers", layers=[{"type": "Lambda", "function": "os.system"}]),
            model("layers", layers=[{"type": "TFSMLayer", "filepath": "/"}]),
            model("layers", layers=[{"class_name": "Dense", "config": {"units": 8}}]),
            model("layers", layers=[{"type": "Dense", "units": 8, "module": "keras.layers"}]),
            model("layers", layers=[{"type": "Dense", "units": 8, "registered_name": "Dense"}]),
            model("layers", layers=[{"type": among("Dense", "Flatten")}]),
            model("layers", layers=[{**REPEAT, "repeat": -1}]),
            model("layers", layers=[{**REPEAT, "repeat": 101}]),
            model("layers", layers=[{**REPEAT, "layers": []}]),
            model("layers", layers=[{"repeat": 2}]),
            model("layers", layers=[{"layers": [{"type": "Flatten"}]}]),
            model("layers", layers=[{"type": "Flatten"}] * 201),
            model("layers", layers=[{"type": "Flatten"}], units=8),
        ],
    ),
    "resnet": (
        [
            model("resnet"),
            model(
                "resnet", version=among("v1", "next"), conv3_depth=8, conv4_depth=among(6, 36), pooling="max"
            ),
        ],
        [
            model("resnet", conv3_depth=5),
            model("resnet", conv4_depth=whole(6, 36)),
            model("resnet", conv4_depth=among(6, 7)),
            model("resnet", version="v3"),
            model("resnet", depth=50),
        ],
    ),
    "xception": (
        [
            model("xception"),
            model("xception", activation="selu", conv2d_num_filters=32, kernel_size=5, initial_strides=1),
            model("xception", sep_num_filters=whole(8, 64, step=8), num_residual_blocks=2, pooling="flatten"),
            model("xception", dropout_rate=real(0.1, 0.5)),
        ],
        [
            model("xception", activation="relu6"),
            model("xception", kernel_size=4),
            model("xception", num_residual_blocks=0),
            model("xception", conv2d_num_filters=whole(32, 64)),
        ],
    ),
    "efficientnet": (
        [
            model("efficientnet"),
            model("efficientnet", version=among("B0", "B7"), pooling="max", top_dropout_rate=0, resize=False),
            model("efficientnet", weights=among("none", "imagenet"), resize={"type": "boolean"}),
        ],
        [
            model("efficientnet", version="B8"),
            model("efficientnet", weights=None),
            model("efficientnet", resize=32),
        ],
    ),
    "transfer": (
        [
            model("transfer"),
            model("transfer", backbone="job", job="job_01k", unfreeze=0, frozen_epochs=0),
            model("transfer", backbone=among("resnet50", "job"), job="job_01k"),
            model(
                "transfer", backbone=among("resnet50", "vgg16"), job=None, weights="none", dense_units=1024
            ),
            model("transfer", fine_tune_learning_rate=real(1e-5, 1e-3, sampling="log"), dropout=0.5),
        ],
        [
            model("transfer", backbone="job"),
            model("transfer", backbone="job", job=None),
            model("transfer", backbone=among("resnet50", "job")),
            model("transfer", backbone="resnet51"),
            model("transfer", job="01k"),
            model("transfer", unfreeze=1.5),
            model("transfer", fine_tune_learning_rate=0),
            model("transfer", pooling="flatten"),
        ],
    ),
    "vit": (
        [
            model("vit"),
            model("vit", patch_size=among(2, 4), width=32, depth=whole(1, 4), heads=2, dropout=0),
        ],
        [
            model("vit", patch_size=0),
            model("vit", width=4),
            model("vit", heads=17),
            model("vit", filters=8),
        ],
    ),
    "mlp": (
        [
            model("mlp"),
            model("mlp", layers=0, units=among(8, 16), activation="tanh", dropout=0.3, l2=real(0, 0.1)),
        ],
        [
            model("mlp", layers=[{"type": "Dense", "units": 8}]),
            model("mlp", layers=33),
            model("mlp", units=0),
            model("mlp", l2=-1),
        ],
    ),
}

SCHEDULE_TABLE: Table = {
    "constant": (
        [schedule("constant")],
        [schedule("constant", factor=0.1), {"training": {"schedule": "constant"}}],
    ),
    "step": (
        [
            schedule("step"),
            schedule("step", every=whole(2, 8), factor=among(0.1, 0.5)),
            schedule("step", factor=1),
        ],
        [
            schedule("step", every=0),
            schedule("step", factor=0),
            schedule("step", factor=2),
            schedule("step", rate=1),
        ],
    ),
    "exponential": (
        [schedule("exponential"), schedule("exponential", rate=real(0.9, 0.99, step=0.01))],
        [schedule("exponential", rate=0), schedule("exponential", rate="0.9")],
    ),
    "cosine": (
        [schedule("cosine"), schedule("cosine", warm_up=0.5, floor=real(0, 0.1))],
        [schedule("cosine", warm_up=-1), schedule("cosine", floor=1.1), schedule("cosine", every=3)],
    ),
    "cyclical": (
        [
            schedule("cyclical"),
            schedule("cyclical", low=None, high=0.1, step_size=0.5, mode="exp_range", gamma=0.99),
            schedule("cyclical", low=real(1e-4, 1e-3), mode=among("triangular", "triangular2")),
        ],
        [
            schedule("cyclical", low=0),
            schedule("cyclical", high="0.1"),
            schedule("cyclical", step_size=0),
            schedule("cyclical", mode="triangle"),
            schedule("cyclical", gamma=None),
        ],
    ),
    "one_cycle": (
        [schedule("one_cycle"), schedule("one_cycle", peak_at=0, start=1, end=real(0, 1e-3))],
        [
            schedule("one_cycle", peak_at=1.1),
            schedule("one_cycle", start=None),
            schedule("one_cycle", warm_up=1),
        ],
    ),
    "plateau": (
        [schedule("plateau"), schedule("plateau", patience=whole(1, 4), factor=0.5)],
        [schedule("plateau", patience=0), schedule("plateau", factor=0), schedule("plateau", monitor="loss")],
    ),
    "open": (
        [
            schedule(COSINE),
            schedule(COSINE, floor=real(0, 0.1), peak_at=0.2),
            schedule(among("step", "plateau", when={"training.optimizer": ["sgd"]}), factor=0.5, every=3),
        ],
        [
            schedule(among("cosine")),
            schedule(among("cosine", "cosine")),
            schedule(among("cosine", "cosinus")),
            schedule({"type": "boolean"}),
            schedule(whole(1, 2)),
            schedule(COSINE, floor=2),
            schedule(COSINE, magic=2),
            {"training": {"schedule": {}}},
            {"training": {"schedule": None}},
            {"training": {"schedule": COSINE}},
            {"training": {"schedule": {"type": "warp"}}},
        ],
    ),
}

DISTRIBUTION_TABLE: Table = {
    "float": (
        [
            rate(real(1e-5, 1e-1, sampling="log")),
            rate(real(1e-5, 1e-1, sampling="reverse_log", step=10, default=1e-1)),
            rate(real(0.1, 1, step=None, default=None, when=None)),
            rate(real(1, 10.5, step=0.5, default=3)),
            # The step's inverse would lose the least of these.
            {"augmentation": {"crop": real(1e-200, 0.25, sampling="reverse_log", step=1e60, default=0.25)}},
        ],
        [
            rate(real(0, 1)),
            rate(real(0.1, 101)),
            rate(real(0.1, None)),
            rate({"type": "float", "min": 0.1}),
            rate({"min": 0.1, "max": 1}),
            rate(real(0.1, 1, step=0)),
            rate(real(0.1, 1, step=-0.1)),
            rate(real(0.1, 1, step="0.1")),
            rate(real(0.1, 1, sampling=None)),
            rate(real(0.1, 1, default=0)),
            rate(real(0.1, 1, default="0.5")),
            rate(real(0.1, 1, values=[0.1, 1])),
            rate(real(0.1, 1, ordered=True)),
            filters(real(8, 16)),
        ],
    ),
    "int": (
        [
            filters(whole(8, 64, step=8, default=16)),
            filters(whole(8, 64, sampling="log", step=2)),
            filters(whole(8.0, 64.0)),
            rate(whole(1, 5)),
        ],
        [
            filters(whole(8.5, 64)),
            filters(whole(8, 64, step=1.5)),
            filters(whole(8, 64, default=8.5)),
            filters(whole(True, 64)),
            filters(whole(8, 5000)),
            norm(whole(0, 1)),
            model("cnn", activation=whole(0, 1)),
        ],
    ),
    "choice": (
        [
            filters(among(8, 16, ordered=None, default=16)),
            filters(among(8, 16.0)),
            norm(among(False, True, default=True)),
            model("cnn", activation=among("relu", "tanh", ordered=False)),
        ],
        [
            filters(among()),
            filters(among(8, 8.0)),
            filters(among(8, None)),
            filters(among(8, True)),
            filters(among(8, [16])),
            filters(among(8, 16, ordered=1)),
            filters(among(8, 16, step=8)),
            filters(among(8, 16, default="8")),
            filters(among(*range(1, 258))),
            norm(among(0, 1)),
            model("cnn", activation=among("relu", "rely")),
            {"seed": among(1, 2)},
            {"split": {"folds": among(1, 2)}},
        ],
    ),
    "boolean": (
        [norm({"type": "boolean"}), norm({"type": "boolean", "default": False})],
        [
            norm({"type": "boolean", "values": [True, False]}),
            norm({"type": "boolean", "default": 1}),
            norm({"type": "bool"}),
            filters({"type": "boolean"}),
        ],
    ),
    "when": (
        [
            filters(among(8, 16, when={"training.optimizer": ["adam", "sgd"]})),
            {
                **norm({"type": "boolean", "when": {"training.epochs": [2], "training.nesterov": [True]}}),
                "training": {"epochs": whole(1, 3), "nesterov": {"type": "boolean"}},
            },
        ],
        [
            filters(among(8, 16, when={"training.optimizer": "adam"})),
            filters(among(8, 16, when={"training.optimizer": []})),
            filters(among(8, 16, when={"training.optimizer": [None]})),
            filters(among(8, 16, when=["training.optimizer"])),
        ],
    ),
}

PENALTY = {"l1": 0.01, "l2": real(0, 0.1)}
LAYER_TABLE: Table = {
    "Conv2D": (
        [
            layer("Conv2D", filters=8, kernel_size=3),
            layer("Conv2D", filters=whole(8, 32), kernel_size=[3, among(1, 3)], strides=2, padding="same"),
            layer("Conv2D", filters=8, kernel_size=[1, 1], groups=2, dilation_rate=2, activation=None),
            layer("Conv2D", filters=8, kernel_size=3, kernel_regularizer="l2", bias_regularizer=PENALTY),
            layer("Conv2D", filters=8, kernel_size=3, kernel_regularizer=None, name="first-1_a"),
            layer("Conv2D", filters=8, kernel_size=3, kernel_regularizer=among("l1", "l2"), use_bias=False),
        ],
        [
            layer("Conv2D", filters=8),
            layer("Conv2D", kernel_size=3),
            layer("Conv2D", filters=0, kernel_size=3),
            layer("Conv2D", filters=8, kernel_size=[3]),
            layer("Conv2D", filters=8, kernel_size=[3, 3, 3]),
            layer("Conv2D", filters=8, kernel_size=[3, None]),
            layer("Conv2D", filters=8, kernel_size=3, padding="causal"),
            layer("Conv2D", filters=8, kernel_size=3, activation="os.system"),
            layer("Conv2D", filters=8, kernel_size=3, kernel_regularizer="l3"),
            layer("Conv2D", filters=8, kernel_size=3, kernel_regularizer={"l2": -1}),
            layer("Conv2D", filters=8, kernel_size=3, kernel_initializer="zeros"),
            layer("Conv2D", filters=8, kernel_size=3, input_shape=[8, 8, 1]),
            layer("Conv2D", filters=8, kernel_size=3, name="../../x"),
            layer("Conv2D", filters=8, kernel_size=3, name=""),
            layer("Conv2D", filters=8, kernel_size=3, name="scaling"),
            layer("Conv2D", filters=8, kernel_size=3, name="get_item_3"),
        ],
    ),
    "SeparableConv2D": (
        [layer("SeparableConv2D", filters=8, kernel_size=3, depth_multiplier=2, pointwise_regularizer="l1")],
        [layer("SeparableConv2D", filters=8, kernel_size=3, groups=2)],
    ),
    "DepthwiseConv2D": (
        [layer("DepthwiseConv2D", kernel_size=3, depthwise_initializer="he_uniform")],
        [layer("DepthwiseConv2D", kernel_size=3, filters=8), layer("DepthwiseConv2D")],
    ),
    "Conv2DTranspose": (
        [layer("Conv2DTranspose", filters=8, kernel_size=2, strides=[2, 2])],
        [layer("Conv2DTranspose", filters=8, kernel_size=2, output_padding=1)],
    ),
    "MaxPooling2D": (
        [layer("MaxPooling2D"), layer("MaxPooling2D", pool_size=[2, 1], strides=None, padding="same")],
        [layer("MaxPooling2D", pool_size=0), layer("MaxPooling2D", pool_size=None)],
    ),
    "AveragePooling2D": (
        [layer("AveragePooling2D", pool_size=among(2, 3), strides=[1, whole(1, 2)])],
        [layer("AveragePooling2D", strides=0)],
    ),
    "GlobalAveragePooling2D": (
        [layer("GlobalAveragePooling2D", keepdims={"type": "boolean"})],
        [layer("GlobalAveragePooling2D", keepdims=1)],
    ),
    "GlobalMaxPooling2D": (
        [layer("GlobalMaxPooling2D", keepdims=True)],
        [layer("GlobalMaxPooling2D", pool_size=2)],
    ),
    "Dense": (
        [
            layer("Dense", units=8, activation="softmax", bias_initializer="ones"),
            layer("Dense", units=among(8, 16), kernel_initializer=among("he_normal", "orthogonal")),
        ],
        [layer("Dense"), layer("Dense", units=8.5), layer("Dense", units=8, activation="swish2")],
    ),
    "Flatten": (
        [layer("Flatten"), layer("Flatten", name=None)],
        [layer("Flatten", units=8), layer("flatten")],
    ),
    "Reshape": (
        [layer("Reshape", target_shape=[-1]), layer("Reshape", target_shape=[among(4, 8), -1, 1])],
        [
            layer("Reshape"),
            layer("Reshape", target_shape=[]),
            layer("Reshape", target_shape=[1, 1, 1, 64]),
            layer("Reshape", target_shape=64),
            layer("Reshape", target_shape=[-2]),
            layer("Reshape", target_shape=[0]),
        ],
    ),
    "Dropout": (
        [layer("Dropout", rate=0.5), layer("Dropout", rate=real(0.3, 0.7, step=0.1))],
        [layer("Dropout"), layer("Dropout", rate=1), layer("Dropout", rate=0.5, seed=1)],
    ),
    "SpatialDropout2D": ([layer("SpatialDropout2D", rate=0)], [layer("SpatialDropout2D", rate=-0.1)]),
    "GaussianDropout": ([layer("GaussianDropout", rate=0.1)], [layer("GaussianDropout", rate="0.1")]),
    "AlphaDropout": ([layer("AlphaDropout", rate=0.1)], [layer("AlphaDropout", rate=None)]),
    "GaussianNoise": ([layer("GaussianNoise", stddev=0.1)], [layer("GaussianNoise", stddev=2)]),
    "BatchNormalization": (
        [layer("BatchNormalization", momentum=0.9, epsilon=1e-5, center=False, scale={"type": "boolean"})],
        [layer("BatchNormalization", momentum=1.1), layer("BatchNormalization", epsilon=0)],
    ),
    "LayerNormalization": (
        [layer("LayerNormalization", epsilon=1e-6)],
        [layer("LayerNormalization", axis=-1)],
    ),
    "GroupNormalization": (
        [layer("GroupNormalization", groups=1), layer("GroupNormalization", groups=among(-1, 1))],
        [layer("GroupNormalization", groups=-2), layer("GroupNormalization", groups=0)],
    ),
    "Activation": (
        [layer("Activation", activation=among("relu", "linear"))],
        [layer("Activation"), layer("Activation", activation=None)],
    ),
    "ReLU": (
        [layer("ReLU", max_value=None, negative_slope=0.1, threshold=0), layer("ReLU", max_value=6)],
        [layer("ReLU", max_value=-1)],
    ),
    "LeakyReLU": ([layer("LeakyReLU", negative_slope=0.1)], [layer("LeakyReLU", alpha=0.1)]),
    "ELU": ([layer("ELU", alpha=0.5)], [layer("ELU", alpha="1")]),
    "PReLU": (
        [layer("PReLU", shared_axes=[1, 2], alpha_regularizer=PENALTY), layer("PReLU", shared_axes=None)],
        [layer("PReLU", shared_axes=[]), layer("PReLU", shared_axes=[4]), layer("PReLU", shared_axes=1)],
    ),
    "Softmax": ([layer("Softmax")], [layer("Softmax", axis=-1)]),
    "ZeroPadding2D": (
        [
            layer("ZeroPadding2D"),
            layer("ZeroPadding2D", padding=whole(0, 2)),
            layer("ZeroPadding2D", padding=[1, among(0, 2)]),
            layer("ZeroPadding2D", padding=[[1, 0], [0, whole(0, 2)]]),
        ],
        [
            layer("ZeroPadding2D", padding=-1),
            layer("ZeroPadding2D", padding=[1]),
            layer("ZeroPadding2D", padding=[[1, 0], [0, 0, 0]]),
            layer("ZeroPadding2D", padding="same"),
        ],
    ),
    "Cropping2D": ([layer("Cropping2D", cropping=[[1, 0], 2])], [layer("Cropping2D", cropping=None)]),
    "UpSampling2D": (
        [layer("UpSampling2D", size=[2, 1], interpolation="bilinear")],
        [layer("UpSampling2D", size=0), layer("UpSampling2D", interpolation="linear")],
    ),
    "ActivityRegularization": (
        [layer("ActivityRegularization", l1=0.01, l2=real(0, 1))],
        [layer("ActivityRegularization", l1=None)],
    ),
    "Rescaling": (
        [layer("Rescaling", scale=-0.5, offset=1), layer("Rescaling", scale=among(0.5, 2))],
        [layer("Rescaling"), layer("Rescaling", scale=1e9)],
    ),
}

SECTION_TABLE: Table = {
    "split": (
        [
            {"split": {"folds": 20, "test": 0.9, "validation": 0.9}},
            {"split": {"folds": 1.0, "stratify": True}},
        ],
        [{"split": {"folds": 0}}, {"split": {"folds": 21}}, {"split": {"stratify": 1}}, {"split": None}],
    ),
    "preprocessing": (
        [
            {"preprocessing": {"image_size": None}},
            {"preprocessing": {"image_size": [32, whole(16, 32, step=16)], "color": "rgb"}},
            {"preprocessing": {"image_size": among(16, 32), "color": among("keep", "grayscale")}},
        ],
        [
            {"preprocessing": {"image_size": 0}},
            {"preprocessing": {"image_size": [32, 32, 3]}},
            {"preprocessing": {"image_size": [32, None]}},
            {"preprocessing": {"color": "bgr"}},
            {"preprocessing": {"scaling": None}},
        ],
    ),
    "augmentation": (
        [
            {"augmentation": {"flip": among("none", "horizontal"), "rotation": real(0, 0.2), "zoom": 0.2}},
            {"augmentation": {"mixup": 0.2, "cutmix": whole(0, 2), "noise": 0, "erasing": 1, "crop": 0.9}},
        ],
        [
            {"augmentation": {"flip": True}},
            {"augmentation": {"rotation": 0.6}},
            {"augmentation": {"brightness": -0.1}},
            {"augmentation": {"mixup": 11}},
            {"augmentation": {"blur": 1}},
        ],
    ),
    "training": (
        [
            {"training": {"optimizer": "lion", "weight_decay": None, "clipnorm": real(0.1, 5)}},
            {"training": {"loss": "categorical_hinge", "label_smoothing": 0.1, "class_weight": "balanced"}},
            {"training": {"metrics": [], "mixed_precision": {"type": "boolean"}}},
            {
                "training": {
                    "metrics": ["f1", "auc"],
                    "early_stopping": {"monitor": "val_f1", "min_delta": 0.01},
                }
            },
        ],
        [
            {"training": {"optimizer": "adam2"}},
            {"training": {"optimizer": None}},
            {"training": {"clipnorm": 0}},
            {"training": {"weight_decay": among(0.1, None)}},
            {"training": {"metrics": ["val_f1"]}},
            {"training": {"metrics": ["f1"] * 10}},
            {"training": {"early_stopping": {"monitor": "f1"}}},
            {"training": {"early_stopping": among(1, 2)}},
            {"training": {"batch_size": 0}},
        ],
    ),
    "budget": (
        [
            budget(max_epochs=100, max_gpu_seconds=60.5, plateau={"trials": 5, "min_delta": 0.01}),
            budget(max_epochs=None, max_gpu_seconds=None, plateau=None),
        ],
        [
            budget(max_epochs=0),
            budget(max_epochs=1.5),
            budget(max_gpu_seconds=0),
            budget(plateau={}),
            budget(plateau={"trials": 0}),
            budget(plateau={"trials": 5, "patience": 1}),
            budget(plateau=5),
        ],
    ),
    "objective": (
        [{"objective": {"metric": "val_f1", "direction": "maximize"}}, {"objective": {"target": 1}}],
        [
            {"objective": {"direction": "minimize"}},
            {"objective": {"metric": "val_loss", "direction": "maximize"}},
            {"objective": {"metric": "val_top_2_accuracy"}},
            {"objective": {"target": "0.9"}},
        ],
    ),
}

# Algorithms that take all kinds of open values, or none; others are told of in `BEYOND`.
SEARCH_TABLE: Table = {
    "random": (
        [
            {"search": {}},
            search("random"),
            {"search": {"stopping": {}, "enqueue": [], "warm_start": [], "reuse": True}},
            {"search": {"warm_start": ["job_01k", "job_x"]}},
            {"search": {"enqueue": [{}]}},
        ],
        [
            {"search": None},
            {"search": "random"},
            {"search": {"order": "row_major"}},
            search("random", order="row_major"),
            search("randon"),
            search(None),
            search(["random"]),
            search("random", enqueue={}),
            search("random", enqueue=[[]]),
            search("random", enqueue=[{"training.epochs": None}]),
            search("random", enqueue=[{"training.epochs": [1]}]),
            search("random", warm_start=["ds_01k"]),
            search("random", warm_start=["job_1"] * 33),
            search("random", reuse=1),
            search("random", factor=3),
        ],
    ),
    "grid": (
        [search("grid"), search("grid", order="outside_in"), search("grid", stopping={"rule": "asha"})],
        [search("grid", order="inside_out"), search("grid", order=None), search("grid", factor=3)],
    ),
    "bayesian": (
        [search("bayesian"), search("bayesian", reuse=True)],
        [search("bayesian", order="row_major"), search("bayesian", steps=20)],
    ),
    "hyperband": (
        [search("hyperband"), search("hyperband", factor=2, stopping={"rule": "none"})],
        [search("hyperband", factor=1), search("hyperband", factor="3"), search("hyperband", coarse={})],
    ),
    "tpe": ([search("tpe", stopping={"rule": "median"})], [search("tpe", then={})]),
    "cmaes": (
        [
            {**search("cmaes"), **RATE},
            {**search("cmaes", enqueue=[{"training.learning_rate": 0.01}]), **RATE},
        ],
        [{**search("cmaes", fine={}), **RATE}],
    ),
    "coarse_to_fine": (
        [
            {**search("coarse_to_fine"), **RATE},
            {
                **search(
                    "coarse_to_fine",
                    coarse={"algorithm": "grid", "trials": 0.3, "epochs": 0.1, "data": 0.5},
                    fine={"algorithm": "grid", "promote": 0, "width": 1},
                ),
                **RATE,
            },
        ],
        [
            {**search("coarse_to_fine", coarse={"trials": 1}), **RATE},
            {**search("coarse_to_fine", coarse={"algorithm": "tpe"}), **RATE},
            {**search("coarse_to_fine", fine={"promote": -1}), **RATE},
            {**search("coarse_to_fine", fine={"data": 1}), **RATE},
            {**search("coarse_to_fine", coarse=None), **RATE},
        ],
    ),
    "lr_range_test": (
        [
            search("lr_range_test"),
            search("lr_range_test", low=1e-8, high=10, steps=20, then=None),
            {**search("lr_range_test", then={}), **RATE},
            {**search("lr_range_test", then={"algorithm": "grid", "stopping": {"rule": "median"}}), **RATE},
        ],
        [
            search("lr_range_test", low=0),
            search("lr_range_test", high=1e-3),
            search("lr_range_test", steps=19),
            search("lr_range_test", stopping={}),
            search("lr_range_test", reuse=True),
            {**search("lr_range_test", then={"algorithm": "lr_range_test"}), **RATE},
            {**search("lr_range_test", then={"steps": 20}), **RATE},
            {**search("lr_range_test", then="random"), **RATE},
        ],
    ),
}

STOPPING_TABLE: Table = {
    "none": ([stopping(), stopping(rule="none")], [stopping(grace_epochs=1), stopping(rule=None)]),
    "median": (
        [stopping(rule="median"), stopping(rule="median", grace_epochs=3)],
        [stopping(rule="median", grace_epochs=0), stopping(rule="median", factor=3), stopping(rule="mean")],
    ),
    "asha": (
        [stopping(rule="asha"), stopping(rule="asha", grace_epochs=2, factor=4)],
        [stopping(rule="asha", factor=11), stopping(rule="asha", grace_epochs=1.5)],
    ),
}

TABLES = {
    "families": FAMILY_TABLE,
    "algorithms": SEARCH_TABLE,
    "stopping": STOPPING_TABLE,
    "schedules": SCHEDULE_TABLE,
    "distributions": DISTRIBUTION_TABLE,
    "layers": LAYER_TABLE,
    "sections": SECTION_TABLE,
}

# What no schema can say: the document takes it, the service refuses it, with a code at the place.
BEYOND: list[tuple[dict[str, Any], str, str]] = [
    (filters(whole(8, 8)), "/model/filters/max", "invalid_range"),
    (filters(whole(8, 16, step=9)), "/model/filters/step", "invalid_range"),
    (filters(among(8, 16, default=9)), "/model/filters/default", "invalid_range"),
    (model("cnn", l2=real(0, 1, sampling="log")), "/model/l2/min", "invalid_range"),
    (
        filters(among(8, 16, when={"model.filter": [8]})),
        "/model/filters/when/model.filter",
        "invalid_condition",
    ),
    (filters(among(8, 16, when={"model.filters": [8]})), "/model/filters/when", "invalid_condition"),
    (schedule(COSINE, gamma=0.9), "/training/schedule/gamma", "unknown_field"),
    (schedule("cyclical", low=0.1, high=0.01), "/training/schedule/low", "invalid_range"),
    ({"split": {"validation": 0.6, "test": 0.4}}, "/split/validation", "value_out_of_range"),
    (
        {
            "search": {"algorithm": "grid"},
            **filters(whole(1, 4096)),
            "augmentation": {"mixup": real(0, 1, step=1e-3)},
        },
        "/search/algorithm",
        "search_space_too_large",
    ),
    (search("cmaes"), "/search/algorithm", "value_not_allowed"),
    ({**search("cmaes"), **filters(among(8, 16))}, "/search/algorithm", "value_not_allowed"),
    (search("coarse_to_fine"), "/search/algorithm", "value_not_allowed"),
    (
        {**search("hyperband"), "training": {"epochs": whole(1, 9)}},
        "/training/epochs",
        "value_not_allowed",
    ),
    (search("lr_range_test", then={}), "/training/learning_rate", "value_not_allowed"),
    (
        {"search": {"enqueue": [{"training.epochs": 2}]}, **RATE},
        "/search/enqueue/0/training.epochs",
        "unknown_field",
    ),
    (
        {"search": {"enqueue": [{"training.learning_rate": 1}]}, **RATE},
        "/search/enqueue/0/training.learning_rate",
        "value_out_of_range",
    ),
    (
        {
            "search": {"enqueue": [{"training.momentum": 0.5, "training.optimizer": "adam"}]},
            "training": {
                "optimizer": among("sgd", "adam"),
                "momentum": real(0, 0.9, when={"training.optimizer": ["sgd"]}),
            },
        },
        "/search/enqueue/0/training.momentum",
        "invalid_condition",
    ),
    (
        model(
            "layers", layers=[{"type": "Flatten", "name": "a"}, {"type": "Dropout", "rate": 0, "name": "a"}]
        ),
        "/model/layers/1/name",
        "invalid_name",
    ),
    (
        model("layers", layers=[{"repeat": 2, "layers": [FOUR_DEEP]}]),
        "/model/layers/0/layers/0/layers/0/layers/0/layers/0/layers",
        "value_out_of_range",
    ),
    (
        model("layers", layers=[{"repeat": 100, "layers": [{"type": "Softmax"}] * 6}]),
        "/model/layers",
        "value_out_of_range",
    ),
]


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/v1/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    found: dict[str, Any] = answer.json
    return found


@pytest.fixture
def accepts(document: dict[str, Any]) -> Draft202012Validator:
    """The published schema of a job's spec."""
    return checker(document)


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy({**LEAST, **changes})


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    methods = ("get", "post", "put", "patch", "delete")
    return [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in methods
        if method in item
    ]


def schema_of(document: dict[str, Any], path: str, method: str, status: str) -> Draft202012Validator:
    """The published schema of an answer."""
    answer = document["paths"][path][method]["responses"][status]
    return Draft202012Validator(
        {**answer["content"]["application/json"]["schema"], "components": document["components"]}
    )


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_route_is_in_the_document(document: dict[str, Any]) -> None:
    found: dict[str, set[str]] = {}
    for path, method, _ in operations(document):
        found.setdefault(path, set()).add(method)
    assert found == ROUTES


def test_every_registered_route_is_documented(app: Flask, document: dict[str, Any]) -> None:
    documented = {(path, method) for path, method, _ in operations(document)}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("docs.", "api-docs.")):
            continue
        path = str(rule)
        for kind in ("id", "name", "number"):
            path = path.replace(f"<{kind}:", "{").replace(">", "}")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert (path, method.lower()) in documented


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    assert [(path, method) for path, method, found in operations(document) if not found.get("summary")] == []
    names = [found.get("operationId") for _, _, found in operations(document) if "operationId" in found]
    assert len(set(names)) == len(names)


def test_errors_are_documented_as_problems(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, found in operation["responses"].items():
            if status[0] in "123" or (path, status) == ("/readyz", "503"):
                continue
            answer = resolved(document, found)
            assert set(answer.get("content", {})) == {"application/problem+json"}, (path, method, status)
            schema = resolved(document, answer["content"]["application/problem+json"]["schema"])
            assert {"type", "title", "status", "detail", "code", "request_id"} <= set(schema["properties"])


def test_every_operation_documents_an_error(document: dict[str, Any]) -> None:
    silent = [
        (path, method)
        for path, method, operation in operations(document)
        if path not in OPEN and all(status[0] in "123" for status in operation["responses"])
    ]
    assert silent == []


def resolved(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to."""
    while "$ref" in found:
        target: Any = document
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    return found


def test_keys_are_documented_where_they_are_asked_for(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, _, operation in operations(document):
        needs = operation.get("security", document.get("security"))
        assert needs == ([] if path in OPEN else [{"key": []}])


def test_an_upload_is_documented_in_both_its_forms(document: dict[str, Any]) -> None:
    upload = document["paths"]["/v1/datasets"]["post"]
    assert set(upload["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream"}
    assert {"200", "201"} <= set(upload["responses"])


def test_answers_may_get_more_fields_and_requests_may_not(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in (
        "Job",
        "Trial",
        "Best",
        "ModelFacts",
        "Validation",
        "Dataset",
        "JobPage",
        "TrialPage",
        "Epoch",
    ):
        assert schemas[name].get("additionalProperties", True) is True, name
    for name in ("JobSpec", "JobChange", "Budget", "Objective", "Split"):
        assert schemas[name]["additionalProperties"] is False, name


def test_trials_are_documented_as_a_list_and_as_a_table(document: dict[str, Any]) -> None:
    answer = document["paths"]["/v1/jobs/{job_id}/trials"]["get"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "text/csv"}
    assert answer["content"]["text/csv"]["schema"] == {"type": "string"}


def test_the_published_spec_is_a_valid_schema(accepts: Draft202012Validator) -> None:
    Draft202012Validator.check_schema(accepts.schema)


def test_the_published_spec_takes_what_the_service_takes(accepts: Draft202012Validator) -> None:
    assert all(load_spec(changed(changes)) for changes in VALID)
    assert [changes for changes in VALID if not accepts.is_valid(changed(changes))] == []


def test_the_published_spec_takes_what_was_resolved(accepts: Draft202012Validator) -> None:
    resolved = [load_spec(changed(changes)).resolved for changes in VALID]
    assert [spec for spec in resolved if not accepts.is_valid(spec)] == []


def test_the_published_spec_refuses_what_the_service_refuses(accepts: Draft202012Validator) -> None:
    assert [changes for changes in INVALID if not is_refused(changed(changes))] == []
    assert [changes for changes in INVALID if accepts.is_valid(changed(changes))] == []


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in TABLES for name in TABLES[table]])
def test_document_and_service_agree_both_ways(accepts: Draft202012Validator, table: str, name: str) -> None:
    valid, invalid = TABLES[table][name]
    assert valid
    assert invalid
    assert [changes for changes in valid if is_refused(changed(changes))] == []
    assert [changes for changes in valid if not accepts.is_valid(changed(changes))] == []
    resolved = [load_spec(changed(changes)).resolved for changes in valid]
    assert [spec for spec in resolved if not accepts.is_valid(spec)] == []
    assert [changes for changes in invalid if not is_refused(changed(changes))] == []
    assert [changes for changes in invalid if accepts.is_valid(changed(changes))] == []


def test_the_tables_have_all_that_there_is(document: dict[str, Any]) -> None:
    assert set(FAMILY_TABLE) == set(FAMILIES)
    assert set(SCHEDULE_TABLE) == {*SCHEDULES, "open"}
    assert set(DISTRIBUTION_TABLE) == {*DISTRIBUTIONS, "when"}
    assert set(LAYER_TABLE) == set(LAYERS)
    assert set(SEARCH_TABLE) == set(ALGORITHMS)
    assert set(STOPPING_TABLE) == set(RULES)


@pytest.mark.parametrize(("changes", "place", "code"), BEYOND)
def test_what_no_schema_can_say_is_told_by_the_service(
    accepts: Draft202012Validator, changes: dict[str, Any], place: str, code: str
) -> None:
    assert accepts.is_valid(changed(changes))
    with pytest.raises(Invalid) as refused:
        load_spec(changed(changes))
    assert [(error.pointer, error.code) for error in refused.value.errors] == [(place, code)]


@pytest.mark.parametrize(
    ("name", "field", "table", "default"),
    [
        ("Search", "algorithm", ALGORITHMS, "bayesian"),
        ("Then", "algorithm", SEARCHES, "bayesian"),
        ("Stopping", "rule", RULES, "none"),
    ],
)
def test_variants_are_published_as_one_of_several_told_apart_by_a_field(
    document: dict[str, Any], name: str, field: str, table: dict[str, Any], default: str
) -> None:
    schemas = document["components"]["schemas"]
    published = schemas[name]
    assert published["discriminator"]["propertyName"] == field
    assert list(published["discriminator"]["mapping"]) == list(table)
    assert [one["$ref"] for one in published["oneOf"]] == list(published["discriminator"]["mapping"].values())
    branches = {
        one: schemas[ref.rpartition("/")[2]] for one, ref in published["discriminator"]["mapping"].items()
    }
    assert {one: branch["properties"][field]["enum"] for one, branch in branches.items()} == {
        one: [one] for one in table
    }
    # Where the field is left out, one branch is meant.
    unnamed = [one for one, branch in branches.items() if field not in branch.get("required", [])]
    assert unnamed == [default]


def test_a_change_of_a_budget_needs_none_of_its_fields(document: dict[str, Any]) -> None:
    changes = schema_of_body(document, "/v1/jobs/{job_id}", "patch")
    for body in ({}, {"budget": {}}, {"budget": {"max_seconds": None}, "labels": {}, "name": "x"}):
        assert changes.is_valid(body), body
    for body in ({"budget": {"max_trials": 0}}, {"seed": 1}, {"budget": {"trials": 1}}, {"name": None}):
        assert not changes.is_valid(body), body


def test_a_clone_takes_any_changes(document: dict[str, Any]) -> None:
    changes = schema_of_body(document, "/v1/jobs/{job_id}:clone", "post")
    assert changes.is_valid({"search": {"algorithm": "tpe"}, "budget": None})
    assert not changes.is_valid([])


def schema_of_body(document: dict[str, Any], path: str, method: str) -> Draft202012Validator:
    body = document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**body, "components": document["components"]})


def is_refused(spec: dict[str, Any]) -> bool:
    try:
        load_spec(spec)
    except Invalid:
        return True
    return False


def test_answers_fit_their_published_schemas(
    app: Flask, api: Api, document: dict[str, Any], spec: dict[str, Any]
) -> None:
    job = posted(api, spec)["id"]
    dataset = upload(api, npz()).json
    add_trials(app, job, 2)
    complete(app, job, 0, 0.9)
    answers = {
        ("/v1/jobs/{job_id}", "200"): api.get(f"/v1/jobs/{job}").json,
        ("/v1/jobs", "200"): api.get("/v1/jobs").json,
        ("/v1/jobs/{job_id}/best", "200"): api.get(f"/v1/jobs/{job}/best").json,
        ("/v1/jobs/{job_id}/trials", "200"): api.get(f"/v1/jobs/{job}/trials").json,
        ("/v1/jobs/{job_id}/trials/{number}", "200"): api.get(f"/v1/jobs/{job}/trials/0").json,
        ("/v1/datasets", "200"): api.get("/v1/datasets").json,
        ("/v1/datasets/{dataset_id}", "200"): dataset,
        ("/v1/catalog", "200"): api.get("/v1/catalog").json,
        ("/v1/info", "200"): api.get("/v1/info").json,
        ("/readyz", "200"): api.get("/readyz").json,
    }
    for (path, status), answer in answers.items():
        found = schema_of(document, path, "get", status).iter_errors(answer)
        assert [(path, error.message) for error in found] == []
    validated = api.post("/v1/jobs:validate", json=spec).json
    assert schema_of(document, "/v1/jobs:validate", "post", "200").is_valid(validated)


def test_answers_of_steering_fit_their_published_schemas(
    api: Api, document: dict[str, Any], spec: dict[str, Any]
) -> None:
    path = f"/v1/jobs/{posted(api, spec)['id']}"
    changed = api.request("PATCH", path, json={"budget": {"max_epochs": 5, "plateau": {"trials": 2}}})
    answers = {("", "patch"): changed} | {
        (f":{what}", "post"): api.post(f"{path}:{what}") for what in ("pause", "resume", "clone", "cancel")
    }
    for (what, method), answer in answers.items():
        published = schema_of(document, f"/v1/jobs/{{job_id}}{what}", method, str(answer.status_code))
        assert [(what, error.message) for error in published.iter_errors(answer.json)] == []


def test_a_trial_with_all_that_there_is_fits_its_published_schema(
    app: Flask, api: Api, document: dict[str, Any], spec: dict[str, Any]
) -> None:
    job = posted(api, spec)["id"]
    stage, range_test = {"name": "range_test"}, {"points": [[1e-7, None, 2.3]], "suggested": None}
    range_test |= {"steepest": None, "stopped_at": 1.0, "criterion": "Smith 2017"}
    whole: dict[str, Any] = {
        "until_epoch": 3,
        "data_share": 0.5,
        "parent": 1,
        "stage": stage,
        "last_epoch": 3,
        "stop": "asha",
        "reused": {"job": "job_x", "trial": 2},
        "range_test": range_test,
    }
    add_trials(app, job, 2)
    complete(app, job, 0, 0.9)
    with services(app).database.write() as session:
        mine = (TrialRow.job_id == job, TrialRow.number == 0)
        session.execute(update(TrialRow).where(*mine).values(**whole))
    published = schema_of(document, "/v1/jobs/{job_id}/trials/{number}", "get", "200")
    trial = api.get(f"/v1/jobs/{job}/trials/0").json
    assert [error.message for error in published.iter_errors(trial)] == []
    assert (trial["effort"]["stage"], trial["range_test"]) == (stage, range_test)


def test_the_page_works_offline_and_under_a_sub_path(app: Flask) -> None:
    client = app.test_client()
    page = client.get("/v1/docs/")
    assert page.status_code == 200
    linked = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert linked
    assert [link for link in linked if re.match("/|[a-z]+:", link)] == []
    assert "../openapi.json" in page.text
    assert client.get("/v1/docs/swagger-ui-bundle.js").status_code == 200
    assert client.get("/v1/docs").status_code in (301, 302, 308)
