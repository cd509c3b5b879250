"""`/v1/jobs/{id}/artifacts`: the tuned model and what else a job leaves."""

from http import HTTPStatus
from itertools import chain
from typing import Any

from flask import Response, request, stream_with_context
from werkzeug.datastructures import ContentRange

from schemas.artifacts import Artifact, ArtifactPageSchema, ArtifactQuerySchema
from schemas.pages import Page
from schemas.problems import RangeNotSatisfiable
from service import context
from service.bodies import Blueprint
from service.jobs import next_link
from service.transactions import reads
from store import artifacts, jobs

blueprint = Blueprint("artifacts", __name__, description="Files that a job leaves.")

_BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}


@blueprint.route("/v1/jobs/<id:job_id>/artifacts", methods=["GET"])
@reads
@blueprint.arguments(ArtifactQuerySchema, location="query")
@blueprint.response(HTTPStatus.OK, ArtifactPageSchema)
def index(query: dict[str, Any], job_id: str) -> tuple[Page[Artifact], int, dict[str, str]]:
    """List a job's artefacts."""
    jobs.revision(context.session(), context.project(), job_id)
    found = artifacts.page(context.session(), job_id, query["page_size"], query["page_token"])
    return found, HTTPStatus.OK, next_link(found)


@blueprint.route("/v1/jobs/<id:job_id>/artifacts/<name:name>", methods=["GET"])
@blueprint.doc(
    responses={
        "200": {"description": "The whole file", **_BINARY},
        "206": {"description": "The range asked for", **_BINARY},
    }
)
def download(job_id: str, name: str) -> Response:
    """Download an artefact, whole or a `Range` of it."""
    with context.reading() as session:
        jobs.revision(session, context.project(), job_id)
        artifact = artifacts.get(session, job_id, name)
    found = _wanted(artifact)
    start, end = found or (0, artifact.bytes)
    pieces = context.services().blobs.read(artifact.path, start, end)
    # The first is read before the answer begins: a blob that is away is then told as a 503.
    first = next(pieces, b"")
    response = Response(
        stream_with_context(chain([first], pieces)),
        HTTPStatus.OK if found is None else HTTPStatus.PARTIAL_CONTENT,
        mimetype=artifact.media_type,
    )
    response.headers["Content-Disposition"] = f'attachment; filename="{artifact.name}"'
    response.headers["Accept-Ranges"] = "bytes"
    response.content_length = end - start
    response.set_etag(artifact.sha256)
    if found is not None:
        response.content_range = ContentRange("bytes", start, end, artifact.bytes)
    return response


def _wanted(artifact: Artifact) -> tuple[int, int] | None:
    """(start, end) of the bytes asked for; None for all, also when more than one range is (RFC 9110, 14)."""
    wanted = request.range
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1 or not _is_current(artifact):
        return None
    start, end = wanted.ranges[0]
    if start is not None and start < 0:
        # The last so many bytes: of a shorter file, all of them.
        start, end = max(artifact.bytes + start, 0), None
    if start is None or start >= artifact.bytes or "=-0" in request.headers["Range"].replace(" ", ""):
        headers = {"Content-Range": f"bytes */{artifact.bytes}"}
        text = f"The file has {artifact.bytes} bytes."
        raise RangeNotSatisfiable("range_not_satisfiable", text, headers=headers)
    return start, artifact.bytes if end is None else min(end, artifact.bytes)


def _is_current(artifact: Artifact) -> bool:
    """Whether a range of the file that the client knows is one of this file: by a strong tag alone."""
    return request.headers.get("If-Range", f'"{artifact.sha256}"') == f'"{artifact.sha256}"'
