"""The family `efficientnet`: what of it may be left open, and which images fit."""

from dataclasses import replace
from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.models.efficientnet import VERSIONS, EfficientNet, EfficientNetSchema
from schemas.models.family import Infeasible
from schemas.problems import error_items

DEFAULT = EfficientNet(version="B0", pooling="avg", top_dropout_rate=0.2, weights="none", resize=True)


def test_nothing_but_the_family_is_required() -> None:
    loaded = EfficientNetSchema().load({"family": "efficientnet"})
    assert loaded.pop("family") == EfficientNet.family
    assert EfficientNet(**loaded) == DEFAULT


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"version": "B8"}, [("/version", "value_not_allowed")]),
        ({"version": 0}, [("/version", "invalid_type")]),
        ({"pooling": "flatten"}, [("/pooling", "value_not_allowed")]),
        ({"top_dropout_rate": -0.1}, [("/top_dropout_rate", "value_out_of_range")]),
        ({"weights": "/etc/passwd"}, [("/weights", "value_not_allowed")]),
        ({"weights": None}, [("/weights", "invalid_type")]),
        ({"resize": 224}, [("/resize", "invalid_type")]),
    ],
)
def test_a_value_outside_the_limits_is_refused(
    section: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(ValidationError) as caught:
        EfficientNetSchema().load({"family": "efficientnet", **section})
    assert [(item.pointer, item.code) for item in error_items(caught.value.messages)] == expected


def test_a_larger_version_costs_more() -> None:
    costs = [replace(DEFAULT, version=name).count_parameters((8, 8, 1), 10) for name in VERSIONS]
    assert costs == sorted(costs)


def test_small_images_are_to_be_resized() -> None:
    kept = replace(DEFAULT, resize=False)
    with pytest.raises(Infeasible, match="not 31 x 40: with resize they become 224 x 224"):
        kept.count_parameters((31, 40, 3), 10)
    assert kept.count_parameters((32, 40, 3), 10) == DEFAULT.count_parameters((31, 40, 3), 10)


def test_imagenets_weights_make_three_channels_of_one_and_fit_no_others() -> None:
    pretrained = replace(DEFAULT, weights="imagenet")
    assert pretrained.count_parameters((8, 8, 1), 10) == DEFAULT.count_parameters((8, 8, 3), 10)
    for channels in (2, 4):
        with pytest.raises(Infeasible, match=f"1 or 3 channels, these have {channels}"):
            pretrained.count_parameters((8, 8, channels), 10)


def test_rows_of_features_are_no_images() -> None:
    with pytest.raises(Infeasible, match="efficientnet takes images"):
        DEFAULT.count_parameters((64,), 10)
