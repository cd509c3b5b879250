"""`/v1/jobs/{id}/trials`: the configurations that were tried, epoch by epoch."""

from collections.abc import Iterator
from http import HTTPStatus
from itertools import chain
from typing import Any

from flask import Response, request, stream_with_context

from schemas.pages import Page
from schemas.trial_tables import MEDIA_TYPE, body, header
from schemas.trials import Trial, TrialPageSchema, TrialQuerySchema, TrialSchema
from service import context
from service.bodies import Blueprint
from service.jobs import next_link
from service.transactions import reads, writes
from store import jobs, trial_tables, trials

blueprint = Blueprint("trials", __name__, description="Configurations that a job tries.")

_VARIES = {"Vary": "Accept"}
_NAMED = {"Content-Disposition": 'attachment; filename="trials.csv"'}


@blueprint.route("/v1/jobs/<id:job_id>/trials", methods=["GET"])
@reads
@blueprint.arguments(TrialQuerySchema, location="query")
@blueprint.response(HTTPStatus.OK, TrialPageSchema)
@blueprint.alt_response(
    HTTPStatus.OK,
    schema={"type": "string"},
    content_type=MEDIA_TYPE,
    success=True,
    description="A page; as text/csv all trials in one table, without pages and epochs.",
)
def index(query: dict[str, Any], job_id: str) -> Response | tuple[Page[Trial], int, dict[str, str]]:
    """List a job's trials."""
    _require_job(job_id)
    if _wants_table():
        return _table(job_id, query["state"], query["order_by"])
    found = trials.page(
        context.session(),
        job_id,
        query["page_size"],
        query["page_token"],
        query["state"],
        query["order_by"],
    )
    return found, HTTPStatus.OK, {**next_link(found), **_VARIES}


def _wants_table() -> bool:
    """Whether the client would rather have the table. Whoever says nothing, or takes neither, gets JSON."""
    tables = [MEDIA_TYPE, f"{MEDIA_TYPE}; charset=utf-8"]
    return request.accept_mimetypes.best_match(["application/json", *tables]) in tables


def _table(job_id: str, state: str | None, order_by: str) -> Response:
    """The trials that there are now, in pieces: no transaction lasts as long as the client reads."""
    found = trial_tables.outline(context.session(), job_id, state, order_by)

    def rows() -> Iterator[str]:
        for start in range(0, len(found.numbers), trial_tables.PIECE):
            with context.reading() as session:
                numbers = found.numbers[start : start + trial_tables.PIECE]
                piece = body(trial_tables.some(session, job_id, numbers), found.columns)
            yield piece

    lines = stream_with_context(chain([header(found.columns)], rows()))
    return Response(lines, mimetype=MEDIA_TYPE, headers={**_VARIES, **_NAMED})


@blueprint.route("/v1/jobs/<id:job_id>/trials/<number:number>", methods=["GET"])
@reads
@blueprint.response(HTTPStatus.OK, TrialSchema)
def get(job_id: str, number: int) -> Trial:
    """One trial with the metrics of every epoch."""
    _require_job(job_id)
    return trials.get(context.session(), job_id, number)


@blueprint.route("/v1/jobs/<id:job_id>/trials/<number:number>:cancel", methods=["POST"])
@writes
@blueprint.response(HTTPStatus.ACCEPTED, TrialSchema)
def cancel(job_id: str, number: int) -> Trial:
    """End one trial; the search goes on. Idempotent."""
    _require_job(job_id)
    trial = trials.cancel(context.session(), job_id, number)
    context.after_commit(context.services().send.plan, job_id)
    return trial


def _require_job(job_id: str) -> None:
    """404 for a job of another project, before anything of it is looked at."""
    jobs.revision(context.session(), context.project(), job_id)
