"""A configuration filled into an open spec gives a recipe in which nothing is open any more."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from schemas.fields import StrictSchema
from schemas.models import FAMILIES
from schemas.problems import error_items
from schemas.recipe import (
    OPTIMIZERS,
    EarlyStopping,
    EarlyStoppingSchema,
    Preprocessing,
    PreprocessingSchema,
    Recipe,
    Split,
    SplitSchema,
    Training,
    TrainingSchema,
    leaves,
)
from schemas.search import Budget, BudgetSchema, Objective, ObjectiveSchema, Search, SearchSchema
from schemas.spaces import points
from schemas.specs import JobSpec, load_spec

SECTIONS = [
    (SplitSchema, Split),
    (PreprocessingSchema, Preprocessing),
    (EarlyStoppingSchema, EarlyStopping),
    (TrainingSchema, Training),
    (SearchSchema, Search),
    (ObjectiveSchema, Objective),
    (BudgetSchema, Budget),
    *[(schema, schema.makes) for schema in FAMILIES.values()],
]


def loaded(**sections: Any) -> JobSpec:
    document = {"dataset": "builtin:digits", "model": {"family": "cnn"}, "budget": {"max_trials": 1}}
    return load_spec({**document, **sections})


@pytest.mark.parametrize(("schema", "value"), SECTIONS)
def test_a_section_and_its_value_have_the_same_fields(schema: type[StrictSchema], value: type[Any]) -> None:
    assert [name for name in schema().load_fields if name != "family"] == [one.name for one in fields(value)]


@pytest.mark.parametrize(("schema", "value"), SECTIONS)
def test_every_field_but_those_asked_for_has_a_default_and_a_help(
    schema: type[StrictSchema], value: Any
) -> None:
    given = {"max_trials": 1} if schema is BudgetSchema else {}
    given |= {"family": "cnn"} if "family" in schema().load_fields else {}
    assert schema().load(given)
    helped = [name for name, field in schema().load_fields.items() if field.metadata.get("description")]
    assert helped == [name for name in schema().load_fields if name != "family"]


def test_fixed_values_are_taken_over() -> None:
    spec = loaded(
        model={"family": "cnn", "filters": 7},
        training={"learning_rate": 0.5, "early_stopping": {"patience": 9}},
        preprocessing={"scaling": "none"},
    )
    recipe = spec.recipe({})
    assert (recipe.model.filters, recipe.training.learning_rate) == (7, 0.5)
    assert recipe.preprocessing == Preprocessing("none")
    assert recipe.training.early_stopping == EarlyStopping("val_loss", 9, 0.0)


def test_open_values_are_filled_in_by_their_paths() -> None:
    spec = loaded(
        model={"family": "cnn", "filters": {"type": "choice", "values": [8, 16]}},
        training={"early_stopping": {"patience": {"type": "int", "min": 1, "max": 5}}},
        preprocessing={"scaling": {"type": "choice", "values": ["unit", "none"]}},
    )
    values = {"model.filters": 16, "training.early_stopping.patience": 4, "preprocessing.scaling": "none"}
    recipe = spec.recipe(values)
    assert recipe.model.filters == 16
    assert recipe.training.early_stopping == EarlyStopping("val_loss", 4, 0.0)
    assert recipe.preprocessing.scaling == "none"


def test_a_value_that_does_not_exist_falls_back_to_its_default() -> None:
    spec = loaded(
        training={
            "optimizer": {"type": "choice", "values": ["sgd", "adam"]},
            "momentum": {"type": "float", "min": 0.5, "max": 0.9, "when": {"training.optimizer": ["sgd"]}},
        }
    )
    assert spec.recipe({"training.optimizer": "sgd", "training.momentum": 0.7}).training.momentum == 0.7
    assert spec.recipe({"training.optimizer": "adam"}).training.momentum == 0.0


def test_a_value_whose_fixed_parent_rules_it_out_falls_back_to_its_default() -> None:
    momentum = {"type": "choice", "values": [0.5, 0.9], "when": {"training.optimizer": ["sgd"]}}
    spec = loaded(training={"optimizer": "adam", "momentum": momentum})
    assert len(spec.space) == 0
    assert spec.recipe({}).training.momentum == 0.0


def test_without_early_stopping_there_is_none() -> None:
    assert loaded().recipe({}).training.early_stopping is None


@given(st.sampled_from(OPTIMIZERS), st.booleans(), st.integers(1, 3))
def test_nothing_is_open_in_any_recipe_of_a_space(optimizer: str, norm: bool, blocks: int) -> None:
    spec = loaded(
        model={
            "family": "cnn",
            "blocks": {"type": "int", "min": 1, "max": 3},
            "batch_norm": {"type": "boolean", "when": {"model.blocks": [blocks]}},
            "dropout": {"type": "choice", "values": [0.1, 0.2], "when": {"model.batch_norm": [norm]}},
        },
        training={"optimizer": {"type": "choice", "values": sorted({optimizer, "sgd", "adam"})}},
    )
    for values in points(spec.space):
        recipe = spec.recipe(values)
        scalars = [*vars(recipe.model).values(), *vars(recipe.training).values()]
        assert all(isinstance(value, (str, int, float, bool, type(None))) for value in scalars)
        assert (recipe.model.dropout == 0.5) is ("model.dropout" not in values)


def test_a_recipe_is_of_a_document_as_well() -> None:
    spec = loaded()
    assert Recipe.of(spec.document, {}) == spec.recipe({})


def test_leaves_name_every_value_by_its_path() -> None:
    document = {"a": {"b": 1, "c": {"d": None}}, "e": [1, 2]}
    assert dict(leaves(document)) == {"a.b": 1, "a.c.d": None, "e": [1, 2]}


# The split


@pytest.mark.parametrize(
    ("split", "count", "expected"),
    [
        (Split(0.2, 0.1, True), 100, (70, 20, 10)),
        (Split(0.2, 0.0, True), 100, (80, 20, 0)),
        (Split(0.2, 0.1, True), 3, (1, 1, 1)),
        (Split(0.01, 0.01, True), 10, (8, 1, 1)),
    ],
)
def test_images_are_divided_by_shares(split: Split, count: int, expected: tuple[int, int, int]) -> None:
    assert split.divide(count) == expected


@given(st.floats(0.01, 0.6), st.floats(0, 0.3), st.integers(3, 10_000))
def test_a_division_loses_no_image_and_gives_every_share_one(
    validation: float, test: float, count: int
) -> None:
    found = Split(validation, test, True).divide(count)
    assert sum(found) == count
    assert found[1] >= 1
    assert (found[2] >= 1) is (test > 0)


def test_stratified_sizes_are_the_sum_over_the_classes() -> None:
    assert Split(0.2, 0.1, True).sizes([10, 3]) == (7 + 1, 2 + 1, 1 + 1)
    assert Split(0.2, 0.1, False).sizes([10, 3]) == Split(0.2, 0.1, False).divide(13)


@pytest.mark.parametrize(
    ("split", "pointer"),
    [
        ({"validation": 0}, "/validation"),
        ({"validation": 0.95}, "/validation"),
        ({"test": -0.1}, "/test"),
        ({"test": 1}, "/test"),
        ({"validation": 0.5, "test": 0.5}, "/validation"),
    ],
)
def test_a_split_leaves_images_for_training_and_validation(split: dict[str, float], pointer: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SplitSchema().load(split)
    assert [(item.pointer, item.code) for item in error_items(caught.value.messages)] == [
        (pointer, "value_out_of_range")
    ]
