"""The training recipe: how the data are prepared, which model, how it is trained.

`Recipe.of` fills a configuration into the open document of a spec, and makes the frozen values of its
sections, in which nothing is open any more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from schemas.augmentation import Augmentation
from schemas.distributions import Distribution, Value
from schemas.models import FAMILIES, Model
from schemas.preprocessing import Preprocessing
from schemas.spaces import Space
from schemas.training import Training

# The sections of a spec in which values may be left open.
SECTIONS = ("preprocessing", "augmentation", "model", "training")


@dataclass(frozen=True)
class Recipe:
    """One configuration of a spec: nothing in it is open."""

    preprocessing: Preprocessing
    augmentation: Augmentation
    model: Model
    training: Training

    @classmethod
    def of(cls, document: Mapping[str, Any], values: Mapping[str, Value]) -> Self:
        """Fills ``values`` into a loaded spec.

        A value that is open but not among ``values`` does not exist in this configuration (its
        condition does not hold); the recipe then has the field's default.
        """
        sections = {name: filled(document[name], values, name) for name in SECTIONS}
        return cls(
            Preprocessing(**sections["preprocessing"]),
            Augmentation(**sections["augmentation"]),
            model_of(sections["model"]),
            Training.of(sections["training"]),
        )


def model_of(section: Mapping[str, Any]) -> Model:
    """The model of a section in which nothing is open."""
    fields = {name: value for name, value in section.items() if name != "family"}
    made: Model = FAMILIES[section["family"]].schema.makes(**fields)
    return made


def filled(value: Any, values: Mapping[str, Value], path: str) -> Any:
    """A loaded value with nothing open: what ``values`` say, or else the fields' defaults."""
    # By the very types that loading makes: this runs for every corner of a space.
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Distribution):
        return values.get(path, value.otherwise)
    if isinstance(value, dict):
        return {name: filled(inner, values, f"{path}.{name}") for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, values, f"{path}.{index}") for index, inner in enumerate(value)]
    return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a loaded document with its path; sections and lists are walked through."""
    if isinstance(value, Mapping):
        inner = [(str(name), one) for name, one in value.items()]
    elif isinstance(value, list):
        inner = [(str(index), one) for index, one in enumerate(value)]
    else:
        yield path, value
        return
    for name, one in inner:
        yield from leaves(one, f"{path}.{name}" if path else name)


def space_of(document: Mapping[str, Any]) -> Space:
    """The open values of a loaded spec's sections.

    Raises:
        ValidationError: a condition that points at nothing, or in a circle.
    """
    found = dict(leaves(document))
    opened = {name: value for name, value in found.items() if isinstance(value, Distribution)}
    fixed = {name: value for name, value in found.items() if name not in opened}
    return Space.of(opened.items(), fixed)
