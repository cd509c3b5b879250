"""What a spec means for a data set: whether they fit together, and what the job would cost."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from marshmallow import ValidationError

from schemas.augmentation import Augmentation
from schemas.corners import counted
from schemas.datasets import Dataset
from schemas.distributions import Distribution, highest
from schemas.models import Infeasible, Model
from schemas.models.layers import Layers
from schemas.models.transfer import Transfer, may_be_job
from schemas.preprocessing import Preprocessing
from schemas.problems import Message, fault
from schemas.recipe import leaves, model_of
from schemas.search import CoarseToFineSearch, GridSearch, RangeTest
from schemas.specs import JobSpec

# Below so many images of a class in validation, one image moves the score of the class by a tenth.
_FEW_IMAGES = 10
_HIGH_LEARNING_RATE = 0.1


@dataclass(frozen=True)
class EarlierNet:
    """An earlier job's net without its classification head, which was put on ``features`` values.

    Args:
        dataset_digest: what it has learned from.
        division: seed and split, resolved, by which that was divided.
        refit: whether it has learned from the validation share as well.
    """

    parameters: int
    features: int
    dataset_digest: str | None = None
    division: Any = None
    refit: bool = True


@dataclass(frozen=True)
class Estimate:
    trials: int
    epochs: int
    smallest_parameters: int
    largest_parameters: int
    training_images: int
    validation_images: int
    test_images: int
    warnings: tuple[dict[str, Any], ...]


def estimate(
    spec: JobSpec, dataset: Dataset, max_parameters: int, earlier: EarlierNet | None = None
) -> Estimate:
    """The price of a job.

    Args:
        earlier: of the job that the spec starts from, if it names one.

    Raises:
        ValidationError: `dataset_too_small`, `model_too_large` or `infeasible_model`, when no trial
            of the spec could run on the data set.
    """
    training, validation, test = _shares(spec, dataset)
    smallest, largest, infeasible = _parameters(spec, dataset, earlier)
    if smallest > max_parameters:
        text = f"The smallest model has {smallest:,} parameters; at most {max_parameters:,} are allowed."
        raise ValidationError({"model": [Message("model_too_large", text)]})
    trials, epochs = _work(spec)
    return Estimate(
        trials=trials,
        epochs=epochs,
        smallest_parameters=smallest,
        largest_parameters=largest,
        training_images=training,
        validation_images=validation,
        test_images=test,
        warnings=(
            *_grid_warnings(spec),
            *_model_warnings(largest, infeasible, max_parameters),
            *_space_warnings(spec),
            *_family_warnings(spec),
            *_seen_warnings(spec, dataset, earlier),
            *_training_warnings(spec, training),
            *_split_warnings(spec, dataset),
        ),
    )


def _work(spec: JobSpec) -> tuple[int, int]:
    """(trials, epochs in all of them), at most: stopping rules, failures and successive halving save some."""
    search, trials = spec.search, spec.budget.max_trials
    each = spec.split.folds * int(highest(spec.document["training"]["epochs"]))
    if isinstance(search, RangeTest):
        trials = 1 if search.then is None else trials
        epochs = 1 + (trials - 1) * each
    elif isinstance(search, CoarseToFineSearch):
        coarse = search.coarse_trials(trials)
        epochs = coarse * max(1, math.ceil(search.coarse.epochs * each)) + (trials - coarse) * each
    else:
        size = spec.space.grid_size() if isinstance(search, GridSearch) else spec.space.size()
        trials = trials if size is None else min(trials, size)
        epochs = trials * each
    return trials, min(epochs, spec.budget.max_epochs or epochs)


def _shares(spec: JobSpec, dataset: Dataset) -> tuple[int, int, int]:
    counts = [one.count for one in dataset.classes]
    short = min(counts) if spec.split.stratify else sum(counts)
    if min(spec.split.divide(short)[:2]) < 1:
        where = f"class {dataset.smallest_class.name!r}" if spec.split.stratify else "the data set"
        parts = f"{spec.split.folds} folds" if spec.split.folds > 1 else "training, validation and test"
        raise fault("dataset_too_small", f"{where} has {short} images: too few for {parts}.", "split")
    return spec.split.sizes(counts)


def _parameters(spec: JobSpec, dataset: Dataset, earlier: EarlierNet | None) -> tuple[int, int, bool]:
    """(fewest, most, whether some model cannot be built), over corners of the space."""
    sections = {name: spec.document[name] for name in ("preprocessing", "augmentation", "model")}
    refusals: list[tuple[str, str]] = []

    def count(found: Mapping[str, Any]) -> int | None:
        section = "preprocessing"
        try:
            preprocessing = Preprocessing(**found["preprocessing"])
            shape = preprocessing.prepared(dataset.shape)
            preprocessing.fits(dataset.samples, dataset.shape)
            section = "augmentation"
            Augmentation(**found["augmentation"]).fits(shape)
            section = "model"
            model = _knowing(model_of(found["model"]), earlier)
            return model.count_parameters(shape, len(dataset.classes))
        except Infeasible as error:
            refusals.append((section, str(error)))
            return None

    counts = counted(spec.space, sections, count)
    if not counts:
        section, reason = refusals[0]
        raise fault("infeasible_model", f"No such model can be built: {reason}.", section)
    return min(counts), max(counts), bool(refusals)


def _knowing(model: Model, earlier: EarlierNet | None) -> Model:
    if earlier is None or not isinstance(model, Transfer):
        return model
    return replace(model, earlier_parameters=earlier.parameters, earlier_features=earlier.features)


def _grid_warnings(spec: JobSpec) -> Iterator[dict[str, Any]]:
    if not isinstance(spec.search, GridSearch):
        return
    size = spec.space.grid_size()
    if size > spec.budget.max_trials:
        text = f"The grid has {size:,} configurations, the budget {spec.budget.max_trials:,} trials."
        yield warning("grid_exceeds_budget", "/budget/max_trials", text)
    for one in spec.space:
        if one.distribution.count() is None:
            text = f"The grid takes {one.distribution.grid_count()} values of {one.name}: it has no step."
            yield warning("grid_without_step", "/" + one.name.replace(".", "/"), text)


def _model_warnings(largest: int, infeasible: bool, limit: int) -> Iterator[dict[str, Any]]:
    if largest > limit:
        text = f"The largest model has {largest:,} parameters; trials above {limit:,} will fail."
        yield warning("model_too_large", "/model", text)
    if infeasible:
        text = "Some combinations cannot be built for images of this size; the search passes over them."
        yield warning("infeasible_model", "/model", text)


def _space_warnings(spec: JobSpec) -> Iterator[dict[str, Any]]:
    existing = {one.name for one in spec.space}
    for name, value in leaves(spec.document):
        if isinstance(value, Distribution) and name not in existing:
            text = f"{name} never exists: what its condition asks for is fixed otherwise."
            yield warning("never_exists", "/" + name.replace(".", "/"), text)


def _seen_warnings(spec: JobSpec, dataset: Dataset, earlier: EarlierNet | None) -> Iterator[dict[str, Any]]:
    """A score on images that the backbone has learned from is no honest one."""
    if earlier is None or earlier.dataset_digest != dataset.digest:
        return
    if earlier.division != spec.division:
        text = "The earlier job divided this data set in another way: its model knows images of every share."
        yield warning("images_known", "/model/job", text)
    elif earlier.refit:
        text = "The earlier job's model has learned from the validation share: only the test share is new."
        yield warning("images_known", "/model/job", text)


def _family_warnings(spec: JobSpec) -> Iterator[dict[str, Any]]:
    model = spec.document["model"]
    last = model["layers"][-1] if model["family"] == Layers.family else {}
    if last.get("type") == "Dense" and last["activation"] == "softmax":
        place = f"/model/layers/{len(model['layers']) - 1}"
        text = "The service adds the classification head; this dense softmax would stand before it."
        yield warning("head_twice", place, text)
    if model["family"] == Transfer.family:
        yield from _transfer_warnings(model, spec.document["preprocessing"]["scaling"])


def _transfer_warnings(model: Mapping[str, Any], scaling: Any) -> Iterator[dict[str, Any]]:
    if scaling != "unit":
        text = "Pretrained nets expect the range that `unit` scaling gives them."
        yield warning("scaling_not_unit", "/preprocessing/scaling", text)
    if not may_be_job(model["backbone"]) and model["weights"] == "none" and highest(model["frozen_epochs"]):
        text = "With `weights: none` a frozen backbone is a random one: `frozen_epochs: 0` trains all."
        yield warning("frozen_at_random", "/model/frozen_epochs", text)


def _training_warnings(spec: JobSpec, training: int) -> Iterator[dict[str, Any]]:
    section = spec.document["training"]
    if highest(section["batch_size"]) > training:
        text = f"A batch may be larger than the {training:,} images of the training share."
        yield warning("batch_exceeds_training", "/training/batch_size", text)
    for place, value in _rates(spec):
        if value is not None and (rate := highest(value)) > _HIGH_LEARNING_RATE:
            text = f"A learning rate of {rate:g} is above {_HIGH_LEARNING_RATE}: training may not converge."
            yield warning("learning_rate_high", place, text)


def _rates(spec: JobSpec) -> Iterator[tuple[str, Any]]:
    model, section = spec.document["model"], spec.document["training"]
    if not isinstance(spec.search, RangeTest):
        # A range test finds out which rates are too high.
        yield "/training/learning_rate", section["learning_rate"]
    yield "/training/schedule/high", section["schedule"].get("high")
    yield "/model/fine_tune_learning_rate", model.get("fine_tune_learning_rate")


def _split_warnings(spec: JobSpec, dataset: Dataset) -> Iterator[dict[str, Any]]:
    smallest = dataset.smallest_class
    images = spec.split.divide(smallest.count)[1]
    if images < _FEW_IMAGES:
        text = f"About {images} images of class {smallest.name!r} are for validation: scores will be coarse."
        yield warning("validation_small", "/split", text)
    if spec.split.folds > 1 and not spec.result.refit:
        text = "Cross-validation leaves a net for each fold: the model is made by a refit all the same."
        yield warning("refit_with_folds", "/result/refit", text)


def warning(code: str, pointer: str, detail: str) -> dict[str, Any]:
    """What is worth saying about the value at a place of the spec, though it is no error."""
    return {"code": code, "pointer": pointer, "detail": detail}
