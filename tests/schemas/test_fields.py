"""Strict fields: what they take, what they refuse, and the code on every refusal."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from marshmallow import ValidationError, fields

from schemas.fields import (
    Among,
    Between,
    Boolean,
    Dict,
    Integer,
    List,
    Nested,
    Number,
    Pattern,
    QueryInteger,
    Sized,
    StrictSchema,
    String,
    Timestamp,
    nearest,
)
from schemas.problems import error_items


class Inner(StrictSchema):
    patience = Integer(load_default=3)


class Outer(StrictSchema):
    learning_rate = Number(load_default=0.1)
    inner = Nested(Inner, load_default=None, allow_none=True)


def refusal(field: fields.Field[Any], value: Any) -> str:
    """The code with which a field refuses a value."""
    with pytest.raises(ValidationError) as caught:
        field.deserialize(value)
    return next(error_items(caught.value.messages)).code


def places(document: Any) -> dict[str, str]:
    """Pointer to code of everything wrong with a document."""
    with pytest.raises(ValidationError) as caught:
        Outer().load(document)
    return {item.pointer: item.code for item in error_items(caught.value.messages)}


@pytest.mark.parametrize(("given", "expected"), [(3, 3), (3.0, 3), (-1, -1), (10**30, 10**30)])
def test_integer_takes_whole_numbers(given: Any, expected: int) -> None:
    loaded = Integer().deserialize(given)
    assert (loaded, type(loaded)) == (expected, int)


@pytest.mark.parametrize("given", [3.7, "3", True, None, [3], {}, float("nan"), float("inf")])
def test_integer_refuses_all_else(given: Any) -> None:
    assert refusal(Integer(), given) == "invalid_type"


@pytest.mark.parametrize("given", [3, 3.5, -0.0, 1e300, 5e-324])
def test_number_takes_finite_numbers(given: Any) -> None:
    loaded = Number().deserialize(given)
    assert (loaded, type(loaded)) == (float(given), float)


@pytest.mark.parametrize("given", ["1", True, None, [], float("nan"), float("inf"), float("-inf")])
def test_number_refuses_all_else(given: Any) -> None:
    assert refusal(Number(), given) == "invalid_type"


def test_an_integer_too_large_for_a_float_is_out_of_range() -> None:
    assert refusal(Number(), 10**400) == "value_out_of_range"


@pytest.mark.parametrize("given", [0, 1, "true", "", None, []])
def test_boolean_takes_true_and_false_only(given: Any) -> None:
    assert refusal(Boolean(), given) == "invalid_type"
    assert Boolean().deserialize(True) is True
    assert Boolean().deserialize(False) is False


@pytest.mark.parametrize("given", [1, True, None, [], {}])
def test_string_takes_text_only(given: Any) -> None:
    assert refusal(String(), given) == "invalid_type"


@pytest.mark.parametrize("given", ["a\x00b", "\ud800", "x\udfff"])
def test_string_refuses_what_the_database_cannot_hold(given: str) -> None:
    assert refusal(String(), given) == "invalid_value"


def test_string_takes_markup_line_breaks_and_emoji() -> None:
    text = "<script>\n\U0001f40d</script>"
    assert String().deserialize(text) == text


@pytest.mark.parametrize("given", ["", "1.0", "1e3", " 1", "0x1", "--1", "9" * 19, "\u0661"])
def test_an_integer_in_a_url_is_ascii_digits(given: str) -> None:
    assert refusal(QueryInteger(), given) == "invalid_type"


def test_an_integer_in_a_url_is_read() -> None:
    assert QueryInteger().deserialize("-12") == -12


@pytest.mark.parametrize(("given", "fits"), [(0, False), (1, True), (5, True), (5.001, False)])
def test_between_is_closed(given: float, fits: bool) -> None:
    field = Number(validate=Between(1, 5))
    if fits:
        assert field.deserialize(given) == given
    else:
        assert refusal(field, given) == "value_out_of_range"


def test_between_may_leave_the_lower_end_out() -> None:
    field = Number(validate=Between(0.0, 1.0, open_min=True))
    assert refusal(field, 0) == "value_out_of_range"
    assert field.deserialize(5e-324) > 0


def test_among_lists_the_names_and_hints_at_the_nearest() -> None:
    with pytest.raises(ValidationError) as caught:
        String(validate=Among(["adam", "sgd"])).deserialize("adan")
    item = next(error_items(caught.value.messages))
    assert item.code == "value_not_allowed"
    assert "adam, sgd" in item.detail
    assert "Did you mean 'adam'?" in item.detail


@pytest.mark.parametrize("given", ["xab", "abx", "ab\n", "ab\nab", ""])
def test_a_pattern_is_of_the_whole_text(given: str) -> None:
    assert refusal(String(validate=Pattern("ab", "Say ab.")), given) == "invalid_value"


def test_sized_bounds_the_length() -> None:
    assert refusal(String(validate=Sized(max=2)), "abc") == "invalid_value"
    assert String(validate=Sized(max=2)).deserialize("ab") == "ab"


def test_an_unknown_field_is_refused_by_name_with_a_hint() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer().load({"learning_rat": 0.1})
    item = next(error_items(caught.value.messages))
    assert (item.pointer, item.code) == ("/learning_rat", "unknown_field")
    assert "Did you mean 'learning_rate'?" in item.detail


def test_an_unknown_field_far_from_all_has_no_hint() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer().load({"zzzzzz": 1})
    assert "Did you mean" not in next(error_items(caught.value.messages)).detail


def test_everything_wrong_is_told_at_its_place() -> None:
    found = places({"learning_rate": "1", "inner": {"patience": 0.5, "patienc": 1}, "state": "x"})
    assert found == {
        "/learning_rate": "invalid_type",
        "/inner/patience": "invalid_type",
        "/inner/patienc": "unknown_field",
        "/state": "unknown_field",
    }


@pytest.mark.parametrize("document", [None, 1, "x", [], [{}], True])
def test_a_document_is_an_object(document: Any) -> None:
    assert places(document) == {"": "invalid_type"}


@pytest.mark.parametrize("section", [1, "x", [], True])
def test_a_section_is_an_object(section: Any) -> None:
    assert places({"inner": section}) == {"/inner": "invalid_type"}


def test_errors_in_lists_and_maps_point_at_the_element() -> None:
    class Holder(StrictSchema):
        numbers = List(Integer())
        labels = Dict(keys=String(), values=String(validate=Sized(max=3)))

    with pytest.raises(ValidationError) as caught:
        Holder().load({"numbers": [1, "2"], "labels": {"team": "vision"}})
    found = {item.pointer for item in error_items(caught.value.messages)}
    assert found == {"/numbers/1", "/labels/team"}


def test_a_moment_is_written_in_utc_with_a_z() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert Timestamp().serialize("at", {"at": moment}) == "2026-01-02T03:04:05Z"


def test_a_moment_is_read_with_its_offset_and_not_without() -> None:
    read = Timestamp().deserialize("2026-01-02T03:04:05+02:00")
    assert read == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(ValidationError):
        Timestamp().deserialize("2026-01-02T03:04:05")


def test_the_nearest_name_is_found_and_far_ones_are_not() -> None:
    assert nearest("epoch", ["epochs", "budget"]) == " Did you mean 'epochs'?"
    assert nearest("x", ["epochs", "budget"]) == ""
    assert nearest("e" * 10**6, ["epochs"]) == ""
