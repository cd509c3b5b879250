"""Every error is a problem document that tells a client what to do, and nothing of the inside."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, abort
from sqlalchemy import text
from sqlalchemy.engine import make_url

from schemas.settings import Settings
from service import context
from service.app import create_app
from service.context import EXTENSION
from store.database import Database
from tests.conftest import Api
from tests.service.rows import problem, services

SECRET = "hunter2 at /etc/passwd"


@pytest.fixture
def broken(app: Flask) -> Flask:
    """An application with a route for every way to fail."""

    def unforeseen() -> str:
        raise RuntimeError(SECRET)

    def sql() -> str:
        with context.reading() as session:
            session.execute(text("SELECT secret FROM nowhere"))
        return ""

    def timeout() -> str:
        raise TimeoutError(SECRET)

    def teapot() -> str:
        abort(418)

    def unavailable() -> str:
        abort(503, "wait")

    for view in (unforeseen, sql, timeout, teapot, unavailable):
        app.add_url_rule(f"/broken/{view.__name__}", f"health.{view.__name__}", view)
    return app


@pytest.fixture
def away(app: Flask, api: Api, settings: Settings) -> Iterator[Api]:
    """A client of an application whose database does not answer any more."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        # A folder is no database file.
        gone = f"sqlite:///{settings.data_folder}"
        services(app).blobs.answers()
    else:
        gone = f"postgresql://{url.username}:hunter2@127.0.0.1:1/none"
    made = create_app(replace(settings, database_url=gone))
    yield Api(made.test_client(), api.key)
    services(made).database.close()


def test_an_unknown_route_is_a_problem(api: Api) -> None:
    for path in ("/v1/nothing", "/v2/jobs", "/v1/jobs/a/b/c/d", "/v1/jobs/%00", "/v1/jobs/a%20b", "/admin"):
        problem(api.get(path), 404, "route_not_found")


def test_a_wrong_method_is_a_problem_that_says_which_are_right(api: Api) -> None:
    for method, path, allowed in (
        ("DELETE", "/v1/jobs", {"GET", "POST", "HEAD", "OPTIONS"}),
        ("PUT", "/v1/datasets/ds_x", {"GET", "DELETE", "HEAD", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/v1/jobs:validate", {"POST", "OPTIONS"}),
    ):
        answer = api.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_what_nobody_foresaw_is_a_problem_without_its_reason(broken: Flask) -> None:
    for name in ("unforeseen", "timeout"):
        answer = broken.test_client().get(f"/broken/{name}")
        problem(answer, 500, "internal")
        assert "hunter2" not in answer.text
        assert "Error" not in answer.json["detail"]


def test_sql_that_fails_tells_nothing_of_itself(broken: Flask) -> None:
    answer = broken.test_client().get("/broken/sql")
    assert answer.status_code in (500, 503)
    assert answer.mimetype == "application/problem+json"
    assert not re.search("secret|nowhere|SELECT|table|relation", answer.text)


def test_what_flask_raises_is_a_problem(broken: Flask) -> None:
    teapot, unavailable = (broken.test_client().get(f"/broken/{name}") for name in ("teapot", "unavailable"))
    assert (teapot.mimetype, teapot.json["request_id"] != "") == ("application/problem+json", True)
    assert unavailable.status_code == 503
    assert unavailable.headers["Retry-After"]
    for answer in (teapot, unavailable):
        assert answer.json["status"] == answer.status_code


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/jobs/job_x", "/v1/datasets", "/v1/info", "/v1/jobs/job_x/trials"]
)
def test_a_database_that_is_away_is_unavailable(away: Api, path: str) -> None:
    answer = away.get(path)
    problem(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "hunter2" not in answer.text


def test_posts_to_a_database_that_is_away_are_unavailable(away: Api, spec: dict[str, Any]) -> None:
    answer = away.post("/v1/jobs", json=spec)
    problem(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_database_that_is_away_is_told_by_readiness_alone(away: Api) -> None:
    assert away.get("/healthz").status_code == 200
    answer = away.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "unavailable")
    assert answer.json["checks"]["database"] is False
    assert answer.json["checks"]["broker"] is True
    assert int(answer.headers["Retry-After"]) > 0


def test_a_database_without_tables_is_not_ready(settings: Settings, tmp_path: Any) -> None:
    made = create_app(replace(settings, database_url=f"sqlite:///{tmp_path}/empty.db"))
    answer = made.test_client().get("/readyz")
    assert (answer.status_code, answer.json["checks"]["database"]) == (503, False)
    services(made).database.close()


def test_a_database_that_comes_back_is_used_again(app: Flask, api: Api, settings: Settings) -> None:
    database: Database = services(app).database
    gone = Database("postgresql://127.0.0.1:1/none")
    app.extensions[EXTENSION] = replace(services(app), database=gone)
    problem(api.get("/v1/jobs"), 503, "database_unavailable")
    app.extensions[EXTENSION] = replace(services(app), database=database)
    assert api.get("/v1/jobs").status_code == 200
    gone.close()


def test_a_request_id_is_given_back(api: Api) -> None:
    for given in ("abc", "a" * 128, "6ba7b810-9dad:1.2_3"):
        answer = api.get("/v1/nothing", headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == answer.json["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "é", "a\tb"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_request_id_that_could_break_a_log_is_replaced(api: Api, given: str) -> None:
    answer = api.get("/v1/nothing", environ_overrides={"HTTP_X_REQUEST_ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


def test_every_request_has_an_id_of_its_own(api: Api) -> None:
    assert len({api.get("/healthz").headers["X-Request-ID"] for _ in range(5)}) == 5


def test_redirects_are_no_problems(app: Flask) -> None:
    answer = app.test_client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "v1/docs/")
