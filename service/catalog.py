"""`/v1/catalog`: what a spec may say, read off the schemas that check it."""

from http import HTTPStatus
from typing import Any

from marshmallow import Schema, fields, validate

from schemas.datasets import BUILTINS
from schemas.distributions import Tunable
from schemas.fields import AnswerSchema, Dict, List, Nested, String
from schemas.models import FAMILIES
from schemas.recipe import (
    OPTIMIZERS,
    EarlyStoppingSchema,
    PreprocessingSchema,
    SplitSchema,
    TrainingSchema,
)
from schemas.search import ALGORITHMS, BudgetSchema, ObjectiveSchema, SearchSchema
from schemas.specs import ResultSchema
from service.bodies import Blueprint

blueprint = Blueprint("catalog", __name__, description="What a job spec may say.")

_SECTIONS: dict[str, type[Schema]] = {
    "split": SplitSchema,
    "preprocessing": PreprocessingSchema,
    "training": TrainingSchema,
    "early_stopping": EarlyStoppingSchema,
    "search": SearchSchema,
    "objective": ObjectiveSchema,
    "budget": BudgetSchema,
    "result": ResultSchema,
}


class NamedSchema(AnswerSchema):
    name = String(required=True)
    help = String()
    fields_ = Dict(keys=String(), data_key="fields")


class CatalogSchema(AnswerSchema):
    families = List(Nested(NamedSchema), required=True)
    algorithms = List(Nested(NamedSchema), required=True)
    optimizers = List(String(), required=True)
    datasets = List(String(), required=True)
    sections = Dict(keys=String(), values=Dict(keys=String()), required=True)


@blueprint.route("/v1/catalog", methods=["GET"])
@blueprint.response(HTTPStatus.OK, CatalogSchema)
def catalog() -> dict[str, Any]:
    """Model families, algorithms, optimizers and data sets, with the range of each field."""
    return {
        "families": [
            {"name": name, "help": (schema.__doc__ or "").strip(), "fields_": described(schema)}
            for name, schema in FAMILIES.items()
        ],
        "algorithms": [{"name": name, "help": text} for name, text in ALGORITHMS.items()],
        "optimizers": list(OPTIMIZERS),
        "datasets": list(BUILTINS),
        "sections": {name: described(schema) for name, schema in _SECTIONS.items()},
    }


def described(schema: type[Schema]) -> dict[str, Any]:
    """Every field of a section: its kind, range, default, help, and the distributions it takes."""
    return {
        name: _field(field)
        for name, field in schema().load_fields.items()
        if not isinstance(field, fields.Nested) and name != "family"
    }


def _field(field: fields.Field[Any]) -> dict[str, Any]:
    inner = field.inner if isinstance(field, Tunable) else field
    default = field.load_default() if callable(field.load_default) else field.load_default
    described = {
        "type": type(inner).__name__.lower(),
        "help": field.metadata.get("description", ""),
        "tunable": list(field.types()) if isinstance(field, Tunable) else [],
        **_limits(inner),
    }
    return described if field.required else {**described, "default": default}


def _limits(field: fields.Field[Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for validator in field.validators:
        if isinstance(validator, validate.Range):
            limits |= {"min": validator.min, "max": validator.max}
        if isinstance(validator, validate.OneOf):
            limits["values"] = list(validator.choices)
    return limits
