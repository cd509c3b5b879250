"""The OpenAPI document, made from the marshmallow schemas, and the page that shows it."""

from typing import Any

from apispec.ext.marshmallow.field_converter import FieldConverterMixin
from apispec_oneofschema import MarshmallowPlugin
from flask import Blueprint, Flask
from flask_smorest import Api
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import fields, validate

from schemas.distributions import SAMPLINGS, Tunable
from schemas.problems import MEDIA_TYPE, ProblemSchema

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
    api = ProblemApi(spec_kwargs={"marshmallow_plugin": MarshmallowPlugin()})
    for name, schema in _PARAMETERS.items():
        api.register_converter(app.url_map.converters[name], lambda _, schema=schema: schema)
    api.init_app(app)
    api.ma_plugin.converter.add_attribute_function(_open_minimum)
    api.ma_plugin.converter.add_attribute_function(_tunable)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    for path in _OPEN_PATHS:
        api.spec._paths[path]["get"]["security"] = []
    app.register_blueprint(_page(), url_prefix="/v1/docs")
    return api


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


def _tunable(self: FieldConverterMixin, field: fields.Field[Any], ret: Any) -> dict[str, Any]:
    """A fixed value, or one of the distributions that fit it, held to the same limits."""
    if not isinstance(field, Tunable):
        return {}
    inner = self.field2property(field.inner)
    branches = [_DISTRIBUTIONS[kind](inner) for kind in field.types()]
    return {"oneOf": [inner, *branches]}


def _distribution(kind: str, inner: dict[str, Any], **own: Any) -> dict[str, Any]:
    when = {
        "type": ["object", "null"],
        "additionalProperties": {"type": "array", "minItems": 1, "maxItems": 256},
    }
    properties = {"type": {"const": kind}, **own, "default": _or_null(inner), "when": when}
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
