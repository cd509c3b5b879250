"""The client: one address, one key, one pool of connections."""

import os
import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, Self

import httpx2

from tuneserve.datasets import Datasets
from tuneserve.errors import ConfigurationError, ConnectionFailed
from tuneserve.jobs import Jobs
from tuneserve.records import Document
from tuneserve.responses import document_of, error_of
from tuneserve.retries import with_retries
from tuneserve.version import __version__

USER_AGENT = f"tuneserve-python/{__version__} python/{platform.python_version()}"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Client:
    """A connection to a Tuneserve service; `jobs` and `datasets` are what it offers.

    Args:
        url: Address of the service, sub-path included; else `TUNESERVE_URL`.
        api_key: API key, `tns_...`; else `TUNESERVE_API_KEY`; else none is sent.
        timeout: Seconds to wait for a connection, and for each part of an answer.
        max_retries: Further tries after a lost connection, 429, 502, 503 or 504.
        transport: How requests are sent, such as `httpx2.WSGITransport(app)` in tests.

    Raises:
        ConfigurationError: No address, or one that is not http(s), or a key that is not a key.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        max_retries: int = 2,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = _address(url or os.environ.get("TUNESERVE_URL"))
        self.timeout = timeout
        self.max_retries = max_retries
        self._http = httpx2.Client(
            base_url=self.url,
            headers=_headers(api_key or os.environ.get("TUNESERVE_API_KEY")),
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
        stream: bool = False,
    ) -> httpx2.Response:
        """Send one request, with retries; the answer is 2xx or 304.

        Raises:
            ConnectionFailed: No complete answer.
            ApiError: Any other answer.
        """
        send = partial(
            self._send,
            method,
            path,
            content=content,
            stream=stream,
            params=params,
            json=json,
            # Made before the first try: the retries of a POST must carry the same key.
            headers={**_idempotency(method), **(headers or {})},
            timeout=timeout or self.timeout,
        )
        return with_retries(send, self.max_retries)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET a JSON object; parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return document_of(self.request("GET", path, params=given))

    def post(self, path: str, json: Document | None = None, **options: Any) -> dict[str, Any]:
        """POST and read the JSON object of the answer."""
        return document_of(self.request("POST", path, json=json, **options))

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, each page fetched when it is needed."""
        token = None
        while True:
            page = self.get(path, **params, page_token=token)
            yield from page["items"]
            token = page.get("next_page_token")
            if not token:
                return

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """GET a body in chunks, for `with client.stream(path) as chunks`."""
        response = self.request("GET", path, headers={"Accept": "*/*"}, stream=True)
        try:
            yield response.iter_bytes()
        except httpx2.RequestError as error:
            raise _connection_failed(response.request, error) from error
        finally:
            response.close()

    def _send(
        self, method: str, path: str, *, content: BinaryIO | None, stream: bool, **options: Any
    ) -> httpx2.Response:
        if content is not None:
            content.seek(0)
        request = self._http.build_request(method, path, content=content, **options)
        try:
            # Only downloads may be sent on, to where the operator stores the files.
            response = self._http.send(request, stream=stream, follow_redirects=stream)
            if response.is_success or response.status_code == 304:
                return response
            response.read()
        except httpx2.RequestError as error:
            raise _connection_failed(request, error) from error
        raise error_of(response)


def _address(url: str | None) -> str:
    if not url:
        raise ConfigurationError("no address: give Client(url=...) or set TUNESERVE_URL")
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"{url!r} is not an address: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"{url!r} is not an address: it must start with http(s)://")
    if parsed.userinfo:
        raise ConfigurationError("no user or password in the address: the key is api_key=")
    return str(parsed)


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
    if key := (api_key or "").strip():
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigurationError("the API key has characters that no key has")
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _idempotency(method: str) -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}


def _connection_failed(request: httpx2.Request, error: httpx2.RequestError) -> ConnectionFailed:
    reason = str(error) or type(error).__name__
    return ConnectionFailed(f"{request.method} {request.url.copy_with(query=None)}: {reason}")
