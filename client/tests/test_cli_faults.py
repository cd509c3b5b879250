"""Offline faults: the place, and a message that says what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from tuneserve.cli.faults import check_offline
from tuneserve.cli.init import FAMILIES, commented, spec_of
from tuneserve.cli.specs import read_spec

LEAST: dict[str, Any] = {"dataset": "builtin:digits", "model": {"family": "cnn"}, "budget": {"max_trials": 1}}
RATE = {"type": "float", "min": 1e-4, "max": 1e-1}


def told(**changes: Any) -> dict[str, str]:
    return {fault.pointer: fault.detail for fault in check_offline({**LEAST, **changes})}


def test_a_spec_that_fits() -> None:
    assert check_offline(LEAST) == []
    assert told(training={"learning_rate": RATE, "schedule": {"type": "cosine"}}) == {}
    assert told(search={"algorithm": "bayesian", "stopping": {"rule": "median"}}) == {}


@pytest.mark.parametrize(
    ("changes", "pointer", "said"),
    [
        ({"modell": {}}, "/modell", "unknown field; did you mean model?"),
        ({"model": {}}, "/model/family", "family is missing: cnn, layers"),
        ({"model": {"family": "cn"}}, "/model/family", 'not "cn"; did you mean cnn?'),
        ({"model": {"family": ["cnn"]}}, "/model/family", "must be cnn, layers"),
        (
            {"model": {"family": "cnn", "droput": 0.1}},
            "/model/droput",
            "unknown field; did you mean dropout?",
        ),
        ({"model": {"family": "mlp", "units": 0}}, "/model/units", "must be at least 1, not 0"),
        ({"model": {"family": "mlp", "units": 1.5}}, "/model/units", "must be a whole number, not 1.5"),
        (
            {"model": {"family": "mlp", "units": "8"}},
            "/model/units",
            'or an object of type int or choice, not "8", which is a text: leave out the quotes',
        ),
        ({"model": "cnn"}, "/model", 'must be an object, not "cnn"'),
        ({"model": "family:cnn"}, "/model", 'not "family:cnn"; a space is missing after the colon'),
        ({"seed": "3"}, "/seed", 'must be a whole number, not "3", which is a text: leave out the quotes'),
        (
            {"model": {"family": "layers", "layers": [{"type": "Dens"}]}},
            "/model/layers/0/type",
            "did you mean Dense?",
        ),
        (
            {"model": {"family": "layers", "layers": [{"type": "Dense", "units": 3, "bias": 3}]}},
            "/model/layers/0/bias",
            "unknown field; did you mean use_bias?",
        ),
        (
            {"training": {"learning_rate": {**RATE, "typ": 1}}},
            "/training/learning_rate/typ",
            "unknown field; did you mean type?",
        ),
        (
            {"training": {"learning_rate": {"type": "float", "min": 1}}},
            "/training/learning_rate/max",
            "max is missing",
        ),
        (
            {"training": {"learning_rate": {"min": 1, "max": 2}}},
            "/training/learning_rate/type",
            "type is missing: float, int or choice",
        ),
        ({"training": {"learning_rate": 0}}, "/training/learning_rate", "must be above 0, not 0"),
        ({"training": {"optimizer": "Adam"}}, "/training/optimizer", "did you mean adam?"),
        ({"training": {"schedule": {"type": "cosin"}}}, "/training/schedule/type", "did you mean cosine?"),
        ({"training": {"early_stopping": 5}}, "/training/early_stopping", "must be an object or null, not 5"),
        ({"search": {"algorithm": "byesian"}}, "/search/algorithm", "did you mean bayesian?"),
        (
            {"search": {"algorithm": "grid", "stopping": {"rule": "medan"}}},
            "/search/stopping/rule",
            "did you mean median?",
        ),
        (
            {"preprocessing": {"image_size": [32]}},
            "/preprocessing/image_size",
            "must have at least 2 of them, not 1",
        ),
        (
            {"objective": {"metric": "val_loss", "direction": "maximize"}},
            "/objective/direction",
            "must be minimize, not",
        ),
        ({"seed": True}, "/seed", "must be a whole number, not true"),
        ({"dataset": "digits"}, "/dataset", "An uploaded data set's id, or a built-in one's"),
        ({"labels": {"a b": "c"}}, "/labels", '"a b" does not look as it must'),
        ({"budget": {"max_trials": 10**9}}, "/budget/max_trials", "must be at most 10000, not 1000000000"),
    ],
)
def test_a_fault_says_where_and_what_instead(changes: dict[str, Any], pointer: str, said: str) -> None:
    found = told(**changes)
    assert list(found) == [pointer]
    assert said in found[pointer]


def test_every_fault_is_told_once() -> None:
    assert list(told(model={"family": "cnn", "blocks": 0, "filter": 3}, seed=-1)) == [
        "/model/blocks",
        "/model/filter",
        "/seed",
    ]
    assert [fault.code for fault in check_offline({})] == ["required"] * 3


@pytest.mark.parametrize("family", FAMILIES)
def test_what_init_writes_fits_and_says_all(family: str, tmp_path: Any) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(commented(spec_of(family, "ds_1"), file), encoding="utf-8")
    assert read_spec(file) == spec_of(family, "ds_1")
    assert check_offline(spec_of(family, "ds_1")) == []
    assert max(map(len, file.read_text(encoding="utf-8").splitlines())) <= 110


@pytest.mark.parametrize("family", FAMILIES)
def test_its_comments_can_be_taken_in_by_removing_the_sign(family: str, tmp_path: Any) -> None:
    file = tmp_path / "a.yaml"
    lines = commented(spec_of(family, "ds_1"), file).splitlines()
    opened = [line.replace("# ", "", 1) if line.startswith("  # ") else line for line in lines]
    assert opened != lines
    file.write_text("\n".join(opened), encoding="utf-8")
    assert check_offline(read_spec(file)) == []
