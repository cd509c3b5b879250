"""Lists in pages: case 29, and that no token of any making is a crash."""

import base64
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Api
from tests.service.rows import add_trials, npz, posted, problem, publish, upload

# Each of a form that the keyset reader knows: order, type, value.
BOOKMARKS = [
    "",
    ">",
    "<",
    ">>",
    "x",
    ">x",
    ">s:job_x",
    "<s:job_x",
    ">i:1",
    ">i:x",
    ">i:" + "9" * 30,
    ">i:" + "9" * 5000,
    ">f:nan",
    ">f:inf",
    ">f:1e999",
    ">n:abc",
    ">n:1.5",
    ">n:1e999999",
    ">b:AAAA",
    ">b:!",
    ">d:2020-01-01",
    ">d:x",
    ">dt:2020-01-01T00:00:00",
    ">dt:99999-01-01",
    ">t:12:00",
    ">uuid:x",
    ">uuid:12345678123456781234567812345678",
    ">true",
    ">false",
    ">zz:1",
    ">i:1,i:2",
    ">s:a,s:b,s:c",
    ">s:a\x00b",
    '>"s:a',
    ">s:a\ns:b",
    ">f:1.0,s:x",
    ">x,x",
    "<",
    ">s:\ud7ff",
    ">s:' OR 1=1 --",
    ">s:a\rb",
    ">\n",
    ">\r\n",
    ">" + "s:" + "a" * 700,
]


def forged(bookmark: str) -> str:
    return base64.urlsafe_b64encode(bookmark.encode()).decode()


@pytest.fixture
def lists(app: Flask, api: Api, spec: dict[str, Any], tmp_path: Any) -> list[str]:
    """Every list there is, with something in it."""
    job = posted(api, spec)["id"]
    add_trials(app, job, 2)
    upload(api, npz())
    publish(app, job, "a.txt", b"x", tmp_path)
    trials = f"/v1/jobs/{job}/trials"
    orders = [f"{trials}?order_by={order}" for order in ("number", "score", "duration")]
    return ["/v1/jobs", "/v1/datasets", f"/v1/jobs/{job}/artifacts", trials, *orders]


def get(api: Api, path: str, **query: str) -> Any:
    """A list, asked with more than its own query."""
    path, _, own = path.partition("?")
    return api.get(path, query_string={**dict(pair.split("=") for pair in own.split("&") if pair), **query})


def test_page_sizes_are_bounded(api: Api, lists: list[str]) -> None:
    for path in lists:
        for size in ("-1", "0", "201", "1000000000", "9" * 30, "1.5", "x", "", "1e2", " 1", "NaN", "1;--"):
            answer = get(api, path, page_size=size)
            assert answer.status_code == 422, (path, size)
            assert answer.json["errors"][0]["pointer"] == "/page_size"
        for size in ("1", "200"):
            assert get(api, path, page_size=size).status_code == 200


def test_what_is_no_token_is_refused(api: Api, lists: list[str]) -> None:
    for path in lists:
        for token in ("x", "!!!!", "=", "eA", "é", "a" * 1024, "' OR 1=1 --", "\N{SNAKE}"):
            answer = get(api, path, page_token=token)
            document = problem(answer, 422, "invalid_page_token")
            assert document["errors"][0]["pointer"] == "/page_token"
        problem(get(api, path, page_token="a" * 1025), 422, "invalid_value")


def test_a_forged_token_is_refused_or_harmless(api: Api, lists: list[str]) -> None:
    crashed = {}
    for path in (*lists[:3], *lists[4:]):
        for bookmark in BOOKMARKS:
            answer = get(api, path, page_token=forged(bookmark))
            if answer.status_code not in (200, 422):
                crashed[path, bookmark[:40]] = answer.status_code
    assert crashed == {}


def test_a_token_of_another_list_is_refused_or_harmless(
    api: Api, lists: list[str], spec: dict[str, Any]
) -> None:
    posted(api, spec)
    tokens = {path: get(api, path, page_size="1").json["next_page_token"] for path in lists}
    assert tokens["/v1/jobs"]
    statuses = {
        get(api, path, page_token=token).status_code for path in lists for token in tokens.values() if token
    }
    assert statuses <= {200, 422}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/v1/jobs", "/v1/datasets"]),
    st.text(max_size=40).map(forged)
    | st.tuples(
        st.sampled_from("<>"),
        st.sampled_from(["s", "i", "f", "n", "b", "d", "dt", "t", "uuid"]),
        st.text(max_size=12),
    ).map(lambda parts: forged(f"{parts[0]}{parts[1]}:{parts[2]}"))
    | st.text(max_size=40),
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_token_is_a_crash(api: Api, path: str, token: str) -> None:
    assert api.get(path, query_string={"page_token": token}).status_code in (200, 422)


def test_sql_in_an_order_is_refused(api: Api, lists: list[str]) -> None:
    trials = lists[3]
    for order in ("number; DROP TABLE trials", "score DESC", "1", "(SELECT 1)", "NUMBER", ""):
        problem(api.get(trials, query_string={"order_by": order}), 422, "value_not_allowed")
    assert api.get(trials).status_code == 200
