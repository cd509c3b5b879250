"""`tuneserve list` and `status`: jobs as they are."""

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import Output, job_argument, limit_option, pass_client
from tuneserve.cli.labels import as_filter

if TYPE_CHECKING:
    from tuneserve.client import Client
    from tuneserve.jobs import Job

COUNTS = ("completed", "stopped", "failed", "cancelled", "running", "pending")
COLUMNS = ("id", "name", "state", "trials", "best", "created")


@click.command("list")
@click.option("--state", metavar="STATE", help="Only those in this state, such as running.")
@click.option("--label", metavar="KEY=VALUE", help="Only those with this label.")
@click.option("--dataset", metavar="ID", help="Only those on this data set.")
@click.option("--search", "q", metavar="TEXT", help="Only those with this in their name.")
@click.option("--since", type=click.DateTime(), metavar="TIME", help="Made after it: YYYY-MM-DD (UTC).")
@click.option("--until", type=click.DateTime(), metavar="TIME", help="Made before it: YYYY-MM-DD (UTC).")
@limit_option
@pass_client
def list_jobs(
    client: "Client", out: Output, since: datetime | None, until: datetime | None, limit: int, **filters: Any
) -> None:
    """List jobs, newest first."""
    times: dict[str, Any] = {"created_after": _utc(since), "created_before": _utc(until)}
    filters["label"] = as_filter(filters["label"])
    found = client.jobs.list(page_size=min(limit or 200, 200), **filters, **times)
    jobs = list(islice(found, limit or None))
    if out.as_json:
        out.items([job.raw for job in jobs])
    else:
        out.table(COLUMNS, [_row(out, job) for job in jobs], "No jobs.")


def _utc(time: datetime | None) -> str | None:
    return None if time is None else f"{time.isoformat()}Z"


def _row(out: Output, job: "Job") -> list[Any]:
    progress = job.progress
    trials = f"{progress.ended}/{progress.max_trials}" if progress.max_trials else str(progress.ended)
    best = job.best.score if job.best else None
    return [job.id, job.name or None, job.state, trials, best, out.moment(job.raw.get("create_time"))]


def _short(time: str | None) -> str | None:
    """`2026-11-21 20:14:03` of RFC 3339."""
    return time[:19].replace("T", " ") if time else None


@click.command()
@job_argument
@pass_client
def status(client: "Client", out: Output, job_id: str) -> None:
    """Show a job: its state, how far it is, and the best trial so far."""
    show(out, client.jobs.get(job_id))


def show(out: Output, job: "Job") -> None:
    """A job to stdout."""
    if out.as_json:
        out.data(job.raw)
        return
    out.details(_details(job))
    for warning in job.raw.get("warnings") or ():
        out.warn(f"{warning.get('pointer', '')} {warning.get('detail', '')}".strip())


def _details(job: "Job") -> list[tuple[str, Any]]:
    document, progress = job.raw, job.progress
    cost = document.get("cost") or {}
    reason = f" ({job.stop_reason})" if job.stop_reason else ""
    told: list[tuple[str, Any]] = [
        ("id", job.id),
        ("name", job.name or None),
        ("state", f"{job.state}{reason}"),
        ("labels", text.pairs(job.labels) or None),
        ("data set", job.spec.get("dataset")),
        ("trials", _counts(job)),
        ("epochs", progress.epochs),
        ("elapsed", text.seconds(progress.elapsed_seconds)),
        ("left", None if progress.eta_seconds is None else f"about {text.seconds(progress.eta_seconds)}"),
        ("best", _best(job)),
        ("hyperparameters", job.best and text.pairs(job.best.hyperparameters)),
        ("cost", _cost(cost)),
        ("created", _short(document.get("create_time"))),
        ("ended", _short(document.get("end_time"))),
        ("error", job.error and f"{job.error.code}: {job.error.detail or job.error.title}"),
    ]
    return [(name, value) for name, value in told if value is not None]


def _counts(job: "Job") -> str:
    progress = job.progress
    counts = {name: getattr(progress, name) for name in COUNTS}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    of = f" of {progress.max_trials}" if progress.max_trials else ""
    return f"{progress.ended}{of}" + (f" ({told})" if told else "")


def _best(job: "Job") -> str | None:
    if job.best is None:
        return None
    return f"{text.value(job.best.score)} (trial {job.best.trial}, epoch {text.value(job.best.epoch)})"


def _cost(cost: dict[str, Any]) -> str | None:
    if not cost:
        return None
    gpu = f", {text.seconds(cost['gpu_seconds'])} on GPUs" if cost.get("gpu_seconds") else ""
    trained, kept = text.seconds(cost.get("trial_seconds")), text.size(cost.get("artifact_bytes"))
    return f"{trained} of training{gpu}, {kept} kept"
