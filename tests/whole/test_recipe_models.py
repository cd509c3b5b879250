"""Which net is built: sizes, kinds of layers, regularisation and conditions, over HTTP."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from tests.whole import images
from tests.whole.conftest import Service
from tests.whole.images import STANDSTILL, Posted, choice, metric, of_type, spec
from tuneserve import Client

pytestmark = images.ON_SQLITE

BRIEF = {"epochs": 1, "batch_size": 32}
AS_TRAINED = {"refit": False}
# Trials of the space that `infeasible` searches, of which half can be built for images of 8 x 8.
POSSIBLE = 6

# The recipe's fields with the value to try first.
DEFAULTS = {
    "model.activation": "relu",
    "model.dense_layers": 2,
    "model.dense_units": 32,
    "model.dropout": 0.5,
    "model.initializer": "he_normal",
    "training.learning_rate": 0.001,
}


def specs(client: Client) -> dict[str, images.Spec]:
    some = client.datasets.upload(*images.few(images.digits(), 24))
    cnn = {"family": "cnn", "blocks": 2, "filters": 4, "dense_units": 8}
    layers = [
        {
            "repeat": 2,
            "layers": [
                {
                    "type": "Conv2D",
                    "filters": choice(4, 6),
                    "kernel_size": [3, 3],
                    "padding": "same",
                    "activation": "relu",
                    "kernel_regularizer": {"l2": 0.001},
                },
                {"type": "MaxPooling2D", "pool_size": [2, 2]},
                {"type": "Dropout", "rate": 0.25},
            ],
        },
        {"type": "Flatten"},
        {"type": "Dense", "units": choice(8, 16), "activation": "tanh", "name": "hidden"},
        {"type": "Dropout", "rate": 0.5},
    ]
    return {
        "filters": spec(
            some,
            {
                "family": "cnn",
                "blocks": 2,
                "filters": choice(8, 32),
                "filter_growth": choice(1, 2),
                "kernel_size": choice(3, 5),
                "dense_units": 0,
            },
            BRIEF,
            result=AS_TRAINED,
        ),
        "hidden": spec(
            some,
            {
                "family": "cnn",
                "filters": 4,
                "blocks": 1,
                "activation": choice("relu", "tanh", "selu", default="relu"),
                "dense_layers": {"type": "int", "min": 1, "max": 4, "default": 2},
                "dense_units": choice(16, 32, 64, default=32),
                "dropout": {"type": "float", "min": 0.3, "max": 0.7, "step": 0.1, "default": 0.5},
                "initializer": choice("he_normal", "orthogonal", "lecun_uniform", default="he_normal"),
            },
            {
                **BRIEF,
                "learning_rate": {
                    "type": "float",
                    "min": 1e-4,
                    "max": 1e-1,
                    "sampling": "log",
                    "default": 0.001,
                },
            },
            max_trials=5,
            search={"algorithm": "random"},
        ),
        "regularised": spec(
            some,
            {
                **cnn,
                "l2": choice(0.001, 0.01),
                "conv_dropout": 0.25,
                "dropout": 0.5,
                "initializer": "orthogonal",
            },
            {**BRIEF, "optimizer": "sgd", "learning_rate": STANDSTILL},
            result=AS_TRAINED,
        ),
        "deep": spec(
            some,
            {
                "family": "cnn",
                "blocks": 3,
                "convs_per_block": 2,
                "filters": 8,
                "kernel_size": 5,
                "batch_norm": True,
                "residual": True,
                "attention": "squeeze_excite",
                "pooling": "stride",
                "head": "global_average",
            },
            BRIEF,
            result=AS_TRAINED,
        ),
        "attentive": spec(
            some,
            {
                **cnn,
                "attention": "self",
                "pooling": "average",
                "head": "global_max",
                "activation": "gelu",
                "initializer": "lecun_uniform",
                "dropout": 0.4,
            },
            BRIEF,
            result=AS_TRAINED,
        ),
        "line by line": spec(some, {"family": "layers", "layers": layers}, BRIEF, result=AS_TRAINED),
        "conditions": spec(
            some,
            {
                **cnn,
                "head": choice("flatten", "global_average"),
                "dropout": choice(0.1, 0.6, when={"training.nesterov": [True]}),
            },
            {
                **BRIEF,
                "learning_rate": 0.05,
                "optimizer": choice("sgd", "adam"),
                "momentum": choice(0.5, 0.9, when={"training.optimizer": ["sgd"]}),
                "nesterov": {"type": "boolean", "when": {"training.momentum": [0.9]}},
            },
            augmentation={"noise": choice(0.1, 0.5, when={"model.head": ["flatten"]})},
        ),
        "infeasible": spec(
            some,
            {
                "family": "cnn",
                "blocks": {"type": "int", "min": 1, "max": 6},
                "filters": choice(4, 8),
                "dense_units": 0,
            },
            BRIEF,
            max_trials=POSSIBLE,
            result=AS_TRAINED,
            search={"algorithm": "random"},
        ),
    }


@pytest.fixture(scope="module")
def jobs(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Posted]:
    with shared_service.client() as client:
        yield Posted(client, specs(client), tmp_path_factory.mktemp("models"))


def test_filters_their_growth_and_the_kernel_size_are_those_of_the_nets(jobs: Posted) -> None:
    trials = jobs.trials("filters")
    assert len(trials) == 2 * 2 * 2
    for trial in trials:
        filters, growth, kernel = sizes(trial.hyperparameters)
        first, second = kernel**2 * filters + filters, growth * filters * (kernel**2 * filters + 1)
        assert trial.parameters == first + second + (2 * 2 * growth * filters + 1) * 10
    best = jobs.succeeded("filters").best_result()
    filters, growth, kernel = sizes(best.hyperparameters)
    convolutions = of_type(jobs.model("filters"), "Conv2D")
    assert [layer.filters for layer in convolutions] == [filters, filters * growth]
    assert {layer.kernel_size for layer in convolutions} == {(kernel, kernel)}


def sizes(values: Mapping[str, Any]) -> list[int]:
    return [values[f"model.{name}"] for name in ("filters", "filter_growth", "kernel_size")]


def test_known_good_values_are_tried_first(jobs: Posted) -> None:
    first, *others = jobs.trials("hidden")
    assert first.hyperparameters == DEFAULTS
    assert all(set(one.hyperparameters) == set(DEFAULTS) for one in others)
    assert all(one.hyperparameters != DEFAULTS for one in others)


def test_hidden_layers_their_units_activation_initializer_and_dropout(jobs: Posted) -> None:
    for trial in jobs.trials("hidden"):
        units, count = (trial.hyperparameters[f"model.dense_{name}"] for name in ("units", "layers"))
        hidden = (4 * 4 * 4 + 1) * units + (count - 1) * (units + 1) * units
        assert trial.parameters == (9 + 1) * 4 + hidden + (units + 1) * 10
    values = jobs.succeeded("hidden").best_result().hyperparameters
    model = jobs.model("hidden")
    dense = [layer.get_config() for layer in of_type(model, "Dense") if layer.name != "logits"]
    count, units = values["model.dense_layers"], values["model.dense_units"]
    assert [config["units"] for config in dense] == [units] * count
    assert {config["activation"] for config in dense} == {values["model.activation"]}
    assert {snake(config["kernel_initializer"]["class_name"]) for config in dense} == {
        values["model.initializer"]
    }
    assert [layer.rate for layer in of_type(model, "Dropout")] == [values["model.dropout"]] * count


def snake(name: str) -> str:
    """Of a class of Keras: HeNormal is he_normal."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def test_an_initializer_is_what_training_begins_with(jobs: Posted) -> None:
    kernel = jobs.model("regularised").get_layer("dense_0").get_weights()[0]
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(8), atol=1e-5)


def test_l2_is_in_the_loss_that_is_trained_and_dropout_in_the_layers(jobs: Posted) -> None:
    small, large = jobs.trials("regularised")
    model = jobs.model("regularised")
    kernels = [model.get_layer(name).get_weights()[0] for name in ("conv_0_0", "conv_1_0", "dense_0")]
    squares = sum(float(np.square(kernel).sum()) for kernel in kernels)
    # Nothing moves, so the two losses differ by what the penalty weighs.
    difference = metric(large, "loss")[0] - metric(small, "loss")[0]
    assert difference == pytest.approx((0.01 - 0.001) * squares, rel=1e-3)
    assert metric(large, "val_loss") == pytest.approx(metric(small, "val_loss")), "scored without a penalty"
    l2 = jobs.succeeded("regularised").best_result().hyperparameters["model.l2"]
    penalised = [layer for layer in model.layers if getattr(layer, "kernel_regularizer", None)]
    assert [layer.name for layer in penalised] == ["conv_0_0", "conv_1_0", "dense_0"]
    assert {round(float(layer.kernel_regularizer.l2), 6) for layer in penalised} == {l2}
    assert [layer.rate for layer in of_type(model, "Dropout")] == [0.25, 0.25, 0.5]


def test_depth_residual_connections_and_channel_attention_are_in_the_model(jobs: Posted) -> None:
    model = jobs.model("deep")
    convolutions = [layer for layer in of_type(model, "Conv2D") if layer.name.startswith("conv_")]
    assert [layer.filters for layer in convolutions] == [8, 8, 16, 16, 32, 32]
    assert {layer.kernel_size for layer in convolutions} == {(5, 5)}
    assert [layer.strides for layer in convolutions] == [(1, 1), (2, 2)] * 3
    assert len(of_type(model, "BatchNormalization")) == 6
    assert len(of_type(model, "Add")) == len(of_type(model, "Multiply")) == 3
    assert not of_type(model, "MaxPooling2D")
    assert model.get_layer("add_2").output.shape == (None, 1, 1, 32)
    assert len(of_type(model, "GlobalAveragePooling2D")) == 3 + 1, "one a block to squeeze, one as the head"


def test_self_attention_and_another_pooling_are_in_the_model(jobs: Posted) -> None:
    model = jobs.model("attentive")
    [attention] = of_type(model, "MultiHeadAttention")
    assert attention.output.shape == (None, 2 * 2, 8), "every place of the last map looks at every other"
    assert len(of_type(model, "AveragePooling2D")) == 2
    assert len(of_type(model, "GlobalMaxPooling2D")) == 1
    assert {layer.activation.__name__ for layer in of_type(model, "Activation")} == {"gelu"}


def test_what_differs_from_the_defaults_is_in_every_layer(jobs: Posted) -> None:
    model = jobs.model("attentive")
    hidden = model.get_layer("dense_0")
    assert (hidden.units, hidden.activation.__name__) == (8, "gelu")
    layers = [*of_type(model, "Conv2D"), hidden]
    assert [type(layer.kernel_initializer).__name__ for layer in layers] == ["LecunUniform"] * 3
    assert [layer.rate for layer in of_type(model, "Dropout")] == [0.4]


def test_a_net_written_line_by_line_is_that_net(jobs: Posted) -> None:
    trials = jobs.trials("line by line")
    assert [dict(one.hyperparameters) for one in trials] == [
        {"model.layers.0.layers.0.filters": filters, "model.layers.2.units": units}
        for filters in (4, 6)
        for units in (8, 16)
    ]
    values = jobs.succeeded("line by line").best_result().hyperparameters
    model = jobs.model("line by line")
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "MaxPooling2D", "Dropout"]
    around = ["InputLayer", "Rescaling"], ["Flatten", "Dense", "Dropout", "Dense", "Softmax"]
    assert kinds == [*around[0], *block, *block, *around[1]]
    filters = values["model.layers.0.layers.0.filters"]
    assert [layer.filters for layer in of_type(model, "Conv2D")] == [filters] * 2
    assert all(
        float(layer.kernel_regularizer.l2) == pytest.approx(0.001) for layer in of_type(model, "Conv2D")
    )
    assert [layer.rate for layer in of_type(model, "Dropout")] == [0.25, 0.25, 0.5]
    hidden = model.get_layer("hidden")
    assert (hidden.units, hidden.activation.__name__) == (values["model.layers.2.units"], "tanh")


def test_conditional_values_exist_where_their_parents_have_the_values(jobs: Posted) -> None:
    job, trials = jobs.succeeded("conditions"), jobs.trials("conditions")
    values = [dict(one.hyperparameters) for one in trials]
    # adam, sgd at 0.5, at 0.9 without Nesterov, with it at two dropouts; one head, the other at two noises.
    assert len(values) == 5 * 3
    assert len({tuple(sorted(one.items())) for one in values}) == len(values)
    for one in values:
        assert ("training.momentum" in one) == (one["training.optimizer"] == "sgd")
        assert ("training.nesterov" in one) == (one.get("training.momentum") == 0.9)
        assert ("model.dropout" in one) == (one.get("training.nesterov") is True)
        assert ("augmentation.noise" in one) == (one["model.head"] == "flatten")
    assert len({metric(trial, "val_loss")[0] for trial in trials}) == len(trials), "each has its effect"
    assert job.stop_reason == "space_exhausted"


def test_what_cannot_be_built_costs_no_trial_of_the_budget(jobs: Posted) -> None:
    job = jobs.succeeded("infeasible")
    trials = list(job.trials())
    refused = [one for one in trials if one.hyperparameters["model.blocks"] > 3]
    assert refused
    for one in refused:
        assert one.error is not None
        assert (one.state, one.error.code) == ("failed", "infeasible_model")
        blocks = one.hyperparameters["model.blocks"]
        assert one.error.message == (
            f"block 4 of {blocks} cannot halve a map of 1 x 1: an image of 8 x 8 has room for 3 blocks"
        )
    built = [one for one in trials if one not in refused]
    assert [one.state for one in built] == ["completed"] * POSSIBLE
    assert job.raw["progress"]["infeasible"] == job.progress.failed == len(refused)
    assert job.progress.completed == POSSIBLE
    assert "infeasible_model" in {one["code"] for one in job.raw["warnings"]}
