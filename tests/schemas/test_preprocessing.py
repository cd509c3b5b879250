"""Preprocessing: which inputs become which, and what may be left open."""

from typing import Any

import pytest

from schemas.distributions import Choice, IntRange
from schemas.models import Infeasible
from schemas.preprocessing import COLORS, MAX_SIDE, SCALINGS, Preprocessing, PreprocessingSchema
from tests.schemas.faults import faults


def new(image_size: Any = None, color: str = "keep", scaling: str = "unit") -> Preprocessing:
    return Preprocessing(scaling, image_size, color)


def test_without_a_word_only_the_range_of_pixels_changes() -> None:
    assert Preprocessing(**PreprocessingSchema().load({})) == new()


@pytest.mark.parametrize(
    ("preprocessing", "shape", "expected"),
    [
        (new(), (28, 20, 1), (28, 20, 1)),
        (new(32), (28, 20, 1), (32, 32, 1)),
        (new([16, 24]), (28, 20, 3), (16, 24, 3)),
        (new(color="rgb"), (8, 8, 1), (8, 8, 3)),
        (new(color="rgb"), (8, 8, 4), (8, 8, 3)),
        (new(color="grayscale"), (8, 8, 3), (8, 8, 1)),
        (new(color="grayscale"), (8, 8, 4), (8, 8, 1)),
        (new(4, "rgb"), (8, 6, 1), (4, 4, 3)),
        (new(), (8, 8, 7), (8, 8, 7)),
        (new(), (64,), (64,)),
    ],
)
def test_the_net_gets_inputs_of_this_shape(
    preprocessing: Preprocessing, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert preprocessing.prepared(shape) == expected


@pytest.mark.parametrize(
    ("preprocessing", "shape", "reason"),
    [
        (new(32), (64,), "rows of features"),
        (new(color="rgb"), (64,), "rows of features"),
        (new(color="rgb"), (8, 8, 2), "2 channels"),
        (new(color="grayscale"), (8, 8, 7), "7 channels"),
    ],
)
def test_what_has_no_size_or_color_cannot_change_it(
    preprocessing: Preprocessing, shape: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(Infeasible, match=reason):
        preprocessing.prepared(shape)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("color", COLORS)
def test_every_name_can_be_asked_for(scaling: str, color: str) -> None:
    assert PreprocessingSchema().load({"scaling": scaling, "color": color})["color"] == color


def test_every_value_can_be_left_open() -> None:
    found = PreprocessingSchema().load(
        {
            "scaling": {"type": "choice", "values": ["unit", "none"]},
            "image_size": {"type": "int", "min": 8, "max": 64, "step": 8},
            "color": {"type": "choice", "values": ["rgb", "keep"]},
        }
    )
    assert [type(found[name]) for name in ("scaling", "image_size", "color")] == [Choice, IntRange, Choice]
    # Where a condition rules it out, an image keeps its size.
    assert found["image_size"].otherwise is None


@pytest.mark.parametrize(
    ("section", "pointer", "code"),
    [
        ({"scaling": "255"}, "/scaling", "value_not_allowed"),
        ({"scaling": None}, "/scaling", "invalid_type"),
        ({"color": "bgr"}, "/color", "value_not_allowed"),
        ({"image_size": 0}, "/image_size", "value_out_of_range"),
        ({"image_size": MAX_SIDE + 1}, "/image_size", "value_out_of_range"),
        ({"image_size": [8, 0]}, "/image_size/1", "value_out_of_range"),
        ({"image_size": [8]}, "/image_size", "invalid_value"),
        ({"image_size": "8"}, "/image_size", "invalid_type"),
        ({"image_size": {"type": "float", "min": 8, "max": 9}}, "/image_size/type", "value_not_allowed"),
        ({"size": 8}, "/size", "unknown_field"),
        ({"color": {"type": "choice", "values": ["rgb", "x"]}}, "/color/values/1", "value_not_allowed"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(section: dict[str, Any], pointer: str, code: str) -> None:
    assert faults(PreprocessingSchema, section) == [(pointer, code)]
