"""Model families: what of each is open, and what a configuration costs."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from schemas.models import ACTIVATIONS, FAMILIES, Cnn, Infeasible, ModelSchema
from schemas.problems import error_items

SMALL = Cnn(
    blocks=1,
    filters=8,
    filter_growth=2,
    kernel_size=3,
    activation="relu",
    batch_norm=False,
    dense_units=16,
    dropout=0.5,
    l2=0.0,
)


def refused(model: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        ModelSchema().load(model)
    return [(item.pointer, item.code) for item in error_items(caught.value.messages)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_known_by_the_name_its_value_has(family: str) -> None:
    schema = FAMILIES[family]
    assert schema.makes.family == family
    assert ModelSchema().load({"family": family})["family"] == family
    assert set(schema.makes.turning) <= set(schema().load_fields)
    assert (schema.__doc__ or "").strip()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({}, [("/family", "missing_field")]),
        ({"family": "lambda"}, [("/family", "value_not_allowed")]),
        ({"family": 3}, [("/family", "invalid_type")]),
        ({"family": None}, [("/family", "invalid_type")]),
        ({"family": ["cnn"]}, [("/family", "invalid_type")]),
        ({"family": {"type": "choice", "values": ["cnn", "mlp"]}}, [("/family", "invalid_type")]),
        ([], [("", "invalid_type")]),
        ("cnn", [("", "invalid_type")]),
        ({"family": "cnn", "module": "os"}, [("/module", "unknown_field")]),
        ({"family": "cnn", "class_name": "Lambda"}, [("/class_name", "unknown_field")]),
        ({"family": "cnn", "activation": "os.system"}, [("/activation", "value_not_allowed")]),
        ({"family": "cnn", "filters": 10**9}, [("/filters", "value_out_of_range")]),
        ({"family": "cnn", "blocks": 0}, [("/blocks", "value_out_of_range")]),
        ({"family": "cnn", "dropout": 1}, [("/dropout", "value_out_of_range")]),
        ({"family": "cnn", "l2": -0.1}, [("/l2", "value_out_of_range")]),
    ],
)
def test_a_model_that_does_not_fit_is_refused_at_its_place(
    model: Any, expected: list[tuple[str, str]]
) -> None:
    assert refused(model) == expected


def test_a_refused_activation_comes_with_the_list_of_what_is_allowed() -> None:
    with pytest.raises(ValidationError) as caught:
        ModelSchema().load({"family": "cnn", "activation": "os.system"})
    detail = next(error_items(caught.value.messages)).detail
    assert all(name in detail for name in ACTIVATIONS)


@pytest.mark.parametrize(
    ("changes", "shape", "expected"),
    [
        # One convolution (9 x 1 + 1) x 8, then 4 x 4 x 8 features to 16 units to 10 classes.
        ({}, (8, 8, 1), 80 + 129 * 16 + 17 * 10),
        ({"dense_units": 0}, (8, 8, 1), 80 + 129 * 10),
        ({"batch_norm": True}, (8, 8, 1), 80 + 32 + 129 * 16 + 17 * 10),
        ({"blocks": 2}, (8, 8, 1), 80 + (9 * 8 + 1) * 16 + 65 * 16 + 17 * 10),
        ({"blocks": 2, "filter_growth": 1}, (8, 8, 1), 80 + (9 * 8 + 1) * 8 + 33 * 16 + 17 * 10),
        ({}, (9, 9, 3), (9 * 3 + 1) * 8 + 129 * 16 + 17 * 10),
        ({"kernel_size": 5}, (8, 8, 1), 26 * 8 + 129 * 16 + 17 * 10),
    ],
)
def test_parameters_are_counted_layer_by_layer(
    changes: dict[str, Any], shape: tuple[int, int, int], expected: int
) -> None:
    assert replace(SMALL, **changes).count_parameters(shape, 10) == expected


@pytest.mark.parametrize(
    ("blocks", "shape", "room"),
    [(4, (8, 8, 1), 3), (1, (1, 28, 1), 0), (2, (28, 3, 1), 1), (10, (512, 512, 3), 9)],
)
def test_more_blocks_than_the_image_has_room_for_are_infeasible(
    blocks: int, shape: tuple[int, int, int], room: int
) -> None:
    with pytest.raises(Infeasible, match=f"has room for {room} blocks"):
        replace(SMALL, blocks=blocks).count_parameters(shape, 10)
    if room:
        assert replace(SMALL, blocks=room).count_parameters(shape, 10) > 0


@given(
    st.sampled_from(["filters", "filter_growth", "kernel_size", "dense_units"]),
    st.integers(1, 4),
    st.booleans(),
)
def test_fields_that_do_not_turn_only_ever_add_parameters(name: str, low: int, norm: bool) -> None:
    few, more = (replace(SMALL, blocks=2, batch_norm=norm, **{name: low + extra}) for extra in (0, 1))
    assert few.count_parameters((28, 28, 1), 10) < more.count_parameters((28, 28, 1), 10)


def test_an_l2_and_a_dropout_cost_nothing() -> None:
    shape = (28, 28, 1)
    assert replace(SMALL, l2=1.0, dropout=0.1).count_parameters(shape, 10) == SMALL.count_parameters(
        shape, 10
    )
