"""The job spec: the document that a client posts, and the frozen value that it becomes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import rfc8785
from marshmallow import ValidationError, post_load

from schemas.augmentation import AugmentationSchema
from schemas.budget import Budget, BudgetSchema
from schemas.distributions import Value
from schemas.fields import (
    Among,
    Between,
    Boolean,
    Integer,
    List,
    Nested,
    Pattern,
    Sized,
    StrictSchema,
    String,
)
from schemas.labels import labels_field, name_field
from schemas.models import ModelSchema
from schemas.models.transfer import Transfer, may_be_job
from schemas.objective import Objective, ObjectiveSchema
from schemas.preprocessing import PreprocessingSchema
from schemas.problems import invalid
from schemas.recipe import SECTIONS, Recipe, filled, space_of
from schemas.search import Search, SearchSchema
from schemas.searching import check_search
from schemas.spaces import Space
from schemas.split import Split, SplitSchema
from schemas.training import TrainingSchema


@dataclass(frozen=True)
class Result:
    refit: bool
    exports: Sequence[str]


class ResultSchema(StrictSchema):
    refit = Boolean(
        load_default=True,
        metadata={
            "description": "Train the best configuration once more, on the training and validation "
            "shares together, for as many epochs as were best."
        },
    )
    exports = List(
        String(validate=Among(("keras",))),
        load_default=lambda: ["keras"],
        validate=Sized(min=1, max=8),
        metadata={"description": "Formats of the tuned model."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Result:
        return Result(**data)


# What no result depends on; the data set has a digest of its own, wherever it is called what.
_NOT_DIGESTED = ("name", "labels", "priority", "dataset")


@dataclass(frozen=True)
class JobSpec:
    """A checked spec, every default filled in. ``document`` is the loaded form, distributions in it."""

    name: str
    labels: Mapping[str, str]
    seed: int
    priority: int
    dataset: str
    split: Split
    search: Search
    objective: Objective
    budget: Budget
    result: Result
    space: Space
    document: Mapping[str, Any]

    def recipe(self, values: Mapping[str, Value]) -> Recipe:
        """The recipe of one configuration."""
        return Recipe.of(self.document, values)

    @property
    def earlier_jobs(self) -> set[str]:
        """Jobs whose best model some configuration may start from."""
        model = self.document["model"]
        named = model.get("job") if model["family"] == Transfer.family else None
        return {named} if named and may_be_job(model["backbone"]) else set()

    @property
    def division(self) -> Any:
        """What decides which image is in which share."""
        resolved = self.resolved
        return {"seed": resolved["seed"], "split": resolved["split"]}

    def cache_key(self, values: Mapping[str, Value], dataset_digest: str, engine: str) -> str:
        """Equal for trials that would come to the same result, whatever spaces they are from.

        Args:
            engine: names and versions of the software that trains.
        """
        recipe = {name: filled(self.document[name], values, name) for name in SECTIONS}
        division = {"dataset": dataset_digest, "seed": self.seed, "split": self.split}
        whole = [recipe, division, self.objective.metric, engine]
        text = json.dumps(whole, sort_keys=True, default=_plain)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @property
    def resolved(self) -> dict[str, Any]:
        """The spec as JSON, with every default written out; loading it gives the same spec."""
        dumped: dict[str, Any] = JobSpecSchema().dump(self.document)
        return dumped

    @property
    def digest(self) -> str:
        """Equal for specs that ask for the same; their data sets have digests of their own."""
        asked = {name: value for name, value in self.resolved.items() if name not in _NOT_DIGESTED}
        return "sha256:" + hashlib.sha256(rfc8785.dumps(asked)).hexdigest()


def _plain(value: Any) -> Any:
    """A frozen value of a spec as JSON, told from others by its type."""
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} has no place in a spec")
    return {"": type(value).__name__, **{one.name: getattr(value, one.name) for one in fields(value)}}


class JobSpecSchema(StrictSchema):
    """A training recipe in which any value may be left open."""

    name = name_field(load_default="")
    labels = labels_field(load_default=dict)
    seed = Integer(
        load_default=0,
        validate=Between(0, 2**31 - 1),
        metadata={"description": "Of the split, the search and the training; 0 is a seed."},
    )
    priority = Integer(
        load_default=5,
        validate=Between(0, 9),
        metadata={"description": "Of two jobs, one that is higher by 1 has twice the turns at the slots."},
    )
    dataset = String(
        required=True,
        validate=Pattern(
            r"(builtin:|ds_)[a-z0-9_]{1,64}", "An id ds_..., or a built-in data set such as builtin:digits."
        ),
        metadata={
            "description": "An uploaded data set's id, or a built-in one's; the catalogue lists those."
        },
    )
    split = Nested(SplitSchema, load_default=lambda: SplitSchema().load({}))
    preprocessing = Nested(PreprocessingSchema, load_default=lambda: PreprocessingSchema().load({}))
    augmentation = Nested(AugmentationSchema, load_default=lambda: AugmentationSchema().load({}))
    model = Nested(ModelSchema, required=True)
    training = Nested(TrainingSchema, load_default=lambda: TrainingSchema().load({}))
    search = Nested(SearchSchema, load_default=SearchSchema.empty)
    objective = Nested(ObjectiveSchema, load_default=lambda: ObjectiveSchema().load({}))
    budget = Nested(BudgetSchema, required=True)
    result = Nested(ResultSchema, load_default=lambda: ResultSchema().load({}))

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> JobSpec:
        space = space_of({name: data[name] for name in SECTIONS})
        check_search(data["search"], space, data["training"], "search")
        closed = {name: value for name, value in data.items() if name not in SECTIONS}
        return JobSpec(**closed, space=space, document=data)


def load_spec(document: Any) -> JobSpec:
    """Checks a job spec.

    Raises:
        Invalid: with a pointer, a code and a text for everything that does not fit.
    """
    try:
        spec: JobSpec = JobSpecSchema().load(document)
    except ValidationError as error:
        raise invalid(error.messages) from None
    return spec
