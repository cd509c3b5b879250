"""`/v1/jobs`: post a recipe with open values, follow it, get what came out."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from flask import make_response, request, url_for

from schemas.jobs import (
    BestSchema,
    Job,
    JobGetQuerySchema,
    JobPageSchema,
    JobQuerySchema,
    JobSchema,
    ValidationSchema,
)
from schemas.logs import logger
from schemas.pages import Page
from schemas.problems import MEDIA_TYPE, Conflict, Invalid, ProblemSchema, Unavailable
from schemas.specs import JobSpec, JobSpecSchema, load_spec
from service import context
from service.bodies import Blueprint, read_json
from service.checking import dataset_of, priced, summary
from service.transactions import reads, writes
from store import artifacts, jobs, trials
from store.jobs import Filters

_log = logger(__name__)

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
    return accepted(spec)


def accepted(spec: JobSpec) -> tuple[Job, int, dict[str, str]]:
    """The answer to a spec that is to become a job: the job.

    Raises:
        Invalid: no such job can be.
    """
    dataset = dataset_of(spec)
    _, warnings = priced(spec, dataset)
    job = jobs.create(context.session(), context.project(), spec, dataset, warnings)
    context.after_commit(context.services().send.plan, job.id)
    return job, HTTPStatus.ACCEPTED, where(job)


@blueprint.route("/v1/jobs:validate", methods=["POST"])
@reads
@blueprint.doc(requestBody={"content": {"application/json": {"schema": JobSpecSchema}}})
@blueprint.response(HTTPStatus.OK, ValidationSchema)
def validate() -> dict[str, Any]:
    """Check a spec and price it, without making a job."""
    try:
        spec = load_spec(read_json(request))
        dataset = dataset_of(spec)
        estimated, warnings = priced(spec, dataset)
    except Invalid as problem:
        nothing = dict.fromkeys(("spec", "spec_digest", "dataset_digest", "space", "estimate"))
        return {"valid": False, "errors": problem.errors, "warnings": [], **nothing}
    return {
        "valid": True,
        "errors": [],
        "spec": spec.resolved,
        "spec_digest": spec.digest,
        "dataset_digest": dataset.digest,
        "space": summary(spec),
        "estimate": asdict(estimated),
        "warnings": warnings,
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
        return make_response("", HTTPStatus.NOT_MODIFIED, polling(revision))
    with context.reading() as session:
        job = jobs.get(session, context.project(), job_id)
    return job, HTTPStatus.OK, polling(job.revision)


@blueprint.route("/v1/jobs/<id:job_id>", methods=["DELETE"])
@writes
@blueprint.response(HTTPStatus.NO_CONTENT)
@blueprint.alt_response(
    HTTPStatus.CONFLICT, schema=ProblemSchema, content_type=MEDIA_TYPE, description="It has not ended"
)
def delete(job_id: str) -> None:
    """Remove a job that has ended, with its trials and its artefacts."""
    jobs.remove(context.session(), context.project(), job_id)
    context.after_commit(_drop, job_id)


def _drop(job_id: str) -> None:
    """The job is gone, whatever the storage says now: what stays there is for the operator to see."""
    try:
        context.services().blobs.delete_under(jobs.blob_folder(job_id))
    except Unavailable as error:
        _log.warning("blobs of a deleted job are left", job=job_id, error=str(error))


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
    names = artifacts.names(session, job_id)
    if result.get("trial") != job.best.trial:
        # Of an earlier end of the job, which has gone on and found a better one: so is the model.
        result, names = {}, []
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
        "model": result.get("model"),
        "refit": result.get("refit", False),
        "artifacts": names,
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


def where(job: Job) -> dict[str, str]:
    """Headers that say where a job is to be followed."""
    location = url_for("jobs.get", job_id=job.id)
    return {"Location": location, **polling(job.revision)}


def polling(revision: int) -> dict[str, str]:
    """Headers that say which revision an answer is of, and when to ask again."""
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
            if context.services().streams.stopping.wait(_LOOK_SECONDS):
                break
            revision = _revision(job_id)
    finally:
        waiting.release()
    return revision


def _revision(job_id: str) -> int:
    with context.reading() as session:
        return jobs.revision(session, context.project(), job_id)
