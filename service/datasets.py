"""`/v1/datasets`: images with labels, uploaded once and used by many jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Response, jsonify, make_response, url_for

from schemas.datasets import (
    Dataset,
    DatasetPageSchema,
    DatasetQuerySchema,
    DatasetSchema,
    DatasetUploadQuerySchema,
)
from schemas.pages import Page
from service import context
from service.bodies import Blueprint
from service.ingest import ingested, refuse
from service.jobs import next_link
from service.transactions import digest_of, once, reads, writes
from service.uploads import MULTIPART, OCTETS, received
from store import datasets
from store.ids import new_id

blueprint = Blueprint("datasets", __name__, description="Images with labels.")

_MAX_NAME = 200
_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": _FILE, "name": {"type": "string", "maxLength": _MAX_NAME}},
}


@blueprint.route("/v1/datasets", methods=["POST"])
@blueprint.arguments(DatasetUploadQuerySchema, location="query")
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {MULTIPART: {"schema": _FORM}, OCTETS: {"schema": _FILE}},
    }
)
@blueprint.response(HTTPStatus.CREATED, DatasetSchema)
@blueprint.alt_response(HTTPStatus.OK, schema=DatasetSchema, description="Known already")
def create(query: dict[str, Any]) -> Response:
    """Upload an npz with `x` (N, H, W), (N, H, W, C) or (N, F), and `y` (N,), integers or names; or a zip
    with a folder of images for each class."""
    with received() as upload:
        name = _name(query["name"] or upload.name)
        settings = context.services().settings
        limit, spare = 8 * settings.max_upload_bytes, settings.min_free_bytes
        with (
            ingested(upload.file, upload.digest, name, limit, spare) as found,
            _stored(found.file) as dataset_id,
        ):
            described = replace(found.dataset, id=dataset_id)
            return once(digest_of(upload.digest, name), lambda: _created(described))


def _name(given: str | None) -> str:
    name = given or "dataset"
    if len(name) > _MAX_NAME or not name.isprintable():
        raise refuse("invalid_value", f"A name is up to {_MAX_NAME} printable characters.", "name")
    return name


@contextmanager
def _stored(file: Path) -> Iterator[str]:
    """Puts the bytes under a new id; takes them away again if no row came to name them.

    Before the transaction, which would keep other writers waiting for as long as the bytes take; and before
    the row, which must never name a blob that is not there.
    """
    dataset_id, project = new_id("ds"), context.project()
    path = datasets.blob_path(project, dataset_id)
    context.services().blobs.put(path, file)
    try:
        yield dataset_id
    finally:
        with context.reading() as session:
            if not datasets.exists(session, dataset_id):
                context.services().blobs.delete(path)


def _created(described: Dataset) -> Response:
    found, is_new = datasets.create(context.session(), context.project(), described)
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    response = make_response(jsonify(DatasetSchema().dump(found)), status)
    response.headers["Location"] = url_for("datasets.get", dataset_id=found.id)
    return response


@blueprint.route("/v1/datasets", methods=["GET"])
@reads
@blueprint.arguments(DatasetQuerySchema, location="query")
@blueprint.response(HTTPStatus.OK, DatasetPageSchema)
def index(query: dict[str, Any]) -> tuple[Page[Dataset], int, dict[str, str]]:
    """List uploads, newest first."""
    size, token = query["page_size"], query["page_token"]
    found = datasets.page(context.session(), context.project(), size, token, query["digest"])
    return found, HTTPStatus.OK, next_link(found)


@blueprint.route("/v1/datasets/<id:dataset_id>", methods=["GET"])
@reads
@blueprint.response(HTTPStatus.OK, DatasetSchema)
def get(dataset_id: str) -> Dataset:
    """Shape, classes with their counts, and what is worth knowing."""
    return datasets.get(context.session(), context.project(), dataset_id)


@blueprint.route("/v1/datasets/<id:dataset_id>", methods=["DELETE"])
@writes
@blueprint.response(HTTPStatus.NO_CONTENT)
def delete(dataset_id: str) -> None:
    """Remove an upload that no unfinished job uses."""
    gone = datasets.remove(context.session(), context.project(), dataset_id)
    path = datasets.blob_path(context.project(), gone.id)
    context.after_commit(context.services().blobs.delete, path)
