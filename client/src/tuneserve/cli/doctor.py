"""`tuneserve doctor`: can the service be reached, is the key good, what can it do."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import click

from tuneserve.cli import text
from tuneserve.cli.context import Output, connect, connection_options, end, fetched, given, output
from tuneserve.cli.exits import Exit, exit_of
from tuneserve.errors import ApiError, Forbidden, TuneserveError
from tuneserve.paths import api_path
from tuneserve.version import __version__

if TYPE_CHECKING:
    import httpx2

    from tuneserve.client import Client

SKEW_SECONDS = 30.0
"""Clocks that differ by more are worth a word: times in lists and keys' ends will look wrong."""

OK, WARNING, FAULT = "ok", "warning", "fault"


@dataclass
class Check:
    """One thing that was looked at."""

    name: str
    state: str
    detail: str


@dataclass
class Report:
    """What the doctor found; `code` is that of the first fault."""

    checks: list[Check] = field(default_factory=list)
    code: Exit = Exit.MET

    def ok(self, name: str, detail: str) -> None:
        self.checks.append(Check(name, OK, detail))

    def warn(self, name: str, detail: str) -> None:
        self.checks.append(Check(name, WARNING, detail))

    def fault(self, name: str, detail: str, code: Exit) -> None:
        self.checks.append(Check(name, FAULT, detail))
        self.code = self.code or code


@click.command()
@connection_options
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check the connection, the key and the service; the exit code says what is wrong.

    Nothing is made or changed. 2: no address; 4: the key; 6: the service cannot be reached or cannot work.
    """
    out, report = output(ctx), Report()
    report.ok("client", f"tuneserve {__version__}")
    try:
        client = connect(ctx)
    except TuneserveError as error:
        report.fault("address", str(error), exit_of(error))
    else:
        _examine(client, report, given(ctx, "profile"))
    _show(out, report)
    end(report.code)


def _examine(client: "Client", report: Report, profile: str | None) -> None:
    report.ok("address", f"{client.url}{f' (profile {profile})' if profile else ''}")
    began = time.monotonic()
    answer = _asked(report, "reached", lambda: _healthz(client))
    if answer is None:
        return
    report.ok("reached", f"in {1000 * (time.monotonic() - began):.0f} ms")
    _clock(report, answer)
    _ready(client, report)
    info = _asked(report, "key", lambda: fetched(client, api_path("info"), "version"))
    if info is not None:
        _scope(client, report)
        _service(report, info)


def _healthz(client: "Client") -> "httpx2.Response":
    """The answer to the one question that needs no key; raises if it is not of this API."""
    from tuneserve.responses import document_of, wanted

    answer = client.request("GET", "/healthz")
    wanted(document_of(answer), "status")
    return answer


def _asked(report: Report, name: str, ask: Callable[[], Any]) -> Any:
    """An answer, or None and a fault in the report."""
    try:
        return ask()
    except TuneserveError as error:
        report.fault(name, _said(error), exit_of(error))
        return None


def _said(error: TuneserveError) -> str:
    return f"{error.code}: {error.detail or error.title}" if isinstance(error, ApiError) else str(error)


def _clock(report: Report, answer: "httpx2.Response") -> None:
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return
    # The header has whole seconds.
    skew = (datetime.now(UTC) - theirs).total_seconds() - 0.5
    told = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the service's"
    if abs(skew) > SKEW_SECONDS:
        report.warn("clock", f"this machine's is {told}")
    else:
        report.ok("clock", "as the service's")


def _ready(client: "Client", report: Report) -> None:
    """Database, broker and storage; what answers no is named in the body."""
    from tuneserve.responses import document_of, wanted

    try:
        wanted(document_of(client.request("GET", "/readyz")), "status")
    except TuneserveError as error:
        report.fault("ready", f"not ready: {_said(error)}", exit_of(error))
    else:
        report.ok("ready", "database, broker and storage answer")


def _scope(client: "Client", report: Report) -> None:
    """A key that may only read is refused a POST, even one that changes nothing."""
    try:
        client.post("/v1/jobs:validate", {})
    except Forbidden:
        report.warn("key", "may read, but not submit jobs")
    except TuneserveError as error:
        report.fault("key", _said(error), exit_of(error))
    else:
        report.ok("key", "may read and write")


def _service(report: Report, info: Mapping[str, Any]) -> None:
    version = str(info.get("version"))
    report.ok("service", f"tuneserve-server {text.shown(version)}")
    workers, slots = info.get("workers") or [], int(info.get("slots") or 0)
    found = [str(name) for worker in workers for name in worker.get("accelerators") or ()]
    accelerators = f", {', '.join(found)}" if found else ""
    if slots:
        report.ok("workers", f"{len(workers)} with {slots} slots{accelerators}")
    else:
        report.warn("workers", "none is alive: jobs would wait")
    report.ok("queue", f"{int(info.get('queue_depth') or 0):,} trials wait for a slot")
    limits = info.get("limits") or {}
    if (most := limits.get("max_upload_bytes")) is not None:
        report.ok(
            "limits",
            f"uploads to {text.size(most)}, models to {limits.get('max_parameters') or 0:,} parameters",
        )


def _show(out: Output, report: Report) -> None:
    if out.as_json:
        out.data({"exit_code": int(report.code), "checks": [asdict(check) for check in report.checks]})
    else:
        out.table(("check", "", ""), [[check.name, check.state, check.detail] for check in report.checks])
