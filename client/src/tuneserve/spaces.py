"""Values left open: `Float`, `Int`, `Choice` and `Boolean` stand in a spec where a value would.

    model={"family": "cnn", "filters": hp.Choice([16, 32, 64]), "dropout": hp.Float(0.2, 0.6, step=0.1)}

They read as Keras Tuner's do, without a name: a value's name is its place in the spec, such as
`model.dropout`. All are frozen, hashable, and checked when they are made.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from tuneserve.datasets import Dataset
from tuneserve.errors import Unsendable

Value = float | int | str | bool

SAMPLINGS = ("linear", "log", "reverse_log")
MOST_VALUES = 256
"""Values of a choice, and of a parent in `when`."""
LARGEST_INTEGER = 2**53 - 1
"""What all readers of JSON agree on (RFC 7493)."""


if not TYPE_CHECKING:
    # Type checkers know by themselves what is here.
    def __getattr__(name: str) -> NoReturn:
        """Raises `AttributeError`, with what stands for Keras Tuner's `Fixed`."""
        advice = ": there is none, write the value itself" if name == "Fixed" else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{advice}")


class Conditions(Mapping[str, tuple[Value, ...]]):
    """What `when` was given as: the values that each parent may have. Frozen and hashable."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        if not isinstance(given, Mapping):
            example = '{"training.optimizer": ["sgd"]}'
            raise ValueError(f"when must say which values each parent may have, such as {example}")
        self._values = {_parent(name): _asked(name, values) for name, values in given.items()}

    def __getitem__(self, name: str) -> tuple[Value, ...]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)


@dataclass(frozen=True)
class Space:
    """What all of them share; `document` is the JSON that the service reads."""

    type: ClassVar[str]

    def __new__(cls, *given: Any, **named: Any) -> Self:
        """Tells whoever gives a name first, as other tuners want it, before Python counts arguments."""
        if "name" in named or (given and isinstance(given[0], str)):
            name = named.get("name", given[0] if given else None)
            hint = "a space has no name of its own: it is called by its place in the spec"
            raise ValueError(f"{cls.__name__}({name!r}, ...): {hint}")
        return super().__new__(cls)

    def document(self) -> dict[str, Any]:
        """The distribution as JSON; what is not given is left out."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            "type": self.type,
            **{name: _json(value) for name, value in given.items() if value is not None},
        }

    def _set(self, name: str, value: Any) -> None:
        # The one way to set a field of a frozen dataclass while it is being made.
        object.__setattr__(self, name, value)

    def _freeze_conditions(self, when: Mapping[str, Any] | None) -> None:
        if when is not None and not isinstance(when, Conditions):
            self._set("when", Conditions(when))


@dataclass(frozen=True)
class _Range(Space):
    """Numbers from `min` to `max`, both included."""

    most_steps: ClassVar[float] = math.inf

    min: float
    max: float
    step: float | None = None
    sampling: str = "linear"
    default: float | None = None
    when: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("min", "max", "step", "default"):
            value = getattr(self, name)
            if value is not None or name in ("min", "max"):
                self._set(name, self._own(name, value))
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"sampling must be one of {', '.join(SAMPLINGS)}, not {self.sampling!r}")
        self._check_ends()
        if self.step is not None:
            self._check_step(self.step)
        if self.default is not None and not self._contains(self.default):
            steps = f" on the steps of {self.step:g}" if self.step else ""
            raise ValueError(f"default {self.default:g} is not from {self.min:g} to {self.max:g}{steps}")
        self._freeze_conditions(self.when)

    def document(self) -> dict[str, Any]:
        """The distribution as JSON; what is not given is left out."""
        document = super().document()
        if self.sampling == "linear":
            del document["sampling"]
        return document

    def _own(self, name: str, value: Any) -> float:
        """A number in the kind that the range has."""
        number = scalar(value)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ValueError(f"{name} must be a number, not {value!r}")
        # Compared, not asked by math.isfinite, which has no room for the largest integers.
        if not -sys.float_info.max <= number <= sys.float_info.max:
            raise ValueError(f"{name} must be finite, not {value!r}")
        return number

    def _check_ends(self) -> None:
        if self.min >= self.max:
            raise ValueError(f"max must be greater than min: {self.min:g} to {self.max:g}")
        if self.sampling != "linear" and self.min <= 0:
            raise ValueError(f"min must be greater than 0 with {self.sampling} sampling, not {self.min:g}")
        if self.sampling != "linear" and not math.isfinite(self.max / self.min):
            raise ValueError(f"min {self.min:g} is too close to 0 with {self.sampling} sampling")

    def _check_step(self, step: float) -> None:
        if self.sampling == "linear" and step <= 0:
            raise ValueError(f"step must be greater than 0, not {step:g}")
        if self.sampling != "linear" and step <= 1:
            text = f"step must be greater than 1, not {step:g}: with {self.sampling} sampling it is a factor"
            raise ValueError(text)
        if self._steps(step) > self.most_steps:
            text = f"step {step:g} leaves more than {self.most_steps:,} values; leave it out for any value"
            raise ValueError(text)
        if self._last(step) < 1:
            raise ValueError(
                f"step {step:g} must leave at least two values from {self.min:g} to {self.max:g}"
            )

    def _steps(self, step: float) -> float:
        """How many steps fit between the ends, as a real number."""
        if self.sampling == "linear":
            return (self.max - self.min) / step if step > 1e-300 else math.inf
        return math.log(self.max / self.min) / math.log(step)

    def _last(self, step: float) -> int:
        """How many whole steps fit in; the last may end a rounding error beyond `max`."""
        return int(self._steps(step) + (1e-9 if self.sampling == "linear" else 1e-8))

    def _contains(self, value: float) -> bool:
        if not self.min <= value <= self.max:
            return False
        return self.step is None or value == self._nearest(value, self.step)

    def _nearest(self, value: float, step: float) -> float:
        """The value on a step that is nearest, to twelve digits: 0.3 + 3 x 0.1 is to be 0.6."""
        last = self._last(step)
        if self.sampling == "linear":
            index = round((value - self.min) / step)
            found = self.min + min(max(index, 0), last) * step
        else:
            # The steps of reverse_log are those of log, seen from the other end.
            grown = value if self.sampling == "log" else self.min + (self.max - value)
            index = round(math.log(grown / self.min) / math.log(step))
            grown = self.min * math.pow(step, min(max(index, 0), last))
            found = grown if self.sampling == "log" else self.max - (grown - self.min)
        return float(f"{found:.12g}")


@dataclass(frozen=True)
class Float(_Range):
    """Real numbers from `min` to `max`.

    Args:
        step: Only every so many; with `log` and `reverse_log` sampling it is a factor.
        sampling: `linear`; `log`, where each magnitude is as likely; `reverse_log`, denser towards `max`.
        default: Tried first.
        when: Parents and the values at which this one exists: `{"training.optimizer": ["sgd"]}`.

    Raises:
        ValueError: The parts do not go together.
    """

    type: ClassVar[str] = "float"
    most_steps: ClassVar[float] = 10_000

    def _own(self, name: str, value: Any) -> float:
        return float(super()._own(name, value))


@dataclass(frozen=True)
class Int(_Range):
    """Whole numbers from `min` to `max`; the arguments are those of `Float`.

    Raises:
        ValueError: The parts do not go together.
    """

    type: ClassVar[str] = "int"

    min: int
    max: int
    step: int | None = None
    default: int | None = None

    def _own(self, name: str, value: Any) -> int:
        number = super()._own(name, value)
        if number != int(number) or abs(number) > LARGEST_INTEGER:
            raise ValueError(f"{name} must be a whole number, not {value!r}")
        return int(number)


@dataclass(frozen=True)
class Choice(Space):
    """One of 2 to 256 `values` of one kind: numbers, names, or true and false.

    Args:
        ordered: Whether neighbours in the list are alike.
        default: Tried first.
        when: Parents and the values at which this one exists: `{"training.optimizer": ["sgd"]}`.

    Raises:
        ValueError: The parts do not go together.
    """

    type: ClassVar[str] = "choice"

    values: Sequence[Value]
    ordered: bool | None = None
    default: Value | None = None
    when: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        given = _listed(self.values)
        if given is None:
            raise ValueError(f"values must be a list, not {self.values!r}")
        values = tuple(_checked("values", value) for value in given)
        self._set("values", values)
        if not 2 <= len(values) <= MOST_VALUES:
            raise ValueError(f"a choice has 2 to {MOST_VALUES} values, not {len(values)}")
        if len({_kind(value) for value in values}) > 1:
            raise ValueError(f"the values of a choice must be of one kind: {list(values)}")
        if len(set(values)) < len(values):
            raise ValueError(f"the values of a choice must differ: {list(values)}")
        self._set("ordered", scalar(self.ordered))
        if self.ordered is not None and not isinstance(self.ordered, bool):
            raise ValueError(f"ordered must be True or False, not {self.ordered!r}")
        self._take_default(values)
        self._freeze_conditions(self.when)

    def _take_default(self, values: tuple[Value, ...]) -> None:
        if self.default is None:
            return
        default = _checked("default", self.default)
        if default not in values or _kind(default) != _kind(values[0]):
            raise ValueError(f"default {default!r} is none of the values: {list(values)}")
        self._set("default", default)


@dataclass(frozen=True)
class Boolean(Space):
    """True or false; the arguments are those of `Choice`.

    Raises:
        ValueError: `default` is neither.
    """

    type: ClassVar[str] = "boolean"

    default: bool | None = None
    when: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self._set("default", scalar(self.default))
        if self.default is not None and not isinstance(self.default, bool):
            raise ValueError(f"default must be True or False, not {self.default!r}")
        self._freeze_conditions(self.when)


def plain(document: Any) -> Any:
    """A spec as JSON holds it: spaces written out, data sets and jobs by their ids, tuples as lists.

    Raises:
        TypeError: Something has no place in JSON; the message has a JSON pointer (RFC 6901) to it.
        Unsendable: A text has half a character (a lone surrogate) in it, as one read in the wrong encoding.
    """
    return _plain(document, "")


def _plain(value: Any, place: str) -> Any:
    # Imported late: jobs are sent by what is made here.
    from tuneserve.jobs import Job

    if isinstance(value, Space):
        return value.document()
    if isinstance(value, (Dataset, Job)):
        return value.id
    if isinstance(value, Mapping):
        return {_name(key, place): _plain(one, f"{place}/{_escaped(key)}") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, f"{place}/{index}") for index, one in enumerate(value)]
    found = scalar(value)
    if isinstance(found, str):
        return _whole(found, place)
    if found is None or isinstance(found, (bool, int)):
        return found
    if isinstance(found, float) and math.isfinite(found):
        return found
    hint = "; give its .tolist()" if hasattr(value, "tolist") else ""
    shown = repr(found) if isinstance(found, float) else f"a {type(value).__name__}"
    raise TypeError(f"{place or '/'}: JSON cannot hold {shown}{hint}")


def scalar(value: Any) -> Any:
    """A scalar of NumPy, or of a class made from a built-in one, as the built-in one; else as it is."""
    if isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            # Not kind(value): an enumeration's members have a text of their own.
            return str.__str__(value) if kind is str else kind(value)
    # A scalar of NumPy, or an array of no dimensions; this package does not need NumPy to know one.
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return value.item()
    return value


def _name(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{place or '/'}: a name must be text, not {key!r}")
    return _whole(str.__str__(key), place)


def _whole(text: str, place: str) -> str:
    if _has_half(text):
        raise Unsendable(f"{place or '/'}: {text!r} has half a character in it: is it in another encoding?")
    return text


def _escaped(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _json(value: Any) -> Any:
    if isinstance(value, Conditions):
        return {name: list(values) for name, values in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _parent(name: Any) -> str:
    if not isinstance(name, str) or not name or not _is_text(name):
        raise ValueError(f'when names its parents, such as "training.optimizer", not {name!r}')
    return name


def _asked(name: Any, given: Any) -> tuple[Value, ...]:
    """The values that a parent may have; a single one needs no list."""
    listed = _listed(given)
    values = [given] if listed is None else listed
    if not 1 <= len(values) <= MOST_VALUES:
        raise ValueError(f"when asks for 1 to {MOST_VALUES} values of {name}, not {len(values)}")
    return tuple(_checked(f"when[{name!r}]", value) for value in values)


def _listed(given: Any) -> list[Any] | None:
    """The members of a list, a tuple, a range or an array of one dimension; None for anything else."""
    if isinstance(given, (list, tuple, range)):
        return list(given)
    if getattr(given, "ndim", None) == 1 and callable(getattr(given, "tolist", None)):
        return list(given.tolist())
    return None


def _checked(name: str, value: Any) -> Value:
    """A number, a text or a boolean, as JSON can hold it."""
    found = scalar(value)
    if isinstance(found, float) and math.isfinite(found):
        return found
    if isinstance(found, int) and abs(found) <= LARGEST_INTEGER:
        return found
    if isinstance(found, str) and _is_text(found):
        return found
    raise ValueError(f"{name} must be numbers, text or booleans, not {value!r}")


def _is_text(text: str) -> bool:
    """The service takes neither NUL nor lone surrogates."""
    return "\x00" not in text and not _has_half(text)


def _has_half(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _kind(value: Value) -> str:
    """JSON's kind of a value: it has one for all numbers."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"
