"""Jobs: made from a spec, followed to their end, and their results."""

import math
import os
import re
import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tuneserve.artifacts import Artifact, download
from tuneserve.best import Best, BestTrial
from tuneserve.charts import Chart, ChartInfo
from tuneserve.datasets import Dataset
from tuneserve.errors import JobFailed, NotFound, Unsendable
from tuneserve.events import Event, SecondsBeforeRetry, follow_events
from tuneserve.paths import api_path
from tuneserve.progress import Progress, ProgressOption, beside, watching
from tuneserve.records import Document, Record
from tuneserve.responses import document_of, error_of, wanted
from tuneserve.retries import seconds_before_retry
from tuneserve.spaces import plain
from tuneserve.trials import Trial
from tuneserve.validation import Validation
from tuneserve.waiting import OnTrial, Waiting

if TYPE_CHECKING:
    import httpx2
    import keras
    import pandas

    from tuneserve.client import Client

TERMINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
"""A job in one of these is final, unless it is extended."""

LIVE_STATES = frozenset({"queued", "running", "paused", "finishing", "cancelling"})
"""A job in one of these goes on, whatever its times say."""

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
    """A job as the service last told it; `reload`, `wait` and what steers it bring it up to date."""

    def __init__(self, client: "Client", document: Document, etag: str | None = None) -> None:
        self._client = client
        self._document: Document = wanted(document, "id", "state")
        self._etag = etag
        self._end_state: str | None = None

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, name={self.name!r}, state={self.state!r})"

    def _repr_html_(self) -> str:
        from tuneserve.html import job_html

        return job_html(self)

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
        """Whether the job has ended, in whatever way.

        In a state that this version does not know, it has if the service says so: by an end time, or by
        the event `end`.
        """
        if self.state in TERMINAL_STATES | LIVE_STATES:
            return self.state in TERMINAL_STATES
        return self.end_time is not None or self.state == self._end_state

    @property
    def stop_reason(self) -> str | None:
        """What ended the search, such as the budget or a target that was met."""
        return self._document.get("stop_reason")

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec as resolved, with every default written out."""
        return self._document.get("spec") or {}

    @property
    def spec_digest(self) -> str | None:
        """`sha256:...` of all in the spec that a result depends on."""
        return self._document.get("spec_digest")

    @property
    def dataset_digest(self) -> str | None:
        """`sha256:...` of the data that the job learns from."""
        return self._document.get("dataset_digest")

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
    def best_hyperparameters(self) -> Mapping[str, Any]:
        """Those of the best trial so far, by their places in the spec; empty before there is one."""
        return self.best.hyperparameters if self.best else {}

    @property
    def error(self) -> JobProblem | None:
        """Why the job failed, if it did."""
        error = self._document.get("error")
        return JobProblem.parse(error) if error else None

    @property
    def warnings(self) -> tuple[Any, ...]:
        """What the service found odd in the spec or the result, as it says it."""
        return tuple(self._document.get("warnings") or ())

    @property
    def cost(self) -> Mapping[str, Any]:
        """What the job took: seconds of training, bytes of files."""
        return self._document.get("cost") or {}

    @property
    def create_time(self) -> datetime | None:
        """When the job was accepted."""
        return self._time("create_time")

    @property
    def start_time(self) -> datetime | None:
        """When its search began, if it has."""
        return self._time("start_time")

    @property
    def end_time(self) -> datetime | None:
        """When it ended, if it has."""
        return self._time("end_time")

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
        on_trial: OnTrial | None = None,
        raise_on_failure: bool = True,
    ) -> Self:
        """Wait until the job has ended; Ctrl-C ends the waiting and leaves the job running.

        A service that is away for a while, such as for a restart, is waited for.

        Args:
            timeout: Seconds to wait; None waits as long as it takes.
            progress: "auto" shows a live line if stderr is a terminal; True always shows the
                progress, False never; a function is called with the job at each change.
            on_trial: Called once with each trial that has ended, its epochs included; also with those
                that had ended before. What it raises ends the waiting.
            raise_on_failure: False gives back a job that failed or was cancelled.

        Raises:
            JobFailed: The job ended without success.
            WaitTimeout: It has not ended in time; it goes on running.
        """
        try:
            with watching(progress) as watcher:
                told = on_trial and beside(watcher, on_trial)
                Waiting(self, timeout, watcher, told).run()
        except KeyboardInterrupt:
            if progress is not False:
                print(f"job {self.id} goes on: client.jobs.get({self.id!r})", file=sys.stderr)
            raise
        if raise_on_failure and self.state != "succeeded":
            raise JobFailed(self)
        return self

    def cancel(self) -> Self:
        """Ask the job to stop; running trials end within seconds, so `wait` for the end."""
        return self._steered("cancel")

    def pause(self) -> Self:
        """Hold the search: no trial begins, and running ones are put back with their weights.

        Raises:
            Conflict: The job has ended, or is about to.
        """
        return self._steered("pause")

    def resume(self) -> Self:
        """Go on with a paused search, each trial from its last epoch.

        Raises:
            Conflict: The job has ended, or is about to.
        """
        return self._steered("resume")

    def extend(self, **budget: Any) -> Self:
        """Change the budget, such as `extend(max_trials=50)`; a job that has ended goes on.

        Raises:
            Conflict: The search cannot go on, such as one that was cancelled.
            Invalid: No such budget.
        """
        return self._changed({"budget": budget})

    def update(self, *, name: str | None = None, labels: Mapping[str, str] | None = None) -> Self:
        """Rename or relabel the job; what is None stays."""
        changes = {"name": name, "labels": None if labels is None else dict(labels)}
        return self._changed({key: value for key, value in changes.items() if value is not None})

    def clone(self, changes: Document | None = None, **fields: Any) -> "Job":
        """A new job from the spec of this one, with changes laid over it.

        Objects are merged (RFC 7396), so `clone(training={"epochs": 20})` keeps the rest of `training`;
        None puts the default in the place of a value.

        Raises:
            Invalid: The changed spec does not fit.
        """
        path = api_path("jobs", f"{self.id}:clone")
        return Job(self._client, self._client.post(path, _spec(changes, fields)))

    def delete(self) -> None:
        """Remove the job with its trials and its files.

        Raises:
            Conflict: It has not ended.
        """
        self._client.delete(api_path("jobs", self.id))

    def events(self, after: int | None = None, *, follow: bool = True) -> Iterator[Event]:
        """What happens in the job, from its beginning to its end; a lost connection is opened again.

        Args:
            after: Only what came after this revision, such as `job.revision` or an event's `sequence`.
            follow: False ends with what has happened so far.

        Raises:
            RateLimited: The key has too many streams already.
        """
        return (event for event in self._events(after, follow=follow) if event is not None)

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

    def cancel_trial(self, number: int) -> Trial:
        """End one trial; the search goes on. It stops within seconds if it runs."""
        path = api_path("jobs", self.id, "trials", f"{number}:cancel")
        return Trial.parse(self._client.post(path))

    def trials_csv(self) -> str:
        """All trials as one table of comma-separated values."""
        path = api_path("jobs", self.id, "trials")
        response = self._client.request("GET", path, headers={"Accept": "text/csv"})
        if not response.headers.get("Content-Type", "").startswith("text/csv"):
            raise error_of(response)
        return response.text

    def to_dataframe(self) -> "pandas.DataFrame":
        """The trials as a table, one row a trial.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from tuneserve.frames import trials_frame

        return trials_frame(self.trials(order_by="number", page_size=200))

    def charts(self) -> list[ChartInfo]:
        """The charts that the service can draw of this job."""
        path = api_path("jobs", self.id, "charts")
        return [ChartInfo.parse(document) for document in self._client.pages(path)]

    def chart(self, name: str) -> Chart:
        """A chart of the job as it is now, such as `history`; the end of a notebook's cell shows it.

        Raises:
            NotFound: There is no such chart.
        """
        return Chart(name, self._client.get(api_path("jobs", self.id, "charts", name)))

    def best_result(self) -> Best:
        """The best trial in full, with its scores on the validation and the test share.

        Raises:
            Conflict: No trial has completed yet.
        """
        return Best.parse(self._client.get(api_path("jobs", self.id, "best")))

    def artifacts(self) -> Iterator[Artifact]:
        """The files of this job that can be downloaded."""
        return map(Artifact.parse, self._client.pages(api_path("jobs", self.id, "artifacts")))

    def best_model(self) -> "keras.Model":
        """The tuned model, loaded; fetched once, checked, and kept in a cache folder.

        Raises:
            MissingExtra: Keras is not installed.
            NotFound: The job has no model, or not yet.
        """
        from tuneserve.models import best_model

        return best_model(self)

    def download(
        self, name: str, path: str | os.PathLike[str] = ".", *, progress: ProgressOption = "auto"
    ) -> Path:
        """Download an artifact to `path`, a file or a directory, and return the file.

        Raises:
            NotFound: The job has no such artifact, or not yet.
            DigestMismatch: The content is not the published one; nothing was left at `path`.
        """
        artifact = self._artifact(name)
        address = api_path("jobs", self.id, "artifacts", name)
        return download(self._client, address, artifact, path, progress)

    def download_model(
        self, path: str | os.PathLike[str] = ".", *, progress: ProgressOption = "auto"
    ) -> Path:
        """Download the tuned model, which takes raw pixels and gives class probabilities."""
        return self.download(MODEL_NAME, path, progress=progress)

    def _artifact(self, name: str) -> Artifact:
        for artifact in self.artifacts():
            if artifact.name == name:
                return artifact
        detail = f"job {self.id} is {self.state} and has no artifact {name!r}"
        raise NotFound(404, "artifact_not_found", "Not Found", detail)

    def _time(self, name: str) -> datetime | None:
        value = self._document.get(name)
        return datetime.fromisoformat(value) if value else None

    def _steered(self, verb: str) -> Self:
        return self._read(self._client.request("POST", api_path("jobs", f"{self.id}:{verb}")))

    def _changed(self, changes: Document) -> Self:
        return self._read(self._client.request("PATCH", api_path("jobs", self.id), json=plain(changes)))

    def _read(self, response: "httpx2.Response") -> Self:
        self._document = wanted(document_of(response), "id", "state")
        self._etag = response.headers.get("ETag")
        return self

    def _told(self, data: Document, *, is_end: bool) -> None:
        """Take over what an event says; the tag stays that of the whole document."""
        known = ("state", "stop_reason", "error", "progress", "best", "revision")
        self._document = {**self._document, **{key: data[key] for key in known if key in data}}
        if is_end:
            self._end_state = self.state

    def _events(
        self, after: int | None, *, follow: bool = True, retry: SecondsBeforeRetry = seconds_before_retry
    ) -> Generator[Event | None]:
        path = api_path("jobs", self.id, "events")
        return follow_events(self._client, path, after=after, follow=follow, retry=retry)

    def _refresh(self, hold: int = 0, until: float = math.inf) -> bool:
        response = self._client.request(
            "GET",
            api_path("jobs", self.id),
            # Without a tag the service cannot know which change is news to us.
            headers={"If-None-Match": self._etag} if self._etag else {},
            params={"wait": hold} if self._etag and hold else {},
            timeout=self._client.timeout + hold,
            until=until,
        )
        if response.status_code == 304:
            return False
        self._read(response)
        return True


class Jobs:
    """The jobs of a project, as `client.jobs`."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    def create(
        self,
        spec: Document | None = None,
        *,
        wait: bool = False,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Job:
        """Submit a job; keyword fields go over those of `spec`, and `dataset` may be a `Dataset`.

        Args:
            spec: The recipe; `Float(...)` and its like, or their JSON, leave a value open.
            wait: Whether to wait until the job has ended.
            idempotency_key: The same key and spec within a day give the same job; else each call makes
                one, however often its request had to be sent. 1 to 255 visible ASCII characters.

        Raises:
            Unsendable: A text or the key cannot be sent.
            Invalid: The spec does not fit; `errors` names every place.
            JobFailed: With `wait=True`, the job ended without success.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": _visible(idempotency_key)}
        document = self._client.post(api_path("jobs"), _spec(spec, fields), headers=headers)
        job = Job(self._client, document)
        return job.wait() if wait else job

    def validate(self, spec: Document | None = None, **fields: Any) -> Validation:
        """Check a spec as `create` would, and estimate its price, without making a job."""
        return Validation.parse(self._client.post("/v1/jobs:validate", _spec(spec, fields)))

    def get(self, id: str) -> Job:
        """The job with this id; raises `NotFound`."""
        response = self._client.request("GET", api_path("jobs", id))
        return Job(self._client, document_of(response), response.headers.get("ETag"))

    def list(
        self,
        state: str | None = None,
        *,
        label: str | None = None,
        dataset: Dataset | str | None = None,
        q: str | None = None,
        spec_digest: str | None = None,
        dataset_digest: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        page_size: int = 50,
    ) -> Iterator[Job]:
        """The jobs that meet all conditions, newest first, fetched page after page.

        Args:
            label: Such as `team:vision`.
            q: Text in the name.
            spec_digest: `Validation.spec_digest`, for jobs that ask the same.
            created_after: A time with its zone; as text in RFC 3339.
            page_size: At most 200.
        """
        found = self._client.pages(
            api_path("jobs"),
            state=state,
            label=label,
            dataset=dataset.id if isinstance(dataset, Dataset) else dataset,
            q=q,
            spec_digest=spec_digest,
            dataset_digest=dataset_digest,
            created_after=_rfc3339(created_after),
            created_before=_rfc3339(created_before),
            page_size=page_size,
        )
        return (Job(self._client, document) for document in found)


def _spec(spec: Document | None, fields: Document) -> dict[str, Any]:
    merged: dict[str, Any] = plain({**(spec or {}), **fields})
    return merged


def _visible(key: str) -> str:
    if not re.fullmatch(r"[!-~]{1,255}", key):
        raise Unsendable(f"an idempotency key is 1 to 255 visible ASCII characters, not {key!r:.80}")
    return key


def _rfc3339(time: datetime | str | None) -> str | None:
    return time.isoformat() if isinstance(time, datetime) else time
