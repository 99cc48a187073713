"""HTTP requests.

Path, headers, query and body of a request are never logged or put into an error: they may contain secrets. The start of
a response with an error status is in the message.
"""

from __future__ import annotations

import asyncio

import httpcore

from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import NodeFailed, UnreadableText
from chaingraph_flow.http_client import Answer, Call, Connections
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.nodes.http_error import NETWORK_ERROR, status_error
from chaingraph_flow.nodes.http_request import Fields, authorized, body_of, url_of
from chaingraph_flow.nodes.http_secrets import basic, of_header, with_parameters
from chaingraph_flow.ports import types as t
from chaingraph_flow.ports.derive import FirstOf, Fixed, Given, When
from chaingraph_flow.reading import NUMBERS, NUMBERS_HELP, parsed, text_of_body

LARGEST_RESPONSE = 4 * 1024 * 1024
"""Maximum bytes of a response, compressed and uncompressed, without a setting in the flow."""
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))
KEPT_FROM_OUTPUT = frozenset(("set-cookie", "www-authenticate", "proxy-authenticate"))


class HTTP(Node):
    """Makes an HTTP request. Methods other than GET, HEAD and OPTIONS carry an Idempotency-Key.

    With `retry`, it is tried again after network errors and the statuses 408, 425, 429 and 5xx, and no others. A
    `Retry-After` of the server is respected.

    Private, loopback and link-local addresses are closed to flows unless the administrator allows them
    (`CHAINGRAPH_EGRESS_ALLOW`). There are no cookies. A redirect to another origin gets no header and no body of the
    flow. Proxies of the worker's environment are not used.
    """

    base_uri = Input(t.String(min_length=1), required=True, description="Such as https://api.example.com/v1.")
    path = Input(
        t.String(), description="Appended to the path of baseUri, with one slash between; may have its own query."
    )
    method = Input(
        t.Enum(options=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")),
        default="GET",
        description="The method.",
    )
    headers = Input(
        t.Object(),
        description="Headers; edges may lead to headers.name. Null leaves one out, true is `true`. Host, "
        "Content-Length, Transfer-Encoding, Connection and similar headers are set by the node.",
    )
    query = Input(
        t.Object(),
        description="Query parameters; edges may lead to query.name. Null leaves one out, true is `true`. They "
        "replace those of the same name in path, and these replace those in baseUri.",
    )
    bearer_token = Input(t.Secret(), description="Secret that is sent as `Authorization: Bearer ...`.")
    username = Input(t.String(), description="User name of basic authentication.")
    password = Input(t.Secret(), description="Secret that is the password of basic authentication.")
    secret_headers = Input(
        t.Secrets(), description="Headers whose whole value is a secret, such as X-Api-Key; edges may lead to them."
    )
    secret_query = Input(t.Secrets(), description="Query parameters whose value is a secret. Prefer headers.")
    body = Input(
        t.Any(),
        description="A text is sent unchanged, anything else as JSON, or an object as a form when Content-Type "
        "is application/x-www-form-urlencoded; null sends no body. In the charset of Content-Type, else UTF-8.",
    )
    response_type = Input(
        t.Enum(options=("json", "text")),
        default="json",
        static=True,
        description="Format of the response, in the charset of its byte order mark or its Content-Type, else UTF-8.",
    )
    schema = Input(t.Any(), static=True, description="Type of a JSON response, so that it can go to typed ports.")
    numbers = Input(t.Enum(options=NUMBERS), default="exact", description=NUMBERS_HELP)
    timeout = Input(
        t.Number(minimum=0.001, maximum=3600), default=30, description="Timeout of the request, in seconds."
    )
    max_bytes = Input(
        t.Number(integer=True, minimum=1, maximum=64 * 1024 * 1024),
        default=LARGEST_RESPONSE,
        description="Maximum size of the response, compressed and uncompressed; at most `CHAINGRAPH_MAX_READ_BYTES`.",
    )
    fail_on_status = Input(
        t.Boolean(),
        default=True,
        description="Whether a status other than 2xx fails the node: "
        "with the reason HTTP404, and `__error.details` with statusCode, headers and response.",
    )
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
        description="The response; null when it is empty, or not of that type with a status other than 2xx.",
    )
    response_headers = Output(t.Object(), description="The response's headers in lower case, without cookies.")

    async def run(self, context: NodeContext) -> None:
        """Send the request, and take the response."""
        call = self._call(context)
        resources = context.resources
        connections = resources.opened(Connections, lambda: Connections(resources.limits, resources.egress))
        try:
            async with asyncio.timeout(self.timeout):
                answer = await connections.exchange(call)
        except TimeoutError:
            raise NodeFailed(f"{call.shown}: timed out after {self.timeout:g} s", reason=NETWORK_ERROR) from None
        except httpcore.LocalProtocolError:
            # its message quotes the header, which may be a secret
            message = f"{call.shown}: a header has a form that HTTP does not allow"
            raise NodeFailed(message, retryable=False) from None
        except httpcore.ConnectError as error:
            raise NodeFailed(f"{call.shown}: ConnectError: {error}", reason=NETWORK_ERROR) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise NodeFailed(f"{call.shown}: {type(error).__name__}", reason=NETWORK_ERROR) from None
        self.status_code = answer.status
        self.response_headers = {name: value for name, value in answer.headers.items() if name not in KEPT_FROM_OUTPUT}
        fine = 200 <= answer.status < 300
        if self.fail_on_status and not fine:
            raise status_error(call.shown, answer.status, self.response_headers, answer.content, resources.scrubber)
        self._take(answer, call.shown, context, fine=fine)

    def _call(self, context: NodeContext) -> Call:
        fields = Fields(self.headers)
        for name, value in self._secret_headers(context).items():
            fields.add(name, value)
        query = with_parameters(self.query, self.secret_query)
        url = authorized(url_of(self.base_uri, self.path, query), fields)
        if self.method not in SAFE_METHODS:
            fields.default("Idempotency-Key", context.idempotency_key)
        content = body_of(self.body, fields)
        if content is None and self.method in BODY_METHODS:
            content = b""
        known = context.resources.scrubber
        return Call(self.method, url, fields.all(), content, int(self.max_bytes), secret=known.finds)

    def _secret_headers(self, context: NodeContext) -> dict[str, str]:
        """Return the headers with secrets. Raises NodeFailed when one has no form of a header."""
        found = {name: of_header(f"secretHeaders.{name}", value) for name, value in self.secret_headers.items()}
        if token := of_header("bearerToken", self.bearer_token):
            found["Authorization"] = f"Bearer {token}"
        if self.password:
            if self.bearer_token:
                raise NodeFailed("bearerToken and password are both set: remove one of them", retryable=False)
            found["Authorization"] = basic(self.username, self.password)
            context.conceal(found["Authorization"].removeprefix("Basic "))
        return found

    def _take(self, answer: Answer, shown: str, context: NodeContext, *, fine: bool) -> None:
        """Set the response. With a status other than 2xx, a response of another type becomes null."""
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
