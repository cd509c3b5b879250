"""What is done with the images: preparation, augmentation, folds, and data or weights that are not there.

The service of this file has no way to the network.
"""

from collections.abc import Iterator
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from tests.whole import images
from tests.whole.conftest import Service
from tests.whole.images import STANDSTILL, Posted, choice, metric, of_type, spec
from tuneserve import Client

pytestmark = images.ON_SQLITE

CNN = {"family": "cnn", "blocks": 1, "filters": 4, "dense_units": 0, "dropout": 0.0}
BRIEF = {"epochs": 1, "batch_size": 32}
AS_TRAINED = {"refit": False}

# Two strengths of each; all of them are off unless given.
AUGMENTATIONS: dict[str, tuple[Any, ...]] = {
    "flip": ("horizontal", "vertical"),
    "rotation": (0.2, 0.5),
    "zoom": (0.2, 0.5),
    "translation": (0.2, 0.5),
    "crop": (0.2, 0.5),
    "brightness": (0.2, 0.5),
    "contrast": (0.2, 0.5),
    "noise": (0.2, 0.5),
    "color_jitter": (0.2, 0.5),
    "erasing": (0.2, 0.5),
    "mixup": (0.2, 2.0),
    "cutmix": (0.2, 2.0),
}
# At a standstill the size of a batch changes nothing, so that one augmentation can hang on each.
BATCHES = {name: 30 + index for index, name in enumerate(AUGMENTATIONS)}
NO_AUGMENTATION = 50
# An image that is not trained on, whatever else is done: the split hangs on the labels and the seed.
UNSEEN = 2


def odd(each: int) -> tuple[Any, Any]:
    """Digits whose pixels go from 3 to 83, but for two of an image that is not trained on."""
    x, y = images.few(images.digits(), each)
    shifted = (5 * x + 3).astype(np.uint8)
    shifted[UNSEEN, 0, :2] = (0, 255)
    return shifted, y


def faint(each: int) -> tuple[Any, Any]:
    """MNIST with pixels from 0 to 3: what a net can learn from with no scaling."""
    x, y = images.few(images.mnist(), each)
    return x // 64, y


def specs(client: Client) -> dict[str, images.Spec]:
    some = client.datasets.upload(*images.few(images.digits(), 24))
    shifted = client.datasets.upload(*odd(30))
    large = client.datasets.upload(*images.few(images.mnist(), 50))
    unscaled = client.datasets.upload(*faint(50))
    parts = client.datasets.upload(*images.photographs(60))
    opened = {
        name: choice(*values, when={"training.batch_size": [BATCHES[name]]})
        for name, values in AUGMENTATIONS.items()
    }
    return {
        "augmentation": spec(
            parts,
            {**CNN, "initializer": "he_normal"},
            {
                "optimizer": "sgd",
                "learning_rate": STANDSTILL,
                "epochs": 1,
                "batch_size": choice(*BATCHES.values(), NO_AUGMENTATION),
            },
            augmentation=opened,
        ),
        "augmented": spec(
            large,
            {**CNN, "filters": 16, "dense_units": 32},
            {"epochs": 6, "batch_size": 16, "learning_rate": 0.003},
            augmentation={"rotation": 0.05, "zoom": 0.2, "translation": 0.1, "noise": 0.1, "erasing": 0.3},
        ),
        "unit": spec(shifted, CNN, BRIEF, result=AS_TRAINED),
        "standardize": spec(shifted, CNN, BRIEF, preprocessing={"scaling": "standardize"}, result=AS_TRAINED),
        "sizes": spec(
            unscaled,
            CNN,
            BRIEF,
            preprocessing={"image_size": [choice(12, 16), 20], "scaling": "none"},
            result=AS_TRAINED,
        ),
        "colors": spec(
            parts, CNN, BRIEF, preprocessing={"color": choice("grayscale", "rgb")}, result=AS_TRAINED
        ),
        "folds": spec(
            some,
            {**CNN, "dense_units": 8},
            {"epochs": 2, "learning_rate": choice(0.001, 0.01)},
            split={"folds": 3, "test": 0.1},
        ),
        "weights": spec(
            parts,
            {"family": "transfer", "backbone": choice("mobilenet_v2", "resnet50"), "weights": "imagenet"},
            BRIEF,
        ),
        "more weights": spec(
            parts, {"family": "efficientnet", "weights": "imagenet", "resize": False}, BRIEF
        ),
        "download": spec("builtin:mnist", CNN, {"epochs": choice(1, 2, 3, 4, 5, 6, 7, 8)}),
    }


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For the service that starts after this: downloads go nowhere, and nothing was downloaded before."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        for name in ("no_proxy", "NO_PROXY"):
            patch.delenv(name, raising=False)
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


@pytest.fixture(scope="module")
def jobs(
    offline: None, shared_service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Posted]:
    with shared_service.client() as client:
        yield Posted(client, specs(client), tmp_path_factory.mktemp("data"))


def test_every_augmentation_changes_what_is_trained_on_and_not_what_is_scored(jobs: Posted) -> None:
    """At a standstill every trial has the same net: its losses tell what images it was shown."""
    trials = jobs.trials("augmentation")
    assert len(trials) == 2 * len(AUGMENTATIONS) + 1
    plain, changed = {}, {}
    for trial in trials:
        given = {
            name.removeprefix("augmentation."): value
            for name, value in trial.hyperparameters.items()
            if name != "training.batch_size"
        }
        (changed if given else plain)[str(given)] = metric(trial, "loss")[0]
        expected = [
            name for name, size in BATCHES.items() if size == trial.hyperparameters["training.batch_size"]
        ]
        assert list(given) == expected
    [seen] = plain.values()
    assert len(changed) == len(trials) - 1
    unchanged = [name for name, loss in changed.items() if loss == pytest.approx(seen, rel=1e-5)]
    assert unchanged == []
    assert len(set(changed.values())) == len(changed), "a stronger one does more"
    scores = [metric(trial, "val_loss")[0] for trial in trials]
    assert scores == pytest.approx([scores[0]] * len(scores), rel=1e-6)


def test_a_net_trained_on_augmented_images_is_handed_out_without_the_augmentation(jobs: Posted) -> None:
    best = jobs.succeeded("augmented").best_result()
    assert (best.test["accuracy"] or 0.0) > 0.6
    model = jobs.model("augmented")
    kinds = [type(layer).__name__ for layer in model.layers]
    around = ["InputLayer", "Rescaling"], ["Dense", "Dropout", "Dense", "Softmax"]
    assert kinds == [*around[0], "Conv2D", "Activation", "MaxPooling2D", "Flatten", *around[1]]
    x, y = images.few(images.mnist(), 50)
    test = jobs.split("augmented")["test"]
    first, second = (model.predict(x[test][..., None], verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.mean(first.argmax(axis=1) == y[test]) == best.test["accuracy"]


def test_unit_scaling_is_that_of_the_training_share(jobs: Posted) -> None:
    seen, layer = training_pixels(jobs, "unit"), jobs.model("unit").get_layer("scaling")
    spread = seen.max() - seen.min()
    assert spread == 80, "the two pixels that go further are in another share"
    assert float(layer.scale) == pytest.approx(1 / spread)
    assert float(layer.offset) == pytest.approx(-seen.min() / spread)


def test_standardising_is_by_mean_and_deviation_of_the_training_share_only(jobs: Posted) -> None:
    seen, layer = training_pixels(jobs, "standardize"), jobs.model("standardize").get_layer("scaling")
    assert float(layer.scale) == pytest.approx(1 / seen.std(), rel=1e-9)
    assert float(layer.offset) == pytest.approx(-seen.mean() / seen.std(), rel=1e-9)
    everything = odd(30)[0].astype(np.float64)
    assert everything.mean() != pytest.approx(seen.mean(), rel=1e-6), "the other shares differ"


def training_pixels(jobs: Posted, name: str) -> Any:
    return odd(30)[0][jobs.split(name)["training"]].astype(np.float64)


@pytest.mark.parametrize("name", ["sizes", "colors"])
def test_raw_images_score_in_the_model_what_prepared_ones_did_in_the_trial(jobs: Posted, name: str) -> None:
    data = {"sizes": faint(50), "colors": images.photographs(60)}
    x, y = data[name]
    validation = jobs.split(name)["validation"]
    model = jobs.model(name)
    likely = model.predict(x[validation].reshape(-1, *model.input_shape[1:]), verbose=0)
    labels = np.unique(y, return_inverse=True)[1][validation]
    told = jobs.succeeded(name).best_result().validation
    assert told["accuracy"] == pytest.approx(accuracy_score(labels, likely.argmax(axis=1)))
    assert told["loss"] == pytest.approx(log_loss(labels, likely), rel=1e-4)


def test_an_open_image_size_resizes_in_training_and_in_the_model(jobs: Posted) -> None:
    trials = jobs.trials("sizes")
    heights = [one.hyperparameters["preprocessing.image_size.0"] for one in trials]
    assert heights == [12, 16]
    for trial, height in zip(trials, heights, strict=True):
        assert trial.parameters == (9 + 1) * 4 + (height // 2 * 10 * 4 + 1) * 10
    model = jobs.model("sizes")
    [resizing] = of_type(model, "Resizing")
    best = jobs.succeeded("sizes").best_result().hyperparameters["preprocessing.image_size.0"]
    assert (resizing.height, resizing.width) == (best, 20)
    assert model.input_shape == (None, 28, 28, 1), "raw images go in"
    scaling = model.get_layer("scaling")
    assert (float(scaling.scale), float(scaling.offset)) == (1.0, 0.0), "none leaves pixels as they are"


def test_colours_are_kept_or_made_grey_in_training_and_in_the_model(jobs: Posted) -> None:
    trials = jobs.trials("colors")
    channels = {"grayscale": 1, "rgb": 3}
    for trial in trials:
        seen = channels[trial.hyperparameters["preprocessing.color"]]
        assert trial.parameters == (9 * seen + 1) * 4 + (16 * 16 * 4 + 1) * 2
    model = jobs.model("colors")
    best = jobs.succeeded("colors").best_result().hyperparameters["preprocessing.color"]
    assert model.get_layer("conv_0_0").input.shape == (None, 32, 32, channels[best])
    assert model.input_shape == (None, 32, 32, 3)


def test_a_trial_of_three_folds_scores_their_mean(jobs: Posted) -> None:
    trials = jobs.trials("folds")
    assert len(trials) == 2
    for trial in trials:
        scores = [fold.score for fold in trial.folds]
        assert [fold.fold for fold in trial.folds] == [1, 2, 3]
        assert trial.score == pytest.approx(mean(scores))
        assert trial.deviation == pytest.approx(stdev(scores))
        for fold in trial.folds:
            of_fold = [epoch for epoch in trial.epochs if epoch.fold == fold.fold]
            accuracies = [epoch.metrics["val_accuracy"] for epoch in of_fold]
            assert [epoch.epoch for epoch in of_fold] == [1, 2]
            assert fold.score == max(accuracies) == accuracies[fold.best_epoch - 1]
    assert any((trial.deviation or 0.0) > 0 for trial in trials)
    best = jobs.succeeded("folds").best_result()
    assert best.score == max(trial.score or 0.0 for trial in trials)
    assert best.refit


def test_a_fold_is_scored_on_all_its_own_images(jobs: Posted) -> None:
    """An accuracy is a number of images over their count: of others it would hardly be a whole one."""
    validations = [fold["validation"] for fold in jobs.split("folds")["folds"]]
    for trial in jobs.trials("folds"):
        for fold, validation in zip(trial.folds, validations, strict=True):
            right = fold.score * len(validation)
            assert right == pytest.approx(round(right), abs=1e-9)


def test_folds_take_turns_and_never_have_an_image_of_the_test_share(jobs: Posted) -> None:
    split = jobs.split("folds")
    test = set(split["test"])
    validations = [set(fold["validation"]) for fold in split["folds"]]
    assert len(test) == 20
    assert sum(map(len, validations)) == 220
    assert set.union(*validations) == set(range(240)) - test
    for fold, validation in zip(split["folds"], validations, strict=True):
        assert set(fold["training"]) == set(range(240)) - test - validation


@pytest.mark.parametrize(
    ("name", "message"),
    [("weights", "MobileNetV2"), ("more weights", "EfficientNetB0")],
)
def test_pretrained_weights_that_cannot_be_had_are_named(jobs: Posted, name: str, message: str) -> None:
    job = jobs.ended(name)
    assert job.error is not None
    assert (job.state, job.error.code) == ("failed", "all_trials_failed")
    errors = [trial.error for trial in job.trials()]
    assert {error.code for error in errors if error} == {"weights_unavailable"}
    first = errors[0].message if errors[0] else None
    assert message in (first or "")
    assert "TUNESERVE_WEIGHTS_FOLDER" in (first or "")
    assert job.error.trials[0]["code"] == "weights_unavailable"


def test_a_built_in_data_set_that_cannot_be_downloaded_ends_its_job_soon(jobs: Posted) -> None:
    job = jobs.ended("download")
    assert job.error is not None
    assert (job.state, job.error.code) == ("failed", "all_trials_failed")
    trials = list(job.trials())
    assert {trial.error.code for trial in trials if trial.error} == {"dataset_unavailable"}
    assert "builtin:mnist cannot be downloaded" in str(trials[0].error)
    assert job.stop_reason == "too_many_failures"
    assert len(trials) <= 4, "no use in trying the others"
