"""Problems: one tree, one shape, a pointer and a code for everything wrong."""

import re

import pytest

from schemas import problems
from schemas.problems import (
    ErrorItem,
    Message,
    NotFound,
    Problem,
    ProblemSchema,
    error_items,
    fault,
    invalid,
    pointer,
)


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+)\s+(\d{3})", problems.__doc__ or ""))
    assert drawn == {kind.__name__: str(kind.status) for kind in Problem.__subclasses__()}


def test_no_two_problems_share_a_status() -> None:
    statuses = [kind.status for kind in Problem.__subclasses__()]
    assert len(set(statuses)) == len(statuses)


@pytest.mark.parametrize(
    ("parts", "text"),
    [((), ""), (("a", 0), "/a/0"), (("a/b", "~"), "/a~1b/~0"), (("",), "/")],
)
def test_a_pointer_escapes_its_parts(parts: tuple[str | int, ...], text: str) -> None:
    assert pointer(*parts) == text


def test_nested_messages_become_pointers_and_codes() -> None:
    messages = {"training": {"learning_rate": {"min": [Message("value_out_of_range", "Too small.")]}}}
    assert list(error_items(messages)) == [
        ErrorItem("/training/learning_rate/min", "value_out_of_range", "Too small.")
    ]


def test_what_concerns_a_whole_object_points_at_the_object() -> None:
    messages = {"split": {"_schema": [Message("value_out_of_range", "No.")]}}
    assert next(error_items(messages)).pointer == "/split"


def test_a_text_without_a_code_is_an_invalid_value() -> None:
    assert next(error_items({"name": ["No."]})).code == "invalid_value"


def test_a_fault_stands_at_its_path() -> None:
    items = list(error_items(fault("invalid_condition", "No.", "model", "when", 2).messages))
    assert items == [ErrorItem("/model/when/2", "invalid_condition", "No.")]


def test_a_lone_kind_of_error_lends_the_problem_its_code() -> None:
    one = invalid({"a": [Message("unknown_field", "x")], "b": [Message("unknown_field", "y")]})
    two = invalid({"a": [Message("unknown_field", "x")], "b": [Message("invalid_type", "y")]})
    assert (one.code, two.code) == ("unknown_field", "invalid_document")


def test_the_detail_names_three_and_counts_the_rest() -> None:
    problem = invalid({str(i): [Message("unknown_field", "Unknown.")] for i in range(5)})
    assert problem.detail == "/0: Unknown.; /1: Unknown.; /2: Unknown.; and 2 more"
    assert len(problem.errors) == 5


def test_a_message_is_text_with_a_code() -> None:
    message = Message("invalid_range", "min is too large")
    assert (message, message.code) == ("min is too large", "invalid_range")


def test_a_problem_says_what_it_is_when_logged() -> None:
    assert str(NotFound("job_not_found", "There is no job x.")) == "job_not_found: There is no job x."


def test_the_schema_dumps_all_that_rfc_9457_asks_for() -> None:
    document = {
        "type": "urn:x",
        "title": "Not found",
        "status": 404,
        "detail": "d",
        "code": "c",
        "request_id": "r",
    }
    assert ProblemSchema().dump(document) == document
