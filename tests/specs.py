"""Random job specs, made from the published document as a client would read it.

`specs` walks the JSON Schema of a spec generically and knows none of its fields. What JSON Schema cannot say
stands in one place, `RELATIONS`; what the data set at hand allows, in `FEASIBLE`; what trains in seconds, in
`QUICK`. The last two are fragments of JSON Schema, laid over the leaves of that name.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from zlib import crc32

from flask import Flask
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

Json = Any
Path = tuple[str | int, ...]
Limits = Mapping[str, Mapping[str, Any]]

OPEN = ("float", "int", "choice", "boolean")
SECTIONS = ("preprocessing", "augmentation", "model", "training")
TYPE: Final[Path] = ("training", "schedule", "type")
MAX_GRID = 1_000_000

# For images of 8 x 8 pixels and one channel, and a limit of 100 million parameters.
FEASIBLE: Limits = {
    "dataset": {"const": "builtin:digits"},
    "image_size": {"minimum": 8, "maximum": 32},
    "test": {"maximum": 0.5},
    "blocks": {"maximum": 3},
    "convs_per_block": {"maximum": 3},
    "filters": {"maximum": 64},
    "dense_units": {"maximum": 64},
    "units": {"maximum": 64},
    "layers": {"maximum": 4},
    "patch_size": {"maximum": 8},
    "width": {"maximum": 64},
    "sep_num_filters": {"maximum": 128},
    "num_residual_blocks": {"maximum": 4},
    "kernel_size": {"maximum": 5},
    "pool_size": {"maximum": 5},
    "strides": {"maximum": 2},
    "dilation_rate": {"maximum": 2},
    "depth_multiplier": {"maximum": 2},
    "size": {"maximum": 2},
    "padding": {"maximum": 2},
    "cropping": {"maximum": 1},
    "groups": {"maximum": 1},
    "shared_axes": {"maximum": 1},
    "repeat": {"maximum": 3},
}

# Trials of a second or two whose losses stay finite.
QUICK: Limits = {
    "max_trials": {"maximum": 2},
    "max_seconds": {"minimum": 3600},
    "max_trial_seconds": {"minimum": 3600},
    "max_gpu_seconds": {"minimum": 3600},
    "max_epochs": {"minimum": 10_000},
    "epochs": {"maximum": 2},
    "data": {"minimum": 0.5},
    "steps": {"maximum": 30},
    # A range test has no model in the end.
    "algorithm": {"enum": ["random", "grid", "bayesian", "hyperband", "tpe", "cmaes", "coarse_to_fine"]},
    "folds": {"maximum": 2},
    "batch_size": {"minimum": 16, "maximum": 64},
    "image_size": {"minimum": 8, "maximum": 12},
    "learning_rate": {"minimum": 1e-4, "maximum": 0.01},
    "fine_tune_learning_rate": {"minimum": 1e-4, "maximum": 0.01},
    "low": {"minimum": 1e-4, "maximum": 0.01},
    "high": {"minimum": 1e-4, "maximum": 0.01},
    "weight_decay": {"maximum": 0.01},
    "clipnorm": {"minimum": 0.1, "maximum": 10},
    "l1": {"maximum": 0.01},
    "l2": {"maximum": 0.01},
    "negative_slope": {"maximum": 1},
    "alpha": {"maximum": 1},
    "threshold": {"maximum": 0.1},
    "scale": {"minimum": -2, "maximum": 2},
    "offset": {"minimum": -2, "maximum": 2},
    "weights": {"const": "none"},
    "sep_num_filters": {"maximum": 32},
    "num_residual_blocks": {"maximum": 1},
    "convs_per_block": {"maximum": 2},
    "depth": {"maximum": 2},
    "heads": {"maximum": 4},
}


def specs(document: Mapping[str, Any], family: str, *more: Limits) -> st.SearchStrategy[Json]:
    """Valid specs of a family.

    Args:
        document: the published OpenAPI document.
        more: limits beyond those of `FEASIBLE`; the later ones narrow further.
    """

    @st.composite
    def made(draw: st.DrawFn) -> Json:
        return _Spec(document, [FEASIBLE, *more, {"family": {"const": family}}], draw).made()

    return made()


def examples(strategy: st.SearchStrategy[Any], count: int, begin: str) -> list[Any]:
    """So many values, the same ones in every run; those of another ``begin`` are others.

    hypothesis likes to change a little of what it made before; each of these has an outline of its own.
    """
    found: dict[str, Any] = {}
    tries = 0
    while len(found) < count:
        assert tries < 20, "nothing new comes"
        _collect(strategy, count, crc32(f"{begin} {tries}".encode()), found)
        tries += 1
    return list(found.values())[:count]


def _collect(strategy: st.SearchStrategy[Any], count: int, number: int, found: dict[str, Any]) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.setdefault(_outline(value), value)

    collect()


def _outline(value: Any) -> str:
    """What fields there are, and their texts."""
    return json.dumps([(path, one if isinstance(one, str) else "") for path, one in leaves(value)])


def published(app: Flask) -> Mapping[str, Any]:
    """The OpenAPI document."""
    document: Mapping[str, Any] = app.test_client().get("/v1/openapi.json").get_json()
    return document


def checker(document: Mapping[str, Any]) -> Draft202012Validator:
    """What a client may check a spec with, before it is posted."""
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**body, "components": document["components"]})


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference refers to."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def is_open(value: Json) -> bool:
    """Whether a value is a distribution."""
    return isinstance(value, dict) and value.get("type") in OPEN


def leaves(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Every scalar, null, distribution and empty list, with its path."""
    if is_open(value) or not isinstance(value, (dict, list)) or not value:
        yield path, value
        return
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(inner, (*path, name))


class _Spec:
    """One spec that is being drawn."""

    def __init__(self, document: Mapping[str, Any], limits: Sequence[Limits], draw: st.DrawFn) -> None:
        self.document, self.limits, self.draw = document, limits, draw
        # Chooses fields and branches evenly; hypothesis, which does not, draws numbers and texts.
        self.random = draw(st.randoms(use_true_random=True))

    def made(self) -> Json:
        spec = self.value({"$ref": "#/components/schemas/JobSpec"}, "")
        for name in SECTIONS:
            if name not in spec:
                spec[name] = self.value(self._property(name), name)
        for relate in RELATIONS:
            relate(spec, self.random)
        return spec

    def _property(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document["components"]["schemas"]["JobSpec"]["properties"][name]
        return found

    def value(self, schema: Mapping[str, Any], name: str) -> Json:
        """A value of a schema; ``name`` is that of the field it is for."""
        schema = self.narrowed(schema, name)
        if branches := _branches(schema):
            return self.value(self.branch(branches, name), name)
        if "const" in schema or "enum" in schema:
            return self.random.choice(_names(schema))
        kind = schema["type"]
        make = getattr(self, kind if isinstance(kind, str) else self.random.choice(kind))
        return make(schema, name)

    def narrowed(self, schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        """A schema with the limits that are laid over the leaves of this name."""
        schema = resolve(self.document, schema)
        for limits in self.limits:
            if name in limits and not _branches(schema) and not schema.keys() & {"properties", "items"}:
                schema = _both(schema, limits[name])
        return schema

    def branch(self, branches: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
        """One of several schemas; as often a fixed value as an open one."""
        possible = [one for one in branches if self.is_possible(one, name)]
        opened = [one for one in possible if _is_distribution(resolve(self.document, one))]
        closed = [one for one in possible if one not in opened]
        found: Mapping[str, Any] = self.random.choice(
            self.random.choice([one for one in (closed, opened) if one])
        )
        return found

    def is_possible(self, schema: Mapping[str, Any], name: str) -> bool:
        """Whether the limits leave any value."""
        schema = self.narrowed(schema, name)
        if branches := _branches(schema):
            return any(self.is_possible(one, name) for one in branches)
        if "properties" in schema:
            opened = _is_distribution(schema)
            needed = [one for one in schema.get("required", []) if one != "layers"]
            found = schema["properties"]
            return all(self.is_possible(found[one], name if opened else one) for one in needed)
        if "items" in schema and schema.get("uniqueItems"):
            return self.is_possible(schema["items"], name) and self.is_plural(schema["items"], name)
        if _has_names(schema):
            return bool(_names(schema))
        low, high = _ends(schema)
        return low <= high

    def is_plural(self, schema: Mapping[str, Any], name: str) -> bool:
        """Whether there are two values at least."""
        schema = self.narrowed(schema, name)
        if _has_names(schema):
            return len(_names(schema)) > 1
        low, high = _ends(schema)
        return low < high

    def object(self, schema: Mapping[str, Any], name: str) -> Json:
        """Some of the optional fields; anew until the rules between them hold."""
        opened = _is_distribution(schema)
        properties = {one: inner for one, inner in schema.get("properties", {}).items() if one != "when"}
        needed = [one for one in properties if one in schema.get("required", [])]
        others = [one for one in properties if one not in needed and self.is_possible(properties[one], one)]
        rules = Draft202012Validator(
            {name: schema[name] for name in ("if", "then", "else") if name in schema}
        )
        for _ in range(10):
            chosen = self.random.sample(others, self.random.randint(0, len(others)))
            made = {
                one: self.value(properties[one], name if opened and one != "step" else one)
                for one in (*needed, *chosen)
            }
            if rules.is_valid(made):
                return {**made, **self._more(schema, name)}
        return reject()

    def _more(self, schema: Mapping[str, Any], name: str) -> dict[str, Json]:
        """Fields whose names the schema leaves open."""
        if not isinstance(schema.get("additionalProperties"), dict):
            return {}
        names = self.draw(st.lists(st.from_regex("[A-Za-z0-9_./-]{1,63}", fullmatch=True), max_size=2))
        Draft202012Validator({"items": schema.get("propertyNames", True)}).validate(names)
        return {one: self.value(schema["additionalProperties"], "") for one in names}

    def array(self, schema: Mapping[str, Any], name: str) -> Json:
        low, high = schema.get("minItems", 0), schema.get("maxItems", 8)
        size = self.random.randint(low, min(high, max(low, 8)))
        made: list[Json] = []
        for _ in range(size):
            value = self.value(schema["items"], name)
            if not schema.get("uniqueItems") or value not in made:
                made.append(value)
        return made if len(made) >= low else reject()

    def integer(self, schema: Mapping[str, Any], name: str) -> int:
        low, high = _ends(schema)
        return self.draw(st.integers(int(max(low, -(2**31))), int(min(high, 2**31))))

    def number(self, schema: Mapping[str, Any], name: str) -> float:
        low, high = schema.get("minimum", -1e6), schema.get("maximum", 1e6)
        above = schema.get("exclusiveMinimum", -math.inf)
        found = self.draw(st.floats(max(low, above), high, allow_subnormal=False))
        # As people write numbers; what that rounds out of the limits, is put back to the upper one.
        found = float(f"{found:.6g}")
        return found if max(low, above) <= found <= high and found > above else float(high)

    def string(self, schema: Mapping[str, Any], name: str) -> str:
        if "pattern" in schema:
            pattern = schema["pattern"].removeprefix("^").removesuffix("$")
            return self.draw(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii")))
        text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
        return self.draw(text)

    def boolean(self, schema: Mapping[str, Any], name: str) -> bool:
        return self.random.random() < 0.5

    def null(self, schema: Mapping[str, Any], name: str) -> None:
        return None


def _branches(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schemas that something has one of. With a type of its own, `anyOf` is a rule of that type."""
    return list(schema.get("oneOf", [] if "type" in schema else schema.get("anyOf", [])))


def _ends(schema: Mapping[str, Any]) -> tuple[float, float]:
    """The least and the largest number that fit, whole ones of an integer; without a limit, infinity."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if schema.get("type") != "integer":
        return low, high
    above = schema.get("exclusiveMinimum", -math.inf)
    low = max(
        low if math.isinf(low) else math.ceil(low), above if math.isinf(above) else math.floor(above) + 1
    )
    return low, high if math.isinf(high) else math.floor(high)


def _has_names(schema: Mapping[str, Any]) -> bool:
    return "const" in schema or "enum" in schema


def _names(schema: Mapping[str, Any]) -> list[Any]:
    """The values that are listed, as far as the other limits leave them."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    found = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [
        one
        for one in found
        if one in schema.get("enum", [one]) and (not _is_number(one) or low <= one <= high)
    ]


def _both(schema: Mapping[str, Any], limits: Mapping[str, Any]) -> Mapping[str, Any]:
    """A leaf's schema with more limits, of which the narrower ones count."""
    narrower = {"minimum": max, "maximum": min, "enum": _common}
    return {
        **schema,
        **{
            word: narrower[word](schema[word], limit) if word in narrower and word in schema else limit
            for word, limit in limits.items()
        },
    }


def _common(values: Sequence[Json], others: Sequence[Json]) -> list[Json]:
    return [one for one in values if one in others]


def _is_distribution(schema: Mapping[str, Any]) -> bool:
    return schema.get("properties", {}).get("type", {}).get("const") in OPEN


# What JSON Schema cannot say. Each function takes a spec, drawn field by field, and makes it hold.


def distributions_have_values(spec: Json, random: Random) -> None:
    """min < max; a step leaves two values; sampling by factors begins above 0; the default is a value."""
    for path, value in list(leaves(spec)):
        if is_open(value):
            put(spec, path, _with_values(value))


def _with_values(given: dict[str, Any]) -> Json:
    if given["type"] == "boolean":
        return given
    if given["type"] == "choice":
        return {**given, **({"default": given["values"][-1]} if given.get("default") is not None else {})}
    low, high = sorted((given["min"], given["max"]))
    if low == high:
        return low
    made = {**given, "min": low, "max": high}
    if low <= 0 or not math.isfinite(high / low):
        made.pop("sampling", None)
    if made.get("step") is not None:
        made["step"] = _step(made, 1 + int(made["step"]) % 3)
    if made.get("default") is not None:
        made["default"] = high if made.get("sampling") == "reverse_log" else low
    return made


def _step(given: dict[str, Any], steps: int) -> float | None:
    """A step that goes so often, or less, into the range; None if there is none."""
    low, high = given["min"], given["max"]
    by_factor = given.get("sampling", "linear") != "linear"
    step = (high / low) ** (1 / steps) if by_factor else (high - low) / steps
    if given["type"] == "int":
        step = max(math.floor(step), 2 if by_factor else 1)
    # Differences that nobody means, next to the least number that there is, are refused.
    leaves_two = low * step <= high and step > 1 + 1e-9 if by_factor else 1e-300 < step <= high - low
    return step if leaves_two else None


def shares_leave_something(spec: Json, random: Random) -> None:
    """validation + test < 0.99."""
    split = spec.get("split", {})
    if split.get("validation", 0.2) + split.get("test", 0.1) >= 0.99:
        split["validation"] = 0.3


def schedules_fit(spec: Json, random: Random) -> None:
    """low <= high, or the learning rate; with an open type, the fields of what it may be, and no others."""
    schedule = spec["training"].get("schedule", {})
    rates = [schedule.get(name) for name in ("low", "high")]
    if all(isinstance(rate, (int, float)) for rate in rates):
        schedule["low"], schedule["high"] = sorted(rates)
    high = spec["training"].get("learning_rate", 0.001) if schedule.get("high") is None else schedule["high"]
    if schedule.get("low") is not None and _span(schedule["low"])[0] > _span(high)[1]:
        del schedule["low"]
    if is_open(schedule.get("type")):
        own = {name for kind in schedule["type"]["values"] for name in SCHEDULE_FIELDS[kind]}
        for name in schedule.keys() - own - {"type"}:
            del schedule[name]


def _span(value: Json) -> tuple[float, float]:
    """The least and the largest of what a number may be."""
    if not is_open(value):
        return value, value
    found = value.get("values") or [value["min"], value["max"]]
    return min(found), max(found)


SCHEDULE_FIELDS = {
    "constant": (),
    "step": ("every", "factor"),
    "exponential": ("rate",),
    "cosine": ("warm_up", "floor"),
    "cyclical": ("low", "high", "step_size", "mode", "gamma"),
    "one_cycle": ("peak_at", "start", "end"),
    "plateau": ("patience", "factor"),
}


def colors_can_jitter(spec: Json, random: Random) -> None:
    """color_jitter changes three channels."""
    if spec["augmentation"].get("color_jitter"):
        spec["preprocessing"]["color"] = "rgb"


def images_are_large_enough(spec: Json, random: Random) -> None:
    """Some nets look at no image below a size; none is smaller than its patches or its windows."""
    needed = {"transfer": 75, "efficientnet": 32}.get(spec["model"]["family"])
    if needed is None:
        return
    # The ones of the applications that are small enough for the limit on parameters, and need the least.
    if is_open(spec["model"].get("backbone")) or spec["model"].get("backbone") in LARGE:
        spec["model"]["backbone"] = random.choice([SMALL, {"type": "choice", "values": list(SMALLER)}])
    smaller = spec["model"].get("backbone", "mobilenet_v2") not in ("xception", "inception_v3")
    spec["preprocessing"]["image_size"] = 32 if smaller else needed


# `job` needs a job that has succeeded.
LARGE = ("job", "convnext_base", "efficientnet_v2_l", "nasnet_large")
SMALL = "mobilenet_v3_small"
SMALLER = (SMALL, "mobilenet")


def layers_fit(spec: Json, random: Random) -> None:
    """Layers of maps come before what makes a row of a map; windows are no larger than their map."""
    if spec["model"]["family"] != "layers":
        return
    entries = [_fitting(entry, index == 0) for index, entry in enumerate(spec["model"]["layers"])]
    maps = [one for one in entries if _makes(one) == "map"]
    ends = [one for one in entries if _makes(one) == "row"][:1]
    rows = [one for one in entries if _makes(one) == "either"]
    spec["model"]["layers"] = [*maps, *ends, *rows]
    names = (f"n{number}" for number in range(500))
    for layer in layers_of(spec):
        if layer.get("name") is not None:
            layer["name"] = next(names)


def _fitting(entry: Json, first: bool) -> Json:
    """A layer that takes whatever map it gets; only the first one may make it much smaller."""
    if "repeat" in entry:
        inner = [_fitting(one, False) for one in entry["layers"]]
        kept = [one for one in inner if _makes(one) != "row"] or [{"type": "Dropout", "rate": 0.1}]
        return {**entry, "layers": kept}
    made = dict(entry)
    if made["type"] == "Cropping2D" and not first:
        made["cropping"] = 0
    if "strides" in made:
        made.pop("dilation_rate", None)
    if made["type"] == "DepthwiseConv2D" and isinstance(made.get("strides"), list):
        made["strides"] = 2
    if made["type"] in WINDOWED and (not first or "dilation_rate" in made):
        made["padding"] = "same"
    if made["type"] == "GroupNormalization":
        made["groups"] = -1
    if made["type"] == "Reshape":
        made["target_shape"] = [-1]
    if made["type"].startswith("Global"):
        made["keepdims"] = False
    return made


WINDOWED = (
    "Conv2D",
    "SeparableConv2D",
    "DepthwiseConv2D",
    "Conv2DTranspose",
    "MaxPooling2D",
    "AveragePooling2D",
)


def _makes(entry: Json) -> str:
    """`map` for what needs a map and gives one, `row` for what gives a row, `either` for what keeps both."""
    if "repeat" in entry:
        return "map" if any(_makes(one) == "map" for one in entry["layers"]) else "either"
    if entry["type"] in ("Flatten", "Reshape") or entry["type"].startswith("Global"):
        return "row"
    return "map" if "2D" in entry["type"] else "either"


def layers_of(section: Json) -> Iterator[Json]:
    """Every layer and repeat of a spec, of its model or of a repeat."""
    found = section.get("model", section).get("layers")
    for entry in found if isinstance(found, list) else ():
        yield entry
        yield from layers_of(entry)


def conditions_name_other_values(spec: Json, random: Random) -> None:
    """`when` names a value of the sections and some of what that may be; never in a circle."""
    found = [one for name in SECTIONS for one in leaves(spec[name], (name,))]
    # The fields of an open schedule hang on its type already, so the type comes first.
    found.sort(key=lambda one: one[0] != TYPE)
    opened = [path for path, value in found if is_open(value)]
    for index, path in enumerate(opened):
        earlier = opened[:index]
        parents = [
            (other, _asked(value))
            for other, value in found
            if (other in earlier or not is_open(value)) and _asked(value)
        ]
        if parents and random.random() < 0.25:
            parent, values = random.choice(parents)
            at(spec, path)["when"] = {".".join(map(str, parent)): values}


def _asked(value: Json) -> list[Any]:
    """What a condition on a value may ask for; nothing of null and of what is no scalar."""
    if not is_open(value):
        return [] if value is None or isinstance(value, (dict, list)) else [value]
    if value["type"] == "choice":
        return list(value["values"][1:])
    if value["type"] == "boolean":
        return [True]
    return [] if value.get("step") is not None else [value["min"], value["max"]]


def grids_are_small(spec: Json, random: Random) -> None:
    """A grid has a million configurations at most."""
    size = math.prod(_count(value) for _, value in leaves(spec) if is_open(value))
    search = searched(spec)
    if search.get("algorithm") == "grid" and size > MAX_GRID:
        search.pop("order", None)
        search["algorithm"] = "random"


def searched(spec: Json) -> Json:
    """The search of the space: that of a range test is what follows it."""
    search = spec.get("search", {})
    return (search.get("then") or {}) if search.get("algorithm") == RANGE_TEST else search


RANGE_TEST = "lr_range_test"


def searches_have_something_to_do(spec: Json, random: Random) -> None:
    """Some algorithms need an open range of numbers; hyperband chooses the epochs itself."""
    algorithm, training = searched(spec).get("algorithm"), spec["training"]
    goes_on = spec.get("search", {}).get("then") is not None
    if goes_on or algorithm in ("cmaes", "coarse_to_fine"):
        rate = training.get("learning_rate")
        if not is_open(rate) or rate["type"] != "float":
            training["learning_rate"] = {"type": "float", "min": 1e-4, "max": 0.01}
    if algorithm == "hyperband" and is_open(training.get("epochs")):
        training["epochs"] = _span(training["epochs"])[0]


def jobs_to_learn_from_exist(spec: Json, random: Random) -> None:
    """There are no earlier jobs."""
    if "warm_start" in searched(spec):
        searched(spec)["warm_start"] = []


def enqueued_values_are_of_the_space(spec: Json, random: Random) -> None:
    """What is tried first are values of what is open; nothing that depends on another of them."""
    found = [one for name in SECTIONS for one in leaves(spec[name], (name,)) if is_open(one[1])]
    opened = {".".join(map(str, path)): value for path, value in found}
    search = searched(spec)
    for index in range(len(search.get("enqueue", []))):
        names = random.sample(sorted(opened), random.randint(0, len(opened)))
        alone = [name for name in names if not _parents(name, opened[name]) & {*names}]
        search["enqueue"][index] = {name: _some_value(opened[name], random) for name in alone}


def _parents(name: str, given: Json) -> set[str]:
    """What decides whether a value exists."""
    kind = ".".join(map(str, TYPE))
    ours = name != kind and name.startswith("training.schedule.")
    return {*(given.get("when") or {}), *([kind] if ours else [])}


def _some_value(given: Json, random: Random) -> Json:
    if given["type"] == "boolean":
        return random.random() < 0.5
    if given["type"] == "choice":
        return random.choice(given["values"])
    if given.get("step") is not None:
        return given["max"] if given.get("sampling") == "reverse_log" else given["min"]
    return random.choice([given["min"], given["max"]])


def _count(given: Json) -> int:
    """Values that a grid takes, at most; no step that is drawn here leaves more than ten."""
    if given["type"] in ("choice", "boolean"):
        return len(given.get("values", (False, True)))
    is_listed = given["type"] == "int" and given.get("step") is None
    return int(given["max"]) - int(given["min"]) + 1 if is_listed else 10


RELATIONS: tuple[Callable[[Json, Random], None], ...] = (
    distributions_have_values,
    searches_have_something_to_do,
    jobs_to_learn_from_exist,
    shares_leave_something,
    schedules_fit,
    colors_can_jitter,
    images_are_large_enough,
    layers_fit,
    conditions_name_other_values,
    grids_are_small,
    enqueued_values_are_of_the_space,
)


def at(value: Json, path: Path) -> Json:
    """What stands at a path."""
    for name in path:
        value = value[name]
    return value


def put(value: Json, path: Path, new: Json) -> Json:
    """Puts something at a path, in place."""
    at(value, path[:-1])[path[-1]] = new
    return value


# A spec with one mistake in it.


@dataclass(frozen=True)
class Mistake:
    """Args:
    fits: whether the mistake can be made at a path, with what stands there.
    make: what stands there with the mistake.
    is_known: whether JSON Schema can tell.
    place: where the service tells of it, given the path of what is wrong.
    """

    fits: Callable[[Path, Json], bool]
    make: Callable[[Json], Json]
    is_known: bool = True
    place: Callable[[Path], Path] = lambda path: path


def mistaken(spec: Json) -> st.SearchStrategy[list[Any]]:
    """[a mistake's name, the spec with it, the path that it is told at]."""
    places = {
        name: [path for path, value in _nodes(spec) if not FREE & {*path[:-1]} and mistake.fits(path, value)]
        for name, mistake in MISTAKES.items()
    }
    possible = [name for name, found in places.items() if found]

    def made(random: Random) -> list[Any]:
        # The rarer the places where a mistake can be made, the more often it is.
        [name] = random.choices(possible, [len(places[one]) ** -0.25 for one in possible])
        path = random.choice(places[name])
        wrong = MISTAKES[name].make(copy.deepcopy(at(spec, path)))
        whole = put(copy.deepcopy(spec), path, wrong) if path else wrong
        place = MISTAKES[name].place(_narrowest(path, at(spec, path), wrong))
        return [name, whole, place]

    return st.randoms(use_true_random=True).map(made)


def _narrowest(path: Path, right: Json, wrong: Json) -> Path:
    """Where the two differ: at a field of an object, if that is the only one."""
    if not isinstance(right, dict) or not isinstance(wrong, dict):
        return path
    changed = [name for name in {**right, **wrong} if right.get(name) != wrong.get(name)]
    return (*path, *changed) if len(changed) == 1 else path


def _nodes(value: Json, path: Path = ()) -> Iterator[tuple[Path, Json]]:
    """Everything in a document, with its path."""
    yield path, value
    if isinstance(value, (dict, list)):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _nodes(inner, (*path, name))


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_range(path: Path, value: Json) -> bool:
    return is_open(value) and "max" in value


def _is_choice(path: Path, value: Json) -> bool:
    return is_open(value) and "values" in value


def _is_layer(path: Path, value: Json) -> bool:
    return path[:2] == ("model", "layers") and isinstance(value, dict) and not is_open(value)


def _is_section(name: str) -> Callable[[Path, Json], bool]:
    return lambda path, value: path == (name,)


def _without(name: str) -> Callable[[Json], Json]:
    return lambda value: {one: inner for one, inner in value.items() if one != name}


def _with(name: str, wrong: Json) -> Callable[[Json], Json]:
    return lambda value: {**value, name: wrong}


def _of_another_family(model: Json) -> Json:
    return {**model, "blocks" if model["family"] == "vit" else "patch_size": 1}


def _with_anothers_option(search: Json) -> Json:
    """With what goes with another algorithm."""
    return {**search, "factor" if search.get("algorithm") == "grid" else "order": "row_major"}


def _is_queue(path: Path, value: Json) -> bool:
    return path[-1:] == ("enqueue",)


def _whole_choice(path: Path) -> Path:
    """Of values of two kinds none is the wrong one."""
    return path[:-1] if path[-2:-1] == ("values",) else path


# Objects whose names and values the schema leaves open, as far as they are scalars.
FREE = {"when", "enqueue"}
# What any text may stand in.
_FREE = {"name", "labels", "job"}
# Numbers without limits.
_ENDLESS = ("step", "target")

MISTAKES = {
    "unknown field": Mistake(
        lambda path, value: isinstance(value, dict) and path != ("labels",), _with("stat", "running")
    ),
    "wrong type": Mistake(lambda path, value: not isinstance(value, (dict, list)), lambda value: [[]]),
    "text for a number": Mistake(lambda path, value: _is_number(value), str, place=_whole_choice),
    "out of range": Mistake(
        lambda path, value: _is_number(value) and path[-1] not in _ENDLESS, lambda value: 10**30
    ),
    "misspelled": Mistake(
        lambda path, value: isinstance(value, str) and not _FREE & set(path), lambda value: f"{value}?"
    ),
    "open beyond the limits": Mistake(_is_range, _with("max", 10**30)),
    "open without an end": Mistake(_is_range, _without("max")),
    "open to nothing": Mistake(_is_range, lambda value: {**value, "max": value["min"]}, is_known=False),
    "choice of one": Mistake(_is_choice, lambda value: {**value, "values": value["values"][:1]}),
    "condition on nothing": Mistake(
        lambda path, value: is_open(value), _with("when", {"training.nowhere": [1]}), is_known=False
    ),
    "another family's field": Mistake(_is_section("model"), _of_another_family),
    "another algorithm's option": Mistake(_is_section("search"), _with_anothers_option),
    "another rule's option": Mistake(
        lambda path, value: path[-1:] == ("stopping",) and value.get("rule") != "asha", _with("factor", 3)
    ),
    "a budget of nothing": Mistake(_is_section("budget"), _with("max_trials", 0)),
    "a plateau of nothing": Mistake(_is_section("budget"), _with("plateau", {"trials": 0})),
    "no family": Mistake(_is_section("model"), _without("family")),
    "no budget": Mistake(_is_section("budget"), _without("max_trials")),
    "no model": Mistake(lambda path, value: not path, _without("model")),
    "enqueued beside the space": Mistake(
        _is_queue, lambda value: [*value, {"training.nowhere": 1}], is_known=False
    ),
    "enqueued for nothing": Mistake(_is_queue, lambda value: [*value, {"training.epochs": None}]),
    "code for a layer": Mistake(_is_layer, lambda value: {"type": "Lambda", "function": "os.system"}),
}
