"""JSON that goes into and out of the ledger as bytes, without parsing.

The outputs of flows may be large. Parsing them, or escaping them for a statement's text, would block the event loop.
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
        """Return the bytes: PostgreSQL accepts them for json in its binary form."""
        assert isinstance(obj, bytes)
        return obj


class _RawJsonLoader(Loader):
    def load(self, data: Buffer) -> bytes:
        """Return the bytes."""
        return bytes(data)


def unparsed(connection: Connection) -> AsyncCursor[tuple[Any, ...]]:
    """Return a cursor whose columns of type json are bytes."""
    cursor = connection.cursor()
    cursor.adapters.register_loader("json", _RawJsonLoader)
    return cursor


adapters.register_dumper(RawJson, _RawJsonDumper)
