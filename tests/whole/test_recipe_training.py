"""How nets are trained: rates, schedules, optimizers, batches, epochs, losses and metrics, over HTTP."""

import csv
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tests.whole import images
from tests.whole.conftest import Service
from tests.whole.images import DIGITS, STANDSTILL, Posted, choice, metric, rates, spec
from tuneserve import Client

pytestmark = images.ON_SQLITE

MLP = {"family": "mlp", "layers": 1, "units": 16}
AS_TRAINED = {"refit": False}
# All images at once and no momentum: what one step does to a weight is worked out by hand.
ONE_STEP = {"optimizer": "sgd", "batch_size": 4096, "epochs": 1}
# Of a class, so that classes differ in what they weigh.
UNEQUAL = (90, 40, 20, 10)

# Every schedule at once: its type is open, and each trial has the fields of its own.
SCHEDULE = {
    "type": choice("constant", "step", "exponential", "cosine", "cyclical", "one_cycle"),
    "every": 2,
    "factor": 0.1,
    "rate": 0.95,
    "warm_up": 1.0,
    "floor": 0.1,
    "step_size": 2.0,
    "peak_at": 0.5,
    "start": 0.04,
    "end": 0.0,
}
# The rate at the beginning of four epochs, as a share of training.learning_rate, worked out by hand.
SHARES = {
    "constant": [1.0, 1.0, 1.0, 1.0],
    "step": [1.0, 1.0, 0.1, 0.1],
    "exponential": [1.0, 0.95, 0.95**2, 0.95**3],
    "cosine": [0.0, 1.0, 0.1 + 0.9 * 0.75, 0.1 + 0.9 * 0.25],
    "cyclical": [0.1, 0.55, 1.0, 0.55],
    "one_cycle": [0.04, 0.52, 1.0, 0.5],
}
CYCLES = {
    "type": "cyclical",
    "low": 0.001,
    "high": 0.009,
    "step_size": 1.5,
    "mode": choice("triangular", "triangular2", "exp_range"),
    "gamma": 0.9,
}
# How far five epochs are up a cycle of three epochs; the last two are in the second cycle.
PLACES = [0.0, 2 / 3, 2 / 3, 0.0, 2 / 3]


# (labels as shares of classes, probabilities) -> each image's loss
LOSSES: dict[str, Callable[[images.Array, images.Array], images.Array]] = {
    "sparse_categorical_crossentropy": lambda y, p: -(y * np.log(p)).sum(axis=1),
    "categorical_crossentropy": lambda y, p: -(y * np.log(p)).sum(axis=1),
    # Lin et al. 2017, with what Keras weighs it by.
    "categorical_focal_crossentropy": lambda y, p: -(0.25 * (1 - p) ** 2 * y * np.log(p)).sum(axis=1),
    "categorical_hinge": lambda y, p: np.maximum(0, 1 + ((1 - y) * p).max(axis=1) - (y * p).sum(axis=1)),
    "mean_squared_error": lambda y, p: ((y - p) ** 2).mean(axis=1),
}
# (labels, probabilities) -> the metric
METRICS: dict[str, Callable[[images.Array, images.Array], float]] = {
    "loss": sklearn_metrics.log_loss,
    "accuracy": lambda y, p: sklearn_metrics.accuracy_score(y, p.argmax(axis=1)),
    "balanced_accuracy": lambda y, p: sklearn_metrics.balanced_accuracy_score(y, p.argmax(axis=1)),
    "precision": lambda y, p: sklearn_metrics.precision_score(y, p.argmax(axis=1), average="macro"),
    "top_3_accuracy": lambda y, p: sklearn_metrics.top_k_accuracy_score(y, p, k=3),
    "auc": lambda y, p: sklearn_metrics.roc_auc_score(y, p, multi_class="ovr"),
    "f1": lambda y, p: sklearn_metrics.f1_score(y, p.argmax(axis=1), average="macro"),
}


def flat(x: Any) -> Any:
    return x.reshape(len(x), -1)


def specs(client: Client) -> dict[str, images.Spec]:
    some = client.datasets.upload(*images.few(images.digits(), 40))
    tiny = client.datasets.upload(*images.few(images.mnist(), 12))
    x, y = images.few(images.digits(), *UNEQUAL)
    rows = client.datasets.upload(flat(x), y)
    cnn = {"family": "cnn", "filters": 4, "blocks": 1, "dense_units": 16, "dropout": 0.5}
    twice = {
        **spec(some, cnn, {"learning_rate": {"type": "float", "min": 1e-3, "max": 1e-1}, "epochs": 2}),
        "augmentation": {"rotation": 0.1, "noise": 0.1, "mixup": 0.3},
        "search": {"algorithm": "random"},
        "budget": {"max_trials": 2, "parallel_trials": 1},
    }
    optimizer = choice("sgd", "adam", "adagrad", "adadelta", "rmsprop", "adamw", "nadam", "lion")
    return {
        "schedules": spec(
            DIGITS,
            MLP,
            {"learning_rate": choice(0.01, 0.001), "schedule": SCHEDULE, "epochs": 4, "batch_size": 64},
        ),
        "cycles": spec(rows, MLP, {"schedule": CYCLES, "epochs": 5, "batch_size": 28}, result=AS_TRAINED),
        "plateau": spec(
            some,
            MLP,
            {
                "learning_rate": 0.3,
                "schedule": {"type": "plateau", "patience": 1, "factor": 0.5},
                "epochs": 8,
            },
        ),
        "batches": spec(DIGITS, MLP, {"batch_size": choice(32, 64, 128, 256), "epochs": choice(1, 2)}),
        "stopping": spec(
            DIGITS,
            MLP,
            {
                "learning_rate": 0.01,
                "epochs": 60,
                "early_stopping": {"patience": choice(1, 3), "min_delta": 0.02},
            },
            result=AS_TRAINED,
        ),
        "optimizers": spec(
            some,
            MLP,
            {
                "optimizer": optimizer,
                "momentum": choice(0.0, 0.9, when={"training.optimizer": ["sgd", "rmsprop"]}),
                "nesterov": {
                    "type": "boolean",
                    "when": {"training.optimizer": ["sgd"], "training.momentum": [0.9]},
                },
                "schedule": {"type": choice("constant", "exponential"), "rate": 0.5},
                "learning_rate": 0.02,
                "batch_size": 16,
                "epochs": 2,
            },
        ),
        "sweep": spec(
            DIGITS,
            MLP,
            {
                "learning_rate": {"type": "float", "min": 1e-7, "max": 0.1, "step": 10, "sampling": "log"},
                "schedule": {"type": "step", "every": 2, "factor": 0.1},
                "epochs": 3,
            },
            search={"algorithm": "grid", "order": "outside_in"},
        ),
        "letters": spec(
            tiny,
            MLP,
            {"batch_size": 1, "epochs": 2, "learning_rate": 0.003},
            split={"validation": 0.25, "test": 0.0},
            result=AS_TRAINED,
        ),
        "diverging": spec(
            some,
            {**MLP, "layers": 4, "activation": "linear"},
            {"optimizer": "sgd", "learning_rate": choice(100.0, 0.05, 0.1), "epochs": 3},
        ),
        "weights": spec(
            rows,
            MLP,
            {
                "optimizer": "sgd",
                "learning_rate": STANDSTILL,
                "class_weight": choice("none", "balanced"),
                "label_smoothing": choice(0.0, 0.3),
                "mixed_precision": {"type": "boolean"},
                "epochs": 1,
            },
            result=AS_TRAINED,
        ),
        "losses": spec(
            rows, MLP, {**ONE_STEP, "learning_rate": STANDSTILL, "loss": choice(*LOSSES)}, result=AS_TRAINED
        ),
        "clipped": spec(rows, MLP, {**ONE_STEP, "learning_rate": 0.1, "clipnorm": 0.01}, result=AS_TRAINED),
        "decayed": spec(
            rows,
            MLP,
            {**ONE_STEP, "learning_rate": 0.1, "clipnorm": 1e-6, "weight_decay": 0.5},
            result=AS_TRAINED,
        ),
        "metrics": spec(
            rows,
            MLP,
            {
                "learning_rate": 0.01,
                "epochs": 40,
                "early_stopping": {"monitor": "val_f1", "patience": 2},
                "metrics": ["balanced_accuracy", "precision", "top_3_accuracy", "auc"],
            },
            preprocessing={"scaling": "standardize"},
            objective={"metric": "val_f1"},
            result=AS_TRAINED,
        ),
        "once": twice,
        "again": twice,
        "another seed": {**twice, "seed": 1},
    }


@pytest.fixture(scope="module")
def jobs(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Posted]:
    with shared_service.client() as client:
        yield Posted(client, specs(client), tmp_path_factory.mktemp("training"))


def test_every_schedule_moves_the_learning_rate_as_its_formula_says(jobs: Posted) -> None:
    trials = jobs.trials("schedules")
    tried = {
        (one.hyperparameters["training.schedule.type"], one.hyperparameters["training.learning_rate"])
        for one in trials
    }
    assert tried == {(kind, rate) for kind in SHARES for rate in (0.01, 0.001)}
    for trial in trials:
        rate = trial.hyperparameters["training.learning_rate"]
        shares = SHARES[trial.hyperparameters["training.schedule.type"]]
        expected = [share * rate for share in shares]
        assert rates(trial) == pytest.approx(expected, rel=1e-4), trial.hyperparameters
    assert len({metric(trial, "val_loss")[-1] for trial in trials}) == len(trials), (
        "each of them has an effect"
    )


def test_cycles_between_two_rates_keep_their_height_or_shrink(jobs: Posted) -> None:
    steps = len(jobs.split("cycles")["training"]) / 28
    heights = {
        "triangular": [1.0] * 5,
        "triangular2": [1.0, 1.0, 1.0, 0.5, 0.5],
        "exp_range": [0.9 ** (steps * epoch) for epoch in range(5)],
    }
    found = {one.hyperparameters["training.schedule.mode"]: rates(one) for one in jobs.trials("cycles")}
    assert set(found) == set(heights)
    for mode, shares in heights.items():
        expected = [0.001 + 0.008 * place * share for place, share in zip(PLACES, shares, strict=True)]
        assert found[mode] == pytest.approx(expected, rel=1e-4), mode


def test_a_plateau_of_the_validation_loss_lowers_the_learning_rate(jobs: Posted) -> None:
    [trial] = jobs.trials("plateau")
    expected, rate, lowest = [], 0.3, math.inf
    for loss in metric(trial, "val_loss"):
        expected.append(rate)
        rate = rate if loss < lowest else rate / 2
        lowest = min(loss, lowest)
    assert rates(trial) == pytest.approx(expected)
    assert rates(trial)[-1] < 0.3, "this rate is too high to go on with"


def test_batch_sizes_side_by_side_with_accuracy_and_seconds(jobs: Posted) -> None:
    trials = jobs.trials("batches")
    found = {
        (one.hyperparameters["training.batch_size"], one.hyperparameters["training.epochs"]): one
        for one in trials
    }
    assert set(found) == {(size, epochs) for size in (32, 64, 128, 256) for epochs in (1, 2)}
    for (_, epochs), trial in found.items():
        assert len(trial.epochs) == epochs, "epochs are tuned like any other value"
        assert trial.extra["seconds"] >= sum(epoch.seconds or 0.0 for epoch in trial.epochs) > 0
    losses = [metric(found[size, 1], "val_loss")[0] for size in (32, 64, 128, 256)]
    assert losses == sorted(losses), "fewer steps in an epoch learn less"
    file = jobs.succeeded("batches").download("trials.csv", jobs.folder)
    with file.open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [int(row["training.batch_size"]) for row in table] == [
        one.hyperparameters["training.batch_size"] for one in trials
    ]
    assert [float(row["val_accuracy"]) for row in table] == [one.score for one in trials]
    assert [float(row["seconds"]) for row in table] == [one.extra["seconds"] for one in trials]


def test_early_stopping_ends_a_trial_and_keeps_its_best_epoch(jobs: Posted) -> None:
    trials = jobs.trials("stopping")
    for trial in trials:
        losses, patience = (
            metric(trial, "val_loss"),
            trial.hyperparameters["training.early_stopping.patience"],
        )
        assert len(losses) == epochs_until(losses, patience, 0.02) < 60
        accuracies = metric(trial, "val_accuracy")
        assert trial.score == max(accuracies) == accuracies[(trial.best_epoch or 0) - 1]
    assert len(trials[0].epochs) < len(trials[1].epochs), "the more patient goes on for longer"
    x, y = images.digits()
    validation = jobs.split("stopping")["validation"]
    predicted = jobs.model("stopping").predict(x[validation][..., None], verbose=0).argmax(axis=1)
    best = jobs.succeeded("stopping").best_result()
    assert np.mean(predicted == y[validation]) == best.validation["accuracy"] == best.score


def test_early_stopping_on_a_metric_that_has_to_rise(jobs: Posted) -> None:
    [trial] = jobs.trials("metrics")
    scores = metric(trial, "val_f1")
    assert len(scores) == epochs_until([-score for score in scores], 2, 0.0) < 40
    assert len(scores) > 3, "a metric that had to fall would have ended it there"


def epochs_until(losses: list[float], patience: int, least: float) -> int:
    """When so many epochs in a row have not fallen by ``least`` below the best before them."""
    best, waited = math.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        best, waited = (loss, 0) if loss < best - least else (best, waited + 1)
        if waited >= patience:
            return epoch
    return len(losses) + 1


def test_every_optimizer_with_and_without_momentum_at_fixed_and_falling_rates(jobs: Posted) -> None:
    trials = jobs.trials("optimizers")
    values = [one.hyperparameters for one in trials]
    # sgd: no momentum, momentum, Nesterov's; rmsprop: two; six others: one each; all at two schedules.
    assert len(values) == 2 * (3 + 2 + 6)
    for one in values:
        assert ("training.momentum" in one) == (one["training.optimizer"] in ("sgd", "rmsprop"))
        assert ("training.nesterov" in one) == (
            one["training.optimizer"] == "sgd" and one["training.momentum"] == 0.9
        )
    for trial in trials:
        falling = trial.hyperparameters["training.schedule.type"] == "exponential"
        assert rates(trial) == pytest.approx([0.02, 0.01 if falling else 0.02])
    assert len({metric(trial, "val_loss")[-1] for trial in trials}) == len(trials), "each trains otherwise"
    plain, pushed = (
        next(
            metric(trial, "val_loss")[-1]
            for trial in trials
            if trial.hyperparameters["training.optimizer"] == "sgd"
            and trial.hyperparameters["training.momentum"] == momentum
        )
        for momentum in (0.0, 0.9)
    )
    assert pushed < plain, "momentum carries sgd further"


def test_a_sweep_of_learning_rates_from_both_ends_with_step_decay(jobs: Posted) -> None:
    trials = jobs.trials("sweep")
    tried = [one.hyperparameters["training.learning_rate"] for one in trials]
    assert tried == pytest.approx([0.1, 1e-7, 0.01, 1e-6, 1e-3, 1e-5, 1e-4])
    for trial, rate in zip(trials, tried, strict=True):
        assert rates(trial) == pytest.approx([rate, rate, rate / 10])
    scores = dict(zip(tried, (one.score or 0.0 for one in trials), strict=True))
    assert scores[tried[2]] > 0.8, "0.01 learns"
    assert scores[tried[1]] < 0.5, "1e-7 does not"


def test_three_quarters_for_training_in_batches_of_one_and_no_test_share(jobs: Posted) -> None:
    [trial] = jobs.trials("letters")
    split = jobs.split("letters")
    assert (len(split["training"]), len(split["validation"]), split["test"]) == (90, 30, [])
    _, y = images.few(images.mnist(), 12)
    assert np.bincount(y[split["validation"]]).tolist() == [3] * 10
    assert metric(trial, "val_loss")[-1] < math.log(10) - 0.5, "90 steps an epoch, of one image each, learn"
    best = jobs.succeeded("letters").best_result()
    assert (dict(best.test), dict(best.verified)) == ({}, {})


def test_a_loss_that_is_not_finite_fails_its_trial_alone(jobs: Posted) -> None:
    job = jobs.succeeded("diverging")
    by_rate = {trial.hyperparameters["training.learning_rate"]: trial for trial in job.trials()}
    lost = by_rate.pop(100.0)
    assert lost.error is not None
    assert (lost.state, lost.error.code, lost.score) == ("failed", "non_finite_objective", None)
    assert [trial.state for trial in by_rate.values()] == ["completed"] * 2
    assert job.best is not None
    assert job.best.trial != lost.number
    assert (job.progress.completed, job.progress.failed) == (2, 1)
    assert job.raw["progress"]["infeasible"] == 0


def test_class_weights_and_smoothing_change_the_loss_as_their_formulas_say(jobs: Posted) -> None:
    """At a standstill every trial has the same net, and only the loss is another."""
    trials = jobs.trials("weights")
    assert len(trials) == 8
    x, y = images.few(images.digits(), *UNEQUAL)
    training = jobs.split("weights")["training"]
    logs = np.log(jobs.model("weights").predict(flat(x[training]), verbose=0))
    y = y[training]
    weighing = {"none": np.ones(len(y)), "balanced": len(y) / (4 * np.bincount(y)[y])}
    for trial in trials:
        values = trial.hyperparameters
        smoothing = values["training.label_smoothing"]
        shares = np.eye(4)[y] * (1 - smoothing) + smoothing / 4
        expected = (weighing[values["training.class_weight"]] * -(shares * logs).sum(axis=1)).mean()
        is_half = values["training.mixed_precision"]
        assert metric(trial, "loss") == pytest.approx([expected], rel=0.03 if is_half else 1e-4), values
    halves = [one for one in trials if one.hyperparameters["training.mixed_precision"]]
    exact = [one for one in trials if not one.hyperparameters["training.mixed_precision"]]
    assert len({round(metric(one, "val_loss")[0], 5) for one in exact}) == 1, "scored without weights"
    for half, full in zip(halves, exact, strict=True):
        assert metric(half, "loss") != metric(full, "loss"), "16 bits are less exact"


def test_every_loss_is_that_of_its_formula(jobs: Posted) -> None:
    """At a standstill every trial has the same net, and only the loss is another."""
    trials = jobs.trials("losses")
    assert [one.hyperparameters["training.loss"] for one in trials] == list(LOSSES)
    x, y = images.few(images.digits(), *UNEQUAL)
    training = jobs.split("losses")["training"]
    likely = jobs.model("losses").predict(flat(x[training]), verbose=0)
    expected = {name: float(of(np.eye(4)[y[training]], likely).mean()) for name, of in LOSSES.items()}
    told = {one.hyperparameters["training.loss"]: metric(one, "loss")[0] for one in trials}
    assert told == pytest.approx(expected, rel=1e-4)
    assert len({round(value, 3) for value in told.values()}) == 4, "only the first two are the same"


def test_a_clipped_gradient_moves_each_weight_by_the_rate_times_the_norm(jobs: Posted) -> None:
    for before, after in zip(weights(jobs, "losses"), weights(jobs, "clipped"), strict=True):
        assert np.linalg.norm(after - before) == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_weight_decay_takes_its_share_of_every_weight(jobs: Posted) -> None:
    """The gradients are clipped to next to nothing, so that only the decay is left."""
    for before, after in zip(weights(jobs, "losses"), weights(jobs, "decayed"), strict=True):
        np.testing.assert_allclose(after, before * (1 - 0.1 * 0.5), atol=1e-6)


def weights(jobs: Posted, name: str) -> list[images.Array]:
    """All jobs of a seed begin with the same: those of `losses` have not moved."""
    found: list[images.Array] = jobs.model(name).get_weights()
    assert len(found) == 2 * 2, "kernels and biases of the hidden layer and the last"
    return found


def test_metrics_that_were_asked_for_and_one_of_them_as_the_objective(jobs: Posted) -> None:
    [trial] = jobs.trials("metrics")
    for epoch in trial.epochs:
        assert set(epoch.metrics) == {"loss", "accuracy", *(f"val_{name}" for name in METRICS)}
    assert trial.score == max(metric(trial, "val_f1")) > 0.7
    x, y = images.few(images.digits(), *UNEQUAL)
    split = jobs.split("metrics")
    model = jobs.model("metrics")
    best = jobs.succeeded("metrics").best_result()
    for share, told in ((split["validation"], best.validation), (split["test"], best.test)):
        likely = model.predict(flat(x[share]), verbose=0)
        expected = {name: metric_of(y[share], likely) for name, metric_of in METRICS.items()}
        assert dict(told) == pytest.approx(expected, rel=1e-5), "these and no other"
    assert best.score == best.validation["f1"]


def test_rows_of_features_are_standardised_each_on_its_own(jobs: Posted) -> None:
    x, _ = images.few(images.digits(), *UNEQUAL)
    seen = flat(x)[jobs.split("metrics")["training"]].astype(np.float64)
    deviation = np.where(seen.std(axis=0) == 0, 1.0, seen.std(axis=0))
    layer = jobs.model("metrics").get_layer("scaling")
    np.testing.assert_allclose(layer.scale, 1 / deviation, rtol=1e-6)
    np.testing.assert_allclose(layer.offset, -seen.mean(axis=0) / deviation, rtol=1e-6, atol=1e-12)


def test_the_same_seed_gives_the_same_search_and_the_same_scores(jobs: Posted) -> None:
    once, again, other = (jobs.trials(name) for name in ("once", "again", "another seed"))
    assert told(once) == told(again)
    assert told(once) != told(other)
    first, second = (jobs.succeeded(name).best_result() for name in ("once", "again"))
    assert first.test == second.test
    for weights, same in zip(
        jobs.model("once").get_weights(), jobs.model("again").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weights, same)


def told(trials: list[Any]) -> list[Any]:
    """Everything about trials but what a clock says."""
    return [
        (
            dict(one.hyperparameters),
            one.score,
            [(epoch.learning_rate, dict(epoch.metrics)) for epoch in one.epochs],
        )
        for one in trials
    ]
