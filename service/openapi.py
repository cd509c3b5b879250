"""The OpenAPI document, made from the marshmallow schemas, and the page that shows it."""

from typing import Any

from apispec.ext.marshmallow.field_converter import FieldConverterMixin
from apispec_oneofschema import MarshmallowPlugin
from flask import Blueprint, Flask
from flask_smorest import Api
from flask_smorest.spec import FlaskPlugin
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import fields, validate

from schemas.distributions import SAMPLINGS
from schemas.events import SCHEMAS
from schemas.fields import Except, Pattern
from schemas.models.layers import MAX_ENTRIES, LayerList
from schemas.problems import MEDIA_TYPE, ProblemSchema
from schemas.tunables import Scalar, Tunable

TITLE, VERSION = "Tuneserve", "v1"

_SECURITY = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "tns_<id>_<secret>"}}
_OPEN_PATHS = ("/healthz", "/readyz")


class ProblemApi(Api):  # type: ignore[misc]
    """flask-smorest's, with errors documented in the media type that they really have."""

    ERROR_SCHEMA = ProblemSchema

    def _register_responses(self) -> None:
        super()._register_responses()
        lazy = self.spec.components.responses_lazy
        for name, response in lazy.items():
            if "schema" in response or "content" in response:
                content = response.get("content", {}).get("application/json")
                lazy[name] = {**response, "content": {MEDIA_TYPE: content}}

    def handle_http_exception(self, error: Any) -> Any:
        """`service.errors` answers for these."""
        raise error

    def _register_error_handlers(self) -> None:
        """Likewise."""


class _Converter(MarshmallowPlugin.Converter):  # type: ignore[misc]
    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        """With what a schema says of the relations between its fields."""
        published = super().schema2jsonschema(schema)
        return {**published, **getattr(schema, "rules", {})}


class _Plugin(MarshmallowPlugin):  # type: ignore[misc]
    Converter = _Converter


def document(app: Flask, blueprints: tuple[Any, ...]) -> Api:
    """Registers the blueprints, and publishes their contract at /v1/openapi.json and /v1/docs."""
    app.config.update(
        API_TITLE=TITLE,
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/v1",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "security": [{"key": []}],
            "components": {"securitySchemes": _SECURITY},
            "info": {"description": "Hyperparameter tuning as a service for image classifiers."},
        },
    )
    api = ProblemApi(spec_kwargs={"marshmallow_plugin": _Plugin()})
    for name, schema in _PARAMETERS.items():
        api.register_converter(app.url_map.converters[name], lambda _, schema=schema: schema)
    api.init_app(app)
    for function in _ATTRIBUTES:
        api.ma_plugin.converter.add_attribute_function(function)
    api.spec.components.schema("When", _CONDITIONS)
    for kind, schema in SCHEMAS.items():
        api.spec.components.schema(f"{kind.capitalize()}Event", schema=schema)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    _name_operations(app, api)
    for path in _OPEN_PATHS:
        api.spec._paths[path]["get"]["security"] = []
    app.register_blueprint(_page(), url_prefix="/v1/docs")
    return api


def _name_operations(app: Flask, api: Api) -> None:
    """`jobs_create` and the like: what generated clients call their functions."""
    for rule in app.url_map.iter_rules():
        operations = api.spec._paths.get(FlaskPlugin.flaskpath2openapi(rule.rule), {})
        for method in rule.methods or ():
            if operation := operations.get(method.lower()):
                noun, _, verb = rule.endpoint.partition(".")
                operation["operationId"] = f"{noun}_{_VERBS.get(verb, verb)}"


_VERBS = {"index": "list"}

_SCALAR = ["string", "number", "boolean"]
# Shared by all distributions.
_WHEN = "#/components/schemas/When"
_CONDITIONS = {
    "type": ["object", "null"],
    "description": "Exists only when each parent named here has one of the values.",
    "additionalProperties": {
        "type": "array",
        "items": {"type": _SCALAR},
        "minItems": 1,
        "maxItems": 256,
    },
}

_PARAMETERS = {
    "id": {"type": "string", "pattern": "^[A-Za-z0-9_:-]{1,80}$"},
    "name": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,100}$"},
    "number": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
}


def _page() -> Blueprint:
    """Swagger UI, from the wheel: it works offline. All links are relative, for a sub-path."""
    blueprint: Blueprint = get_swaggerui_blueprint(
        ".", "../openapi.json", config={"app_name": TITLE}, blueprint_name="docs"
    )
    return blueprint


def _open_minimum(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """A range without its lower end: apispec publishes every minimum as included."""
    for validator in field.validators:
        if isinstance(validator, validate.Range) and not validator.min_inclusive:
            ret.pop("minimum", None)
            return {"exclusiveMinimum": validator.min}
    return {}


def _pattern(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """For the whole text, in the dialect of JSON Schema (ECMA-262), which has no `\\Z`."""
    patterns = [one.pattern for one in field.validators if isinstance(one, Pattern)]
    return {"pattern": f"^(?:{patterns[0]})$"} if patterns else {}


def _exceptions(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """The values in a range that are left out."""
    excluded = [value for one in field.validators if isinstance(one, Except) for value in one.iterable]
    return {"not": {"enum": excluded}} if excluded else {}


def _mapping(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """The keys of an object, and how many there may be."""
    if not isinstance(field, fields.Dict):
        return {}
    published: dict[str, Any] = {}
    if (largest := ret.pop("maxLength", None)) is not None:
        published["maxProperties"] = largest
    if field.key_field is not None and field.key_field.validators:
        published["propertyNames"] = self.field2property(field.key_field)
    return published


def _scalar(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    return {"type": _SCALAR} if isinstance(field, Scalar) else {}


def _tunable(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """A fixed value, or one of the distributions that fit it, held to the same limits."""
    if not isinstance(field, Tunable):
        return {}
    inner = self.field2property(field.inner)
    fixed = [] if field.must_be_open else [inner]
    branches = [_DISTRIBUTIONS[kind](inner) for kind in field.types()]
    return {"oneOf": [*fixed, *branches, *_null(field)]}


def _alternatives(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """What is one of several things: a pair of sides, a schedule, a regularizer."""
    if not hasattr(field, "alternatives"):
        return {}
    found = field.alternatives()
    # Where one of them takes null already, a second branch for it would make `oneOf` refuse it.
    null = [] if any(getattr(one, "allow_none", False) for one in found) else _null(field)
    return {"oneOf": [*_described(self, found), *null]}


def _layers(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """A list of layers, told apart by their types, and of repeats of layers."""
    if not isinstance(field, LayerList):
        return {}
    entries = {"oneOf": _described(self, field.entries())}
    return {"type": "array", "items": entries, "minItems": 1, "maxItems": MAX_ENTRIES}


def _described(self: FieldConverterMixin, found: list[Any]) -> list[dict[str, Any]]:
    """Fields in place, schemas by reference."""
    return [
        self.field2property(one) if isinstance(one, fields.Field) else self.resolve_nested_schema(one)  # type: ignore[attr-defined]
        for one in found
    ]


# What is published of a field, beside what apispec knows.
_ATTRIBUTES = (_open_minimum, _pattern, _exceptions, _mapping, _scalar, _tunable, _alternatives, _layers)


def _null(field: fields.Field[Any]) -> list[dict[str, Any]]:
    return [{"type": "null"}] if field.allow_none else []


def _distribution(kind: str, inner: dict[str, Any], **own: Any) -> dict[str, Any]:
    properties = {"type": {"const": kind}, **own, "default": _or_null(inner), "when": {"$ref": _WHEN}}
    required = ["type", *(name for name in ("min", "max", "values") if name in own)]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _range(kind: str, inner: dict[str, Any]) -> dict[str, Any]:
    bounds = {**inner, "type": "integer"} if kind == "int" else inner
    step = {"type": ["integer" if kind == "int" else "number", "null"], "exclusiveMinimum": 0}
    sampling = {"type": "string", "enum": list(SAMPLINGS)}
    return _distribution(kind, inner, min=bounds, max=bounds, step=step, sampling=sampling)


def _choice(inner: dict[str, Any]) -> dict[str, Any]:
    values = {"type": "array", "items": inner, "minItems": 2, "maxItems": 256, "uniqueItems": True}
    return _distribution("choice", inner, values=values, ordered={"type": ["boolean", "null"]})


def _or_null(inner: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [inner, {"type": "null"}]}


_DISTRIBUTIONS: dict[str, Any] = {
    "float": lambda inner: _range("float", inner),
    "int": lambda inner: _range("int", inner),
    "choice": _choice,
    "boolean": lambda inner: _distribution("boolean", inner),
}
