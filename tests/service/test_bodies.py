"""JSON bodies, read strictly: cases 18 and 19, and their neighbours."""

import json
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from schemas.problems import BadRequest
from service.bodies import MAX_DEPTH, parse_json
from store.tables import JobRow
from tests.conftest import Api
from tests.service.rows import count, problem


def refusal(text: str | bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        parse_json(text.encode() if isinstance(text, str) else text)
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        '{"a": [NaN]}',
        '{"a": {"b": 1E999}}',
        "9" * 5000,
        "",
        " ",
        "{",
        "{]",
        "nul",
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 01}',
        '{"a": 1} x',
        '"\x00"',
        '"\n"',
        '"\\x"',
        "// x\n1",
        b"\xff",
        b'{"a": "\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    assert refusal(text) == "invalid_json"


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "a": 1}',
        '{"x": [{"a": 1, "b": 2, "a": 3}]}',
        '{"a": 1, "\\u0061": 2}',
        '{"": 1, "": 2}',
    ],
)
def test_a_key_given_twice_is_refused(text: str) -> None:
    assert refusal(text) == "duplicate_key"


def test_the_key_given_twice_is_named() -> None:
    with pytest.raises(BadRequest, match="epochs"):
        parse_json(b'{"seed": 1, "epochs": 2, "epochs": 3}')


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000, 500_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ("[", "")])
def test_what_is_nested_too_deep_is_refused(depth: int, start: str, end: str) -> None:
    assert refusal(start * depth + "1" + end * depth) == "json_too_deep"


def test_a_document_may_be_nested_so_deep() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(parse_json(text.encode())) == text


@pytest.mark.parametrize("value", ["[" * 10_000, '"' * 3 + "[{" * 100, "\\" * 99 + '"[' * 99, "\\"])
def test_brackets_in_text_are_no_depth(value: str) -> None:
    assert parse_json(json.dumps({"name": value, "x": [value]}).encode()) == {"name": value, "x": [value]}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.booleans(),
)
def test_json_is_read_as_it_is(document: Any, ascii: bool) -> None:
    assert parse_json(json.dumps(document, ensure_ascii=ascii).encode()) == document


@given(st.binary(max_size=100) | st.text('[]{}",:\\0eN ', max_size=50).map(str.encode))
def test_no_bytes_are_a_crash(body: bytes) -> None:
    with suppress(BadRequest):
        assert parse_json(body) == json.loads(body)


# Over HTTP


def test_every_route_with_a_body_reads_it_strictly(app: Flask, api: Api) -> None:
    bodies = {
        "invalid_json": [b"NaN", b'{"seed": 1e400}', b"", b"{", b"\xff", b'{"seed": Infinity}'],
        "duplicate_key": [b'{"seed": 1, "seed": 1}'],
        "json_too_deep": [b"[" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000],
    }
    for path in ("/v1/jobs", "/v1/jobs:validate"):
        for code, found in bodies.items():
            for body in found:
                problem(api.post(path, data=body, content_type="application/json"), 400, code)
    assert count(app, JobRow) == 0


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs:validate"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_body_of_ten_megabytes_is_too_large(api: Api, path: str) -> None:
    body = json.dumps({"name": "x" * 10_000_000}).encode()
    answer = api.post(path, data=body, content_type="application/json")
    assert answer.status_code == 413
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs:validate"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", None]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_type_is_unsupported(
    api: Api, spec: dict[str, Any], path: str, content_type: str | None
) -> None:
    answer = api.post(path, data=json.dumps(spec), content_type=content_type)
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/vnd.x+json", "APPLICATION/JSON"]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_json_by_its_other_names_is_taken(api: Api, spec: dict[str, Any], content_type: str) -> None:
    answer = api.post("/v1/jobs:validate", data=json.dumps(spec), content_type=content_type)
    assert (answer.status_code, answer.json["valid"]) == (200, True)


@pytest.mark.parametrize("query", ["x=1", "Page_size=1", "page_size=", "page_size[]=1"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_query_parameters_are_as_strict(api: Api, query: str) -> None:
    answer = api.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/" + query.partition("=")[0]
