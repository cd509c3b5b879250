"""Health, readiness and info."""

from flask import Flask

from tests.conftest import Api


def test_healthz_needs_no_key(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json["status"]) == (200, "ok")


def test_readyz_looks_at_database_broker_and_storage(app: Flask) -> None:
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 200, answer.text
    assert answer.json["checks"] == {"database": True, "broker": True, "storage": True}


def test_info_says_version_and_limits(api: Api) -> None:
    info = api.get("/v1/info").json
    assert info["slots"] == 0
    assert info["limits"]["max_page_size"] == 200
