"""The family `xception`: what of it may be left open. What it costs is held against Keras in tests/tuning."""

from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.distributions import IntRange
from schemas.models.family import Infeasible
from schemas.models.xception import Xception, XceptionSchema
from schemas.problems import error_items

DEFAULT = Xception(
    activation="relu",
    conv2d_num_filters=64,
    kernel_size=3,
    initial_strides=2,
    sep_num_filters=256,
    num_residual_blocks=4,
    pooling="avg",
    dropout_rate=0.5,
)


def test_nothing_but_the_family_is_required() -> None:
    loaded = XceptionSchema().load({"family": "xception"})
    assert loaded.pop("family") == Xception.family
    assert Xception(**loaded) == DEFAULT


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"activation": "tanh"}, [("/activation", "value_not_allowed")]),
        ({"conv2d_num_filters": 65}, [("/conv2d_num_filters", "value_not_allowed")]),
        ({"kernel_size": {"type": "int", "min": 3, "max": 5}}, [("/kernel_size/type", "value_not_allowed")]),
        ({"initial_strides": 3}, [("/initial_strides", "value_not_allowed")]),
        ({"sep_num_filters": 0}, [("/sep_num_filters", "value_out_of_range")]),
        ({"sep_num_filters": 2049}, [("/sep_num_filters", "value_out_of_range")]),
        ({"num_residual_blocks": 17}, [("/num_residual_blocks", "value_out_of_range")]),
        ({"pooling": "mean"}, [("/pooling", "value_not_allowed")]),
        ({"dropout_rate": 1.0}, [("/dropout_rate", "value_out_of_range")]),
        ({"num_dense_layers": 2}, [("/num_dense_layers", "unknown_field")]),
    ],
)
def test_a_value_outside_the_limits_is_refused(
    section: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(ValidationError) as caught:
        XceptionSchema().load({"family": "xception", **section})
    assert [(item.pointer, item.code) for item in error_items(caught.value.messages)] == expected


def test_the_filters_may_be_any_number_of_a_range() -> None:
    open_ = {"sep_num_filters": {"type": "int", "min": 8, "max": 128, "step": 2, "sampling": "log"}}
    loaded = XceptionSchema().load({"family": "xception", **open_})["sep_num_filters"]
    assert isinstance(loaded, IntRange)
    assert loaded.grid_values() == [8, 16, 32, 64, 128]


def test_rows_of_features_are_no_images() -> None:
    with pytest.raises(Infeasible, match="xception takes images"):
        DEFAULT.count_parameters((64,), 10)
