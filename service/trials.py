"""`/v1/jobs/{id}/trials`: the configurations that were tried, epoch by epoch."""

from http import HTTPStatus
from typing import Any

from schemas.pages import Page
from schemas.trials import Trial, TrialPageSchema, TrialQuerySchema, TrialSchema
from service import context
from service.bodies import Blueprint
from service.jobs import next_link
from service.transactions import reads, writes
from store import jobs, trials

blueprint = Blueprint("trials", __name__, description="Configurations that a job tries.")


@blueprint.route("/v1/jobs/<id:job_id>/trials", methods=["GET"])
@reads
@blueprint.arguments(TrialQuerySchema, location="query")
@blueprint.response(HTTPStatus.OK, TrialPageSchema)
def index(query: dict[str, Any], job_id: str) -> tuple[Page[Trial], int, dict[str, str]]:
    """List a job's trials."""
    _require_job(job_id)
    found = trials.page(
        context.session(),
        job_id,
        query["page_size"],
        query["page_token"],
        query["state"],
        query["order_by"],
    )
    return found, HTTPStatus.OK, next_link(found)


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
