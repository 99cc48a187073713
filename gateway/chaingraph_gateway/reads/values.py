"""Send values of any size in pieces, as PostgreSQL stores them: a node's record, an event, an execution's outputs.

One piece is in memory, and no connection is occupied while the reader takes it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import orjson
from aiohttp import web

from chaingraph_gateway.access.authentication import Caller
from chaingraph_gateway.connections.limits import share_of
from chaingraph_gateway.errors import Busy, NotFound, TooMany
from chaingraph_gateway.reader import Reader
from chaingraph_gateway.reads import parameters, records
from chaingraph_gateway.reads.access import LOG, Access
from chaingraph_store.ids import ExecutionId
from chaingraph_store.reads import large_values
from chaingraph_store.reads.large_values import Kind, Piece

_PIECE_BYTES: Final = 4_000_000
"""PostgreSQL unpacks the whole value for each piece."""
_WRITTEN_BYTES: Final = 250_000
_END: Final = b"}\n"
_SHARE: Final = 4
"""One caller may have a quarter of all concurrent reads."""


class ValueReads:
    """The handlers.

    Args:
        max_values: maximum values sent at the same time.
        stall_seconds: how long a reader may take for a piece.
    """

    def __init__(self, allowed: Access, reader: Reader, *, pages: int, max_values: int, stall_seconds: float) -> None:
        self._access = allowed
        self._reader = reader
        self._pages = asyncio.Semaphore(pages)
        self._max_values = max_values
        self._stall_seconds = stall_seconds
        self._sending: Counter[str] = Counter()

    async def node(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /executions/{id}/nodes/{node}"""
        parameters.known(request.query, ())
        node = request.match_info["node"]
        found = await self._access.execution(request, caller, LOG)
        if not parameters.plain(node):
            raise NotFound(f"no finished node of that id in execution {found.id}")
        head = {"executionID": orjson.dumps(found.id), "node": orjson.dumps(node)}
        return await self._send(request, caller, "node", found.id, node, head, "record")

    async def event(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /executions/{id}/events/{index}"""
        parameters.known(request.query, ())
        index = parameters.event_index(request.match_info["index"])
        found = await self._access.execution(request, caller, LOG)
        head = {"executionID": orjson.dumps(found.id), "index": str(index).encode()}
        return await self._send(request, caller, "event", found.id, index, head, "data")

    async def outputs(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /executions/{id}/outputs"""
        parameters.known(request.query, ())
        found = await self._access.execution(request, caller)
        return await self._send(
            request, caller, "outputs", found.id, None, {"executionID": orjson.dumps(found.id)}, "outputs"
        )

    async def output(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """GET /executions/{id}/outputs/{output}"""
        parameters.known(request.query, ())
        output = request.match_info["output"]
        found = await self._access.execution(request, caller)
        if not parameters.plain(output):
            raise NotFound(f"execution {found.id} has no output of that name")
        head = {"executionID": orjson.dumps(found.id), "output": orjson.dumps(output)}
        return await self._send(request, caller, "output", found.id, output, head, "value")

    async def _send(
        self,
        request: web.Request,
        caller: Caller,
        kind: Kind,
        execution: ExecutionId,
        key: str | int | None,
        head: dict[str, bytes],
        field: str,
    ) -> web.StreamResponse:
        """Send a JSON object with the fields of `head`, and the value as its last field."""
        with self._one_of(share_of(caller)):
            piece = await self._piece(kind, execution, key, 0)
            if piece is None:
                raise NotFound(f"execution {execution} has no {kind}{'' if key is None else f' {key}'} in the database")
            start = records.joined({**head, "attempt": str(piece.attempt).encode(), field: b""})[:-1]
            response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-store"})
            response.content_length = len(start) + piece.size + len(_END)
            await response.prepare(request)
            await response.write(start)
            sent, version = 0, piece.version
            while True:
                async with asyncio.timeout(self._stall_seconds):
                    content = memoryview(piece.content)
                    for position in range(0, len(content), _WRITTEN_BYTES):
                        await response.write(content[position : position + _WRITTEN_BYTES])
                sent += len(piece.content)
                if sent >= piece.size:
                    break
                piece = await self._piece(kind, execution, key, sent)
                if piece is None or piece.version != version:
                    raise ConnectionAbortedError("the value was changed or removed while it was being sent")
            await response.write(_END)
            await response.write_eof()
            return response

    async def _piece(self, kind: Kind, execution: ExecutionId, key: str | int | None, offset: int) -> Piece | None:
        async with self._pages, self._reader.connection() as connection:
            return await large_values.piece(connection, kind, execution, key, offset=offset, length=_PIECE_BYTES)

    @contextmanager
    def _one_of(self, share: str) -> Iterator[None]:
        most, own = self._max_values, max(1, self._max_values // _SHARE)
        if self._sending[share] >= own:
            raise TooMany(
                f"{share} is reading {own} large values at this gateway, the limit of one caller, a quarter of "
                f"CHAINGRAPH_MAX_LARGE_READS={most}; read one after the other",
                limit=own,
                setting="CHAINGRAPH_MAX_LARGE_READS",
            )
        if self._sending.total() >= most:
            raise Busy(
                f"this gateway sends at most {most} large values (CHAINGRAPH_MAX_LARGE_READS); try again later",
                limit=most,
                setting="CHAINGRAPH_MAX_LARGE_READS",
            )
        self._sending[share] += 1
        try:
            yield
        finally:
            self._sending[share] -= 1
            if not self._sending[share]:
                del self._sending[share]
