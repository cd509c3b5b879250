"""`tuneserve cancel`, `pause`, `resume`, `extend`, `clone` and `delete`: what changes a job."""

from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli.context import Id, Output, end, job_argument, pass_client, set_option
from tuneserve.cli.exits import exit_of_job
from tuneserve.cli.follow import followed
from tuneserve.cli.jobs import show
from tuneserve.cli.specs import changes

if TYPE_CHECKING:
    from tuneserve.client import Client
    from tuneserve.jobs import Job


@click.command()
@job_argument
@click.option("--trial", type=click.IntRange(min=0), metavar="NUMBER", help="End this trial alone.")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@pass_client
def cancel(client: "Client", out: Output, job_id: str, trial: int | None, wait: bool) -> None:
    """End a job; its trials end within seconds, and the best so far stays. Or end one TRIAL of it."""
    job = client.jobs.get(job_id)
    if trial is not None:
        job.cancel_trial(trial)
        _told(out, job.reload(), f"trial {trial} of {job.id} is being ended")
        return
    job.cancel()
    if wait:
        with followed(job):
            out.follow(job)
    _told(out, job, f"{job.id} is {job.state}")


@click.command()
@job_argument
@pass_client
def pause(client: "Client", out: Output, job_id: str) -> None:
    """Hold a job: running trials are put back at the end of their epoch, and go on from there."""
    job = client.jobs.get(job_id)
    job.pause()
    _told(out, job, f"{job.id} is {job.state}")


@click.command()
@job_argument
@pass_client
def resume(client: "Client", out: Output, job_id: str) -> None:
    """Go on with a job that is paused."""
    job = client.jobs.get(job_id)
    job.resume()
    _told(out, job, f"{job.id} is {job.state}")


_COUNT, _SECONDS = click.IntRange(min=1), click.FloatRange(min=1)


@click.command()
@job_argument
@click.option("--max-trials", type=_COUNT, help="Configurations to try, at most, in all.")
@click.option("--max-seconds", type=_SECONDS, help="Deadline of the search, from when the job was made.")
@click.option("--max-epochs", type=_COUNT, help="Epochs of all trials together.")
@click.option("--max-gpu-seconds", type=_SECONDS, help="Seconds on GPUs of all trials together.")
@click.option("--max-failed-trials", type=_COUNT, help="The search ends when so many have failed.")
@click.option("--parallel-trials", type=_COUNT, help="Trials at once.")
@pass_client
def extend(client: "Client", out: Output, job_id: str, **budget: Any) -> None:
    """Change the budget of a job. One that has ended goes on with all it knew, if it is given more."""
    given = {name: value for name, value in budget.items() if value is not None}
    if not given:
        raise click.UsageError("give at least one limit, such as --max-trials 50.")
    job = client.jobs.get(job_id)
    job.extend(**given)
    _told(out, job, f"{job.id} is {job.state}")


@click.command()
@job_argument
@set_option
@click.option("--name", help="Name of the new job.")
@click.option("--wait", is_flag=True, help="Wait for the end; a job that fails ends the command with 1.")
@pass_client
def clone(
    client: "Client", out: Output, job_id: str, sets: tuple[str, ...], name: str | None, wait: bool
) -> None:
    """Make a new job of the spec of an old one, with changes, and print its id.

    An object that names another family, algorithm, rule or type replaces the old one whole; null puts the
    default.
    """
    changed = {**changes(sets), **({"name": name} if name is not None else {})}
    job = client.jobs.get(job_id).clone(changed)
    if not (wait and out.as_json):
        out.data(job.raw if out.as_json else job.id)
    if wait:
        with followed(job):
            out.follow(job)
        if out.as_json:
            show(out, job)
        end(exit_of_job(job.state))


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True, type=Id("job_"))
@pass_client
def delete(client: "Client", out: Output, job_ids: tuple[str, ...]) -> None:
    """Delete jobs that have ended, with their trials and files. There is no way back."""
    for job_id in job_ids:
        client.jobs.get(job_id).delete()
        out.note(f"Deleted {job_id}.")
    if out.as_json:
        out.items([{"id": job_id, "deleted": True} for job_id in job_ids])


def _told(out: Output, job: "Job", line: str) -> None:
    """The job as JSON, or a line for people."""
    if out.as_json:
        out.data(job.raw)
    else:
        out.note(line)
