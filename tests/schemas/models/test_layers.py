"""The family `layers`: what may be written, what is refused where, names, repeats and the count."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError, validate

from schemas.distributions import Choice, FloatRange, IntRange
from schemas.models.arguments import ACTIVATIONS, OWN_NAMES
from schemas.models.family import Infeasible
from schemas.models.flow import EFFECTS
from schemas.models.kinds import LAYERS
from schemas.models.layers import MAX_DEPTH, MAX_ENTRIES, MAX_LAYERS, MAX_VALUES, Layers, LayersSchema
from schemas.problems import ErrorItem, error_items

Entry = dict[str, Any]

DENSE: Entry = {"type": "Dense", "units": 3}
CONV: Entry = {"type": "Conv2D", "filters": 8, "kernel_size": 3}
WHOLE = {"type": "int", "min": 1, "max": 3}
SHARE = {"type": "float", "min": 0.001, "max": 0.5, "sampling": "log"}


def loaded(*entries: Any) -> list[Any]:
    found: list[Any] = LayersSchema().load({"family": "layers", "layers": list(entries)})["layers"]
    return found


def model(*entries: Any) -> Layers:
    return Layers(loaded(*entries))


def refused(*entries: Any) -> list[ErrorItem]:
    with pytest.raises(ValidationError) as caught:
        loaded(*entries)
    return list(error_items(caught.value.messages))


def places(*entries: Any) -> list[tuple[str, str]]:
    return [(item.pointer, item.code) for item in refused(*entries)]


def named(name: Any) -> Entry:
    return {**DENSE, "name": name}


def repeat(times: Any, *entries: Any) -> Entry:
    return {"repeat": times, "layers": list(entries)}


def nested(depth: int) -> Entry:
    return repeat(2, nested(depth - 1)) if depth else DENSE


def test_every_layer_has_its_type_its_effect_and_words_for_all_of_its_arguments() -> None:
    assert set(EFFECTS) == set(LAYERS)
    for kind, schema in LAYERS.items():
        fields = schema().load_fields
        assert isinstance(fields["type"].validate, validate.Equal)
        assert fields["type"].validate.comparable == kind
        assert schema.__doc__
        assert all(field.metadata["description"] for name, field in fields.items() if name != "type")


def test_arguments_are_written_out_with_keras_defaults() -> None:
    assert loaded({"type": "MaxPooling2D"}) == [
        {"type": "MaxPooling2D", "name": None, "pool_size": 2, "strides": None, "padding": "valid"}
    ]


def test_any_argument_may_be_left_open_and_a_loaded_section_is_plain() -> None:
    conv, again, padding = loaded(
        {**CONV, "filters": WHOLE, "kernel_size": [3, WHOLE], "kernel_regularizer": {"l2": SHARE}},
        repeat(WHOLE, {"type": "Dropout", "rate": SHARE}),
        {"type": "ZeroPadding2D", "padding": [[1, WHOLE], 2]},
    )
    assert type(conv) is type(again) is type(padding) is dict
    assert isinstance(conv["filters"], IntRange)
    assert conv["kernel_size"][0] == 3
    assert isinstance(conv["kernel_size"][1], IntRange)
    assert isinstance(conv["kernel_regularizer"]["l2"], FloatRange)
    assert conv["kernel_regularizer"]["l1"] == 0.0
    assert isinstance(again["repeat"], IntRange)
    assert isinstance(again["layers"][0]["rate"], FloatRange)
    assert isinstance(padding["padding"][0][1], IntRange)


def test_a_regularizer_is_a_name_a_choice_of_names_or_numbers() -> None:
    names = {"type": "choice", "values": ["l1", "l2"]}
    written = (None, "l1_l2", names, {"l1": 0.1})
    found = [
        layer["kernel_regularizer"]
        for layer in loaded(*({**DENSE, "kernel_regularizer": one} for one in written))
    ]
    assert found[:2] == [None, "l1_l2"]
    assert isinstance(found[2], Choice)
    assert found[3] == {"l1": 0.1, "l2": 0.0}


_OPEN_WHOLE = st.integers(1, 4) | st.just(WHOLE) | st.just({"type": "choice", "values": [2, 4], "default": 4})
_OPEN_PAIR = _OPEN_WHOLE | st.tuples(_OPEN_WHOLE, _OPEN_WHOLE).map(list)
_OPEN_SHARE = st.sampled_from([0.0, 0.25, SHARE])
_REGULARIZERS = st.sampled_from([None, "l2", {"type": "choice", "values": ["l1", "l2"]}, {"l2": SHARE}])
_LAYERS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("Conv2D"), "filters": _OPEN_WHOLE, "kernel_size": _OPEN_PAIR},
        optional={
            "strides": _OPEN_PAIR,
            "kernel_regularizer": _REGULARIZERS,
            "use_bias": st.just({"type": "boolean"}),
        },
    ),
    st.fixed_dictionaries({"type": st.just("MaxPooling2D")}, optional={"strides": st.none() | _OPEN_PAIR}),
    st.fixed_dictionaries({"type": st.just("Dropout"), "rate": _OPEN_SHARE}),
    st.fixed_dictionaries(
        {"type": st.just("Cropping2D"), "cropping": _OPEN_PAIR | st.lists(_OPEN_PAIR, min_size=2, max_size=2)}
    ),
    st.fixed_dictionaries(
        {"type": st.just("PReLU")}, optional={"shared_axes": st.sampled_from([None, [1, 2], [WHOLE]])}
    ),
)
_ENTRIES = st.recursive(
    _LAYERS,
    lambda inner: st.fixed_dictionaries(
        {"repeat": _OPEN_WHOLE, "layers": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.lists(_ENTRIES, min_size=1, max_size=4))
def test_what_is_dumped_is_json_and_loads_to_the_same(entries: list[Entry]) -> None:
    schema = LayersSchema()
    first = schema.load({"family": "layers", "layers": entries})
    dumped = schema.dump(first)
    assert schema.load(json.loads(json.dumps(dumped))) == first
    assert schema.dump(schema.load(dumped)) == dumped


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"type": "Lambda", "function": "x"}, ("/type", "layer_not_allowed")),
        ({"type": "TFSMLayer"}, ("/type", "layer_not_allowed")),
        ({"type": "keras.layers.Dense", "units": 3}, ("/type", "layer_not_allowed")),
        ({"type": ""}, ("/type", "layer_not_allowed")),
        ({"class_name": "Lambda", "config": {}}, ("/class_name", "layer_not_allowed")),
        ({**DENSE, "module": "keras.layers"}, ("/module", "layer_not_allowed")),
        ({**DENSE, "registered_name": "x>Y"}, ("/registered_name", "layer_not_allowed")),
        ({"repeat": 2, "layers": [DENSE], "module": "os"}, ("/module", "layer_not_allowed")),
        ({"type": "choice", "values": [1, 2]}, ("/type", "layer_not_allowed")),
        ({"type": "int", "min": 1, "max": 2}, ("/type", "layer_not_allowed")),
        ({"type": {"type": "choice", "values": ["Dense", "Flatten"]}}, ("/type", "invalid_type")),
        ({"type": None}, ("/type", "invalid_type")),
        ({"type": ["Dense"]}, ("/type", "invalid_type")),
        ({"units": 3}, ("/type", "missing_field")),
        ({}, ("/type", "missing_field")),
        ("Dense", ("", "invalid_type")),
        (None, ("", "invalid_type")),
        ([DENSE], ("", "invalid_type")),
        ({"type": "Dense"}, ("/units", "missing_field")),
        ({**DENSE, "unit": 3}, ("/unit", "unknown_field")),
        ({**DENSE, "activation": "os.system"}, ("/activation", "value_not_allowed")),
        ({**DENSE, "units": 10**9}, ("/units", "value_out_of_range")),
        ({**DENSE, "units": {"type": "int", "min": 1, "max": 10**9}}, ("/units/max", "value_out_of_range")),
        ({**DENSE, "kernel_regularizer": "l3"}, ("/kernel_regularizer", "value_not_allowed")),
        ({**DENSE, "kernel_regularizer": {"l2": -1}}, ("/kernel_regularizer/l2", "value_out_of_range")),
        ({**DENSE, "kernel_regularizer": {"config": {}}}, ("/kernel_regularizer/config", "unknown_field")),
        ({**DENSE, "repeat": 3}, ("/repeat", "unknown_field")),
        ({**CONV, "kernel_size": [3, 0]}, ("/kernel_size/1", "value_out_of_range")),
        ({**CONV, "kernel_size": [3, 3, 3]}, ("/kernel_size", "invalid_value")),
        ({**CONV, "filters": 3.5}, ("/filters", "invalid_type")),
        ({"type": "Dropout", "rate": 1}, ("/rate", "value_out_of_range")),
        ({"type": "ZeroPadding2D", "padding": [[1, -1], 2]}, ("/padding/0/1", "value_out_of_range")),
        ({"type": "Reshape", "target_shape": [4, 0]}, ("/target_shape/1", "value_out_of_range")),
        ({"type": "GroupNormalization", "groups": 0}, ("/groups", "value_out_of_range")),
        ({"repeat": 2}, ("/layers", "missing_field")),
        ({"layers": [DENSE]}, ("/repeat", "missing_field")),
        ({"repeat": -1, "layers": [DENSE]}, ("/repeat", "value_out_of_range")),
        ({"repeat": 2, "layers": []}, ("/layers", "invalid_value")),
        ({"repeat": 2, "layers": DENSE}, ("/layers", "invalid_type")),
        ({"repeat": 2, "layers": [DENSE, {"type": "Dense"}]}, ("/layers/1/units", "missing_field")),
    ],
)
def test_an_entry_that_does_not_fit_is_refused_at_its_place(entry: Any, expected: tuple[str, str]) -> None:
    pointer, code = expected
    assert places(DENSE, entry) == [(f"/layers/1{pointer}", code)]


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert places({"type": "Lambda"}, DENSE, {"type": "Dropout", "rate": 2}, 7) == [
        ("/layers/0/type", "layer_not_allowed"),
        ("/layers/2/rate", "value_out_of_range"),
        ("/layers/3", "invalid_type"),
    ]


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("conv2d", "Conv2D"), ("MaxPool2D", "MaxPooling2D"), ("relu", "ReLU"), ("DENSE", "Dense")],
)
def test_a_layer_that_is_not_allowed_comes_with_the_list_and_the_nearest(kind: str, hint: str) -> None:
    (item,) = refused({"type": kind})
    assert all(name in item.detail for name in LAYERS)
    assert item.detail.endswith(f"Did you mean '{hint}'?")


def test_a_refused_activation_comes_with_the_list_of_what_is_allowed() -> None:
    (item,) = refused({**DENSE, "activation": "os.system"})
    assert all(name in item.detail for name in ACTIVATIONS)


def test_hints_for_what_tutorials_write() -> None:
    shape, mistyped = refused(
        {**DENSE, "input_shape": [28, 28, 1]}, {"type": "Dense", "units": 3, "activaton": "relu"}
    )
    assert (shape.pointer, shape.code) == ("/layers/0/input_shape", "unknown_field")
    assert "leave input_shape out" in shape.detail
    assert "'activation'" in mistyped.detail


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "", "1a", "a b", "a\n", "ä", "a" * 64, "get_item_2", *OWN_NAMES]
)
def test_a_name_that_a_model_file_cannot_have_is_refused(name: str) -> None:
    assert places(named(name)) == [("/layers/0/name", "invalid_name")]


def test_a_name_is_given_once() -> None:
    assert loaded(named("a"), named("a-B_9"), named("A"))
    assert places(named("a"), DENSE, named("a")) == [("/layers/2/name", "invalid_name")]
    # Inside a repeat the repetition's number is put behind it, up to the most repetitions that there may be.
    assert loaded(repeat(2, named("a")), named("a"), named("a_2"))
    assert places(repeat(WHOLE, named("a")), named("a_2")) == [("/layers/1/name", "invalid_name")]
    assert places(repeat(2, named("a"), named("a"))) == [("/layers/0/layers/1/name", "invalid_name")]


def test_repeats_stand_inside_each_other_only_so_deep() -> None:
    assert len(model(nested(MAX_DEPTH)).placed()) == 2**MAX_DEPTH
    place = "/layers/0" * (MAX_DEPTH + 1) + "/layers"
    assert places(nested(MAX_DEPTH + 1)) == [(place, "value_out_of_range")]


def test_there_are_only_so_many_layers() -> None:
    assert len(model(repeat(100, *[DENSE] * 5)).placed()) == MAX_LAYERS
    assert places(repeat(100, *[DENSE] * 5), DENSE) == [("/layers", "value_out_of_range")]
    open_repeat = {"type": "choice", "values": [1, 100]}
    assert places(repeat(open_repeat, *[DENSE] * 6)) == [("/layers", "value_out_of_range")]
    assert places(repeat(100, repeat(100, repeat(100, repeat(100, DENSE))))) == [
        ("/layers", "value_out_of_range")
    ]
    assert places() == places(*[DENSE] * (MAX_ENTRIES + 1)) == [("/layers", "invalid_value")]
    # A repeat of no times still has to be read.
    assert places(*[repeat(0, *[DENSE] * 100)] * 6) == [("/layers", "value_out_of_range")]


@pytest.mark.parametrize("layers", [None, {}, "Dense", 3, {"type": "choice", "values": [1, 2]}])
def test_the_layers_are_a_list(layers: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        LayersSchema().load({"family": "layers", "layers": layers})
    assert [(item.pointer, item.code) for item in error_items(caught.value.messages)] == [
        ("/layers", "invalid_type")
    ]


def test_layers_are_named_by_what_they_are_and_where_they_stand() -> None:
    made = model(
        CONV,
        repeat(2, named("a"), {"type": "ReLU"}),
        {**CONV, "type": "Conv2DTranspose"},
        {**CONV, "name": "b"},
    )
    assert [placed.name for placed in made.placed()] == [
        "conv2d_0",
        "a_0",
        "re_lu_2",
        "a_1",
        "re_lu_4",
        "conv2d_transpose_5",
        "b",
    ]


def test_a_name_of_ours_gives_way_to_one_that_was_given() -> None:
    made = model(DENSE, named("dense_0"), named("dense_3"), DENSE)
    assert [placed.name for placed in made.placed()] == ["dense_0_", "dense_0", "dense_3", "dense_3_"]


def test_repetitions_share_their_values() -> None:
    made = model(repeat(3, {**DENSE, "units": 5}))
    assert [placed.layer["units"] for placed in made.placed()] == [5, 5, 5]
    assert made.count_parameters((4,), 2) == 5 * 5 + 6 * 5 + 6 * 5 + 6 * 2


def test_a_repeat_of_no_times_leaves_its_layers_out() -> None:
    assert model(repeat(0, DENSE)).count_parameters((4, 4, 1), 2) == 17 * 2


@pytest.mark.parametrize(
    ("entries", "shape", "said"),
    [
        ([CONV], (2, 8, 1), r"layers\.0 \(Conv2D\): a window of 3 x 3 does not fit in 2 x 8 pixels"),
        ([CONV], (64,), "takes a map of height, width and channels, and gets 64 values"),
        ([{"type": "Flatten"}, {"type": "MaxPooling2D"}], (8, 8, 1), r"layers\.1 \(MaxPooling2D\)"),
        ([repeat(3, CONV)], (5, 5, 1), r"layers\.0\.layers\.0 \(Conv2D\): .* in 1 x 1 pixels"),
        ([{**CONV, "strides": 2, "dilation_rate": [1, 2]}], (9, 9, 1), "strides and dilation_rate"),
        ([{**CONV, "groups": 2}], (9, 9, 3), "2 groups do not divide 3 channels and 8 filters"),
        ([{"type": "GroupNormalization"}], (8, 8, 3), "32 groups do not divide 3 channels"),
        ([{"type": "Cropping2D", "cropping": [[4, 4], [0, 0]]}], (8, 8, 1), "nothing is left of 8 x 8"),
        (
            [{"type": "Reshape", "target_shape": [7, -1]}],
            (8, 8, 1),
            r"64 values \(8 x 8 x 1\) cannot become 7 x -1",
        ),
        ([{"type": "PReLU", "shared_axes": [1, 2]}], (8,), "are not all axes of 8 values"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(
    entries: list[Entry], shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(Infeasible, match=said):
        model(*entries).count_parameters(shape, 10)


@pytest.mark.parametrize(
    "layer", [{"type": "Reshape", "target_shape": [0, 4]}, {"type": "Reshape", "target_shape": [-1, -1]}]
)
def test_a_side_that_a_range_has_let_through_is_infeasible(layer: Entry) -> None:
    """A range from -1 to 3 is within the limits, and 0 and a second -1 are among its values."""
    with pytest.raises(Infeasible, match="target_shape"):
        Layers([{**layer, "name": None}]).count_parameters((8, 8, 1), 10)
    with pytest.raises(Infeasible, match="groups"):
        Layers([{"type": "GroupNormalization", "name": None, "groups": 0}]).count_parameters((8, 8, 1), 10)


def test_a_map_that_no_memory_holds_is_infeasible() -> None:
    growing = model(repeat(100, {"type": "UpSampling2D", "size": 256}))
    with pytest.raises(Infeasible, match=f"more than {MAX_VALUES:,}"):
        growing.count_parameters((8, 8, 1), 10)
