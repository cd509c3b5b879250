"""Faults of a spec, found without a service: the published JSON Schema, and messages that people can read.

A JSON Schema says of most faults "fits none of these eight". Here, what a person wrote in `family`,
`algorithm` or `type` says which of them was meant, and the faults are those of that one.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from tuneserve.errors import FieldError

if TYPE_CHECKING:
    from jsonschema import ValidationError  # type: ignore[import-untyped]
    from jsonschema.protocols import Validator  # type: ignore[import-untyped]

SCHEMA = "job.schema.json"

Schema = Mapping[str, Any]
Faults = list[FieldError]


@cache
def job_schema() -> dict[str, Any]:
    """The JSON Schema of a job spec (Draft 2020-12) that came with this package."""
    content = resources.files("tuneserve").joinpath(SCHEMA).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(content)
    return schema


def check_offline(spec: Mapping[str, Any]) -> Faults:
    """What does not fit the schema, each with its pointer; empty if nothing. The service checks more."""
    found = list(_all(_validator().iter_errors(spec)))
    return sorted({(one.pointer, one.detail): one for one in found}.values(), key=lambda one: one.pointer)


def resolved(schema: Schema) -> Schema:
    """What a `$ref` stands for; any other schema as it is."""
    while "$ref" in schema:
        schema = job_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


@cache
def _validator() -> "Validator":
    from jsonschema import Draft202012Validator

    return Draft202012Validator(job_schema())


def _all(errors: Iterable["ValidationError"]) -> Iterator[FieldError]:
    for error in errors:
        yield from _faults(error)


def _faults(error: "ValidationError") -> Iterator[FieldError]:
    if error.validator in ("oneOf", "anyOf") and error.context:
        yield from _branches(error)
    elif error.validator == "additionalProperties":
        yield from _unknown(error)
    elif error.validator == "required":
        name = _missing(error)
        yield _fault([*error.absolute_path, name], "required", f"{name} is missing")
    else:
        code, detail = _message(error)
        yield _fault(error.absolute_path, code, detail)


def _branches(error: "ValidationError") -> Iterator[FieldError]:
    branches = [resolved(branch) for branch in error.validator_value]
    field = _discriminator(error.schema, branches)
    if isinstance(error.instance, dict) and field:
        yield from _by_name(error, branches, field)
        return
    fitting = [number for number, branch in enumerate(branches) if _takes(branch, error.instance)]
    if not fitting:
        detail = f"must be {_kinds(branches)}, not {_shown(error.instance)}"
        hint = _text_hint(error.instance, [name for branch in branches for name in _types(branch)])
        yield _fault(error.absolute_path, "invalid_type", detail + hint)
    elif len(fitting) == 1:
        yield from _of_branch(error, fitting[0])
    else:
        yield from _nearest(error, fitting)


def _by_name(error: "ValidationError", branches: Sequence[Schema], field: str) -> Iterator[FieldError]:
    """The faults of the branch that is named by `family`, `algorithm`, `rule` or `type`."""
    name = error.instance.get(field)
    named = [number for number, branch in enumerate(branches) if name in _names(branch, field)]
    if named:
        yield from _of_branch(error, named[0])
        return
    names = [one for branch in branches for one in _names(branch, field)]
    path = [*error.absolute_path, field]
    # A schedule's type may itself be left open, which none of the names can stand for.
    objects = [number for number, branch in enumerate(branches) if _is_open(branch, field)]
    if isinstance(name, dict) and objects:
        yield from _of_branch(error, objects[0])
    elif field not in error.instance:
        yield _fault(path, "required", f"{field} is missing: {_or(names)}")
    else:
        yield _fault(path, "invalid_choice", f"must be {_or(names)}, not {_shown(name)}{_hint(name, names)}")


def _of_branch(error: "ValidationError", number: int) -> Iterator[FieldError]:
    found = [one for one in error.context or () if one.schema_path[0] == number]
    yield from _all(found)


def _nearest(error: "ValidationError", fitting: Sequence[int]) -> Iterator[FieldError]:
    """The faults of the branch that is nearest to fitting; of several, their faults as alternatives."""
    candidates = [list(_of_branch(error, number)) for number in fitting]
    least = min(len(faults) for faults in candidates)
    best = [faults for faults in candidates if len(faults) == least]
    if len(best) == 1 or least != 1:
        yield from best[0]
        return
    told = dict.fromkeys(_placed(faults[0], error) for faults in best)
    yield _fault(error.absolute_path, best[0][0].code, ", or ".join(told))


def _placed(fault: FieldError, error: "ValidationError") -> str:
    below = fault.pointer.removeprefix(_pointer(error.absolute_path)).strip("/")
    return f"{below.replace('/', '.')} {fault.detail}" if below else fault.detail


def _discriminator(schema: Any, branches: Sequence[Schema]) -> str | None:
    """The field that tells the branches apart, if one does."""
    if told := schema.get("discriminator"):
        return str(told["propertyName"])
    return "type" if any(_names(branch, "type") for branch in branches) else None


def _names(branch: Schema, field: str) -> list[Any]:
    """The values of that field that this branch is for."""
    told = branch.get("properties", {}).get(field, {})
    return [told["const"]] if "const" in told else list(told.get("enum", ()))


def _is_open(branch: Schema, field: str) -> bool:
    return field in branch.get("properties", {}) and not _names(branch, field)


_TYPES: dict[str, tuple[str, Any]] = {
    "object": ("an object", dict),
    "array": ("a list", list),
    "string": ("text", str),
    "integer": ("a whole number", int | float),
    "number": ("a number", int | float),
    "boolean": ("true or false", bool),
    "null": ("null", type(None)),
}


def _types(branch: Schema) -> list[str]:
    if "oneOf" in branch or "anyOf" in branch:
        inner = branch.get("oneOf") or branch.get("anyOf") or ()
        return [name for one in inner for name in _types(resolved(one))]
    told = branch.get("type")
    if told is None:
        return ["object"] if "properties" in branch else []
    return [told] if isinstance(told, str) else list(told)


def _takes(branch: Schema, instance: Any) -> bool:
    """Whether a value of this kind may stand there, whatever its size."""
    names = _types(branch)
    return not names or any(_is_a(instance, name) for name in names)


def _is_a(instance: Any, name: str) -> bool:
    if isinstance(instance, bool):
        return name == "boolean"
    return isinstance(instance, _TYPES[name][1])


def _kinds(branches: Sequence[Schema]) -> str:
    told: list[str] = []
    of_type: list[str] = []
    for branch in branches:
        names = [str(name) for name in _names(branch, "type")]
        of_type += names
        told += [] if names else [_TYPES[name][0] for name in _types(branch)]
    told += [f"an object of type {_or(of_type)}"] if of_type else []
    return _or(list(dict.fromkeys(told)))


def _unknown(error: "ValidationError") -> Iterator[FieldError]:
    known = list(error.schema.get("properties", ()))
    for name in error.instance:
        if name not in known:
            hint = _hint(name, known) or (f"; there are {', '.join(known)}" if len(known) <= 12 else "")
            yield _fault([*error.absolute_path, name], "unknown_field", f"unknown field{hint}")


def _missing(error: "ValidationError") -> str:
    # jsonschema gives one error for each name, and says which in its message alone.
    absent = [name for name in error.validator_value if name not in error.instance]
    return str(next((name for name in absent if error.message.startswith(repr(name))), absent[0]))


def _message(error: "ValidationError") -> tuple[str, str]:
    limit, instance = error.validator_value, error.instance
    match error.validator:
        case "type":
            names = [limit] if isinstance(limit, str) else limit
            detail = f"must be {_or([_TYPES[name][0] for name in names])}, not {_shown(instance)}"
            return "invalid_type", detail + _text_hint(instance, names)
        case "enum":
            names = [name for name in limit if name is not None]
            return "invalid_choice", f"must be {_or(names)}, not {_shown(instance)}{_hint(instance, names)}"
        case "const":
            return "invalid_choice", f"must be {_shown(limit)}, not {_shown(instance)}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return (
                "value_out_of_range",
                f"must be {_LIMITS[error.validator]} {limit:g}, not {_shown(instance)}",
            )
        case "minItems" | "maxItems" | "minProperties" | "maxProperties":
            return (
                "invalid_length",
                f"must have {_LENGTHS[error.validator[:3]]} {limit:,} of them, not {len(instance):,}",
            )
        case "minLength" | "maxLength":
            return "invalid_length", f"must have {_LENGTHS[error.validator[:3]]} {limit:,} characters"
        case "uniqueItems":
            return "duplicate", "has a value twice"
        case "pattern":
            meant = error.schema.get("description", "")
            return "invalid_text", f"{_shown(instance)} does not look as it must: {meant} {limit}".replace(
                "  ", " "
            )
        case "not":
            return "invalid_value", f"must not be {_shown(instance)}"
        case "oneOf":
            return "ambiguous", f"{_shown(instance)} could be meant in more than one way"
    return "invalid_value", error.message[:200]


_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}
_LENGTHS = {"min": "at least", "max": "at most"}


def _fault(path: Iterable[str | int], code: str, detail: str) -> FieldError:
    return FieldError(pointer=_pointer(path), code=code, detail=detail)


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _shown(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False)
    return written if len(written) <= 60 else f"{written[:57]}..."


def _or(names: Sequence[Any]) -> str:
    words = [str(name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else "nothing"


_NUMBERS = {"integer": r"[-+]?\d+", "number": r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"}


def _text_hint(instance: Any, wanted: Sequence[str]) -> str:
    """How something else became a text: by quotes, or by YAML's rule on colons."""
    if not isinstance(instance, str):
        return ""
    if any(re.fullmatch(_NUMBERS[name], instance) for name in wanted if name in _NUMBERS):
        return ", which is a text: leave out the quotes"
    if "object" in wanted and re.match(r"\w+:\S", instance):
        return "; a space is missing after the colon"
    return ""


def _hint(name: Any, known: Sequence[Any]) -> str:
    if len(known) < 2:
        return ""
    near = difflib.get_close_matches(str(name), [str(one) for one in known], n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
