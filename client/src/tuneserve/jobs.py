"""Jobs: made from a spec, followed to their end, and their results."""

import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tuneserve.artifacts import Artifact, save
from tuneserve.best import Best, BestTrial
from tuneserve.datasets import Dataset
from tuneserve.errors import JobFailed, NotFound, WaitTimeout
from tuneserve.paths import api_path
from tuneserve.progress import Progress, ProgressOption, Watcher, watching
from tuneserve.records import Document, Record
from tuneserve.responses import document_of
from tuneserve.trials import Trial
from tuneserve.validation import Validation

if TYPE_CHECKING:
    from tuneserve.client import Client

TERMINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
"""A job in one of these is final."""

HOLD_SECONDS = 20
"""How long the service is asked to hold its answer while nothing changes."""

POLL_SECONDS = 0.5
"""Shortest time between two polls, for a service that changes fast or does not hold."""

MODEL_NAME = "model.keras"
"""The artifact that `Job.download_model` fetches."""


@dataclass(frozen=True, kw_only=True)
class JobProblem(Record):
    """Why a job failed; `trials` has the most frequent causes among its trials."""

    code: str = "internal"
    title: str = ""
    detail: str | None = None
    trials: tuple[Any, ...] = ()


class Job:
    """A job as the service last told it; `reload`, `wait` and `cancel` bring it up to date."""

    def __init__(self, client: "Client", document: Document, etag: str | None = None) -> None:
        self._client = client
        self._document = document
        self._etag = etag

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, name={self.name!r}, state={self.state!r})"

    @property
    def id(self) -> str:
        """`job_...`; ids are ordered by time."""
        return str(self._document["id"])

    @property
    def name(self) -> str | None:
        """The name in the spec, if it has one."""
        return self._document.get("name")

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels in the spec."""
        return self._document.get("labels") or {}

    @property
    def state(self) -> str:
        """Such as `queued`, `running` or `succeeded`; a newer service may have more states."""
        return str(self._document["state"])

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self.state in TERMINAL_STATES

    @property
    def stop_reason(self) -> str | None:
        """What ended the search, such as the budget or a target that was met."""
        return self._document.get("stop_reason")

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec as resolved, with every default written out."""
        return self._document.get("spec") or {}

    @property
    def progress(self) -> Progress:
        """Counts of trials and epochs."""
        return Progress.parse(self._document.get("progress") or {})

    @property
    def best(self) -> BestTrial | None:
        """The best trial so far, or None before one has completed; `best_result` has more."""
        best = self._document.get("best")
        return BestTrial.parse(best) if best else None

    @property
    def error(self) -> JobProblem | None:
        """Why the job failed, if it did."""
        error = self._document.get("error")
        return JobProblem.parse(error) if error else None

    @property
    def revision(self) -> int:
        """Grows with every change of the job."""
        return int(self._document.get("revision") or 0)

    @property
    def raw(self) -> Document:
        """The whole document, with the fields that this version of the SDK does not know."""
        return self._document

    def reload(self) -> Self:
        """Ask for the job as it is now; a job that has not changed costs next to nothing."""
        self._refresh()
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        progress: ProgressOption = "auto",
        raise_on_failure: bool = True,
    ) -> Self:
        """Wait until the job has ended.

        Args:
            timeout: Seconds to wait; None waits as long as it takes.
            progress: "auto" shows a live line if stderr is a terminal; True always shows the
                progress, False never; a function is called with the job at each change.
            raise_on_failure: False gives back a job that failed or was cancelled.

        Raises:
            JobFailed: The job ended without success.
            WaitTimeout: It has not ended in time; it goes on running.
        """
        with watching(progress) as watcher:
            self._follow(timeout, watcher)
        if raise_on_failure and self.state != "succeeded":
            raise JobFailed(self)
        return self

    def cancel(self) -> Self:
        """Ask the job to stop; running trials end within seconds, so `wait` for the end."""
        self._client.request("POST", api_path("jobs", f"{self.id}:cancel"))
        return self.reload()

    def trials(
        self, *, state: str | None = None, order_by: str | None = None, page_size: int = 50
    ) -> Iterator[Trial]:
        """The trials, with the metrics of every epoch; `order_by` score, number or duration."""
        path = api_path("jobs", self.id, "trials")
        found = self._client.pages(path, state=state, order_by=order_by, page_size=page_size)
        return map(Trial.parse, found)

    def trial(self, number: int) -> Trial:
        """One trial by its number.

        Raises:
            NotFound: The job has no such trial.
        """
        return Trial.parse(self._client.get(api_path("jobs", self.id, "trials", str(number))))

    def best_result(self) -> Best:
        """The best trial in full, with its scores on the validation and the test share.

        Raises:
            Conflict: No trial has completed yet.
        """
        return Best.parse(self._client.get(api_path("jobs", self.id, "best")))

    def artifacts(self) -> Iterator[Artifact]:
        """The files of this job that can be downloaded."""
        return map(Artifact.parse, self._client.pages(api_path("jobs", self.id, "artifacts")))

    def download(self, name: str, path: str | os.PathLike[str] = ".") -> Path:
        """Download an artifact to `path`, a file or a directory, and return the file.

        Raises:
            NotFound: The job has no such artifact, or not yet.
            DigestMismatch: The content is not the published one; nothing was left at `path`.
        """
        artifact = self._artifact(name)
        with self._client.stream(api_path("jobs", self.id, "artifacts", name)) as chunks:
            return save(artifact, chunks, path)

    def download_model(self, path: str | os.PathLike[str] = ".") -> Path:
        """Download the tuned model, which takes raw pixels and gives class probabilities."""
        return self.download(MODEL_NAME, path)

    def _artifact(self, name: str) -> Artifact:
        for artifact in self.artifacts():
            if artifact.name == name:
                return artifact
        detail = f"job {self.id} is {self.state} and has no artifact {name!r}"
        raise NotFound(404, "artifact_not_found", "Not Found", detail)

    def _follow(self, timeout: float | None, watcher: Watcher) -> None:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._refresh()
        watcher(self)
        while not self.is_terminal:
            left = deadline - time.monotonic()
            if timeout is not None and left <= 0:
                raise WaitTimeout(self, timeout)
            if self._poll(left):
                watcher(self)

    def _poll(self, seconds: float) -> bool:
        start = time.monotonic()
        changed = self._refresh(hold=int(min(seconds, HOLD_SECONDS)))
        if not self.is_terminal:
            pause = min(seconds, POLL_SECONDS) - (time.monotonic() - start)
            time.sleep(max(0.0, pause))
        return changed

    def _refresh(self, hold: int = 0) -> bool:
        response = self._client.request(
            "GET",
            api_path("jobs", self.id),
            # Without a tag the service cannot know which change is news to us.
            headers={"If-None-Match": self._etag} if self._etag else {},
            params={"wait": hold} if self._etag and hold else {},
            timeout=self._client.timeout + hold,
        )
        if response.status_code == 304:
            return False
        self._document = document_of(response)
        self._etag = response.headers.get("ETag")
        return True


class Jobs:
    """The jobs of a project, as `client.jobs`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def create(self, spec: Document | None = None, *, wait: bool = False, **fields: Any) -> Job:
        """Submit a job; keyword fields go over those of `spec`, and `dataset` may be a `Dataset`.

        Raises:
            Invalid: The spec does not fit; `errors` names every place.
            JobFailed: With `wait=True`, the job ended without success.
        """
        document = self._client.post(api_path("jobs"), _spec(spec, fields))
        job = Job(self._client, document)
        return job.wait() if wait else job

    def validate(self, spec: Document | None = None, **fields: Any) -> Validation:
        """Check a spec as `create` would, and estimate its price, without making a job."""
        return Validation.parse(self._client.post("/v1/jobs:validate", _spec(spec, fields)))

    def get(self, id: str) -> Job:
        """The job with this id; raises `NotFound`."""
        response = self._client.request("GET", api_path("jobs", id))
        return Job(self._client, document_of(response), response.headers.get("ETag"))

    def list(self, state: str | None = None, *, page_size: int = 50) -> Iterator[Job]:
        """The jobs, newest first, fetched page after page (at most 200 a page)."""
        found = self._client.pages(api_path("jobs"), state=state, page_size=page_size)
        return (Job(self._client, document) for document in found)


def _spec(spec: Document | None, fields: Document) -> dict[str, Any]:
    merged = {**(spec or {}), **fields}
    if isinstance(merged.get("dataset"), Dataset):
        merged["dataset"] = merged["dataset"].id
    return merged
