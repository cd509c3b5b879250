"""The family `vit`: its limits, its patches and its count of parameters."""

from dataclasses import replace
from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.models.family import Infeasible
from schemas.models.parts import MAX_PLACES
from schemas.models.vit import Vit, VitSchema
from schemas.problems import error_items

SMALL = Vit(patch_size=4, width=8, depth=1, heads=2, dropout=0.1)


def test_the_defaults_suit_small_images() -> None:
    loaded = VitSchema().load({"family": "vit"})
    loaded.pop("family")
    assert Vit(**loaded) == Vit(patch_size=4, width=64, depth=4, heads=4, dropout=0.1)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [("patch_size", 1, 64), ("width", 8, 1024), ("depth", 1, 24), ("heads", 1, 16), ("dropout", 0.0, 0.99)],
)
def test_fields_have_limits_and_may_be_left_open(name: str, lowest: Any, highest: Any) -> None:
    kind = "float" if name == "dropout" else "int"
    for value in (lowest, highest, {"type": kind, "min": lowest, "max": highest}):
        VitSchema().load({"family": "vit", name: value})
    for value in (lowest - 1, highest + 1):
        with pytest.raises(ValidationError) as caught:
            VitSchema().load({"family": "vit", name: value})
        assert [(item.pointer, item.code) for item in error_items(caught.value.messages)] == [
            (f"/{name}", "value_out_of_range")
        ]


@pytest.mark.parametrize(
    ("changes", "shape", "expected"),
    [
        # 16 pixels and 4 positions to 8 channels; a block of 2 norms, attention and two dense layers; a norm;
        # 10 classes.
        ({}, (8, 8, 1), 16 * 8 + 4 * 8 + (32 + 4 * 9 * 8 + 9 * 32 + 33 * 8) + 16 + 90),
        ({"depth": 2}, (8, 8, 1), 16 * 8 + 4 * 8 + 2 * (32 + 4 * 9 * 8 + 9 * 32 + 33 * 8) + 16 + 90),
        # Padding makes 3 x 3 patches.
        ({}, (9, 9, 3), 48 * 8 + 9 * 8 + (32 + 4 * 9 * 8 + 9 * 32 + 33 * 8) + 16 + 90),
        # Three heads of two channels.
        ({"heads": 3}, (8, 8, 1), 16 * 8 + 4 * 8 + (32 + 3 * 9 * 6 + 7 * 8 + 9 * 32 + 33 * 8) + 16 + 90),
    ],
)
def test_parameters_are_counted_layer_by_layer(
    changes: dict[str, Any], shape: tuple[int, ...], expected: int
) -> None:
    assert replace(SMALL, **changes).count_parameters(shape, 10) == expected


@pytest.mark.parametrize("shape", [(3, 28, 1), (28, 3, 1)])
def test_a_patch_larger_than_the_image_is_infeasible(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        Infeasible, match=f"patch_size of 4 is larger than an image of {shape[0]} x {shape[1]}"
    ):
        SMALL.count_parameters(shape, 10)
    assert replace(SMALL, patch_size=3).count_parameters(shape, 10) > 0


def test_more_patches_than_attention_can_take_are_infeasible() -> None:
    assert replace(SMALL, patch_size=1).count_parameters((64, 64, 1), 10) > 0
    with pytest.raises(Infeasible, match=f"65 x 64 into 4,160 patches.*{MAX_PLACES:,} at most"):
        replace(SMALL, patch_size=1).count_parameters((65, 64, 1), 10)


def test_rows_of_features_have_no_patches() -> None:
    with pytest.raises(Infeasible, match="not rows of features"):
        SMALL.count_parameters((64,), 10)
