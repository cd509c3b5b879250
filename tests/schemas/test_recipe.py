"""A configuration filled into an open spec gives a recipe in which nothing is open any more."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.augmentation import Augmentation, AugmentationSchema
from schemas.budget import Budget, BudgetSchema, Plateau, ScorePlateauSchema
from schemas.fields import StrictSchema
from schemas.models import FAMILIES
from schemas.objective import Objective, ObjectiveSchema
from schemas.preprocessing import Preprocessing, PreprocessingSchema
from schemas.recipe import Recipe, filled, leaves
from schemas.schedules import SCHEDULES, Constant, Cosine
from schemas.search import SEARCHES, Coarse, CoarseSchema, Fine, FineSchema
from schemas.spaces import points
from schemas.specs import JobSpec, load_spec
from schemas.split import Split, SplitSchema
from schemas.training import OPTIMIZERS, EarlyStopping, EarlyStoppingSchema, Training, TrainingSchema

SECTIONS = [
    (SplitSchema, Split),
    (PreprocessingSchema, Preprocessing),
    (AugmentationSchema, Augmentation),
    (EarlyStoppingSchema, EarlyStopping),
    (TrainingSchema, Training),
    (CoarseSchema, Coarse),
    (FineSchema, Fine),
    (ObjectiveSchema, Objective),
    (BudgetSchema, Budget),
    (ScorePlateauSchema, Plateau),
    *[(family.schema, family.schema.makes) for family in FAMILIES.values()],
    *[(schema, schema.makes) for schema in SCHEDULES.values()],
    *[(schema, schema.makes) for schema in SEARCHES.values()],
]
# What tells a section's branches apart is no field of its value.
BRANCHES = ("family", "type", "algorithm")
# Fields that have no default, each with something that fits.
NEEDED: dict[str, Any] = {"max_trials": 1, "trials": 1, "layers": [{"type": "Flatten"}]}


def loaded(**sections: Any) -> JobSpec:
    document = {"dataset": "builtin:digits", "model": {"family": "cnn"}, "budget": {"max_trials": 1}}
    return load_spec({**document, **sections})


def own_fields(schema: type[StrictSchema]) -> list[str]:
    # The algorithm of a stage is one of its fields.
    own = set(BRANCHES) - ({"algorithm"} if schema in (CoarseSchema, FineSchema) else set())
    return [name for name in schema().load_fields if name not in own]


@pytest.mark.parametrize(("schema", "value"), SECTIONS)
def test_a_section_and_its_value_have_the_same_fields(schema: type[StrictSchema], value: type[Any]) -> None:
    # What the API knows of an earlier job's net is no part of a spec.
    known = [one.name for one in fields(value) if not one.name.startswith("earlier_")]
    assert own_fields(schema) == known


@pytest.mark.parametrize(("schema", "value"), SECTIONS)
def test_every_field_but_those_asked_for_has_a_default_and_a_help(
    schema: type[StrictSchema], value: type[Any]
) -> None:
    required = {name: field for name, field in schema().load_fields.items() if field.required}
    given = {name: getattr(value, name) if name in BRANCHES else NEEDED[name] for name in required}
    assert schema().load(given)
    helped = [name for name, field in schema().load_fields.items() if field.metadata.get("description")]
    assert helped == own_fields(schema)


def test_fixed_values_are_taken_over() -> None:
    spec = loaded(
        model={"family": "cnn", "filters": 7},
        training={"learning_rate": 0.5, "early_stopping": {"patience": 9}},
        preprocessing={"scaling": "none"},
    )
    recipe = spec.recipe({})
    assert (recipe.model.filters, recipe.training.learning_rate) == (7, 0.5)
    assert recipe.preprocessing == Preprocessing("none", None, "keep")
    assert recipe.training.schedule == Constant()
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
        kinds = (str, int, float, bool, type(None), Constant, list)
        assert all(isinstance(value, kinds) for value in scalars)
        assert (recipe.model.dropout == 0.5) is ("model.dropout" not in values)


def test_a_recipe_is_of_a_document_as_well() -> None:
    spec = loaded()
    assert Recipe.of(spec.document, {}) == spec.recipe({})


def test_leaves_name_every_value_by_its_path() -> None:
    document = {"a": {"b": 1, "c": {"d": None}}, "e": [1, 2]}
    assert dict(leaves(document)) == {"a.b": 1, "a.c.d": None, "e.0": 1, "e.1": 2}


def test_one_side_of_a_pair_is_filled_in_by_its_place() -> None:
    size = {"image_size": [16, {"type": "choice", "values": [8, 12]}]}
    spec = loaded(preprocessing=size)
    assert [one.name for one in spec.space] == ["preprocessing.image_size.1"]
    assert spec.recipe({"preprocessing.image_size.1": 12}).preprocessing.image_size == [16, 12]
    assert filled([1, {"a": [2]}], {}, "x") == [1, {"a": [2]}]


def test_every_section_is_filled_in() -> None:
    spec = loaded(
        augmentation={"rotation": {"type": "float", "min": 0.0, "max": 0.5}, "flip": "horizontal"},
        training={"schedule": {"type": "cosine", "floor": {"type": "float", "min": 0.0, "max": 0.5}}},
    )
    recipe = spec.recipe({"augmentation.rotation": 0.25, "training.schedule.floor": 0.125})
    assert recipe.augmentation == Augmentation(flip="horizontal", rotation=0.25)
    assert recipe.training.schedule == Cosine(0.0, 0.125)
