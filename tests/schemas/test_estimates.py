"""What a spec means for a data set: what it costs, and whether any trial of it could run."""

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from schemas.datasets import BUILTINS, Dataset, LabelClass
from schemas.estimates import EarlierNet, Estimate, estimate
from schemas.models import Infeasible
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


def counted(spec: JobSpec, shape: tuple[int, ...]) -> list[int]:
    """Parameters of every configuration that can be built, one by one."""
    counts = []
    for values in points(spec.space):
        recipe = spec.recipe(values)
        try:
            counts.append(recipe.model.count_parameters(recipe.preprocessing.prepared(shape), 10))
        except Infeasible:
            continue
    return counts


def several(draw: Any, low: int, high: int) -> Any:
    """A fixed number, a range or a choice within some limits."""
    values = draw(st.lists(st.integers(low, high), min_size=1, max_size=3, unique=True))
    if len(values) == 1:
        return values[0]
    if draw(st.booleans()):
        return {"type": "int", "min": min(values), "max": max(values)}
    return {"type": "choice", "values": values}


@st.composite
def small_spaces(draw: Any) -> dict[str, Any]:
    """Few configurations, of whatever moves the count, in one direction or not."""
    return {
        "blocks": several(draw, 1, 4),
        "convs_per_block": several(draw, 1, 2),
        "filters": several(draw, 1, 5),
        "dense_units": several(draw, 0, 6),
        "head": draw(st.sampled_from(["flatten", "global_average"])),
        "pooling": draw(st.sampled_from(["max", "stride"])),
        "residual": draw(st.sampled_from([False, {"type": "boolean"}])),
    }


@st.composite
def monotone_spaces(draw: Any) -> dict[str, Any]:
    """More corners than are all counted, of fields that each move the count in one direction."""
    return {
        "blocks": draw(st.integers(1, 3)),
        "filters": {"type": "int", "min": draw(st.integers(1, 3)), "max": draw(st.integers(6, 9))},
        "kernel_size": {"type": "int", "min": 1, "max": draw(st.integers(2, 5))},
        "convs_per_block": {"type": "choice", "values": draw(st.permutations([1, 2, 3]))},
        "dense_layers": {"type": "int", "min": 1, "max": 2},
        "dense_units": {"type": "choice", "values": draw(st.permutations([1, 4, 9]))},
        "batch_norm": {"type": "boolean"},
        "attention": {"type": "choice", "values": ["none", "squeeze_excite"]},
    }


@settings(max_examples=60, deadline=None)
@given(small_spaces(), st.sampled_from([(8, 8, 1), (9, 5, 3)]))
def test_corners_of_a_small_space_are_those_of_all_its_configurations(
    model: dict[str, Any], shape: tuple[int, ...]
) -> None:
    spec = loaded(model)
    counts = counted(spec, shape)
    assume(counts)
    found = priced(spec, replace(DIGITS, shape=shape))
    assert (found.smallest_parameters, found.largest_parameters) == (min(counts), max(counts))


@settings(max_examples=10, deadline=None)
@given(monotone_spaces())
def test_corners_of_a_large_space_are_exact_where_values_move_the_count_in_one_direction(
    model: dict[str, Any],
) -> None:
    spec = loaded(model)
    assert (spec.space.size() or 0) > 256
    counts = counted(spec, DIGITS.shape)
    found = priced(spec)
    assert (found.smallest_parameters, found.largest_parameters) == (min(counts), max(counts))


def test_image_size_and_color_decide_about_the_corners_too() -> None:
    size = {"type": "choice", "values": [16, 4]}
    color = {"type": "choice", "values": ["rgb", "keep"]}
    spec = loaded({"blocks": 1}, preprocessing={"image_size": size, "color": color})
    counts = counted(spec, DIGITS.shape)
    found = priced(spec)
    assert len(set(counts)) == 4
    assert (found.smallest_parameters, found.largest_parameters) == (min(counts), max(counts))
    assert (
        priced(loaded(preprocessing={"image_size": 32})).smallest_parameters
        == counted(loaded(), (32, 32, 1))[0]
    )


def test_fifty_open_values_are_priced() -> None:
    units = {"type": "int", "min": 1, "max": 8}
    layers = [{"type": "Dense", "units": units} for _ in range(50)]
    spec = loaded({"family": "layers", "layers": [{"type": "Flatten"}, *layers]})
    assert len(spec.space) == 50
    assert spec.space.size() == 8**50
    found = priced(spec)
    # 64 pixels to 1 unit, 49 times 1 to 1, then 10 classes; and the same with 8 units.
    assert found.smallest_parameters == 65 + 49 * 2 + 2 * 10
    assert found.largest_parameters == 65 * 8 + 49 * 9 * 8 + 9 * 10


def test_an_earlier_jobs_net_is_counted_by_what_is_known_of_it() -> None:
    spec = loaded({"family": "transfer", "backbone": "job", "job": "job_1", "dense_units": 4})
    found = estimate(spec, DIGITS, LIMIT, EarlierNet(parameters=1000, features=7))
    assert found.smallest_parameters == 1000 + (7 + 1) * 4 + (4 + 1) * 10


# Folds


def test_with_folds_every_trial_is_trained_so_often() -> None:
    found = priced(loaded(max_trials=1, split={"folds": 5, "test": 0.1}, training={"epochs": 4}))
    assert (found.trials, found.epochs) == (1, 5 * 4)
    assert found.training_images + found.validation_images + found.test_images == DIGITS.samples
    assert found.validation_images == pytest.approx((DIGITS.samples - found.test_images) / 5, abs=1)


def test_every_fold_needs_an_image_of_every_class() -> None:
    spec = loaded(split={"folds": 5, "test": 0.0})
    assert refusal(spec, of_classes(4, 50)) == ("/split", "dataset_too_small")
    assert priced(spec, of_classes(5, 50)).validation_images == 1 + 10
    # One more for the test.
    spec = loaded(split={"folds": 5, "test": 0.1})
    assert refusal(spec, of_classes(5, 50)) == ("/split", "dataset_too_small")
    with pytest.raises(ValidationError, match="5 folds"):
        priced(spec, of_classes(5, 50))


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


def test_a_high_learning_rate_is_warned_of() -> None:
    rate = {"type": "float", "min": 1e-4, "max": 0.5, "sampling": "log"}
    warning = {"learning_rate_high": "/training/learning_rate"}
    assert warned(loaded(training={"learning_rate": rate})) == warning
    assert warned(loaded(training={"learning_rate": 0.2})) == warning
    assert warned(loaded(training={"learning_rate": 0.1})) == {}


def test_few_images_of_a_class_in_validation_are_warned_of() -> None:
    assert warned(loaded(), of_classes(40, 500)) == {"validation_small": "/split"}
    assert warned(loaded(), of_classes(50, 500)) == {}
    folds = loaded(split={"folds": 6, "test": 0.0})
    assert warned(folds, of_classes(59, 500)) == {"validation_small": "/split"}
    assert warned(folds, of_classes(60, 500)) == {}


def test_folds_without_a_refit_are_warned_of() -> None:
    folds = {"folds": 3}
    assert warned(loaded(split=folds, result={"refit": False})) == {"refit_with_folds": "/result/refit"}
    assert warned(loaded(split=folds)) == {}
    assert warned(loaded(result={"refit": False})) == {}


def test_pixels_that_a_pretrained_net_does_not_expect_are_warned_of() -> None:
    sizes = {"image_size": 32}
    net = {"family": "transfer"}
    standardized = loaded(net, preprocessing={**sizes, "scaling": "standardize"})
    assert warned(standardized) == {"scaling_not_unit": "/preprocessing/scaling"}
    assert warned(loaded(net, preprocessing=sizes)) == {}


def test_freezing_a_backbone_that_has_learned_nothing_is_warned_of() -> None:
    sizes = {"image_size": 32}
    new = {"family": "transfer", "weights": "none"}
    assert warned(loaded(new, preprocessing=sizes)) == {"frozen_at_random": "/model/frozen_epochs"}
    assert warned(loaded({**new, "frozen_epochs": 0}, preprocessing=sizes)) == {}


def test_rates_elsewhere_may_be_high_as_well() -> None:
    cyclical = {"type": "cyclical", "high": 90}
    assert warned(loaded(training={"schedule": cyclical})) == {
        "learning_rate_high": "/training/schedule/high"
    }
    net = {"family": "transfer", "fine_tune_learning_rate": 50}
    assert warned(loaded(net, preprocessing={"image_size": 32})) == {
        "learning_rate_high": "/model/fine_tune_learning_rate"
    }


def test_a_value_that_never_exists_is_warned_of() -> None:
    momentum = {"type": "float", "min": 0.1, "max": 0.9, "when": {"training.optimizer": ["sgdd"]}}
    assert warned(loaded(training={"momentum": momentum})) == {"never_exists": "/training/momentum"}


@pytest.mark.parametrize(
    ("digest", "seed", "refit", "expected"),
    [
        (DIGITS.digest, 0, True, {"images_known": "/model/job"}),
        (DIGITS.digest, 0, False, {}),
        (DIGITS.digest, 1, False, {"images_known": "/model/job"}),
        ("another", 1, True, {}),
    ],
)
def test_images_that_a_backbone_has_learned_from_are_warned_of(
    digest: str, seed: int, refit: bool, expected: dict[str, str]
) -> None:
    """Scores on them are not what they seem."""
    spec = loaded({"family": "transfer", "backbone": "job", "job": "job_1"})
    known = EarlierNet(1000, 7, digest, {**spec.division, "seed": seed}, refit)
    warnings = estimate(spec, DIGITS, LIMIT, known).warnings
    assert {warning["code"]: warning["pointer"] for warning in warnings} == expected


# Corners


def test_a_value_counts_only_where_its_condition_holds() -> None:
    batch_norm = {"type": "boolean"}
    filters = {"type": "choice", "values": [256, 512], "when": {"model.batch_norm": [True]}}
    found = priced(loaded({"blocks": 1, "batch_norm": batch_norm, "filters": filters}))
    smallest = priced(loaded({"blocks": 1, "batch_norm": False}))
    largest = priced(loaded({"blocks": 1, "batch_norm": True, "filters": 512}))
    assert found.smallest_parameters == smallest.smallest_parameters
    assert found.largest_parameters == largest.largest_parameters


def test_a_model_far_from_both_ends_is_found() -> None:
    side = {"type": "choice", "values": [16, 96, 20]}
    training = {"family": "transfer", "backbone": "xception", "weights": "none", "frozen_epochs": 0}
    opened = {
        "dense_units": {"type": "int", "min": 1, "max": 10},
        "activation": {"type": "choice", "values": ["relu", "elu", "gelu", "tanh"]},
    }
    spec = loaded({**training, **opened}, preprocessing={"image_size": [side, side]})
    assert warned(spec) == {"infeasible_model": "/model"}


def test_many_values_of_many_layers_are_priced_at_once() -> None:
    units = {"type": "choice", "values": list(range(1, 257))}
    layers = [{"type": "Dense", "units": units} for _ in range(150)]
    spec = loaded({"family": "layers", "layers": [{"type": "Flatten"}, *layers]})
    start = time.perf_counter()
    found = priced(spec)
    assert time.perf_counter() - start < 5
    assert found.smallest_parameters == 65 + 149 * 2 + 2 * 10
    assert found.largest_parameters == 65 * 256 + 149 * 257 * 256 + 257 * 10


def test_images_that_would_fill_the_memory_are_refused() -> None:
    assert refusal(loaded(preprocessing={"image_size": 2048})) == ("/preprocessing", "infeasible_model")
    either = {"type": "choice", "values": [16, 2048]}
    assert warned(loaded(preprocessing={"image_size": either})) == {"infeasible_model": "/model"}


def test_attention_to_too_many_places_is_refused() -> None:
    large = replace(DIGITS, shape=(256, 256, 1))
    net = {"blocks": 1, "attention": "self", "head": "global_average"}
    assert refusal(loaded(net), large) == ("/model", "infeasible_model")
    assert priced(loaded({**net, "blocks": 2}), large).smallest_parameters > 0


def test_augmentation_that_no_value_allows_is_refused() -> None:
    jitter = {"type": "float", "min": 0.1, "max": 0.4}
    assert refusal(loaded(augmentation={"color_jitter": jitter})) == ("/augmentation", "infeasible_model")
    assert warned(loaded(augmentation={"color_jitter": {**jitter, "min": 0.0}})) == {}


# Where it does not fit is where it is told.


def test_inputs_that_cannot_be_prepared_or_augmented_are_told_at_their_section() -> None:
    rows = replace(DIGITS, shape=(64,))
    mlp = {"family": "mlp"}
    assert refusal(loaded(mlp, preprocessing={"image_size": 8}), rows) == (
        "/preprocessing",
        "infeasible_model",
    )
    assert refusal(loaded(mlp, augmentation={"flip": "horizontal"}), rows) == (
        "/augmentation",
        "infeasible_model",
    )
    assert refusal(loaded(augmentation={"color_jitter": 0.2})) == ("/augmentation", "infeasible_model")
    in_color = loaded(augmentation={"color_jitter": 0.2}, preprocessing={"color": "rgb"})
    assert priced(in_color).smallest_parameters > 0


def test_images_that_are_too_small_for_some_sizes_are_warned_of() -> None:
    size = {"type": "int", "min": 1, "max": 8}
    assert warned(loaded({"blocks": 3}, preprocessing={"image_size": size})) == {"infeasible_model": "/model"}


def test_an_image_size_makes_room_for_more_blocks() -> None:
    assert refusal(loaded({"blocks": 5})) == ("/model", "infeasible_model")
    assert priced(loaded({"blocks": 5}, preprocessing={"image_size": 32})).smallest_parameters > 0
