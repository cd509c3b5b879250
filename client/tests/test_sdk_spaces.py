"""Values left open: held against the service's own schema, and what a spec becomes before it is sent."""

from __future__ import annotations

import json
import pickle
from copy import deepcopy
from dataclasses import FrozenInstanceError, replace
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from schemas.fields import Boolean as BooleanField
from schemas.fields import Integer, Number, String
from schemas.specs import load_spec
from schemas.tunables import Tunable
from tuneserve import spaces as hp
from tuneserve.datasets import Dataset
from tuneserve.errors import Unsendable
from tuneserve.jobs import Job
from tuneserve.spaces import Boolean, Choice, Float, Int, Space, plain

WHEN = {"training.optimizer": ["sgd", "rmsprop"]}

_NUMBERS = st.sampled_from([-1.0, 0.0, 1e-5, 0.1, 0.25, 0.3, 0.6, 1.0, 2.0, 10.0, 64.0]) | st.floats(-5, 100)
_WHOLE = st.sampled_from([-2, 0, 1, 2, 3, 8, 32, 64, 512]) | st.integers(-5, 100)
_SAMPLINGS = st.sampled_from(["linear", "log", "reverse_log", "ln"])
_SCALARS = st.sampled_from([0, 1, 2.5, -1, "a", "b", "", "\x00", True, False]) | st.integers(-3, 3)
_WHENS = st.none() | st.dictionaries(
    st.sampled_from(["a", "training.optimizer"]), st.lists(_SCALARS, max_size=3), max_size=2
)


def _range(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {"step": numbers, "sampling": _SAMPLINGS, "default": numbers, "when": _WHENS}
    return st.fixed_dictionaries({"min": numbers, "max": numbers}, optional=optional)


def _choice(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    flags = st.none() | st.booleans()
    return st.fixed_dictionaries(
        {"values": st.lists(values, max_size=4)},
        optional={"ordered": flags, "default": values, "when": _WHENS},
    )


_TEXTS = st.sampled_from(["adam", "sgd", "é", "", "\x00", "\ud800"])
_CASES = st.one_of(
    st.tuples(st.just((Float, Number())), _range(_NUMBERS)),
    st.tuples(st.just((Int, Integer())), _range(_WHOLE)),
    st.tuples(st.just((Choice, Number())), _choice(_NUMBERS)),
    st.tuples(st.just((Choice, Integer())), _choice(_WHOLE)),
    st.tuples(st.just((Choice, String())), _choice(_TEXTS)),
    st.tuples(st.just((Choice, BooleanField())), _choice(st.booleans())),
    st.tuples(
        st.just((Boolean, BooleanField())),
        st.fixed_dictionaries({}, optional={"default": st.none() | st.booleans(), "when": _WHENS}),
    ),
)


def _by_service(inner: Any, document: dict[str, Any]) -> Any:
    try:
        return Tunable(inner).deserialize(document)
    except ValidationError:
        return None


def _by_us(kind: type[Space], arguments: dict[str, Any]) -> Space | None:
    try:
        return kind(**arguments)
    except ValueError:
        return None


@settings(max_examples=300, deadline=None)
@given(_CASES)
def test_the_service_accepts_what_a_helper_makes_and_the_other_way_round(case: Any) -> None:
    (kind, inner), arguments = case
    theirs = _by_service(inner, {"type": kind.type, **arguments})
    ours = _by_us(kind, arguments)
    assert (theirs is None) == (ours is None)
    if ours is not None:
        assert _by_service(inner, json.loads(json.dumps(ours.document()))) == theirs
        assert hash(ours) == hash(kind(**arguments))


_STEPPED = st.tuples(
    st.sampled_from([0.001, 0.1, 1.0, 3.0]), st.sampled_from([2.0, 3.0, 1.5, 10.0, 0.1, 0.05])
)


@settings(max_examples=200, deadline=None)
@given(_STEPPED, st.integers(1, 12), st.integers(0, 12), st.sampled_from(["linear", "log", "reverse_log"]))
def test_a_default_lies_on_the_steps_that_the_service_has(ends, count, index, sampling: str) -> None:
    low, step = ends
    if sampling != "linear" and step <= 1:
        step += 1
    high = low + count * step if sampling == "linear" else low * step**count
    arguments = {"min": low, "max": high, "step": step, "sampling": sampling}
    values = Tunable(Number()).deserialize({"type": "float", **arguments}).grid_values()
    default = values[index % len(values)]
    # The last value may be a rounding error beyond the end: the service decides.
    for one in (default, default + (high - low) * 1e-4):
        theirs = _by_service(Number(), {"type": "float", **arguments, "default": one})
        assert (theirs is None) == (_by_us(Float, {**arguments, "default": one}) is None)


def test_the_json_is_that_of_the_recipe() -> None:
    assert Float(1e-5, 1e-1, sampling="log").document() == {
        "type": "float", "min": 1e-5, "max": 1e-1, "sampling": "log"
    }  # fmt: skip
    assert Int(32, 128, step=32, default=64).document() == {
        "type": "int", "min": 32, "max": 128, "step": 32, "default": 64
    }  # fmt: skip
    assert Choice(["adam", "sgd"], ordered=False, when=WHEN).document() == {
        "type": "choice", "values": ["adam", "sgd"], "ordered": False, "when": WHEN
    }  # fmt: skip
    assert Boolean(default=False).document() == {"type": "boolean", "default": False}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float("dropout", 0.1, 0.5), "Float('dropout', ...): a space has no name of its own"),
        (lambda: Int("units", 32, 512), "a space has no name"),
        (lambda: Choice("optimizer", ["adam", "sgd"]), "Choice('optimizer', ...): a space has no name"),
        (lambda: Boolean("batch_norm"), "a space has no name"),
        # These would have two values for one argument, or one that there is not.
        (lambda: Int("units", 32, 512, step=32), "Int('units', ...): a space has no name"),
        (lambda: Int("units", min_value=32, max_value=512), "Int('units', ...): a space has no name"),
        (lambda: Float(name="dropout", min=0.1, max=0.5), "Float('dropout', ...): a space has no name"),
        (lambda: Choice("a", ["b", "c"], ordered=False), "Choice('a', ...): a space has no name"),
        (lambda: Boolean("batch_norm", default=True), "a space has no name"),
        (lambda: Float(min="0.1", max=1), "min must be a number, not '0.1'"),
        (lambda: Choice(values="adam"), "values must be a list, not 'adam'"),
        (lambda: Float(1.0, 0.1), "max must be greater than min: 1 to 0.1"),
        (lambda: Float(1, 1), "max must be greater"),
        (lambda: Float(0, 1, sampling="log"), "min must be greater than 0 with log sampling, not 0"),
        (lambda: Float(5e-324, 1e300, sampling="log"), "too close to 0"),
        (lambda: Float(0, 1, sampling="logarithmic"), "one of linear, log, reverse_log"),
        (lambda: Float(0, 1, step=0), "step must be greater than 0"),
        (lambda: Float(0, 1, step=2), "at least two values from 0 to 1"),
        (lambda: Float(0, 1, step=1e-5), "more than 10,000 values"),
        (lambda: Float(0, 1, step=5e-324), "more than 10,000 values"),
        (lambda: Float(1, 100, step=1, sampling="log"), "it is a factor"),
        (lambda: Float(0, 1, default=2), "default 2 is not from 0 to 1"),
        (lambda: Float(0, 1, step=0.1, default=0.25), "on the steps of 0.1"),
        (lambda: Float(0, float("inf")), "max must be finite"),
        (lambda: Float(0, float("nan")), "max must be finite"),
        (lambda: Float(0, 10**400), "max must be finite"),
        (lambda: Float(0, True), "max must be a number"),
        (lambda: Float(None, 1), "min must be a number"),
        (lambda: Int(1, 2.5), "max must be a whole number, not 2.5"),
        (lambda: Int(1, 2**60), "max must be a whole number"),
        (lambda: Int(1, 8, step=0), "step must be greater than 0"),
        (lambda: Choice([]), "2 to 256 values, not 0"),
        (lambda: Choice([1]), "2 to 256 values, not 1"),
        (lambda: Choice(range(257)), "2 to 256 values, not 257"),
        (lambda: Choice([1, "a"]), "of one kind"),
        (lambda: Choice([1, True]), "of one kind"),
        (lambda: Choice([1, 1.0]), "must differ"),
        (lambda: Choice([[1], [2]]), "numbers, text or booleans"),
        (lambda: Choice([1, 2**53]), "numbers, text or booleans"),
        (lambda: Choice([1, 2], default=True), "default True is none of the values"),
        (lambda: Choice([1, 2], ordered="yes"), "ordered must be True or False"),
        (lambda: Boolean(default=1), "default must be True or False"),
        (lambda: Boolean(when="sgd"), "when must say"),
        (lambda: Boolean(when={"a": []}), "1 to 256 values of a, not 0"),
        (lambda: Boolean(when={1: ["a"]}), "when names its parents"),
        (lambda: Boolean(when={"a": [None]}), "numbers, text or booleans"),
    ],
)
def test_what_does_not_go_together_is_refused_when_it_is_made(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked into below
        make()
    assert message in str(caught.value)


def test_a_condition_may_ask_for_a_single_value() -> None:
    assert Boolean(when={"training.optimizer": "sgd"}) == Boolean(when={"training.optimizer": ["sgd"]})
    assert Boolean(when={"a": ("x", "y")}).document()["when"] == {"a": ["x", "y"]}


def test_spaces_are_frozen_hashable_and_can_be_changed_into_others() -> None:
    one = Float(0.1, 0.5, when=WHEN)
    assert len({one, Float(0.1, 0.5, when=WHEN), Float(0.1, 0.5), Choice([1, 2]), Int(1, 2)}) == 4
    with pytest.raises(FrozenInstanceError):
        one.min = 0.2  # type: ignore[misc]
    with pytest.raises(ValueError, match="greater than min"):
        replace(one, max=0.1)
    assert replace(one, max=0.9) == Float(0.1, 0.9, when=WHEN)
    assert repr(Boolean(when={"a": 1})) == "Boolean(default=None, when={'a': (1,)})"


def test_numbers_of_numpy_are_numbers() -> None:
    assert Float(np.float64(0.5), np.int64(2)) == Float(0.5, 2.0)
    assert Choice(np.array([16, 32])) == Choice([16, 32])
    assert type(Int(np.int32(1), 4).min) is int
    assert Boolean(default=np.True_).default is True


class Colour(str, Enum):  # noqa: UP042 - one whose str() is not its value
    RED = "red"


class Size(IntEnum):
    SMALL = 1


def test_a_spec_becomes_plain() -> None:
    earlier = Job(None, {"id": "job_1", "state": "succeeded"})  # type: ignore[arg-type]
    units = hp.Int(8, 64)
    spec = {
        "dataset": Dataset(id="ds_1"),
        "model": {"family": "layers", "layers": ({"type": "Dense", "units": units},)},
        "training": {"learning_rate": np.float32(0.5), "batch_size": np.int64(32), "shuffle": np.False_},
        "search": {"warm_start": [earlier], "enqueue": [{"a": Colour.RED, "b": Size.SMALL}]},
        "name": None,
    }
    before = json.dumps(spec, default=repr)
    assert json.loads(json.dumps(plain(spec), allow_nan=False)) == {
        "dataset": "ds_1",
        "model": {"family": "layers", "layers": [{"type": "Dense", "units": units.document()}]},
        "training": {"learning_rate": 0.5, "batch_size": 32, "shuffle": False},
        "search": {"warm_start": ["job_1"], "enqueue": [{"a": "red", "b": 1}]},
        "name": None,
    }
    assert json.dumps(spec, default=repr) == before
    assert [type(value) for value in plain([np.float64(1), Colour.RED, Size.SMALL])] == [float, str, int]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"a": [1, {"b/c~": {1, 2}}]}, "/a/1/b~1c~0: JSON cannot hold a set"),
        ({"training": {"epochs": range(3)}}, "/training/epochs: JSON cannot hold a range"),
        ({"a": np.arange(3)}, "/a: JSON cannot hold a ndarray; give its .tolist()"),
        ({"a": float("nan")}, "/a: JSON cannot hold nan"),
        ({"a": {"b": np.float32("inf")}}, "/a/b: JSON cannot hold inf"),
        ({"a": {1: 2}}, "/a: a name must be text, not 1"),
        (b"", "/: JSON cannot hold a bytes"),
        ({"a": hp.Float}, "/a: JSON cannot hold a type"),
    ],
)
def test_what_json_cannot_hold_is_named_by_its_place(document: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        plain(document)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ("\ud800", "/: "),
        ({"labels": {"a": "\udcff"}}, "/labels/a: "),
        ({"labels": {"x\udcff": 1}}, "/labels: "),
        ([{"b": ["c", "d\ud800"]}], "/0/b/1: "),
    ],
)
def test_half_a_character_is_named_by_its_place(document: Any, place: str) -> None:
    with pytest.raises(Unsendable, match="has half a character in it") as caught:
        plain(document)
    assert str(caught.value).startswith(place)


def test_what_keras_tuner_has_and_a_spec_does_not_need() -> None:
    with pytest.raises(AttributeError, match="'Fixed': there is none, write the value itself"):
        _ = hp.Fixed  # type: ignore[attr-defined]
    assert not hasattr(hp, "Other")


def test_spaces_can_be_copied() -> None:
    for one in (Int(8, 64, step=8), Choice(["a", "b"]), Boolean(default=True, when=WHEN)):
        assert pickle.loads(pickle.dumps(one)) == deepcopy(one) == one


def test_a_whole_spec_is_one_that_the_service_takes() -> None:
    spec = {
        "dataset": "builtin:digits",
        "model": {"family": "cnn", "filters": hp.Choice([16, 32]), "dropout": hp.Float(0.2, 0.6, step=0.1)},
        "training": {
            "optimizer": hp.Choice(["adam", "sgd"]),
            "learning_rate": hp.Float(1e-5, 1e-1, sampling="log", default=1e-3),
            "momentum": hp.Float(0, 0.95, when={"training.optimizer": "sgd"}),
            "batch_size": hp.Int(16, 128, step=2, sampling="log"),
        },
        "budget": {"max_trials": 4},
    }
    made = load_spec(plain(spec))
    assert [one.name for one in made.space] == [
        "model.filters", "model.dropout", "training.optimizer", "training.learning_rate",
        "training.momentum", "training.batch_size",
    ]  # fmt: skip
