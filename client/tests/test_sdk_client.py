"""The client: its configuration, retries, keys and errors, against a real server."""

from __future__ import annotations

import subprocess
import sys
import time
from email.utils import formatdate
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from sdk_server import Answer

import tuneserve
from tuneserve import Client, Job, errors, retries

if TYPE_CHECKING:
    from sdk_server import Server

JOB = "/v1/jobs/job_1"
NOW = {"Retry-After": "0"}


def test_address_and_key_come_from_arguments_then_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET /sub/v1/info", Answer(200, {}))
    monkeypatch.setenv("TUNESERVE_URL", server.url + "/sub/")
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_from_environment\n")
    with Client() as client:
        client.get("/v1/info")
    with Client(api_key="tns_from_argument") as client:
        client.get("/v1/info")
    sent = [asked.headers["Authorization"] for asked in server.asked]
    assert sent == ["Bearer tns_from_environment", "Bearer tns_from_argument"]
    assert server.asked[0].headers["User-Agent"].startswith("tuneserve-python/")


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://a", "http://", "http://u:p@a"])
def test_bad_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNESERVE_URL", raising=False)
    with pytest.raises(tuneserve.ConfigurationError):
        Client(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:secret@h",
        "http://u:secret@h",
        "u:secret@h",
        "//u:secret@h",
        "http://u:secret@h:port",
        "http://u:secret@[",
    ],
)
def test_a_password_in_an_address_is_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_URL", "http://other")
    for arguments in ((url,), (url, "tns_k")):
        with pytest.raises(tuneserve.ConfigurationError) as caught:
            Client(*arguments)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["http://h/?a=1", "http://h#part", "http://h/tune?"])
def test_an_address_does_not_go_on_after_its_path(url: str) -> None:
    with pytest.raises(tuneserve.ConfigurationError, match="it goes on after"):
        Client(url)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h/v1", "http://h"),
        ("http://h/sub/v1/ ", "http://h/sub"),
        ("http://v1", "http://v1"),
        ("http://h/v10", "http://h/v10"),
        ("http://h/v1/sub", "http://h/v1/sub"),
    ],
)
def test_the_version_at_the_end_of_an_address_is_dropped(url: str, address: str) -> None:
    with Client(url) as client:
        assert client.url == address


def test_nobody_listens() -> None:
    asked = r"is the service running at http://127\.0\.0\.1:1/sub\?"
    client = Client("http://127.0.0.1:1/sub", max_retries=0)
    with client, pytest.raises(tuneserve.ConnectionFailed, match=asked):
        client.info()


@pytest.mark.parametrize("key", ["two words", "schlüssel", "a\nb"])
def test_bad_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(tuneserve.ConfigurationError) as caught:
        Client("http://localhost", key)
    assert key not in str(caught.value)


def test_loopback_goes_past_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.on("GET /v1/info", Answer(200, {"version": "1"}))
    with Client(server.url) as client:
        assert client.get("/v1/info") == {"version": "1"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retries_and_keeps_one_idempotency_key(server: Server, client: Client, job, status: int) -> None:
    server.on("POST /v1/jobs", Answer(status, {}, NOW), Answer(cut=0), Answer(202, job()))
    assert client.jobs.create({"seed": 0}).id == "job_1"
    assert server.count("POST") == 3
    assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 1


def test_each_post_has_its_own_key(server: Server, client: Client, job) -> None:
    server.on("POST /v1/jobs", Answer(202, job()))
    client.jobs.create(seed=0)
    client.jobs.create(seed=0)
    assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 2


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which are not made."""
    pauses: list[float] = []
    monkeypatch.setattr(retries.time, "sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(
    server: Server, client: Client, job, slept: list[float], status: int, as_date: bool
) -> None:
    # A date has whole seconds.
    after = formatdate(time.time() + 7, usegmt=True) if as_date else "6"
    server.on("GET " + JOB, Answer(status, {}, {"Retry-After": after}), Answer(200, job()))
    client.jobs.get("job_1")
    (pause,) = slept
    assert 5.5 < pause < 7.2


@pytest.mark.parametrize("after", ["soon", "-5", "Fri, 31 Feb 2026 99:00:00 GMT", "1e9"])
def test_a_retry_after_that_says_nothing_is_passed_over(
    server: Server, client: Client, job, slept: list[float], after: str
) -> None:
    server.on("GET " + JOB, Answer(503, {}, {"Retry-After": after}), Answer(200, job()))
    client.jobs.get("job_1")
    assert len(slept) == 1
    assert slept[0] < 1


def test_pauses_grow_and_are_not_all_the_same(server: Server, slept: list[float]) -> None:
    server.on("GET " + JOB, Answer(502, {}))
    with Client(server.url, max_retries=12) as client, pytest.raises(tuneserve.ServerFault):
        client.jobs.get("job_1")
    longest = [min(retries.LONGEST_BACKOFF_SECONDS, retries.BACKOFF_SECONDS * 2**n) for n in range(12)]
    assert all(most / 2 <= pause <= most for pause, most in zip(slept, longest, strict=True))
    assert len({pause / most for pause, most in zip(slept, longest, strict=True)}) > 1


def test_no_try_begins_after_the_time_is_over(server: Server, client: Client, slept: list[float]) -> None:
    server.on("GET " + JOB, Answer(503, {}, {"Retry-After": "5"}))
    with pytest.raises(tuneserve.ServerFault):
        client.request("GET", JOB, until=time.monotonic() + 4)
    assert (slept, len(server.asked)) == ([], 1)


def test_the_callers_idempotency_key_is_sent(server: Server, client: Client, job) -> None:
    server.on("POST /v1/jobs", Answer(503, {}, NOW), Answer(202, job()))
    client.jobs.create(seed=0, idempotency_key="build-7")
    assert [asked.headers["Idempotency-Key"] for asked in server.asked] == ["build-7"] * 2


def test_catalog_and_info(server: Server, client: Client) -> None:
    server.on("GET /v1/catalog", Answer(200, {"families": []}))
    server.on("GET /v1/info", Answer(200, {"version": "1"}))
    assert (client.catalog(), client.info()) == ({"families": []}, {"version": "1"})


def test_long_retry_after_is_left_to_the_caller(server: Server, client: Client) -> None:
    problem = {"code": "rate_limited", "title": "Too Many Requests"}
    server.on("GET " + JOB, Answer(429, problem, {"Retry-After": "3600"}))
    with pytest.raises(tuneserve.RateLimited) as caught:
        client.jobs.get("job_1")
    assert (caught.value.retry_after, len(server.asked)) == (3600, 1)


def test_gives_up_after_max_retries(server: Server) -> None:
    server.on("GET " + JOB, Answer(503, {"code": "database_away", "title": "Away"}, NOW))
    with Client(server.url, max_retries=1) as client, pytest.raises(tuneserve.ServerFault):
        client.jobs.get("job_1")
    assert len(server.asked) == 2


def test_500_is_not_retried(server: Server, client: Client) -> None:
    server.on("GET " + JOB, Answer(500, {"code": "internal", "title": "Internal"}))
    with pytest.raises(tuneserve.ServerFault, match="500 internal: Internal"):
        client.jobs.get("job_1")
    assert len(server.asked) == 1


def test_no_server_is_a_connection_failure(server: Server) -> None:
    url = server.url
    server.server_close()
    client = Client(url, max_retries=1, timeout=1)
    with pytest.raises(tuneserve.ConnectionFailed, match=f"GET {url}/v1/jobs/job_1: ."):
        client.jobs.get("job_1")


def test_html_page_is_a_clear_error(server: Server, client: Client) -> None:
    page = b"<html><title>502 Bad Gateway</title><body>nginx</body></html>"
    html = {"Content-Type": "text/html; charset=utf-8"}
    server.on("GET " + JOB, Answer(502, page, {**html, **NOW}))
    with pytest.raises(tuneserve.ServerFault) as caught:
        client.jobs.get("job_1")
    assert caught.value.code == "not_json"
    assert "text/html from 127.0.0.1: '502 Bad Gateway nginx'" in str(caught.value)


ASKS = {
    "catalog": Client.catalog,
    "info": Client.info,
    "list": lambda client: list(client.jobs.list()),
    "get": lambda client: client.jobs.get("job_1"),
    "create": lambda client: client.jobs.create(seed=0),
    "validate": lambda client: client.jobs.validate(seed=0),
    "data sets": lambda client: list(client.datasets.list()),
    "data set": lambda client: client.datasets.get("ds_1"),
}
ASKS_OF_JOBS = {
    "reload": Job.reload,
    "cancel": Job.cancel,
    "clone": Job.clone,
    "trial": lambda job: job.trial(0),
    "trials": lambda job: list(job.trials()),
    "artifacts": lambda job: list(job.artifacts()),
    "best": Job.best_result,
    "charts": Job.charts,
}
FOREIGN_JSON = [
    {"hello": 1},
    {"id": None, "state": None, "items": None, "version": None},
    {"items": [{"hello": 1}]},
    {"items": ["abc"]},
    {"items": "abc"},
]


@pytest.mark.parametrize("body", FOREIGN_JSON)
def test_json_of_another_api_is_a_clear_error(body: Any, job) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=body)

    with Client("http://other.test", transport=httpx2.MockTransport(answer)) as client:
        known = Job(client, job())
        asks = [partial(ask, client) for ask in ASKS.values()]
        for ask in [*asks, *(partial(ask, known) for ask in ASKS_OF_JOBS.values())]:
            with pytest.raises(tuneserve.ApiError, match="not an answer of Tuneserve") as caught:
                ask()
            assert caught.value.code == "not_json"


def test_the_message_of_a_gateway_is_shown(server: Server, client: Client) -> None:
    problem = {"message": "No API key found", "errors": "abc"}
    server.on("GET " + JOB, Answer(401, problem))
    with pytest.raises(tuneserve.Unauthorized, match="401 http_401: No API key found"):
        client.jobs.get("job_1")


def test_a_key_that_was_withheld_is_told_of(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESERVE_URL", "http://other")
    monkeypatch.setenv("TUNESERVE_API_KEY", "tns_other")
    server.on("GET " + JOB, Answer(401, {"code": "missing_key", "detail": "No key."}))
    server.on(f"GET {JOB}/events", Answer(401, {"code": "missing_key"}))
    said = "the key in TUNESERVE_API_KEY is for http://other and was not sent"
    with Client(server.url) as client:
        with pytest.raises(tuneserve.Unauthorized, match=rf"No key\. \({said}\)"):
            client.jobs.get("job_1")
        with pytest.raises(tuneserve.Unauthorized, match=said):
            list(Job(client, {"id": "job_1", "state": "running"}).events())
    with Client(server.url, "tns_given") as client, pytest.raises(tuneserve.Unauthorized) as caught:
        client.jobs.get("job_1")
    assert "not sent" not in str(caught.value)


@pytest.mark.parametrize(("key", "told"), [(None, True), (" ", True), ("tns_k", False)])
def test_a_key_that_was_not_given_is_told_of(server: Server, key: str | None, told: bool) -> None:
    server.on("GET " + JOB, Answer(401, {"code": "missing_key", "detail": "Send a key."}))
    with Client(server.url, key) as client, pytest.raises(tuneserve.Unauthorized) as caught:
        client.jobs.get("job_1")
    assert ("no API key was sent: give api_key=" in str(caught.value)) is told


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "a\nb", "x" * 256, "\udcff"])
def test_an_idempotency_key_that_is_none_is_not_sent(server: Server, client: Client, key: str) -> None:
    with pytest.raises(tuneserve.Unsendable, match="1 to 255 visible ASCII"):
        client.jobs.create(seed=0, idempotency_key=key)
    assert not server.asked


def test_half_a_character_is_not_sent(server: Server, client: Client, job) -> None:
    known = Job(client, job())
    for ask in (
        lambda: client.jobs.create(name="\ud800"),
        lambda: known.update(labels={"a": "\udcff"}),
        lambda: list(client.jobs.list(label="a:\udcff")),
        lambda: client.jobs.get("job_\udcff"),
    ):
        with pytest.raises(tuneserve.Unsendable):
            ask()
    assert not server.asked


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"", b"[1]", b"\xff"])
def test_success_without_a_json_object_is_an_api_error(server: Server, client: Client, body: bytes) -> None:
    server.on("GET " + JOB, Answer(200, body, {"Content-Type": "text/html"}))
    with pytest.raises(tuneserve.ApiError, match="not an answer of Tuneserve") as caught:
        client.jobs.get("job_1")
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_redirect_is_told_not_followed(server: Server, client: Client) -> None:
    server.on("GET " + JOB, Answer(302, b"", {"Location": "https://login.example.org/"}))
    with pytest.raises(tuneserve.ApiError, match=r"redirected to https://login\.example\.org/"):
        client.jobs.get("job_1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [*errors._BY_STATUS.items(), (418, tuneserve.ApiError), (500, tuneserve.ServerFault)],
)
def test_each_status_has_its_error(
    server: Server, client: Client, status: int, kind: type[Exception]
) -> None:
    problem = {"code": "some_code", "title": "Title", "detail": "Why.", "request_id": "r1"}
    server.on("GET " + JOB, Answer(status, problem, {"Retry-After": "99"}))
    with pytest.raises(kind) as caught:
        client.jobs.get("job_1")
    assert type(caught.value) is kind
    assert str(caught.value) == f"{status} some_code: Why. (request r1)"


def test_invalid_lists_every_place(server: Server, client: Client) -> None:
    places = [{"pointer": "/training/epochs", "code": "type", "detail": "Not an integer."}]
    problem = {"code": "invalid_spec", "title": "Invalid", "errors": places}
    server.on("POST /v1/jobs", Answer(422, problem))
    with pytest.raises(tuneserve.Invalid) as caught:
        client.jobs.create(training={"epochs": 3.7})
    place = "  /training/epochs: Not an integer."
    assert str(caught.value) == f"422 invalid_spec: 1 place does not fit\n{place}"
    two = tuneserve.Invalid(422, "c", "t", "of the first", caught.value.errors * 2, "r")
    assert str(two) == f"422 c: 2 places do not fit (request r)\n{place}\n{place}"
    assert str(tuneserve.Invalid(422, "c", "t", "why")) == "422 c: why"


def test_wsgi_application_in_process(job) -> None:
    def application(environ, start_response):
        assert environ["HTTP_AUTHORIZATION"] == "Bearer tns_k_s"
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"id": "job_1", "state": "running"}']

    transport = httpx2.WSGITransport(application)
    with Client("http://service.test", "tns_k_s", transport=transport) as client:
        assert client.jobs.get("job_1").state == "running"


def test_empty_id_asks_nothing(server: Server, client: Client) -> None:
    with pytest.raises(ValueError, match="empty"):
        client.jobs.get("")
    assert not server.asked


def test_version_is_that_of_the_distribution() -> None:
    assert tuneserve.__version__ == version("tuneserve")


def test_import_is_light() -> None:
    code = "import sys, tuneserve; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    names = set(loaded.stdout.decode().split())
    heavy = {"numpy", "pandas", "keras", "tensorflow", "vl_convert", "flask", "marshmallow", "rich", "click"}
    assert "httpx2" in names
    assert not names & heavy


def test_exports_are_sorted_and_there() -> None:
    assert tuneserve.__all__ == sorted(tuneserve.__all__)
    assert all(hasattr(tuneserve, name) for name in tuneserve.__all__)
