"""What a spec means for a data set: what it costs, and whether any trial of it could run."""

from dataclasses import replace
from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.datasets import BUILTINS, Dataset, LabelClass
from schemas.estimates import Estimate, estimate
from schemas.problems import error_items
from schemas.spaces import points
from schemas.specs import JobSpec, load_spec

DIGITS = BUILTINS["builtin:digits"]
LIMIT = 100_000_000


def loaded(model: dict[str, Any] | None = None, max_trials: int = 3, **sections: Any) -> JobSpec:
    document = {
        "dataset": "builtin:digits",
        "model": {"family": "cnn", **(model or {})},
        "budget": {"max_trials": max_trials},
    }
    return load_spec({**document, **sections})


def priced(spec: JobSpec, dataset: Dataset = DIGITS, limit: int = LIMIT) -> Estimate:
    return estimate(spec, dataset, limit)


def refusal(spec: JobSpec, dataset: Dataset = DIGITS, limit: int = LIMIT) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        estimate(spec, dataset, limit)
    item = next(error_items(caught.value.messages))
    return item.pointer, item.code


def warned(spec: JobSpec, dataset: Dataset = DIGITS, limit: int = LIMIT) -> dict[str, str]:
    return {warning["code"]: warning["pointer"] for warning in priced(spec, dataset, limit).warnings}


def of_classes(*counts: int) -> Dataset:
    classes = tuple(LabelClass(str(index), count) for index, count in enumerate(counts))
    return replace(DIGITS, samples=sum(counts), classes=classes)


def test_the_price_is_trials_times_epochs_at_most() -> None:
    found = priced(loaded(max_trials=7, training={"epochs": {"type": "int", "min": 2, "max": 5}}))
    # Four numbers of epochs are all the configurations there are.
    assert (found.trials, found.epochs) == (4, 20)
    assert priced(loaded(max_trials=3, training={"epochs": 5})).trials == 1


def test_a_continuous_value_leaves_the_budget_as_the_only_bound() -> None:
    rate = {"type": "float", "min": 0.001, "max": 0.1}
    assert priced(loaded(max_trials=500, training={"learning_rate": rate})).trials == 500
    assert (
        priced(loaded(max_trials=500, training={"learning_rate": rate}, search={"algorithm": "grid"})).trials
        == 10
    )


def test_images_are_divided_by_class() -> None:
    found = priced(loaded(split={"validation": 0.2, "test": 0.1}), of_classes(10, 20))
    assert (found.training_images, found.validation_images, found.test_images) == (21, 6, 3)


def test_the_corners_bound_every_configuration() -> None:
    spec = loaded(
        {
            "blocks": {"type": "int", "min": 1, "max": 3},
            "filters": {"type": "choice", "values": [16, 4, 8]},
            "dense_units": {"type": "int", "min": 0, "max": 20, "step": 10},
            "batch_norm": {"type": "boolean"},
            "activation": {"type": "choice", "values": ["relu", "elu"]},
            "dropout": {"type": "float", "min": 0.1, "max": 0.5},
        }
    )
    counts = [spec.recipe(values).model.count_parameters(DIGITS.shape, 10) for values in points(spec.space)]
    found = priced(spec)
    assert (found.smallest_parameters, found.largest_parameters) == (min(counts), max(counts))


@pytest.mark.parametrize("counts", [(1, 50), (2, 50)])
def test_too_few_images_of_a_class_are_refused(counts: tuple[int, int]) -> None:
    assert refusal(loaded(), of_classes(*counts)) == ("/split", "dataset_too_small")


def test_the_smallest_class_that_can_be_divided_is_taken() -> None:
    assert priced(loaded(), of_classes(3, 50)).training_images == 1 + 35


def test_without_stratifying_only_the_whole_has_to_be_divided() -> None:
    spec = loaded(split={"stratify": False})
    assert priced(spec, of_classes(1, 9)).training_images == 7
    assert refusal(spec, of_classes(1, 1)) == ("/split", "dataset_too_small")


def test_a_space_whose_smallest_model_is_too_large_is_refused() -> None:
    spec = loaded({"filters": {"type": "choice", "values": [64, 128]}})
    assert refusal(spec, limit=1000) == ("/model", "model_too_large")


def test_a_space_whose_largest_model_is_too_large_is_warned_of() -> None:
    spec = loaded({"blocks": 1, "dense_units": {"type": "choice", "values": [1, 60_000]}})
    assert warned(spec, limit=10_000) == {"model_too_large": "/model"}


def test_a_space_that_holds_no_model_at_all_is_refused() -> None:
    assert refusal(loaded({"blocks": {"type": "int", "min": 4, "max": 6}})) == ("/model", "infeasible_model")


def test_a_space_of_which_a_part_cannot_be_built_is_warned_of() -> None:
    assert warned(loaded({"blocks": {"type": "int", "min": 1, "max": 6}})) == {"infeasible_model": "/model"}


def test_rows_of_features_do_not_fit_a_family_for_images() -> None:
    assert refusal(loaded(), replace(DIGITS, shape=(64,))) == ("/model", "infeasible_model")


def test_a_grid_beyond_the_budget_is_warned_of() -> None:
    filters = {"type": "int", "min": 1, "max": 8}
    assert warned(loaded({"filters": filters}, search={"algorithm": "grid"})) == {
        "grid_exceeds_budget": "/budget/max_trials"
    }
    assert warned(loaded({"filters": filters}, max_trials=8, search={"algorithm": "grid"})) == {}
    assert warned(loaded({"filters": filters}, search={"algorithm": "random"})) == {}


def test_a_grid_over_a_value_without_steps_is_warned_of() -> None:
    rate = {"type": "float", "min": 0.001, "max": 0.1}
    spec = loaded(max_trials=10, training={"learning_rate": rate}, search={"algorithm": "grid"})
    assert warned(spec) == {"grid_without_step": "/training/learning_rate"}


def test_a_batch_larger_than_the_training_share_is_warned_of() -> None:
    batch = {"type": "choice", "values": [4096, 32]}
    assert warned(loaded(training={"batch_size": batch})) == {
        "batch_exceeds_training": "/training/batch_size"
    }
