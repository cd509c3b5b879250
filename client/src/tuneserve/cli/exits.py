"""Exit codes: what a script can tell from how a command ended."""

from enum import IntEnum

from tuneserve import errors


class Exit(IntEnum):
    """How a command ended. Codes are never given a new meaning."""

    MET = 0
    JOB_FAILED = 1
    USAGE = 2
    GATE_MISSED = 3
    KEY = 4
    NOT_FOUND = 5
    UNREACHABLE = 6
    INTERNAL = 70
    TIMED_OUT = 124
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANINGS = {
    Exit.MET: "done; for `run`, every gate was met",
    Exit.JOB_FAILED: "the job failed or was cancelled",
    Exit.USAGE: "a wrong option or spec, a file that cannot be read, or a job that is not in the right state",
    Exit.GATE_MISSED: "`run`: the job succeeded, but a gate was missed",
    Exit.KEY: "no API key, a wrong one, or one that may not do this",
    Exit.NOT_FOUND: "no such job, trial, data set or file",
    Exit.UNREACHABLE: "no whole answer: unreachable, cut off, overloaded, or not a Tuneserve",
    Exit.INTERNAL: "a fault of this program",
    Exit.TIMED_OUT: "not within `--timeout`; the job goes on",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM; the job goes on",
    Exit.PIPE_CLOSED: "whoever read the output closed it",
}
"""The table of docs/cli.md and of `tuneserve --help`."""

NO_API = "not_json"
"""Code of an answer that is not of this API, such as a proxy's page."""

_BY_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (BrokenPipeError, Exit.PIPE_CLOSED),
    (errors.Unauthorized, Exit.KEY),
    (errors.Forbidden, Exit.KEY),
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.ServerFault, Exit.UNREACHABLE),
    (errors.RateLimited, Exit.UNREACHABLE),
    (errors.ConnectionFailed, Exit.UNREACHABLE),
    (errors.DigestMismatch, Exit.UNREACHABLE),
    (errors.JobFailed, Exit.JOB_FAILED),
    (errors.WaitTimeout, Exit.TIMED_OUT),
    (errors.TuneserveError, Exit.USAGE),
    (OSError, Exit.USAGE),
)


def exit_of(error: BaseException) -> Exit:
    """The exit code that an error ends a command with."""
    if isinstance(error, errors.ApiError) and error.code == NO_API:
        return Exit.UNREACHABLE
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.INTERNAL)


def exit_of_job(state: str) -> Exit:
    """The exit code of a command that followed a job to its end."""
    return Exit.MET if state == "succeeded" else Exit.JOB_FAILED
