"""The HTTPS server: routes, errors as JSON, and metrics."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from chaingraph_gateway.access.addresses import Network, address_of, is_proxy
from chaingraph_gateway.access.authentication import Caller
from chaingraph_gateway.connections.connections import (
    ConnectionGate,
    ConnectionTimeouts,
    ListeningSocket,
    Site,
    listening,
)
from chaingraph_gateway.connections.limits import ConnectionCounts, Shares
from chaingraph_gateway.errors import Problem, TooLarge, TooMany, Unauthenticated
from chaingraph_gateway.metrics import Metrics
from chaingraph_gateway.reads import parameters
from chaingraph_gateway.reads.access import ADDRESS, LOG, Access
from chaingraph_gateway.reads.handlers import Reads, answer
from chaingraph_gateway.reads.values import ValueReads
from chaingraph_gateway.streams.handlers import Streams

_SHUTDOWN_SECONDS: Final = 3.0
_BEGAN: Final = web.RequestKey("began", float)
"""Key of a request's arrival time, by `time.perf_counter`."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PageHandler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Handlers:
    """The handlers of requests."""

    allowed: Access
    reads: Reads
    values: ValueReads
    streams: Streams


@dataclass(frozen=True)
class Fairness:
    """The limits that keep one address or one caller from using all capacity.

    Attributes:
        trusted: proxies whose `X-Forwarded-For` is trusted.
        stall_seconds: how long a reader may take for a page.
    """

    connections: ConnectionCounts
    shares: Shares
    trusted: Sequence[Network]
    patience: ConnectionTimeouts
    stall_seconds: float


class GatewayServer:
    """Serves until `stop`."""

    def __init__(self, handlers: Handlers, fairness: Fairness, metrics: Metrics) -> None:
        self._access = handlers.allowed
        self._streams = handlers.streams
        self._fairness = fairness
        self._metrics = metrics
        application = web.Application(middlewares=[self._answer])
        application.on_response_prepare.append(self._time)
        self._add_routes(application.router, handlers.reads, handlers.values)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=True
        )

    def _add_routes(self, router: web.UrlDispatcher, reads: Reads, values: ValueReads) -> None:
        router.add_get("/executions", self._page(reads.roots), allow_head=False)
        for path in ("/executions/{id}", "/namespaces/{namespace}/executions/{name}"):
            router.add_get(path, self._page(reads.details), allow_head=False)
            router.add_get(f"{path}/events", self._events, allow_head=False)
            router.add_get(f"{path}/events/{{index}}", self._page(values.event), allow_head=False)
            router.add_get(f"{path}/journal", self._page(reads.journal), allow_head=False)
            router.add_get(f"{path}/nodes/{{node}}", self._page(values.node), allow_head=False)
            router.add_get(f"{path}/outputs", self._page(values.outputs), allow_head=False)
            router.add_get(f"{path}/outputs/{{output}}", self._page(values.output), allow_head=False)
            router.add_get(f"{path}/tree", self._page(reads.tree), allow_head=False)

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listen, and return the port: the requested one, or a free one for 0.

        Raises:
            OSError: host or port is not available.
        """
        await self._runner.setup()
        gate = ConnectionGate(self._fairness.connections, self._fairness.trusted, self._metrics)
        listener = ListeningSocket(listening(host, port), gate.admit)
        await Site(self._runner, listener, context, self._fairness.patience).start()
        address: tuple[str, int] = listener.getsockname()
        return address[1]

    async def stop(self) -> None:
        """End the streams, then the server."""
        await self._streams.close()
        await self._runner.cleanup()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """GET /executions/{id}/events"""
        caller = await self._access.caller(request)
        wanted = parameters.subscription(request.query, request.headers.get("Last-Event-ID"))
        with self._fairness.shares.stream(caller):
            found = await self._access.execution(request, caller, LOG)
            return await self._streams.serve(request, found.id, wanted, lambda: self._access.again(request, found, LOG))

    def _page(self, handler: PageHandler) -> Handler:
        """Return the handler of a finite answer, for an authenticated caller within its limits."""

        async def page(request: web.Request) -> web.StreamResponse:
            caller = await self._access.caller(request)
            with self._fairness.shares.request(caller):
                response = await handler(request, caller)
                await self._deliver(request, response)
            return response

        return page

    async def _deliver(self, request: web.Request, response: web.StreamResponse) -> None:
        """Send an answer, and disconnect a reader that does not take it."""
        async with asyncio.timeout(self._fairness.stall_seconds):
            await response.prepare(request)
            await response.write_eof()

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[_BEGAN] = time.perf_counter()
        forwarded = request.headers.getall("X-Forwarded-For", [])
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        request[ADDRESS] = address = address_of(peer, forwarded, self._fairness.trusted)
        try:
            response = await self._handled(request, handler, address)
        except (ConnectionError, TimeoutError):
            # The answer has started: no error can be sent any more.
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the reader of an answer is gone, or took nothing for too long") from None
        self._metrics.requests.labels(_route(request), str(response.status)).inc()
        return response

    async def _time(self, request: web.Request, _response: web.StreamResponse) -> None:
        """Record the time when an answer's head is about to be sent."""
        began: float | None = request.get(_BEGAN)
        if began is not None:
            self._metrics.request_seconds.labels(_route(request)).observe(time.perf_counter() - began)

    async def _handled(self, request: web.Request, handler: Handler, address: str) -> web.StreamResponse:
        try:
            if not is_proxy(request.get_extra_info("peername"), self._fairness.trusted):
                self._fairness.connections.check(address)
            if request.can_read_body:
                raise TooLarge("requests to the gateway must not have a body")
            with self._fairness.shares.of_address(address):
                return await handler(request)
        except Problem as problem:
            if setting := problem.fields.get("setting"):
                self._metrics.refused.labels(setting).inc()
            response = answer(problem.document(), status=problem.status)
            response.headers.update(problem.headers)
            if isinstance(problem, (Unauthenticated, TooMany, TooLarge)):
                response.force_close()
        except web.HTTPException as refused:
            reason = refused.reason.replace(" ", "")
            response = answer(
                {"status": refused.status, "reason": reason, "message": _explain(refused)},
                status=refused.status,
            )
            if isinstance(refused, web.HTTPMethodNotAllowed):
                response.headers["Allow"] = "GET"
        return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _explain(refused: web.HTTPException) -> str:
    """Explain the error without the path, which may contain anything."""
    if isinstance(refused, web.HTTPMethodNotAllowed):
        return "the gateway only reads; change executions with kubectl, and send GET here"
    return (
        "unknown path; available: /executions, /executions/ID and /namespaces/NAMESPACE/executions/NAME, and "
        "below the last two /events, /events/INDEX, /journal, /nodes/NODE, /outputs, /outputs/OUTPUT and /tree"
    )
