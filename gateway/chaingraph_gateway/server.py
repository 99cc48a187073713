"""The HTTPS server: routes, errors as JSON, what is counted. Started by `main`."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from chaingraph_gateway import parameters
from chaingraph_gateway.access import LOG, Access
from chaingraph_gateway.errors import Problem
from chaingraph_gateway.metrics import Metrics
from chaingraph_gateway.reads import Reads, answer
from chaingraph_gateway.streams import Streams

_SHUTDOWN_SECONDS: Final = 3.0
_LONGEST_HEADER: Final = 32_768
"""Tokens of people in many groups are long."""
_BEGAN: Final = web.RequestKey("began", float)
"""When a request came, by `time.perf_counter`."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class GatewayServer:
    """Serves until `stop`."""

    def __init__(self, allowed: Access, reads: Reads, streams: Streams, metrics: Metrics) -> None:
        self._access = allowed
        self._reads = reads
        self._streams = streams
        self._metrics = metrics
        application = web.Application(middlewares=[self._answer])
        application.on_response_prepare.append(self._time)
        self._add_routes(application.router)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            handler_cancellation=True,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
        )

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/executions", self._reads.roots, allow_head=False)
        for path in ("/executions/{id}", "/namespaces/{namespace}/executions/{name}"):
            router.add_get(path, self._reads.details, allow_head=False)
            router.add_get(f"{path}/events", self._events, allow_head=False)
            router.add_get(f"{path}/journal", self._reads.journal, allow_head=False)
            router.add_get(f"{path}/tree", self._reads.tree, allow_head=False)

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listens, and returns the port: the one asked for, or a free one for 0.

        Raises:
            OSError: host or port cannot be had.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=context)
        await site.start()
        address: tuple[str, int] = self._runner.addresses[0]
        return address[1]

    async def stop(self) -> None:
        """Ends the streams, then the server."""
        await self._streams.close()
        await self._runner.cleanup()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """GET /executions/{id}/events"""
        wanted = parameters.subscription(request.query, request.headers.get("Last-Event-ID"))
        found = await self._access.execution(request, LOG)
        return await self._streams.serve(request, found.id, wanted, lambda: self._access.execution(request, LOG))

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[_BEGAN] = time.perf_counter()
        response = await self._handled(request, handler)
        self._metrics.requests.labels(_route(request), str(response.status)).inc()
        return response

    async def _time(self, request: web.Request, _response: web.StreamResponse) -> None:
        """Called when an answer's head is about to be sent."""
        began: float | None = request.get(_BEGAN)
        if began is not None:
            self._metrics.request_seconds.labels(_route(request)).observe(time.perf_counter() - began)

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            response = answer(problem.document(), status=problem.status)
            response.headers.update(problem.headers)
        except web.HTTPException as refused:
            reason = refused.reason.replace(" ", "")
            response = answer(
                {"status": refused.status, "reason": reason, "message": _explain(request, refused)},
                status=refused.status,
            )
            if isinstance(refused, web.HTTPMethodNotAllowed):
                response.headers["Allow"] = "GET"
        return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _explain(request: web.Request, refused: web.HTTPException) -> str:
    if isinstance(refused, web.HTTPMethodNotAllowed):
        return f"{request.method}: the gateway only reads; change executions with kubectl, and send GET here"
    return (
        f"{request.path}: there is no such path; there are /executions, /executions/ID and "
        "/namespaces/NAMESPACE/executions/NAME, and below those two /events, /journal and /tree"
    )
