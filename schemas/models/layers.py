"""The family `layers`: a list of Keras layers, written line by line.

A loaded section is plain: lists, and one dictionary for each layer or repeat, with distributions in the place
of open values. So a hyperparameter's name is its path, ``model.layers.2.layers.0.filters``; inside a repeat
all repetitions share it.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from marshmallow import ValidationError, validate

from schemas.distributions import Choice, Range
from schemas.fields import Between, Coded, Integer, Sized, StrictSchema, String, is_object, nearest
from schemas.models import parts
from schemas.models.family import FamilySchema, Infeasible, Model
from schemas.models.flow import EFFECTS
from schemas.models.kinds import LAYERS, LayerSchema
from schemas.problems import fault
from schemas.tunables import DISTRIBUTIONS, Tunable

# Entries of one list; what they come to with every repeat at its most.
MAX_ENTRIES = 200
MAX_LAYERS = 500
MAX_REPEATS = 100
# Repeats inside each other.
MAX_DEPTH = 4

# Values of one image's map: 1 GiB in 32-bit floats, of which a batch and its gradients take a multiple.
MAX_VALUES = 2**28

# What Keras' own files name classes with: nothing here is ever looked up by them.
_CLASS_KEYS = ("module", "class_name", "registered_name")

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Placed:
    """A layer where it stands when all repeats are written out; no two have the same name."""

    name: str
    layer: Mapping[str, Any]


@dataclass(frozen=True)
class Layers(Model):
    """``layers``: dictionaries of a layer's type, name and arguments, or of a repeat and its layers."""

    family: ClassVar[str] = "layers"

    layers: Sequence[Mapping[str, Any]]

    def count_parameters(self, shape: Sequence[int], classes: int) -> int:
        total, here = 0, tuple(shape)
        for path, _, layer in unrolled(self.layers):
            try:
                parameters, here = EFFECTS[layer["type"]](layer, here)
                if math.prod(here) > MAX_VALUES:
                    raise Infeasible(f"makes a map of {math.prod(here):,} values, more than {MAX_VALUES:,}")
            except Infeasible as error:
                place = ".".join(map(str, path))
                raise Infeasible(f"layers.{place} ({layer['type']}): {error}") from None
            total += parameters
        return total + parts.dense(math.prod(here), classes)

    def placed(self) -> list[Placed]:
        """The layers in their order. Those without a name are called by their type and position."""
        found = list(unrolled(self.layers))
        taken = set(_given_names(found))
        placed = []
        for position, (_, suffix, layer) in enumerate(found):
            if layer["name"]:
                placed.append(Placed(f"{layer['name']}{suffix}", layer))
                continue
            name = f"{_snake(layer['type'])}_{position}"
            while name in taken:
                name += "_"
            placed.append(Placed(name, layer))
        return placed


def unrolled(
    entries: Sequence[Mapping[str, Any]], path: Path = (), suffix: str = ""
) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
    """(path, what comes behind a name, layer) of every layer; an open repeat is taken at its most."""
    for index, entry in enumerate(entries):
        if "repeat" not in entry:
            yield (*path, index), suffix, entry
            continue
        for repetition in range(_most(entry["repeat"])):
            yield from unrolled(entry["layers"], (*path, index, "layers"), f"{suffix}_{repetition}")


def _most(repeat: Any) -> int:
    if isinstance(repeat, Range):
        return int(repeat.max)
    return int(max(repeat.values)) if isinstance(repeat, Choice) else int(repeat)


def _given_names(found: Sequence[tuple[Path, str, Mapping[str, Any]]]) -> list[str]:
    return [f"{layer['name']}{suffix}" for _, suffix, layer in found if layer["name"]]


def _snake(kind: str) -> str:
    """Keras' own way: Conv2DTranspose is conv2d_transpose."""
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", kind).lower()


class LayerList(Coded):
    """A list of layers and repeats; `LAYERS` has the layers' schemas, `RepeatSchema` the repeats'."""

    # Repeats that this list stands in.
    depth = 0

    def entries(self) -> list[Any]:
        """The schemas that take an entry, one or the other."""
        return [*LAYERS.values(), RepeatSchema]

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[dict[str, Any]]:
        if not isinstance(value, (list, tuple)):
            raise fault("invalid_type", "Must be a list of layers.")
        Sized(min=1, max=MAX_ENTRIES)(value)
        if not self.depth and _written(value) > MAX_LAYERS:
            raise fault("value_out_of_range", f"More than {MAX_LAYERS} layers and repeats.")
        loaded, errors = [], {}
        for index, entry in enumerate(value):
            try:
                loaded.append(_schema_of(entry, self.depth).load(entry))
            except ValidationError as error:
                errors[index] = error.messages
        if errors:
            raise ValidationError(errors)
        if not self.depth:
            _check_whole(loaded)
        return loaded

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        if value is None:
            return None
        return [
            (_repeat(self.depth) if "repeat" in entry else _layer(entry["type"])).dump(entry)
            for entry in value
        ]


class RepeatSchema(StrictSchema):
    """Layers that stand in the net several times, one after the other, with the same values."""

    repeat = Tunable(
        Integer(validate=Between(0, MAX_REPEATS)),
        required=True,
        metadata={"description": "How often; 0 leaves the layers out."},
    )
    layers = LayerList(
        required=True, metadata={"description": "What is repeated; each repetition has weights of its own."}
    )

    def __init__(self, depth: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A schema's fields are its own copies.
        self.fields["layers"].depth = depth + 1  # type: ignore[attr-defined]


class LayersSchema(FamilySchema):
    """A list of Keras layers with their arguments, and repeats of layers."""

    makes = Layers

    family = String(required=True, validate=validate.Equal(Layers.family))
    layers = LayerList(
        required=True,
        metadata={
            "description": "Layers from the input on, without the input and the classification head: those "
            "the service adds. A map at the end is flattened for the head."
        },
    )


@cache
def _layer(kind: str) -> LayerSchema:
    return LAYERS[kind]()


@cache
def _repeat(depth: int) -> RepeatSchema:
    return RepeatSchema(depth)


def _schema_of(entry: Any, depth: int) -> StrictSchema:
    """The schema that an entry of a list is loaded with.

    Raises:
        ValidationError: `layer_not_allowed` for what is in no table of ours, `invalid_type` and
            `missing_field` for what is no layer at all, `value_out_of_range` for repeats too deep.
    """
    if not is_object(entry):
        raise fault("invalid_type", "Must be an object: a layer, or a repeat of layers.")
    for key in _CLASS_KEYS:
        if key in entry:
            raise fault("layer_not_allowed", f"A layer is named by its type alone. {_allowed()}", key)
    if "type" not in entry and ("repeat" in entry or "layers" in entry):
        if depth >= MAX_DEPTH:
            raise fault("value_out_of_range", f"At most {MAX_DEPTH} repeats inside each other.", "layers")
        return _repeat(depth)
    if "type" not in entry:
        raise fault("missing_field", f"Missing data for required field. {_allowed()}", "type")
    return _layer(_kind(entry["type"]))


def _kind(kind: Any) -> str:
    if not isinstance(kind, str):
        raise fault(
            "invalid_type", "Must be the name of a layer; a layer's type cannot be left open.", "type"
        )
    if kind in DISTRIBUTIONS:
        text = "A layer is no value that can be left open: its arguments can, and the number of a repeat."
        raise fault("layer_not_allowed", text, "type")
    if kind not in LAYERS:
        raise fault("layer_not_allowed", _allowed() + _hint(kind), "type")
    return kind


def _allowed() -> str:
    return f"Layers are: {', '.join(LAYERS)}."


def _hint(kind: str) -> str:
    same = [name for name in LAYERS if name.lower() == kind.lower()]
    return nearest(same[0] if same else kind, list(LAYERS))


def _written(value: Any, depth: int = 0) -> int:
    """Entries as they are written, in lists of lists; counted before anything is loaded."""
    if not isinstance(value, (list, tuple)) or depth > MAX_DEPTH:
        return 0
    return sum(1 + (_written(entry.get("layers"), depth + 1) if is_object(entry) else 0) for entry in value)


def _check_whole(entries: list[dict[str, Any]]) -> None:
    """What no layer can tell alone: how many there are at most, and that their names differ."""
    total = _total(entries)
    if total > MAX_LAYERS:
        text = f"{total:,} layers when every repeat is at its most; at most {MAX_LAYERS}."
        raise fault("value_out_of_range", text)
    seen: set[str] = set()
    for path, suffix, layer in unrolled(entries):
        name = f"{layer['name']}{suffix}"
        if layer["name"] and name in seen:
            raise fault("invalid_name", f"Another layer is called {name} already.", *path, "name")
        seen.add(name)


def _total(entries: Sequence[Mapping[str, Any]]) -> int:
    """Layers when every repeat is at its most, without writing them out."""
    return sum(
        _most(entry["repeat"]) * _total(entry["layers"]) if "repeat" in entry else 1 for entry in entries
    )
