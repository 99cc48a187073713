"""The answers that are one JSON object: details, journal, tree, list. Called by `server`."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from chaingraph_gateway import access, documents, parameters
from chaingraph_gateway.access import LOG, Access
from chaingraph_gateway.authorization import Right
from chaingraph_gateway.errors import NotFound
from chaingraph_gateway.outages import Reader
from chaingraph_store import details, tree


class Reads:
    """The handlers."""

    def __init__(self, allowed: Access, reader: Reader) -> None:
        self._access = allowed
        self._reader = reader

    async def details(self, request: web.Request) -> web.Response:
        """GET /executions/{id}"""
        parameters.known(request.query, ())
        found = await self._access.execution(request)
        async with self._reader.connection() as connection:
            row = await details.of_execution(connection, found.id)
        if row is None:
            raise NotFound(f"execution {found.id} is no longer in the ledger")
        return answer(documents.details(row))

    async def journal(self, request: web.Request) -> web.Response:
        """GET /executions/{id}/journal"""
        parameters.known(request.query, ("outputs",))
        outputs = parameters.flag(request.query, "outputs", default=False)
        found = await self._access.execution(request, LOG)
        async with self._reader.connection() as connection:
            rows = await details.journal(connection, found.id, outputs=outputs)
        return answer({"executionID": found.id, **documents.journal(rows)})

    async def tree(self, request: web.Request) -> web.Response:
        """GET /executions/{id}/tree"""
        query = request.query
        parameters.known(query, ("depth", "phase", "limit", "cursor"))
        limit, after = parameters.page_size(query), parameters.place(query)
        levels, phases = parameters.levels(query), parameters.phases(query)
        found = await self._access.execution(request)
        await self._access.demand(await self._access.caller(request), Right("list", "", found.namespace))
        async with self._reader.connection() as connection:
            rows = await tree.below(connection, found.id, levels=levels, phases=phases, after=after, limit=limit + 1)
        return answer(documents.tree(rows, limit, head=found.id))

    async def roots(self, request: web.Request) -> web.Response:
        """GET /executions"""
        query = request.query
        parameters.known(query, ("namespace", "flow", "phase", "limit", "cursor"))
        limit = parameters.page_size(query, most=parameters.MAX_ROOTS)
        after, phases = parameters.root_place(query), parameters.phases(query)
        namespace = access.namespace(query["namespace"]) if "namespace" in query else None
        flow = access.name("flow", query["flow"]) if "flow" in query else None
        await self._access.demand(await self._access.caller(request), Right("list", "", namespace or ""))
        of = (await self._access.namespaces([namespace])).get(namespace) if namespace is not None else None
        if namespace is not None and of is None:
            return answer(documents.roots((), limit, current={}))
        async with self._reader.connection() as connection:
            rows = await tree.roots(
                connection, namespace=namespace, of=of, flow=flow, phases=phases, after=after, limit=limit + 1
            )
        current = await self._access.namespaces(row.namespace for row in rows)
        return answer(documents.roots(rows, limit, current=current))


def answer(document: dict[str, Any], *, status: int = 200) -> web.Response:
    """A document as an answer."""
    return web.Response(
        body=_dumps(document) + b"\n",
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _dumps(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)
