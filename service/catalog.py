"""`/v1/catalog`: what a spec may say, read off the schemas that check it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from marshmallow import Schema, fields, validate

from schemas.augmentation import AugmentationSchema
from schemas.budget import BudgetSchema, ScorePlateauSchema
from schemas.datasets import BUILTINS
from schemas.fields import AnswerSchema, Dict, Except, List, Nested, String
from schemas.metrics import METRICS
from schemas.models import FAMILIES
from schemas.models.arguments import PenaltySchema
from schemas.models.kinds import LAYERS
from schemas.models.layers import RepeatSchema
from schemas.objective import ObjectiveSchema
from schemas.pairs import Pair
from schemas.preprocessing import PreprocessingSchema
from schemas.schedules import SCHEDULES, ScheduleField
from schemas.search import ALGORITHMS, CoarseSchema, FineSchema
from schemas.specs import JobSpecSchema, ResultSchema
from schemas.split import SplitSchema
from schemas.stopping import RULES
from schemas.training import OPTIMIZERS, EarlyStoppingSchema, TrainingSchema
from schemas.tunables import Tunable
from service.bodies import Blueprint

blueprint = Blueprint("catalog", __name__, description="What a job spec may say.")

# What stands in a spec itself, and what stands in more than one place, beside its sections.
_SECTIONS: dict[str, type[Schema]] = {
    "spec": JobSpecSchema,
    "split": SplitSchema,
    "preprocessing": PreprocessingSchema,
    "augmentation": AugmentationSchema,
    "training": TrainingSchema,
    "early_stopping": EarlyStoppingSchema,
    "coarse": CoarseSchema,
    "fine": FineSchema,
    "objective": ObjectiveSchema,
    "budget": BudgetSchema,
    "plateau": ScorePlateauSchema,
    "result": ResultSchema,
    "repeat": RepeatSchema,
    "regularizer": PenaltySchema,
}


class NamedSchema(AnswerSchema):
    name = String(required=True)
    help = String()
    fields_ = Dict(keys=String(), data_key="fields")


class CatalogSchema(AnswerSchema):
    families = List(Nested(NamedSchema), required=True)
    layers = List(Nested(NamedSchema), required=True, metadata={"description": "Of the family `layers`."})
    schedules = List(Nested(NamedSchema), required=True)
    algorithms = List(Nested(NamedSchema), required=True)
    stopping = List(Nested(NamedSchema), required=True, metadata={"description": "Rules."})
    metrics = List(Nested(NamedSchema), required=True)
    optimizers = List(String(), required=True)
    datasets = List(String(), required=True)
    sections = Dict(keys=String(), values=Dict(keys=String()), required=True)


@blueprint.route("/v1/catalog", methods=["GET"])
@blueprint.response(HTTPStatus.OK, CatalogSchema)
def catalog() -> dict[str, Any]:
    """Model families, layers, schedules, algorithms and data sets, with the range of each field."""
    return catalog_of_all()


def catalog_of_all() -> dict[str, Any]:
    """What a spec may say, as the answer has it; `docs/fields.md` is made of it too."""
    return {
        "families": _branches({name: family.schema for name, family in FAMILIES.items()}),
        "layers": _branches(LAYERS),
        "schedules": _branches(SCHEDULES),
        "algorithms": _branches(ALGORITHMS),
        "stopping": _branches(RULES),
        "metrics": [{"name": name, "help": text} for name, text in METRICS.items()],
        "optimizers": list(OPTIMIZERS),
        "datasets": list(BUILTINS),
        "sections": {name: described(schema) for name, schema in _SECTIONS.items()},
    }


def _branches(table: Mapping[str, type[Schema]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "help": (schema.__doc__ or "").strip(), "fields_": described(schema)}
        for name, schema in table.items()
    ]


def described(schema: type[Schema]) -> dict[str, Any]:
    """Every field of a section: its kind, range, default, help, and the distributions it takes."""
    return {
        name: _field(field)
        for name, field in schema().load_fields.items()
        if not isinstance(field, (fields.Nested, ScheduleField)) and not _is_discriminator(field)
    }


def _is_discriminator(field: fields.Field[Any]) -> bool:
    """Whether it tells the branches of a section apart: said by the branch's name."""
    return any(isinstance(validator, validate.Equal) for validator in field.validators)


def _field(field: fields.Field[Any]) -> dict[str, Any]:
    # Of a pair, the number for both; of a regularizer, its name.
    tunable = field.alternatives()[0] if hasattr(field, "alternatives") else field
    inner = tunable.inner if isinstance(tunable, Tunable) else field
    default = field.load_default() if callable(field.load_default) else field.load_default
    described = {
        "type": type(inner).__name__.lower(),
        "help": field.metadata.get("description", ""),
        "tunable": list(tunable.types()) if isinstance(tunable, Tunable) else [],
        **({"pair": True} if isinstance(field, Pair) else {}),
        **_limits(inner),
    }
    return described if field.required else {**described, "default": default}


def _limits(field: fields.Field[Any]) -> dict[str, Any]:
    """The range and the names that a field is held to; of a list, those of its items."""
    if isinstance(field, fields.List):
        item = field.inner
        return _limits(item.inner if isinstance(item, Tunable) else item)
    limits: dict[str, Any] = {}
    for validator in field.validators:
        if isinstance(validator, validate.Range):
            limits |= {"min": validator.min, "max": validator.max}
            limits |= {} if validator.min_inclusive else {"exclusive_min": True}
        if isinstance(validator, Except):
            limits["except"] = list(validator.iterable)
        if isinstance(validator, validate.OneOf):
            limits["values"] = list(validator.choices)
    return limits
