"""Every error as application/problem+json (RFC 9457); never a traceback, a path or SQL."""

import json
import re
import time
import uuid
from http import HTTPStatus

from flask import Flask, Response, g, request
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.exceptions import HTTPException

from schemas import problems
from schemas.logs import logger
from schemas.problems import Problem, ProblemSchema

_log = logger(__name__)

REQUEST_ID = "X-Request-ID"
RETRY_SECONDS = "5"

# What Flask and Werkzeug raise by themselves, in our words.
_CODES = {
    400: "bad_request",
    404: "route_not_found",
    405: "method_not_allowed",
    413: "upload_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
}


def handle_errors(app: Flask) -> None:
    """Maps everything that is raised to a problem, in this one place."""
    app.before_request(_take_request_id)
    app.after_request(_give_request_id)
    app.after_request(_note)
    app.register_error_handler(Problem, render)
    app.register_error_handler(HTTPException, _http)
    for kind in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(kind, _database_away)
    app.register_error_handler(Exception, _unforeseen)


def _take_request_id() -> None:
    given = request.headers.get(REQUEST_ID, "")
    g.request_id = given if re.fullmatch(r"[\w.:-]{1,128}", given, re.ASCII) else uuid.uuid4().hex
    g.began = time.monotonic()
    # Every line that is logged for this request carries it.
    clear_contextvars()
    bind_contextvars(request_id=g.request_id)


def _give_request_id(response: Response) -> Response:
    response.headers[REQUEST_ID] = g.get("request_id", "")
    return response


def _note(response: Response) -> Response:
    milliseconds = round(1000 * (time.monotonic() - g.get("began", time.monotonic())), 1)
    details = {"method": request.method, "path": request.path, "status": response.status_code}
    _log.info("request", **details, milliseconds=milliseconds)
    return response


def render(problem: Problem) -> Response:
    document = {
        "type": f"urn:tuneserve:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": g.get("request_id", ""),
    }
    if problem.errors:
        document["errors"] = problem.errors
    body = json.dumps(ProblemSchema().dump(document))
    response = Response(body, problem.status, mimetype=problems.MEDIA_TYPE)
    response.headers.update(problem.headers)
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers.setdefault("Retry-After", RETRY_SECONDS)
    return response


def _http(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:
        # A redirect that routing raised.
        return Response(error.get_body(), error.code, headers=error.get_headers())
    by_status = {kind.status: kind for kind in Problem.__subclasses__()}
    kind = by_status.get(error.code, problems.BadRequest if error.code < 500 else Problem)
    problem = kind(_CODES.get(error.code, "internal"), error.description or error.name)
    if error.code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or ())
    return render(problem)


def _database_away(error: Exception) -> Response:
    _log.error("database does not answer", error=str(error))
    return render(problems.Unavailable("database_unavailable", "Try again in a moment."))


def _unforeseen(error: Exception) -> Response:
    _log.error("unforeseen error", path=request.path, exc_info=error)
    return render(problems.InternalError("internal", "Something went wrong here; it is in the log."))
