"""What a spec means for a data set: whether they fit together, and what the job would cost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from marshmallow import ValidationError

from schemas.datasets import Dataset
from schemas.distributions import Distribution, FloatRange, Range, Value
from schemas.models import FAMILIES, Infeasible, Model
from schemas.problems import Message, fault
from schemas.recipe import leaves
from schemas.specs import JobSpec


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


def estimate(spec: JobSpec, dataset: Dataset, max_parameters: int) -> Estimate:
    """The price of a job.

    Raises:
        ValidationError: `dataset_too_small`, `model_too_large` or `infeasible_model`, when no trial
            of the spec could run on the data set.
    """
    training, validation, test = _shares(spec, dataset)
    smallest, largest, infeasible = _parameters(spec, dataset)
    if smallest > max_parameters:
        text = f"The smallest model has {smallest:,} parameters; at most {max_parameters:,} are allowed."
        raise ValidationError({"model": [Message("model_too_large", text)]})
    size = spec.space.size()
    if spec.search.algorithm == "grid":
        size = spec.space.grid_size()
    trials = spec.budget.max_trials if size is None else min(spec.budget.max_trials, size)
    return Estimate(
        trials=trials,
        epochs=trials * int(_highest(spec.document["training"]["epochs"])),
        smallest_parameters=smallest,
        largest_parameters=largest,
        training_images=training,
        validation_images=validation,
        test_images=test,
        warnings=(
            *_grid_warnings(spec),
            *_model_warnings(largest, infeasible, max_parameters),
            *_training_warnings(spec, training),
        ),
    )


def _shares(spec: JobSpec, dataset: Dataset) -> tuple[int, int, int]:
    counts = [one.count for one in dataset.classes]
    short = min(counts) if spec.split.stratify else sum(counts)
    if spec.split.divide(short)[0] < 1:
        where = f"class {dataset.smallest_class.name!r}" if spec.split.stratify else "the data set"
        text = f"{where} has {short} images: too few for training, validation and test."
        raise fault("dataset_too_small", text, "split")
    return spec.split.sizes(counts)


def _highest(value: Any) -> Any:
    if isinstance(value, Range):
        return value.max
    return max(value.grid_values()) if isinstance(value, Distribution) else value


def _parameters(spec: JobSpec, dataset: Dataset) -> tuple[int, int, bool]:
    """(fewest, most, whether some model cannot be built), over the corners of the space."""
    counts, reason = [], ""
    for model in _corners(spec.document["model"]):
        try:
            counts.append(model.count_parameters(dataset.shape, len(dataset.classes)))
        except Infeasible as error:
            reason = str(error)
    if not counts:
        raise fault("infeasible_model", f"No such model can be built: {reason}.", "model")
    return min(counts), max(counts), bool(reason)


def _corners(section: Mapping[str, Any]) -> Iterator[Model]:
    makes = FAMILIES[section["family"]].makes
    names = [name for name in section if name != "family"]
    for values in product(*(_ends(section[name], name in makes.turning) for name in names)):
        corner: dict[str, Any] = dict(zip(names, values, strict=True))
        yield makes(**corner)


def _ends(value: Any, every: bool) -> list[Value]:
    """Both ends of what may change the size of a model; every value where the ends do not tell."""
    if not isinstance(value, Distribution):
        return [value]
    if isinstance(value, Range) and not every:
        return [value.min] if isinstance(value, FloatRange) else [int(value.min), int(value.max)]
    values = value.grid_values()
    if isinstance(values[0], (str, float)):
        # Neither a name nor a real number changes the size of a model.
        return values[:1]
    return values if every else sorted({min(values), max(values)})


def _grid_warnings(spec: JobSpec) -> Iterator[dict[str, Any]]:
    if spec.search.algorithm != "grid":
        return
    size = spec.space.grid_size()
    if size > spec.budget.max_trials:
        text = f"The grid has {size:,} configurations, the budget {spec.budget.max_trials:,} trials."
        yield _warning("grid_exceeds_budget", "/budget/max_trials", text)
    for one in spec.space:
        if one.distribution.count() is None:
            text = f"The grid takes {one.distribution.grid_count()} values of {one.name}: it has no step."
            yield _warning("grid_without_step", "/" + one.name.replace(".", "/"), text)


def _model_warnings(largest: int, infeasible: bool, limit: int) -> Iterator[dict[str, Any]]:
    if largest > limit:
        text = f"The largest model has {largest:,} parameters; trials above {limit:,} will fail."
        yield _warning("model_too_large", "/model", text)
    if infeasible:
        text = "Some combinations cannot be built for images of this size; they will fail."
        yield _warning("infeasible_model", "/model", text)


def _training_warnings(spec: JobSpec, training: int) -> Iterator[dict[str, Any]]:
    section = dict(leaves(spec.document["training"]))
    if _highest(section["batch_size"]) > training:
        text = f"A batch may be larger than the {training:,} images of the training share."
        yield _warning("batch_exceeds_training", "/training/batch_size", text)


def _warning(code: str, pointer: str, detail: str) -> dict[str, Any]:
    return {"code": code, "pointer": pointer, "detail": detail}
