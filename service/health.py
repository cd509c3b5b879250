"""Is the process up, can it work, and who works for it."""

from http import HTTPStatus
from importlib import metadata
from typing import Any

from marshmallow import fields
from sqlalchemy.exc import SQLAlchemyError

from schemas.fields import AnswerSchema, Dict, Integer, List, Nested, String
from schemas.pages import MAX_PAGE_SIZE
from service import context
from service.bodies import Blueprint
from service.errors import RETRY_SECONDS
from service.transactions import reads
from store import workers

blueprint = Blueprint("health", __name__, description="Health of the service.")
info_blueprint = Blueprint("info", __name__, description="What the service can do.")


class HealthSchema(AnswerSchema):
    status = String(required=True, metadata={"enum": ["ok", "unavailable"]})
    checks = Dict(keys=String(), values=fields.Boolean())


class WorkerSchema(AnswerSchema):
    id = String(required=True)
    slots = Integer(required=True)
    accelerators = List(String(), required=True)


class InfoSchema(AnswerSchema):
    version = String(required=True)
    limits = Dict(keys=String(), values=Integer(), required=True)
    workers = List(Nested(WorkerSchema), required=True)
    slots = Integer(required=True, metadata={"description": "Trials that can run at once, now."})
    queue_depth = Integer(required=True, metadata={"description": "Trials that wait for a slot."})


@blueprint.route("/healthz", methods=["GET"])
@blueprint.response(HTTPStatus.OK, HealthSchema)
def healthz() -> dict[str, Any]:
    """The process is up."""
    return {"status": "ok", "checks": {}}


@blueprint.route("/readyz", methods=["GET"])
@blueprint.response(HTTPStatus.OK, HealthSchema)
@blueprint.alt_response(HTTPStatus.SERVICE_UNAVAILABLE, success=False, schema=HealthSchema)
def readyz() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Database (migrated), broker and storage answer."""
    checks = {
        "database": _database_answers(),
        "broker": context.services().send.is_connected(),
        "storage": context.services().blobs.answers(),
    }
    if all(checks.values()):
        return {"status": "ok", "checks": checks}, HTTPStatus.OK, {}
    waiting = {"Retry-After": RETRY_SECONDS}
    return {"status": "unavailable", "checks": checks}, HTTPStatus.SERVICE_UNAVAILABLE, waiting


@info_blueprint.route("/v1/info", methods=["GET"])
@reads
@info_blueprint.response(HTTPStatus.OK, InfoSchema)
def info() -> dict[str, Any]:
    """Version, limits, and the workers that are alive."""
    alive = workers.alive(context.session())
    settings = context.services().settings
    return {
        "version": metadata.version("tuneserve-server"),
        "limits": {
            "max_upload_bytes": settings.max_upload_bytes,
            "max_body_bytes": settings.max_body_bytes,
            "max_parameters": settings.max_parameters,
            "max_page_size": MAX_PAGE_SIZE,
        },
        "workers": alive,
        "slots": sum(worker.slots for worker in alive),
        "queue_depth": workers.queue_depth(context.session()),
    }


def _database_answers() -> bool:
    try:
        return context.services().database.is_migrated()
    except SQLAlchemyError:
        return False
