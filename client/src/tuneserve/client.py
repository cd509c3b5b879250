"""The client: one address, one key, one pool of connections."""

import math
import platform
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, BinaryIO, Self

import httpx2

from tuneserve.config import masked, settings, without_version
from tuneserve.datasets import Datasets
from tuneserve.errors import ConfigurationError, ConnectionFailed, NotFound, TuneserveError, Unsendable
from tuneserve.jobs import Jobs
from tuneserve.paths import api_path
from tuneserve.records import Document
from tuneserve.responses import document_of, error_of, items_of, wanted
from tuneserve.retries import with_retries
from tuneserve.version import __version__

USER_AGENT = f"tuneserve-python/{__version__} python/{platform.python_version()}"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
NO_KEY = "no API key was sent: give api_key=, or set TUNESERVE_API_KEY, or write a profile"


class Client:
    """A connection to a Tuneserve service; `jobs` and `datasets` are what it offers.

    Args:
        url: Address of the service, sub-path included; else `TUNESERVE_URL`; else the profile's. A `/v1` at
            its end, which is that of the API, is dropped.
        api_key: API key, `tns_...`; else `TUNESERVE_API_KEY`; else the profile's; else none is sent.
            A key goes only to the address that it was given for: one from a profile is not sent to
            an address from elsewhere, nor `TUNESERVE_API_KEY` past a `TUNESERVE_URL` beside it.
        timeout: Seconds to wait for a connection, and for each part of an answer.
        max_retries: Further tries after a lost connection, 429, 502, 503 or 504.
        profile: Name of a profile in the config file (`tuneserve.config` has its place and form), which
            then goes before the environment; else `TUNESERVE_PROFILE`; else the profile `default`.
        transport: How requests are sent, such as `httpx2.WSGITransport(app)` in tests.

    Raises:
        ConfigurationError: No address, or one that is not http(s); a key that is not a key; or a config
            file that does not fit, with its line.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        max_retries: int = 2,
        profile: str | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        chosen = settings(url, api_key, profile)
        self.url = _address(chosen.url)
        self.timeout = timeout
        self.max_retries = max_retries
        headers = _headers(chosen.api_key)
        self._about_key = None if "Authorization" in headers else chosen.withheld or NO_KEY
        self._http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            transport=transport,
            # A proxy set for the outside world cannot reach this machine's own loopback.
            mounts={f"all://{host}": None for host in LOOPBACK},
        )
        self.jobs = Jobs(self)
        self.datasets = Datasets(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(url={self.url!r})"

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def catalog(self) -> dict[str, Any]:
        """What a spec can hold: model families, algorithms, optimizers, schedules, data sets."""
        return wanted(self.get(api_path("catalog")), "families")

    def info(self) -> dict[str, Any]:
        """The service as it is now: version, limits, workers, slots, what waits."""
        return wanted(self.get(api_path("info")), "version")

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Document | None = None,
        content: BinaryIO | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        until: float = math.inf,
        failed: Callable[[TuneserveError], None] | None = None,
    ) -> httpx2.Response:
        """Send one request, with retries; the answer is 2xx or 304.

        Args:
            until: Time of `time.monotonic()` by which there is an answer, or no other try.
            failed: Called with each error that is followed by another try.

        Raises:
            ConnectionFailed: No complete answer.
            ApiError: Any other answer.
        """
        send = partial(
            self._send,
            method,
            path,
            content=content,
            until=until,
            params=params,
            json=json,
            # Made before the first try: the retries of a POST must carry the same key.
            headers={**_idempotency(method), **(headers or {})},
            timeout=timeout or self.timeout,
        )
        return with_retries(send, self.max_retries, until=until, failed=failed)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET a JSON object; parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return document_of(self.request("GET", path, params=given))

    def post(self, path: str, json: Document | None = None, **options: Any) -> dict[str, Any]:
        """POST and read the JSON object of the answer."""
        return document_of(self.request("POST", path, json=json, **options))

    def patch(self, path: str, json: Document) -> dict[str, Any]:
        """PATCH and read the JSON object of the answer; the same change twice is one change."""
        return document_of(self.request("PATCH", path, json=json))

    def delete(self, path: str) -> None:
        """DELETE; one that was cut off and tried again may find that its work is done."""
        lost: list[TuneserveError] = []
        try:
            self.request("DELETE", path, failed=lost.append)
        except NotFound:
            if not any(isinstance(error, ConnectionFailed) for error in lost):
                raise

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, each page fetched when it is needed."""
        token = None
        while True:
            page = self.get(path, **params, page_token=token)
            yield from items_of(page)
            token = page.get("next_page_token")
            if not token:
                return

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        follow_redirects: bool = False,
    ) -> Iterator[httpx2.Response]:
        """GET without retries and without reading the body, for `with client.stream(path) as response`.

        Raises:
            ConnectionFailed: No answer, or a body that was cut off while the caller read it.
            ApiError: An error answer.
        """
        request = self._built("GET", path, params=params, headers=headers, timeout=timeout or self.timeout)
        try:
            response = self._http.send(request, stream=True, follow_redirects=follow_redirects)
            with closing(response):
                if not response.is_success:
                    response.read()
                    raise error_of(response, self._about_key)
                yield response
        except httpx2.RequestError as error:
            raise self._failed(request, error) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: BinaryIO | None,
        timeout: float,
        until: float,
        **options: Any,
    ) -> httpx2.Response:
        if content is not None:
            content.seek(0)
        left = max(0.001, until - time.monotonic())
        request = self._built(method, path, content=content, timeout=min(timeout, left), **options)
        try:
            response = self._http.send(request)
        except httpx2.RequestError as error:
            raise self._failed(request, error) from error
        if response.is_success or response.status_code == 304:
            return response
        raise error_of(response, self._about_key)

    def _built(self, method: str, path: str, **options: Any) -> httpx2.Request:
        try:
            return self._http.build_request(method, path, **options)
        except UnicodeEncodeError as error:
            raise Unsendable.because(error) from None

    def _failed(self, request: httpx2.Request, error: httpx2.RequestError) -> ConnectionFailed:
        reason = str(error) or type(error).__name__
        advice = f"; is the service running at {self.url}?" if "refused" in reason else ""
        return ConnectionFailed(f"{request.method} {request.url.copy_with(query=None)}: {reason}{advice}")


def _address(url: str | None) -> str:
    if not url:
        raise ConfigurationError("no address: give Client(url=...) or set TUNESERVE_URL")
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"{masked(url)!r} is not an address: {masked(str(error))}") from None
    if parsed.userinfo:
        raise ConfigurationError("no user or password in the address: the key is api_key=")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"{masked(url)!r} is not an address: it must start with http(s)://")
    if "?" in url or "#" in url:
        raise ConfigurationError(f"{masked(url)!r} is not an address of a service: it goes on after ? or #")
    return without_version(str(parsed))


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    if key := (api_key or "").strip():
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigurationError("the API key has characters that no key has")
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _idempotency(method: str) -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
