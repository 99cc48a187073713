"""Small nodes of general use."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import orjson

from chaingraph_flow.context import NodeContext
from chaingraph_flow.node import Node, Output, Passthrough
from chaingraph_flow.ports import types as t


class DebugLog(Node):
    """Writes a value to the execution's event stream, and passes it on."""

    pure = True
    message = Passthrough(t.Any(), description="The value to write: a text unchanged, anything else as JSON.")

    async def run(self, context: NodeContext) -> None:
        """Write."""
        is_text = isinstance(self.message, str)
        context.log(self.message if is_text else orjson.dumps(self.message).decode())


class ServerTime(Node):
    """The time on the worker. The journal keeps it: a restart of the worker does not change it."""

    iso = Output(t.String(), description="As 2026-01-31T12:00:00.000Z.")
    milliseconds = Output(t.Number(integer=True), description="Since 1970, UTC.")

    async def run(self, context: NodeContext) -> None:
        """Read the clock."""
        now = time.time_ns() // 1_000_000
        self.milliseconds = now
        moment = datetime.fromtimestamp(now / 1000, UTC)
        self.iso = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
