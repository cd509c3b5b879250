"""A job that starts from an earlier job's best model: two phases, frozen and unfrozen, and what it gains."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.whole import images
from tests.whole.conftest import Service
from tests.whole.images import DIGITS, Posted, choice, metric, of_type, rates, spec
from tuneserve import Client, Trial

pytestmark = images.ON_SQLITE

AS_TRAINED = {"refit": False}
RATE, FINE_RATE = 0.002, 0.0005
# For plain gradient descent: one that it learns at, and one that no net survives.
STEADY, RUINOUS = 0.005, 100.0

# What the earlier job finds; the later ones start from it.
NET = {
    "family": "cnn",
    "blocks": 2,
    "filters": choice(12, 16),
    "batch_norm": True,
    "dense_units": 48,
    "dropout": 0.0,
}


def earlier_spec() -> images.Spec:
    """scikit-learn's digits, 8 x 8, in the size of MNIST's."""
    training = {"learning_rate": 0.003, "epochs": 6}
    return spec(DIGITS, NET, training, preprocessing={"image_size": 28})


def later_specs(client: Client, job: str, filters: int) -> dict[str, images.Spec]:
    other = client.datasets.upload(*images.few(images.mnist(), 40))
    backbone = {"family": "transfer", "backbone": "job", "job": job}
    new_head = {**backbone, "dense_units": 1024, "dropout": 0.5, "fine_tune_learning_rate": FINE_RATE}
    same = {**backbone, "dropout": 0.0, "frozen_epochs": 0, "fine_tune_learning_rate": RATE}
    training = {"learning_rate": RATE, "epochs": 3}
    return {
        "frozen": spec(other, {**new_head, "frozen_epochs": 1, "unfreeze": 0.0}, training),
        "unfrozen": spec(
            other, {**new_head, "frozen_epochs": 1, "unfreeze": 1.0}, training, result=AS_TRAINED
        ),
        "partly": spec(
            other,
            {
                **new_head,
                "activation": "linear",
                "frozen_epochs": 2,
                "unfreeze": 0.5,
                "fine_tune_learning_rate": choice(RUINOUS, STEADY),
            },
            {"optimizer": "sgd", "learning_rate": STEADY, "epochs": 3},
            result=AS_TRAINED,
        ),
        "same net": spec(other, same, {"learning_rate": RATE, "epochs": 2}),
        "from nothing": spec(other, {**NET, "filters": filters}, {"learning_rate": RATE, "epochs": 2}),
    }


@pytest.fixture(scope="module")
def earlier(shared_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Posted]:
    with shared_service.client() as client:
        yield Posted(client, {"digits": earlier_spec()}, tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def jobs(
    earlier: Posted, shared_service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Posted]:
    job = earlier.succeeded("digits")
    filters = job.best_result().hyperparameters["model.filters"]
    with shared_service.client() as client:
        yield Posted(client, later_specs(client, job.id, filters), tmp_path_factory.mktemp("later"))


def test_what_was_learned_before_is_worth_an_epoch_on_other_images(jobs: Posted) -> None:
    [learned], [nothing] = jobs.trials("same net"), jobs.trials("from nothing")
    assert learned.parameters == nothing.parameters, "the very same net"
    assert rates(learned) == rates(nothing) == pytest.approx([RATE] * 2)
    for better, worse in zip(told(learned), told(nothing), strict=True):
        assert better["val_accuracy"] > worse["val_accuracy"] + 0.1
        assert better["val_loss"] < worse["val_loss"]


@pytest.mark.parametrize("name", ["frozen", "unfrozen"])
def test_each_phase_has_its_own_learning_rate(jobs: Posted, name: str) -> None:
    [trial] = jobs.trials(name)
    assert rates(trial) == pytest.approx([RATE, FINE_RATE, FINE_RATE])


def test_while_the_backbone_is_frozen_it_is_the_same_as_one_that_stays_frozen(jobs: Posted) -> None:
    [stays], [thaws] = jobs.trials("frozen"), jobs.trials("unfrozen")
    (first, *later), (same, *others) = metric(stays, "val_loss"), metric(thaws, "val_loss")
    assert first == same, "the head alone has learned"
    assert set(later).isdisjoint(others), "then the backbone too"


def test_a_head_learns_on_a_backbone_that_stays_frozen(jobs: Posted) -> None:
    [trial] = jobs.trials("frozen")
    assert metric(trial, "val_accuracy")[-1] > 0.5, "a tenth is chance"


def test_a_frozen_backbone_has_the_very_weights_of_the_earlier_model(earlier: Posted, jobs: Posted) -> None:
    before, after = weights_of(earlier.model("digits")), weights_of(backbone(jobs.model("frozen")))
    assert set(after) == set(before)
    for path, weight in before.items():
        np.testing.assert_array_equal(after[path], weight, err_msg=path)


def test_an_unfrozen_backbone_has_moved_but_not_its_normalisation(earlier: Posted, jobs: Posted) -> None:
    assert moved(earlier, jobs, "unfrozen") == {
        f"{layer}/{weight}" for layer in ("conv_0_0", "conv_1_0", "dense_0") for weight in ("kernel", "bias")
    }


def test_of_a_partly_unfrozen_backbone_the_last_layers_have_moved(earlier: Posted, jobs: Posted) -> None:
    assert jobs.succeeded("partly").best_result().epoch == 3, "the only one with a backbone that learns"
    # Five layers have weights: two convolutions, each with a normalisation, and a dense one. Half are two.
    assert moved(earlier, jobs, "partly") == {"dense_0/kernel", "dense_0/bias"}


def test_a_trial_that_is_lost_in_fine_tuning_is_worth_nothing_for_its_good_epochs(jobs: Posted) -> None:
    job = jobs.succeeded("partly")
    lost, kept = (job.trial(trial.number) for trial in job.trials())
    assert rates(lost) == pytest.approx([STEADY, STEADY, RUINOUS])
    assert rates(kept) == pytest.approx([STEADY] * 3)
    assert told(lost)[:2] == told(kept)[:2], "the same while frozen"
    assert None not in [value for epoch in told(lost)[:2] for value in epoch.values()]
    assert None in told(lost)[2].values()
    assert lost.error is not None
    assert (lost.state, lost.error.code, lost.score) == ("failed", "non_finite_objective", None)
    assert (kept.state, job.best_result().trial) == ("completed", kept.number)
    assert (job.progress.completed, job.progress.failed) == (1, 1)


def told(trial: Trial) -> list[dict[str, Any]]:
    """The metrics of every epoch, some of which may be None."""
    return [dict(epoch.metrics) for epoch in trial.epochs]


def test_the_new_head_is_in_the_model(jobs: Posted) -> None:
    model = jobs.model("frozen")
    assert [layer.units for layer in of_type(model, "Dense")] == [1024, 10]
    assert [layer.rate for layer in of_type(model, "Dropout")] == [0.5]
    x, y = images.few(images.mnist(), 40)
    test = jobs.split("frozen")["test"]
    predicted = model.predict(x[test][..., None], verbose=0).argmax(axis=1)
    best = jobs.succeeded("frozen").best_result()
    assert np.mean(predicted == y[test]) == best.test["accuracy"]


def backbone(model: Any) -> Any:
    return model.get_layer("backbone")


def weights_of(model: Any) -> dict[str, Any]:
    """By layer and weight, without the classification head."""
    weights = {"/".join(weight.path.split("/")[-2:]): weight.numpy() for weight in model.weights}
    return {path: value for path, value in weights.items() if not path.startswith("logits")}


def moved(earlier: Posted, jobs: Posted, name: str) -> set[str]:
    before, after = weights_of(earlier.model("digits")), weights_of(backbone(jobs.model(name)))
    assert set(after) == set(before)
    return {path for path, weight in before.items() if not np.array_equal(after[path], weight)}
