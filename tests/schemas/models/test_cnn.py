"""The family `cnn`: what is open in it, and what a configuration costs."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.models import Infeasible
from schemas.models.cnn import ATTENTIONS, HEADS, POOLINGS, Cnn, CnnSchema
from schemas.models.parts import ACTIVATIONS, INITIALIZERS
from tests.schemas.faults import faults

SMALL = Cnn(
    blocks=1,
    convs_per_block=1,
    filters=8,
    filter_growth=2,
    kernel_size=3,
    activation="relu",
    pooling="max",
    batch_norm=False,
    residual=False,
    attention="none",
    head="flatten",
    dense_layers=1,
    dense_units=16,
    conv_dropout=0.0,
    dropout=0.5,
    l2=0.0,
    initializer="glorot_uniform",
)
SHAPE = (28, 28, 1)


def count(shape: tuple[int, ...] = (8, 8, 1), **changes: Any) -> int:
    return replace(SMALL, **changes).count_parameters(shape, 10)


def test_nothing_but_the_family_is_required() -> None:
    loaded = CnnSchema().load({"family": "cnn"})
    assert loaded.pop("family") == "cnn"
    assert Cnn(**loaded) == replace(SMALL, blocks=2, filters=32, dense_units=128)


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("activation", ACTIVATIONS),
        ("pooling", POOLINGS),
        ("attention", ATTENTIONS),
        ("head", HEADS),
        ("initializer", INITIALIZERS),
    ],
)
def test_every_name_can_be_asked_for_alone_and_as_a_choice(field: str, names: tuple[str, ...]) -> None:
    for name in names:
        assert CnnSchema().load({"family": "cnn", field: name})[field] == name
    open_ = {"type": "choice", "values": list(names)}
    assert CnnSchema().load({"family": "cnn", field: open_})[field].grid_values() == list(names)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"activation": "os.system"}, [("/activation", "value_not_allowed")]),
        ({"filters": 10**9}, [("/filters", "value_out_of_range")]),
        ({"filters": {"type": "int", "min": 1, "max": 10**9}}, [("/filters/max", "value_out_of_range")]),
        ({"blocks": 0}, [("/blocks", "value_out_of_range")]),
        ({"convs_per_block": 0}, [("/convs_per_block", "value_out_of_range")]),
        ({"dropout": 1}, [("/dropout", "value_out_of_range")]),
        ({"conv_dropout": 1}, [("/conv_dropout", "value_out_of_range")]),
        ({"l2": -0.1}, [("/l2", "value_out_of_range")]),
        ({"pooling": "avg"}, [("/pooling", "value_not_allowed")]),
        ({"attention": True}, [("/attention", "invalid_type")]),
        ({"residual": "yes"}, [("/residual", "invalid_type")]),
        ({"batch_norm": {"type": "int", "min": 0, "max": 1}}, [("/batch_norm/type", "value_not_allowed")]),
        ({"kernel_size": [3, 3]}, [("/kernel_size", "invalid_type")]),
        ({"dense_layers": -1}, [("/dense_layers", "value_out_of_range")]),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(
    section: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert faults(CnnSchema, {"family": "cnn", **section}) == expected


def test_a_refused_activation_comes_with_the_list_of_what_is_allowed() -> None:
    with pytest.raises(Exception, match="relu") as caught:
        CnnSchema().load({"family": "cnn", "activation": "os.system"})
    assert all(name in str(caught.value) for name in ACTIVATIONS)


@pytest.mark.parametrize(
    ("changes", "shape", "expected"),
    [
        # One convolution (9 x 1 + 1) x 8, then 4 x 4 x 8 features to 16 units to 10 classes.
        ({}, (8, 8, 1), 80 + 129 * 16 + 17 * 10),
        ({"dense_units": 0}, (8, 8, 1), 80 + 129 * 10),
        ({"dense_layers": 0}, (8, 8, 1), 80 + 129 * 10),
        ({"dense_layers": 2}, (8, 8, 1), 80 + 129 * 16 + 17 * 16 + 17 * 10),
        ({"batch_norm": True}, (8, 8, 1), 80 + 32 + 129 * 16 + 17 * 10),
        ({"blocks": 2}, (8, 8, 1), 80 + (9 * 8 + 1) * 16 + 65 * 16 + 17 * 10),
        ({"blocks": 2, "filter_growth": 1}, (8, 8, 1), 80 + (9 * 8 + 1) * 8 + 33 * 16 + 17 * 10),
        ({"convs_per_block": 2}, (8, 8, 1), 80 + (9 * 8 + 1) * 8 + 129 * 16 + 17 * 10),
        ({}, (9, 9, 3), (9 * 3 + 1) * 8 + 129 * 16 + 17 * 10),
        # A stride pads the odd side: 5 x 5.
        ({"pooling": "stride"}, (9, 9, 3), (9 * 3 + 1) * 8 + 201 * 16 + 17 * 10),
        ({"kernel_size": 5}, (8, 8, 1), 26 * 8 + 129 * 16 + 17 * 10),
        ({"head": "global_average"}, (8, 8, 1), 80 + 9 * 16 + 17 * 10),
        # A shortcut of 1 x 1 from one channel to 8; none where the channels are the same.
        ({"residual": True}, (8, 8, 1), 80 + 16 + 129 * 16 + 17 * 10),
        ({"residual": True}, (8, 8, 8), (72 + 1) * 8 + 129 * 16 + 17 * 10),
        # 8 channels to one and back.
        ({"attention": "squeeze_excite"}, (8, 8, 1), 80 + 9 + 16 + 129 * 16 + 17 * 10),
        # Normalisation, then three projections to one head of 32 channels, and one back.
        ({"attention": "self"}, (8, 8, 1), 80 + 16 + 3 * 9 * 32 + 33 * 8 + 129 * 16 + 17 * 10),
    ],
)
def test_parameters_are_counted_layer_by_layer(
    changes: dict[str, Any], shape: tuple[int, int, int], expected: int
) -> None:
    assert count(shape, **changes) == expected


@pytest.mark.parametrize(
    ("blocks", "shape", "room"),
    [(4, (8, 8, 1), 3), (1, (1, 28, 1), 0), (2, (28, 3, 1), 1), (10, (512, 512, 3), 9)],
)
def test_more_blocks_than_the_image_has_room_for_are_infeasible(
    blocks: int, shape: tuple[int, int, int], room: int
) -> None:
    with pytest.raises(Infeasible, match=f"has room for {room} blocks"):
        count(shape, blocks=blocks)
    if room:
        assert count(shape, blocks=room) > 0


def test_strides_always_have_room() -> None:
    assert count((1, 2, 1), blocks=10, pooling="stride", filter_growth=1) > 0


@given(
    st.sampled_from(["filters", "filter_growth", "kernel_size", "convs_per_block", "dense_units"]),
    st.integers(1, 4),
    st.booleans(),
)
def test_more_of_a_size_is_more_parameters(name: str, low: int, norm: bool) -> None:
    few, more = (count(SHAPE, blocks=2, batch_norm=norm, **{name: low + extra}) for extra in (0, 1))
    assert few < more


def test_penalties_dropout_and_beginnings_cost_nothing() -> None:
    free = {"l2": 1.0, "dropout": 0.1, "conv_dropout": 0.2, "initializer": "he_normal", "activation": "elu"}
    assert count(SHAPE, **free) == count(SHAPE)


def test_rows_of_features_are_no_images() -> None:
    with pytest.raises(Infeasible, match="cnn takes images"):
        count((64,))
