"""`/v1/jobs`: post a recipe with open values, follow it, get what came out."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from flask import make_response, request, url_for
from marshmallow import ValidationError

from schemas.datasets import Dataset
from schemas.estimates import EarlierNet, Estimate, estimate
from schemas.jobs import (
    BestSchema,
    Job,
    JobGetQuerySchema,
    JobPageSchema,
    JobQuerySchema,
    JobSchema,
    ValidationSchema,
)
from schemas.pages import Page
from schemas.problems import (
    MEDIA_TYPE,
    Conflict,
    Invalid,
    Message,
    NotFound,
    ProblemSchema,
    fault,
    invalid,
)
from schemas.specs import JobSpec, JobSpecSchema, load_spec
from service import context
from service.bodies import Blueprint, read_json
from service.transactions import reads, writes
from store import artifacts, datasets, jobs, trials
from store.jobs import Filters

blueprint = Blueprint("jobs", __name__, description="Searches for the best hyperparameters.")

# How often a waiting GET looks for a change, and how long clients should wait between two GETs.
_LOOK_SECONDS = 0.25
_POLL_SECONDS = "2"


@blueprint.route("/v1/jobs", methods=["POST"])
@writes
@blueprint.arguments(JobSpecSchema)
@blueprint.response(HTTPStatus.ACCEPTED, JobSchema)
def create(spec: JobSpec) -> tuple[Job, int, dict[str, str]]:
    """Accept a job."""
    dataset = _dataset_of(spec)
    priced = _estimated(spec, dataset)
    job = jobs.create(context.session(), context.project(), spec, dataset, priced.warnings)
    context.after_commit(context.services().send.plan, job.id)
    return job, HTTPStatus.ACCEPTED, _where(job)


@blueprint.route("/v1/jobs:validate", methods=["POST"])
@reads
@blueprint.doc(requestBody={"content": {"application/json": {"schema": JobSpecSchema}}})
@blueprint.response(HTTPStatus.OK, ValidationSchema)
def validate() -> dict[str, Any]:
    """Check a spec and price it, without making a job."""
    try:
        spec = load_spec(read_json(request))
        priced = _estimated(spec, _dataset_of(spec))
    except Invalid as problem:
        nothing: dict[str, Any] = {"spec": None, "space": None, "estimate": None, "warnings": []}
        return {"valid": False, "errors": problem.errors, **nothing}
    return {
        "valid": True,
        "errors": [],
        "spec": spec.resolved,
        "space": _summary(spec),
        "estimate": asdict(priced),
        "warnings": priced.warnings,
    }


@blueprint.route("/v1/jobs", methods=["GET"])
@reads
@blueprint.arguments(JobQuerySchema, location="query")
@blueprint.response(HTTPStatus.OK, JobPageSchema)
def index(query: dict[str, Any]) -> tuple[Page[Job], int, dict[str, str]]:
    """List jobs, newest first."""
    size, token = query.pop("page_size"), query.pop("page_token")
    found = jobs.page(context.session(), context.project(), Filters(**query), size, token)
    return found, HTTPStatus.OK, next_link(found)


@blueprint.route("/v1/jobs/<id:job_id>", methods=["GET"])
@blueprint.arguments(JobGetQuerySchema, location="query")
@blueprint.response(HTTPStatus.OK, JobSchema)
@blueprint.alt_response(HTTPStatus.NOT_MODIFIED, success=True, description="Not modified")
def get(query: dict[str, Any], job_id: str) -> Any:
    """Status, progress and the best trial so far; `ETag` and `If-None-Match` make polling cheap."""
    revision = _awaited(job_id, query["wait"])
    if _is_known(revision):
        return make_response("", HTTPStatus.NOT_MODIFIED, _headers(revision))
    with context.reading() as session:
        job = jobs.get(session, context.project(), job_id)
    return job, HTTPStatus.OK, _headers(job.revision)


@blueprint.route("/v1/jobs/<id:job_id>:cancel", methods=["POST"])
@writes
@blueprint.response(HTTPStatus.ACCEPTED, JobSchema)
def cancel(job_id: str) -> tuple[Job, int, dict[str, str]]:
    """End a job; what runs of it stops within seconds. Idempotent."""
    job = jobs.cancel(context.session(), context.project(), job_id)
    return job, HTTPStatus.ACCEPTED, _where(job)


@blueprint.route("/v1/jobs/<id:job_id>/best", methods=["GET"])
@reads
@blueprint.response(HTTPStatus.OK, BestSchema)
@blueprint.alt_response(
    HTTPStatus.CONFLICT, schema=ProblemSchema, content_type=MEDIA_TYPE, description="No completed trial yet"
)
def best(job_id: str) -> dict[str, Any]:
    """The best hyperparameters, their metrics, and the model that was made of them."""
    session = context.session()
    job = jobs.get(session, context.project(), job_id)
    if job.best is None:
        raise Conflict("no_completed_trial", "No trial has a score yet.")
    result = jobs.result(session, context.project(), job_id) or {}
    trial = trials.get(session, job_id, job.best.trial)
    return {
        "job": job.id,
        "trial": job.best.trial,
        "epoch": job.best.epoch,
        "score": job.best.score,
        "hyperparameters": job.best.hyperparameters,
        "validation": _validation_metrics(trial.metrics),
        "test": result.get("test"),
        "verified": result.get("verified"),
        "refit": result.get("refit", False),
        "artifacts": artifacts.names(session, job_id),
        "reproducibility": result.get("reproducibility", _reproducibility(job)),
    }


def next_link(page: Page[Any]) -> dict[str, str]:
    """The `Link` header to the next page, if there is one."""
    if page.next_page_token is None:
        return {}
    arguments = {**request.args.to_dict(), "page_token": page.next_page_token}
    url = url_for(str(request.endpoint), **{**(request.view_args or {}), **arguments})
    return {"Link": f'<{url}>; rel="next"'}


def _validation_metrics(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    prefix = "val_"
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}


def _reproducibility(job: Job) -> dict[str, Any]:
    """What is known before the job has finished."""
    return {
        "seed": job.spec["seed"],
        "dataset_digest": job.dataset_digest,
        "spec_digest": job.spec_digest,
    }


def _dataset_of(spec: JobSpec) -> Dataset:
    """The spec's data set; one that is not there is a mistake in the spec, at its place."""
    try:
        return datasets.get(context.session(), context.project(), spec.dataset)
    except NotFound as problem:
        raise invalid({"dataset": [Message(problem.code, problem.detail)]}) from None


def _estimated(spec: JobSpec, dataset: Dataset) -> Estimate:
    limit = context.services().settings.max_parameters
    try:
        return estimate(spec, dataset, limit, _earlier_net(spec))
    except ValidationError as error:
        raise invalid(error.messages) from None


def _earlier_net(spec: JobSpec) -> EarlierNet | None:
    """What is known of the earlier job's net that the spec starts from, if it names one."""
    for job_id in spec.earlier_jobs:
        session, project = context.session(), context.project()
        try:
            earlier, known = jobs.get(session, project, job_id), jobs.result(session, project, job_id)
        except NotFound as error:
            raise fault("job_not_found", error.detail, "model", "job") from None
        if known is None or "backbone" not in known:
            raise fault("job_not_succeeded", f"Job {job_id} has no model (yet).", "model", "job")
        digest = known["reproducibility"]["dataset_digest"]
        division = {"seed": earlier.spec["seed"], "split": earlier.spec["split"]}
        return EarlierNet(**known["backbone"], dataset_digest=digest, division=division, refit=known["refit"])
    return None


def _summary(spec: JobSpec) -> dict[str, Any]:
    space = spec.space
    return {"open_values": len(space), "size": space.size(), "grid_size": space.grid_size()}


def _where(job: Job) -> dict[str, str]:
    location = url_for("jobs.get", job_id=job.id)
    return {"Location": location, **_headers(job.revision)}


def _headers(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"', "Retry-After": _POLL_SECONDS, "Cache-Control": "no-cache"}


def _is_known(revision: int) -> bool:
    """Whether the client has this revision. Proxies make strong tags weak, so both count."""
    return request.if_none_match.contains_weak(str(revision))


def _awaited(job_id: str, seconds: int) -> int:
    """The job's revision, once it is one that the client does not have, or the time is over."""
    revision = _revision(job_id)
    waiting = context.services().waiting
    if not seconds or not _is_known(revision) or not waiting.acquire(blocking=False):
        return revision
    try:
        until = time.monotonic() + seconds
        while _is_known(revision) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
            revision = _revision(job_id)
    finally:
        waiting.release()
    return revision


def _revision(job_id: str) -> int:
    with context.reading() as session:
        return jobs.revision(session, context.project(), job_id)
