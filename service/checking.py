"""What a spec is held against before it becomes a job: its data set, its price, the jobs that it names."""

from collections.abc import Iterator
from typing import Any

from marshmallow import ValidationError

from schemas.datasets import Dataset
from schemas.estimates import EarlierNet, Estimate, estimate, warning
from schemas.knowledge import known_from
from schemas.problems import Invalid, Message, NotFound, fault, invalid
from schemas.specs import JobSpec, load_spec
from schemas.states import JobState
from service import context
from store import datasets, jobs, searches


def dataset_of(spec: JobSpec) -> Dataset:
    """The spec's data set.

    Raises:
        Invalid: it is not there: a mistake in the spec, at its place.
    """
    try:
        return datasets.get(context.session(), context.project(), spec.dataset)
    except NotFound as problem:
        raise invalid({"dataset": [Message(problem.code, problem.detail)]}) from None


def priced(spec: JobSpec, dataset: Dataset) -> tuple[Estimate, list[dict[str, Any]]]:
    """What the job would cost, and everything worth saying about its spec.

    Raises:
        Invalid: no such job can be.
    """
    limit = context.services().settings.max_parameters
    try:
        estimated = estimate(spec, dataset, limit, _earlier_net(spec))
        return estimated, [*estimated.warnings, *_warm_start_warnings(spec, dataset)]
    except ValidationError as error:
        raise invalid(error.messages) from None


def summary(spec: JobSpec) -> dict[str, Any]:
    """The size of the space."""
    space = spec.space
    return {"open_values": len(space), "size": space.size(), "grid_size": space.grid_size()}


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


# Algorithms that learn from scores.
_LEARNING = ("bayesian", "tpe", "cmaes")


def _warm_start_warnings(spec: JobSpec, dataset: Dataset) -> Iterator[dict[str, Any]]:
    then = getattr(spec.search, "then", None)
    place = ("search", "then") if then else ("search",)
    algorithm = (then or spec.search).algorithm
    for index, job_id in enumerate(spec.search.warm_start):
        path = (*place, "warm_start", index)
        pointer = "/" + "/".join(map(str, path))
        work = _ended(job_id, path)
        earlier = _readable(work, path)
        if earlier.objective.metric != spec.objective.metric:
            text = f"Job {job_id} was judged by {earlier.objective.metric}: its scores say nothing here."
            raise fault("warm_start_incomparable", text, *path)
        if algorithm not in _LEARNING:
            text = f"{algorithm} learns nothing from scores: the trials of {job_id} are not used."
            yield warning("warm_start_unused", pointer, text)
            continue
        if work.dataset_digest != dataset.digest:
            text = f"Job {job_id} had other data: its scores are taken as they are."
            yield warning("warm_start_other_data", pointer, text)
        knowledge = known_from(spec, earlier, work.trials)
        if knowledge.different:
            text = f"Job {job_id} had other values of {', '.join(knowledge.different[:3])}: left out."
            yield warning("warm_start_differs", pointer, text)
        if knowledge.outside:
            text = f"{knowledge.outside} trials of {job_id} lie outside this space and are left out."
            yield warning("warm_start_outside", pointer, text)


def _ended(job_id: str, path: tuple[str | int, ...]) -> searches.Work:
    """A job of this project whose search is over."""
    work = searches.work(context.session(), job_id)
    if work is None or work.project != context.project():
        raise fault("job_not_found", f"There is no job {job_id}.", *path)
    if not work.state.is_terminal and work.state != JobState.FINISHING:
        text = f"Job {job_id} is {work.state}: a warm start takes jobs whose search has ended."
        raise fault("job_not_ended", text, *path)
    return work


def _readable(work: searches.Work, path: tuple[str | int, ...]) -> JobSpec:
    try:
        return load_spec(work.spec)
    except Invalid as problem:
        text = f"This version cannot read the spec of job {work.id}: {problem.detail}"
        raise fault("warm_start_incomparable", text, *path) from None
