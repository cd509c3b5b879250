"""Everything this package raises on purpose.

TuneserveError
├── ConfigurationError      no address, a key that cannot be sent, or a config file that does not fit
├── MissingExtra            this needs a package that is not installed
├── CannotExpress           a model of one's own has layers that the service cannot build
├── Unsendable              a text that no request can hold
├── ConnectionFailed        no answer, after all retries
├── ApiError                an answer that is an error, or no answer of this API
│   ├── BadRequest          400
│   ├── Unauthorized        401
│   ├── Forbidden           403
│   ├── NotFound            404
│   ├── Conflict            409
│   ├── TooLarge            413
│   ├── Invalid             422
│   ├── RateLimited         429
│   └── ServerFault         5xx
├── DigestMismatch          a download that is not what the service published
├── JobFailed               the job ended, but not with a model
└── WaitTimeout             the job goes on, the waiting does not
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tuneserve.records import Record

if TYPE_CHECKING:
    from tuneserve.jobs import Job


class TuneserveError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(TuneserveError):
    """The client cannot be made from what it was given."""


_PACKAGES = {
    "charts": "pip install vl-convert-python (the extra `charts`)",
    "keras": "pip install keras, and a backend such as tensorflow (the extra `keras`)",
    "numpy": "pip install numpy; a folder, a zip or an npz file needs none",
    "pandas": "pip install pandas (the extra `pandas`)",
}
"""How to get what an extra brings; NumPy has none of its own."""


class MissingExtra(TuneserveError):
    """A package is not installed; `extra` is what brings it, such as `keras`, and `what` needs it."""

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(extra, what)
        self.extra = extra
        self.what = what

    def __str__(self) -> str:
        packages = _PACKAGES.get(self.extra, f"those of the extra `{self.extra}`")
        return f"{self.what} needs more packages: {packages}"


class CannotExpress(TuneserveError):
    """A model of one's own cannot be written as a spec; the message names every layer that cannot."""


class Unsendable(TuneserveError, ValueError):
    """A text, name or key that no request can hold, such as half a character; nothing was sent."""

    @classmethod
    def because(cls, error: UnicodeEncodeError) -> Self:
        """What Python says of the text."""
        return cls(f"{error.object!r} cannot be sent: {error.reason}")


class ConnectionFailed(TuneserveError):
    """The service gave no complete answer: unreachable, cut off, or too slow."""


@dataclass(frozen=True, kw_only=True)
class FieldError(Record):
    """One place in a body that does not fit; `pointer` is a JSON pointer (RFC 6901)."""

    pointer: str = ""
    code: str = ""
    detail: str = ""


class ApiError(TuneserveError):
    """An error answer (RFC 9457), or an answer that is not of this API at all.

    Attributes: `status` (HTTP), `code` (stable, snake_case), `title`, `detail`, `errors`
    (places in the body), `request_id` (for the operator's logs), `retry_after` (seconds).
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, code, title, detail, errors, request_id, retry_after)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self._line(self.detail or self.title)

    def _line(self, detail: str) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status} {self.code}: {detail}{request}"


class BadRequest(ApiError):
    """400: the request could not be read."""


class Unauthorized(ApiError):
    """401: no API key, or not a valid one."""


class Forbidden(ApiError):
    """403: the key may not do this."""


class NotFound(ApiError):
    """404: no such thing, or it belongs to another project."""


class Conflict(ApiError):
    """409: not in the present state, such as the best trial before one has completed."""


class TooLarge(ApiError):
    """413: the body is over the service's limit."""


class Invalid(ApiError):
    """422: the body does not fit; `errors` has every place, and so has the message."""

    def __str__(self) -> str:
        if not self.errors:
            return super().__str__()
        # The service's own detail is that of the first place.
        count = "1 place does" if len(self.errors) == 1 else f"{len(self.errors)} places do"
        places = (f"  {e.pointer or '/'}: {e.detail or e.code}" for e in self.errors)
        return "\n".join([self._line(f"{count} not fit"), *places])


class RateLimited(ApiError):
    """429: too many requests; `retry_after` says when to come back."""


class ServerFault(ApiError):
    """5xx: the fault is the service's, or that of a proxy before it."""


class DigestMismatch(TuneserveError):
    """A downloaded file is not the published one; nothing was left at the target."""


class JobFailed(TuneserveError):
    """The job ended as `failed` or `cancelled`; `job` is the job."""

    def __init__(self, job: "Job") -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        problem = self.job.error
        because = f": {problem.code}: {problem.detail or problem.title}" if problem else ""
        return f"job {self.job.id} ended {self.job.state}{because}"


class WaitTimeout(TuneserveError):
    """The job had not ended after `timeout` seconds; it goes on running."""

    def __init__(self, job: "Job", timeout: float) -> None:
        super().__init__(job, timeout)
        self.job = job
        self.timeout = timeout

    def __str__(self) -> str:
        return f"job {self.job.id} is still {self.job.state} after {self.timeout:g} s"


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    429: RateLimited,
}


def error_class(status: int) -> type[ApiError]:
    """The class for an HTTP status: the table above, with `ServerFault` for all of 5xx."""
    return ServerFault if status >= 500 else _BY_STATUS.get(status, ApiError)
