"""HTTP requests.

Nothing of path, headers, query or body is ever logged or put into an error: that is where people keep their secrets.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import re
from typing import Any

import httpcore
import httpx
import orjson

from .. import types as t
from ..context import NodeContext
from ..derive import FirstOf, Fixed, Given, When
from ..errors import NodeFailed
from ..http_client import Answer, Call, Connections
from ..json_values import parsed
from ..node import Input, Node, Output

LARGEST_RESPONSE = 4 * 1024 * 1024
"""Bytes of a response, as it comes and as unpacked, where the flow says nothing."""
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))
KEPT_FROM_OUTPUT = frozenset(("set-cookie", "www-authenticate", "proxy-authenticate"))
NO_CHARSETS = frozenset(("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"))
"""Codecs of Python that no HTTP response is written in, and some of which take quadratic time."""


class HTTP(Node):
    """Makes an HTTP request. What is not GET, HEAD or OPTIONS carries an Idempotency-Key.

    Private, loopback and link-local addresses are closed to flows unless the administrator allows them
    (`CHAINGRAPH_EGRESS_ALLOW`). There are no cookies. A redirect to another origin gets no header and no body of the
    flow. Proxies of the worker's environment are not used.
    """

    base_uri = Input(t.String(min_length=1), required=True, description="As https://api.example.com/v1.")
    path = Input(t.String(), description="Added to baseUri, with one slash between.")
    method = Input(
        t.Enum(options=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")),
        default="GET",
        description="The method.",
    )
    headers = Input(
        t.Object(),
        description="Headers; edges may lead to headers.name. Null leaves one out. Host, Content-Length, "
        "Transfer-Encoding, Connection and the like are the node's own.",
    )
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
        description="The largest response that is taken, as it comes and as unpacked; "
        "`CHAINGRAPH_MAX_READ_BYTES` is the most.",
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
        call = self._call(context)
        resources = context.resources
        connections = resources.opened(Connections, lambda: Connections(resources.limits, resources.egress))
        try:
            async with asyncio.timeout(self.timeout):
                answer = await connections.exchange(call)
        except TimeoutError:
            raise NodeFailed(f"{call.shown}: no answer within {self.timeout:g} s") from None
        except httpcore.LocalProtocolError:
            # its message quotes the header, and that may be the one with the secret
            raise NodeFailed(f"{call.shown}: a header is not of the form that HTTP allows") from None
        except httpcore.ConnectError as error:
            raise NodeFailed(f"{call.shown}: ConnectError: {error}") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise NodeFailed(f"{call.shown}: {type(error).__name__}") from None
        self.status_code = answer.status
        self.response_headers = {name: value for name, value in answer.headers.items() if name not in KEPT_FROM_OUTPUT}
        fine = 200 <= answer.status < 300
        if self.fail_on_status and not fine:
            raise NodeFailed(f"{call.shown}: status {answer.status}")
        self._take(answer, call.shown, context, fine=fine)

    def _call(self, context: NodeContext) -> Call:
        url = self._url()
        headers = {name: _header(value) for name, value in self.headers.items() if _parameter(name, value) is not None}
        content = b"" if self.method in BODY_METHODS else None
        if isinstance(self.body, str):
            content = self.body.encode()
        elif self.body is not None:
            content = orjson.dumps(self.body)
            headers = {"Content-Type": "application/json"} | headers
        if self.method not in SAFE_METHODS:
            headers = {"Idempotency-Key": context.idempotency_key} | headers
        if url.userinfo and not any(name.lower() == "authorization" for name in headers):
            user = f"{url.username}:{url.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(user).decode()}"
        url = url.copy_with(userinfo=b"", fragment=None)
        return Call(self.method, url, tuple(headers.items()), content, int(self.max_bytes))

    def _url(self) -> httpx.URL:
        text = self.base_uri
        if self.path:
            text = f"{text.rstrip('/')}/{self.path.lstrip('/')}"
        try:
            url = httpx.URL(text)
            if self.query:
                url = url.copy_merge_params({name: _parameter(name, each) for name, each in self.query.items()})
        except (httpx.InvalidURL, ValueError):
            raise NodeFailed("baseUri and path are no URL: write it as https://api.example.com/v1") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise NodeFailed("baseUri must begin with http:// or https:// and name a host")
        return url

    def _take(self, answer: Answer, shown: str, context: NodeContext, *, fine: bool) -> None:
        """Set the response. That of another status than 2xx need not be what was asked for: it is null if not."""
        if self.response_type == "text":
            encoding = _charset(answer.headers.get("content-type", ""))
            try:
                if codecs.lookup(encoding).name.replace("-", "_") in NO_CHARSETS:
                    raise LookupError
                self.response = answer.content.decode(encoding)
            except (UnicodeError, LookupError, ValueError):
                raise NodeFailed(f"{shown}: the response is no text in the charset that it names") from None
        elif answer.content and (fine or self.schema is None):
            try:
                self.response = parsed(answer.content, context.limits, f"{shown}: the response")
            except orjson.JSONDecodeError:
                if fine:
                    raise NodeFailed(f"{shown}: the response is not JSON") from None


def _charset(content_type: str) -> str:
    found = re.search(r"charset\s*=\s*[\"']?([\w.:+-]{1,40})", content_type, re.ASCII | re.IGNORECASE)
    return found[1] if found else "utf-8"


def _header(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parameter(name: str, value: Any) -> str | int | float | bool | None:
    if isinstance(value, list | dict):
        raise NodeFailed(f"{name!r} must be a text, a number or a boolean")
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise NodeFailed(f"{name!r} must be a text, a number or a boolean")
