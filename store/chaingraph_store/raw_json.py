"""JSON that goes into the ledger and comes out of it as bytes, unread.

What flows put out is as large and as odd as their authors like. To read it, or to escape it for a statement's text,
would keep an event loop from everything else.
"""

from __future__ import annotations

from typing import Any

from psycopg import AsyncCursor, adapters
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from chaingraph_store.ledger import Connection


class RawJson(bytes):
    """JSON, for a parameter `%b` of type json."""


class _RawJsonDumper(Dumper):
    format = Format.BINARY
    oid = adapters.types["json"].oid

    def dump(self, obj: Any) -> Buffer:
        """The bytes themselves: they are what PostgreSQL takes for json in its binary form."""
        assert isinstance(obj, bytes)
        return obj


class _RawJsonLoader(Loader):
    def load(self, data: Buffer) -> bytes:
        """The bytes themselves."""
        return bytes(data)


def unparsed(connection: Connection) -> AsyncCursor[tuple[Any, ...]]:
    """A cursor whose columns of type json are bytes."""
    cursor = connection.cursor()
    cursor.adapters.register_loader("json", _RawJsonLoader)
    return cursor


adapters.register_dumper(RawJson, _RawJsonDumper)
