"""The answers that are one JSON object: details, journal, tree, list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web

from chaingraph_gateway.access.authentication import Caller
from chaingraph_gateway.access.authorization import Right
from chaingraph_gateway.errors import NotFound
from chaingraph_gateway.reader import Reader
from chaingraph_gateway.reads import access, documents, parameters, records
from chaingraph_gateway.reads.access import LOG, Access
from chaingraph_store.ledger import Connection
from chaingraph_store.reads import details, tree

Row = TypeVar("Row")
_JSON: Final[dict[str, Any]] = {"content_type": "application/json", "headers": {"Cache-Control": "no-store"}}
_ROWS_AT_ONCE: Final = 16
"""Rows that are processed before other tasks get a turn. A record of the journal takes some ms."""


class Reads:
    """The handlers.

    Args:
        pages: maximum pages that are read at the same time; streams need connections, too.
        page_bytes: maximum bytes of a page of the journal.
        inline_bytes: maximum bytes of a node's record in it, and of an execution's outputs in its details.
    """

    def __init__(self, allowed: Access, reader: Reader, *, pages: int, page_bytes: int, inline_bytes: int) -> None:
        self._access = allowed
        self._reader = reader
        self._pages = asyncio.Semaphore(pages)
        self._page_bytes = page_bytes
        self._inline_bytes = inline_bytes

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with self._pages, self._reader.connection() as connection:
            yield connection

    async def details(self, request: web.Request, caller: Caller) -> web.Response:
        """GET /executions/{id}"""
        parameters.known(request.query, ())
        found = await self._access.execution(request, caller)
        async with self._connection() as connection:
            row = await details.of_execution(connection, found.id, inline_bytes=self._inline_bytes)
        if row is None:
            raise NotFound(f"execution {found.id} is no longer in the database")
        return answer(documents.details(row))

    async def journal(self, request: web.Request, caller: Caller) -> web.Response:
        """GET /executions/{id}/journal"""
        query = request.query
        parameters.known(query, ("outputs", "limit", "cursor"))
        outputs = parameters.flag(query, "outputs", default=False)
        limit, after = parameters.page_size(query), parameters.node_place(query)
        found = await self._access.execution(request, caller, LOG)
        async with self._connection() as connection:
            page = await details.journal(
                connection,
                found.id,
                after=after,
                limit=limit,
                inline_bytes=self._inline_bytes,
                page_bytes=self._page_bytes,
            )
        nodes = [records.node(row, outputs=outputs) async for row in _in_turns(page.rows, every=1)]
        following = parameters.cursor(page.rows[-1].node_id) if page.more else None
        return web.Response(
            body=records.joined(
                {
                    "executionID": orjson.dumps(found.id),
                    "nodes": b"[" + b",".join(nodes) + b"]",
                    "cursor": orjson.dumps(following),
                }
            )
            + b"\n",
            **_JSON,
        )

    async def tree(self, request: web.Request, caller: Caller) -> web.Response:
        """GET /executions/{id}/tree"""
        query = request.query
        parameters.known(query, ("depth", "phase", "limit", "cursor"))
        limit, after = parameters.page_size(query), parameters.place(query)
        levels, phases = parameters.levels(query), parameters.phases(query)
        found = await self._access.execution(request, caller)
        await self._access.demand(caller, Right("list", "", found.namespace))
        async with self._connection() as connection:
            rows = await tree.below(connection, found.id, levels=levels, phases=phases, after=after, limit=limit + 1)
        shown = [documents.short(row) async for row in _in_turns(rows[:limit])]
        return answer({"executions": shown, "cursor": documents.following(rows, limit, head=found.id)})

    async def roots(self, request: web.Request, caller: Caller) -> web.Response:
        """GET /executions"""
        query = request.query
        parameters.known(query, ("namespace", "flow", "phase", "limit", "cursor"))
        limit = parameters.page_size(query, most=parameters.MAX_ROOTS)
        after, phases = parameters.root_place(query), parameters.phases(query)
        namespace = access.namespace(query["namespace"]) if "namespace" in query else None
        flow = access.name("flow", query["flow"]) if "flow" in query else None
        await self._access.demand(caller, Right("list", "", namespace or ""))
        of = (await self._access.namespaces([namespace])).get(namespace) if namespace is not None else None
        if namespace is not None and of is None:
            return answer(documents.roots((), limit, current={}))
        async with self._connection() as connection:
            rows = await tree.roots(
                connection, namespace=namespace, of=of, flow=flow, phases=phases, after=after, limit=limit + 1
            )
        current = await self._access.namespaces(row.namespace for row in rows)
        return answer(documents.roots(rows, limit, current=current))


async def _in_turns(rows: Iterable[Row], *, every: int = _ROWS_AT_ONCE) -> AsyncIterator[Row]:
    """Yield the rows, and let other tasks run in between."""
    for number, row in enumerate(rows, 1):
        yield row
        if number % every == 0:
            await asyncio.sleep(0)


def answer(document: dict[str, Any], *, status: int = 200) -> web.Response:
    """Build an answer from a document."""
    return web.Response(body=orjson.dumps(document) + b"\n", status=status, **_JSON)
