"""The end of a job: the best configuration as a model that is handed out, with proof of its score."""

import json
import statistics
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from schemas import trial_tables
from schemas.artifacts import MODEL, REPRODUCE, TRIALS
from schemas.specs import JobSpec
from schemas.trial_tables import Columns
from schemas.trials import Trial
from tuning import models, training
from tuning.data import Array, Arrays, Indices, divide
from tuning.devices import for_prediction
from tuning.models import Materials
from tuning.preprocessing import Preparation
from tuning.training import Reporter, Share, Trainee
from tuning.trial import device, load_weights, share_of
from tuning.versions import versions

MEDIA_TYPES = {
    MODEL: "application/zip",
    TRIALS: trial_tables.MEDIA_TYPE,
    REPRODUCE: "application/json",
}
CLASS_NAMES = "class_names.json"
# Predictions that are timed, at most for so long together; and those before, in which things warm up.
TIMED, TIMED_SECONDS, WARM_UP = 20, 1.0, 3


Metrics = Mapping[str, float | None]


class VerificationFailed(RuntimeError):
    """The saved model does not score what the model scored before it was saved."""


@dataclass(frozen=True)
class Backbone:
    """What a later job gets that starts from this model: all but the classification head."""

    parameters: int
    features: int

    @classmethod
    def of(cls, net: keras.Model) -> "Backbone":
        head = net.get_layer("logits")
        return cls(int(net.count_params() - head.count_params()), int(head.kernel.shape[0]))


@dataclass(frozen=True)
class ModelFacts:
    """What the model costs whoever uses it: ``prediction_seconds`` is for one image, on this machine."""

    parameters: int
    bytes: int
    prediction_seconds: float


@dataclass(frozen=True)
class Finished:
    """``test`` and ``verified`` are None when the spec keeps no test share."""

    test: Metrics | None
    verified: Mapping[str, float] | None
    model: ModelFacts
    refit: bool
    backbone: Backbone
    reproducibility: Mapping[str, Any]
    files: Sequence[Path]


def finish(
    spec: JobSpec,
    trials: Sequence[Trial],
    best: Trial,
    arrays: Arrays,
    weights: Path | None,
    dataset_digest: str,
    folder: Path,
    reporter: Reporter,
    materials: Materials,
) -> Finished:
    """Writes the job's artefacts into ``folder``.

    Args:
        best: with its epochs.
        weights: those of the best trial's best epoch; not needed for a refit.

    Raises:
        VerificationFailed: the saved model is not the one that was measured; and whatever the
            reporter raises.
    """
    folds = divide(arrays.y, spec.split, spec.seed)
    indices = folds[0]
    refit = spec.result.refit or weights is None
    recipe = spec.recipe(best.hyperparameters)
    seen = np.sort(np.concatenate([indices.training, indices.validation])) if refit else indices.training
    preparation = Preparation.of(recipe.preprocessing, arrays.x.shape[1:])
    share = share_of(arrays, seen, preparation)
    classes = len(arrays.class_names)
    trained = training.trainee(recipe, share.x, classes, spec.seed, materials)
    epoch = _trained(trained, best, share, None if refit else weights, reporter)
    model = models.exported(trained.net, recipe.model, preparation, classes, trained.scaling, materials)
    test = Share(arrays.x[indices.test], arrays.y[indices.test])
    names = training.metric_names(recipe.training, spec.objective)
    measured = training.evaluate(model, test, names) if len(test.y) else None
    _export(model, arrays.class_names, folder / MODEL)
    loaded = keras.saving.load_model(folder / MODEL, compile=False, safe_mode=True)
    verified = _verify(loaded, test, measured)
    facts = _facts(loaded, folder / MODEL, arrays.x[seen[:1]])
    reproducibility = {**_reproducibility(spec, dataset_digest), "refit_epoch": epoch if refit else None}
    _write_trials(trials, folder / TRIALS)
    _write_reproduce(spec, best, folds, reproducibility, folder / REPRODUCE)
    files = [folder / name for name in (MODEL, TRIALS, REPRODUCE)]
    backbone = Backbone.of(trained.net)
    return Finished(measured, verified, facts, refit, backbone, reproducibility, files)


def _trained(trained: Trainee, best: Trial, share: Share, weights: Path | None, reporter: Reporter) -> int:
    """The epoch that the net's weights are from: trained once more on the share, or the trial's own."""
    epoch = best.best_epoch or trained.recipe.training.epochs
    if weights is not None:
        load_weights(trained.net, weights)
        return epoch
    rates = [one.learning_rate for one in best.epochs or () if one.fold == 1]
    return training.train_blindly(trained, epoch, share, reporter, rates)


def _export(model: keras.Model, class_names: Sequence[str], file: Path) -> None:
    """Saves the model in Keras' own format, with one more member for the class names.

    Keras reads only the members that it knows, so the file loads in plain Keras.
    """
    model.save(file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(CLASS_NAMES, json.dumps(list(class_names), ensure_ascii=False))


def _verify(loaded: keras.Model, test: Share, measured: Metrics | None) -> dict[str, float] | None:
    """Evaluates again what is about to be handed out.

    Args:
        loaded: from its file.
    """
    if measured is None:
        return None
    again, before = training.evaluate(loaded, test)["accuracy"], measured["accuracy"]
    if again is None or before is None:
        raise VerificationFailed("the model's predictions for the test share are not finite")
    difference = abs(again - before)
    # Half an image: rounding may not move a single prediction.
    if difference > 0.5 / len(test.y):
        raise VerificationFailed(f"the saved model's accuracy differs by {difference:.4f}")
    return {"accuracy": again, "difference": difference}


def _facts(loaded: keras.Model, file: Path, image: Array) -> ModelFacts:
    """Args: image: (1, ...), as uploaded."""
    seconds = _prediction_seconds(loaded, image)
    return ModelFacts(int(loaded.count_params()), file.stat().st_size, seconds)


def _prediction_seconds(model: keras.Model, image: Array) -> float:
    """The median over single predictions by the compiled model, without what `predict` does around them."""
    for_prediction(model)
    for _ in range(WARM_UP):
        model.predict_on_batch(image)
    times: list[float] = []
    while len(times) < TIMED and sum(times) < TIMED_SECONDS:
        begin = time.perf_counter()
        model.predict_on_batch(image)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _reproducibility(spec: JobSpec, dataset_digest: str) -> dict[str, Any]:
    return {
        "seed": spec.seed,
        "versions": versions(),
        "backend": keras.backend.backend(),
        "device": device(),
        "dataset_digest": dataset_digest,
        "spec_digest": spec.digest,
    }


def _write_reproduce(
    spec: JobSpec, best: Trial, folds: Sequence[Indices], known: Mapping[str, Any], file: Path
) -> None:
    document = {
        **known,
        "spec": spec.resolved,
        "trial": best.number,
        "epoch": best.best_epoch,
        "hyperparameters": dict(best.hyperparameters),
        "split": _split(folds),
    }
    file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def _split(folds: Sequence[Indices]) -> dict[str, Any]:
    """Which images were in which share, as indexes into the data set."""

    def listed(part: Array) -> list[int]:
        return [int(index) for index in part]

    shares = [{"training": listed(fold.training), "validation": listed(fold.validation)} for fold in folds]
    own = shares[0] if len(shares) == 1 else {"folds": shares}
    return {**own, "test": listed(folds[0].test)}


def _write_trials(trials: Sequence[Trial], file: Path) -> None:
    """One line a trial, a column for every hyperparameter and metric."""
    columns = Columns.of(trials)
    text = trial_tables.header(columns) + trial_tables.body(trials, columns)
    file.write_text(text, encoding="utf-8", newline="")
