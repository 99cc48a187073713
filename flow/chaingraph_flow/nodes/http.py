"""HTTP requests.

One client a process and event loop keeps connections warm. Nothing of headers, query or body is ever logged or put
into an error: that is where people keep their secrets.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import orjson

from .. import types as t
from ..context import NodeContext
from ..derive import FirstOf, Fixed, Given, When
from ..errors import NodeFailed
from ..node import Input, Node, Output

LARGEST_RESPONSE = 4 * 1024 * 1024
"""Bytes of a response, as unpacked."""
MOST_REDIRECTS = 5
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
KEPT_FROM_OUTPUT = frozenset(("set-cookie", "www-authenticate", "proxy-authenticate"))

# httpx writes each URL with its query at INFO, and a query often holds a key.
logging.getLogger("httpx").setLevel(logging.WARNING)

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()


def shared_client() -> httpx.AsyncClient:
    """The client of the running event loop."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None or client.is_closed:
        client = _clients[loop] = httpx.AsyncClient(
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
            headers={"User-Agent": "chaingraph"},
        )
    return client


async def close_client() -> None:
    """Close the running event loop's client, if there is one: before the loop ends."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.aclose()


class HTTP(Node):
    """Makes an HTTP request. What is not GET, HEAD or OPTIONS carries an Idempotency-Key."""

    base_uri = Input(t.String(min_length=1), required=True, description="As https://api.example.com/v1.")
    path = Input(t.String(), description="Added to baseUri, with one slash between.")
    method = Input(
        t.Enum(options=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")),
        default="GET",
        description="The method.",
    )
    headers = Input(t.Object(), description="Headers; edges may lead to headers.name.")
    query = Input(t.Object(), description="Parameters of the query; edges may lead to query.name.")
    body = Input(t.Any(), description="A text is sent as it is, anything else as JSON; null sends none.")
    response_type = Input(
        t.Enum(options=("json", "text")), default="json", static=True, description="How to read the response."
    )
    schema = Input(t.Any(), static=True, description="The type of a JSON response, so that typed ports can take it.")
    timeout = Input(t.Number(minimum=0.001, maximum=3600), default=30, description="Seconds for the whole request.")
    max_bytes = Input(
        t.Number(integer=True, minimum=1, maximum=64 * 1024 * 1024),
        default=LARGEST_RESPONSE,
        description="The largest response that is taken.",
    )
    fail_on_status = Input(t.Boolean(), default=True, description="Whether a status other than 2xx fails the node.")
    status_code = Output(t.Number(integer=True), description="The status.")
    response = Output(
        t.Any(),
        typed_by=FirstOf(
            rules=(
                When(input="responseType", cases={"text": Fixed(type=t.String())}),
                Given(input="schema"),
            )
        ),
        optional=True,
        description="The response; null when it is empty, or not of that type at a status other than 2xx.",
    )
    response_headers = Output(t.Object(), description="The response's headers in small letters, cookies left out.")

    async def run(self, context: NodeContext) -> None:
        """Ask, and take the answer."""
        url = self._url()
        shown = f"{self.method} {_without_secrets(url)}"
        try:
            async with asyncio.timeout(self.timeout):
                status, headers, content, encoding = await self._exchange(url, context, shown)
        except TimeoutError:
            raise NodeFailed(f"{shown}: no answer within {self.timeout:g} s") from None
        except httpx.TooManyRedirects:
            raise NodeFailed(f"{shown}: more than {MOST_REDIRECTS} redirects") from None
        except httpx.LocalProtocolError:
            # httpx quotes the header in its message, and that may be the one with the secret
            raise NodeFailed(f"{shown}: a header is not of the form that HTTP allows") from None
        except httpx.NetworkError as error:
            raise NodeFailed(f"{shown}: {type(error).__name__}: {error}") from None
        except httpx.HTTPError as error:
            raise NodeFailed(f"{shown}: {type(error).__name__}") from None
        self.status_code = status
        self.response_headers = headers
        if self.fail_on_status and not 200 <= status < 300:
            raise NodeFailed(f"{shown}: status {status}")
        self._take(content, encoding, shown, fine=200 <= status < 300)

    def _url(self) -> httpx.URL:
        text = self.base_uri
        if self.path:
            text = f"{text.rstrip('/')}/{self.path.lstrip('/')}"
        try:
            url = httpx.URL(text)
            if self.query:
                url = url.copy_merge_params({name: _parameter(name, each) for name, each in self.query.items()})
        except httpx.InvalidURL as error:
            raise NodeFailed(f"baseUri and path are no URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise NodeFailed("baseUri must begin with http:// or https:// and name a host")
        return url

    async def _exchange(
        self, url: httpx.URL, context: NodeContext, shown: str
    ) -> tuple[int, dict[str, Any], bytes, str]:
        headers = {name: str(_parameter(name, value)) for name, value in self.headers.items()}
        content: bytes | None = None
        if isinstance(self.body, str):
            content = self.body.encode()
        elif self.body is not None:
            content = orjson.dumps(self.body)
            headers = {"Content-Type": "application/json"} | headers
        if self.method not in SAFE_METHODS:
            headers = {"Idempotency-Key": context.idempotency_key} | headers
        try:
            request = shared_client().stream(self.method, url, headers=headers, content=content, timeout=None)
        except (UnicodeEncodeError, ValueError):
            raise NodeFailed(f"{shown}: a header is not of the form that HTTP allows") from None
        async with request as response:
            received = bytearray()
            async for chunk in response.aiter_bytes():
                received += chunk
                if len(received) > self.max_bytes:
                    raise NodeFailed(f"{shown}: the response is larger than {int(self.max_bytes)} bytes")
            kept = {name: value for name, value in response.headers.items() if name not in KEPT_FROM_OUTPUT}
            return response.status_code, kept, bytes(received), response.charset_encoding or "utf-8"

    def _take(self, content: bytes, encoding: str, shown: str, *, fine: bool) -> None:
        """Set the response. That of another status than 2xx need not be what was asked for: it is null if not."""
        if self.response_type == "text":
            try:
                self.response = content.decode(encoding)
            except (UnicodeDecodeError, LookupError):
                raise NodeFailed(f"{shown}: the response is no text in {encoding}") from None
        elif content and (fine or self.schema is None):
            try:
                self.response = orjson.loads(content)
            except orjson.JSONDecodeError:
                if fine:
                    raise NodeFailed(f"{shown}: the response is not JSON") from None


def _parameter(name: str, value: Any) -> str | int | float | bool | None:
    if isinstance(value, list | dict):
        raise NodeFailed(f"{name!r} must be a text, a number or a boolean")
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise NodeFailed(f"{name!r} must be a text, a number or a boolean")


def _without_secrets(url: httpx.URL) -> str:
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}{url.path}"
