"""The family `resnet`: what of it may be left open. What it costs is held against Keras in tests/tuning."""

from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.distributions import Choice
from schemas.models.family import Infeasible
from schemas.models.resnet import ResNet, ResNetSchema
from schemas.problems import error_items


def refused(section: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        ResNetSchema().load({"family": "resnet", **section})
    return [(item.pointer, item.code) for item in error_items(caught.value.messages)]


def test_nothing_but_the_family_is_required() -> None:
    loaded = ResNetSchema().load({"family": "resnet"})
    assert loaded.pop("family") == ResNet.family
    assert ResNet(**loaded) == ResNet(version="v2", conv3_depth=4, conv4_depth=6, pooling="avg")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"version": "v3"}, [("/version", "value_not_allowed")]),
        ({"conv3_depth": 5}, [("/conv3_depth", "value_not_allowed")]),
        ({"conv3_depth": "4"}, [("/conv3_depth", "invalid_type")]),
        ({"conv4_depth": 4}, [("/conv4_depth", "value_not_allowed")]),
        (
            {"conv4_depth": {"type": "choice", "values": [6, 7]}},
            [("/conv4_depth/values/1", "value_not_allowed")],
        ),
        ({"pooling": "flatten"}, [("/pooling", "value_not_allowed")]),
        ({"depth": 3}, [("/depth", "unknown_field")]),
    ],
)
def test_a_value_that_keras_tuner_has_not_is_refused(
    section: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert refused(section) == expected


def test_a_depth_is_left_open_as_a_choice() -> None:
    open_ = {"conv3_depth": {"type": "choice", "values": [4, 8]}}
    loaded = ResNetSchema().load({"family": "resnet", **open_})["conv3_depth"]
    assert isinstance(loaded, Choice)
    assert loaded.grid_values() == [4, 8]


@pytest.mark.parametrize("kind", ["int", "float"])
def test_a_range_of_depths_would_have_those_in_between(kind: str) -> None:
    open_ = {"conv3_depth": {"type": kind, "min": 4, "max": 8}}
    assert refused(open_) == [("/conv3_depth/type", "value_not_allowed")]


def test_rows_of_features_are_no_images() -> None:
    with pytest.raises(Infeasible, match="resnet takes images"):
        ResNet("v2", 4, 6, "avg").count_parameters((64,), 10)
