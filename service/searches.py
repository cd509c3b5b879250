"""`/v1/jobs/{id}:pause` and the like: steering a search while it runs, and after it has ended."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import request

from schemas.budget import BudgetFields
from schemas.jobs import CloneSchema, Job, JobChangeSchema, JobSchema
from schemas.merging import merged
from schemas.problems import Message, invalid
from schemas.specs import load_spec
from service import context
from service.bodies import Blueprint, read_json
from service.checking import dataset_of
from service.jobs import accepted, polling, where
from service.transactions import writes
from store import jobs, searches

blueprint = Blueprint("searches", __name__, description="Steering a search.")


@blueprint.route("/v1/jobs/<id:job_id>:cancel", methods=["POST"])
@writes
@blueprint.response(HTTPStatus.ACCEPTED, JobSchema)
def cancel(job_id: str) -> tuple[Job, int, dict[str, str]]:
    """End a job; what runs of it stops within seconds. Idempotent."""
    job = jobs.cancel(context.session(), context.project(), job_id)
    return job, HTTPStatus.ACCEPTED, where(job)


@blueprint.route("/v1/jobs/<id:job_id>:pause", methods=["POST"])
@writes
@blueprint.response(HTTPStatus.ACCEPTED, JobSchema)
def pause(job_id: str) -> tuple[Job, int, dict[str, str]]:
    """Hold a search: no trial begins, running ones are put back with their weights. Idempotent."""
    job = _existing(job_id)
    searches.pause(context.session(), job.id)
    return _changed(job.id)


@blueprint.route("/v1/jobs/<id:job_id>:resume", methods=["POST"])
@writes
@blueprint.response(HTTPStatus.ACCEPTED, JobSchema)
def resume(job_id: str) -> tuple[Job, int, dict[str, str]]:
    """Go on with a paused search, each trial from its last epoch. Idempotent."""
    job = _existing(job_id)
    searches.resume(context.session(), job.id)
    context.after_commit(context.services().send.plan, job.id)
    return _changed(job.id)


@blueprint.route("/v1/jobs/<id:job_id>", methods=["PATCH"])
@writes
@blueprint.arguments(JobChangeSchema)
@blueprint.response(HTTPStatus.OK, JobSchema)
def change(changes: dict[str, Any], job_id: str) -> tuple[Job, int, dict[str, str]]:
    """Rename or relabel a job, or change its budget; one that has ended goes on if it is given more."""
    jobs.hold(context.session(), job_id)
    job = _existing(job_id)
    budget = changes.pop("budget", None)
    if changes:
        jobs.describe(context.session(), job.id, load_spec({**job.spec, **changes}))
    if budget is not None:
        _change_budget(_existing(job_id), budget)
    job = _existing(job.id)
    return job, HTTPStatus.OK, polling(job.revision)


def _change_budget(job: Job, budget: Mapping[str, Any]) -> None:
    spec = load_spec({**job.spec, "budget": {**job.spec["budget"], **BudgetFields().dump(budget)}})
    # An ended job's data set may have been deleted.
    dataset_of(spec)
    searches.change_budget(context.session(), job.id, spec)
    context.after_commit(context.services().send.plan, job.id)


@blueprint.route("/v1/jobs/<id:job_id>:clone", methods=["POST"])
@writes
@blueprint.doc(requestBody={"content": {"application/json": {"schema": CloneSchema}}})
@blueprint.response(HTTPStatus.ACCEPTED, JobSchema)
def clone(job_id: str) -> tuple[Job, int, dict[str, str]]:
    """A new job from this one's resolved spec, with the changes in the body (RFC 7396) laid over it."""
    job = _existing(job_id)
    patch = read_json(request) if request.get_data() else {}
    if not isinstance(patch, dict):
        raise invalid([Message("invalid_type", "Must be an object.")])
    return accepted(load_spec(merged(job.spec, patch)))


def _existing(job_id: str) -> Job:
    return jobs.get(context.session(), context.project(), job_id)


def _changed(job_id: str) -> tuple[Job, int, dict[str, str]]:
    job = _existing(job_id)
    return job, HTTPStatus.ACCEPTED, where(job)
