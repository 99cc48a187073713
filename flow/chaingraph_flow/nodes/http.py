"""HTTP requests.

Nothing of path, headers, query or body is ever logged or put into an error: that is where people keep their secrets.
"""

from __future__ import annotations

import asyncio

import httpcore

from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import NodeFailed, UnreadableText
from chaingraph_flow.http_client import Answer, Call, Connections
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.nodes.http_request import Fields, authorized, body_of, url_of
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import FirstOf, Fixed, Given, When
from chaingraph_flow.reading import NUMBERS, NUMBERS_HELP, parsed, text_of_body

LARGEST_RESPONSE = 4 * 1024 * 1024
"""Bytes of a response, as it comes and as unpacked, where the flow says nothing."""
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))
KEPT_FROM_OUTPUT = frozenset(("set-cookie", "www-authenticate", "proxy-authenticate"))


class HTTP(Node):
    """Makes an HTTP request. What is not GET, HEAD or OPTIONS carries an Idempotency-Key.

    Private, loopback and link-local addresses are closed to flows unless the administrator allows them
    (`CHAINGRAPH_EGRESS_ALLOW`). There are no cookies. A redirect to another origin gets no header and no body of the
    flow. Proxies of the worker's environment are not used.
    """

    base_uri = Input(t.String(min_length=1), required=True, description="As https://api.example.com/v1.")
    path = Input(
        t.String(), description="Added to the path of baseUri, with one slash between; it may have a query of its own."
    )
    method = Input(
        t.Enum(options=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")),
        default="GET",
        description="The method.",
    )
    headers = Input(
        t.Object(),
        description="Headers; edges may lead to headers.name. Null leaves one out, true is `true`. Host, "
        "Content-Length, Transfer-Encoding, Connection and the like are the node's own.",
    )
    query = Input(
        t.Object(),
        description="Parameters of the query; edges may lead to query.name. Null leaves one out, true is `true`. They "
        "replace those of the same name in path, and these those in baseUri.",
    )
    body = Input(
        t.Any(),
        description="A text is sent as it is, anything else as JSON, an object as a form where the header Content-Type "
        "is application/x-www-form-urlencoded; null sends none. In the charset of Content-Type, else UTF-8.",
    )
    response_type = Input(
        t.Enum(options=("json", "text")),
        default="json",
        static=True,
        description="How to read the response, in the charset of its byte order mark or its Content-Type, else UTF-8.",
    )
    schema = Input(t.Any(), static=True, description="The type of a JSON response, so that typed ports can take it.")
    numbers = Input(t.Enum(options=NUMBERS), default="exact", description=NUMBERS_HELP)
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
        fields = Fields(self.headers)
        url = authorized(url_of(self.base_uri, self.path, self.query), fields)
        if self.method not in SAFE_METHODS:
            fields.default("Idempotency-Key", context.idempotency_key)
        content = body_of(self.body, fields)
        if content is None and self.method in BODY_METHODS:
            content = b""
        return Call(self.method, url, fields.all(), content, int(self.max_bytes))

    def _take(self, answer: Answer, shown: str, context: NodeContext, *, fine: bool) -> None:
        """Set the response. That of another status than 2xx need not be what was asked for: it is null if not."""
        of_json = self.response_type == "json"
        if of_json and not (answer.content and (fine or self.schema is None)):
            return
        what = f"{shown}: the response"
        try:
            text = text_of_body(answer.content, answer.headers.get("content-type", ""), what, of_json=of_json)
            self.response = parsed(text, context.limits, what, self.numbers) if of_json else text
        except UnreadableText:
            if fine:
                raise
