"""Nodes that wait. A wait that is longer than a moment holds no worker."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Final

from chaingraph_flow.context import NodeContext
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.node import Input, Node, Output
from chaingraph_flow.ports import types as t

_MOMENT_MS: Final = 2000
"""The longest wait that keeps its slot, in milliseconds: writing it down would cost more."""
_TIME: Final = t.String(
    pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)


class Sleep(Node):
    """Waits for a duration. A restart of the worker does not begin it anew, and a long wait needs no worker."""

    pure = True
    milliseconds = Input(t.Number(minimum=0), default=1000, description="Duration of the wait.")
    actual = Output(t.Number(), description="Actual duration, in milliseconds.")

    async def run(self, context: NodeContext) -> None:
        """Wait."""
        if context.woken is not None:
            self.actual = float(max(_now() - context.woken.since, self.milliseconds))
        elif self.milliseconds > _MOMENT_MS:
            context.wait_until(_now() + self.milliseconds)
        else:
            begun = time.monotonic()
            await asyncio.sleep(self.milliseconds / 1000)
            self.actual = round((time.monotonic() - begun) * 1000, 3)


class WaitUntil(Node):
    """Waits until a time. A time in the past is no wait. It needs no worker meanwhile."""

    pure = True
    time = Input(_TIME, required=True, description="RFC 3339, with a time zone: 2026-12-24T18:00:00+01:00.")
    late = Output(t.Number(integer=True), description="How long after that time it continued, in milliseconds.")

    async def run(self, context: NodeContext) -> None:
        """Wait."""
        try:
            due = round(datetime.fromisoformat(self.time).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise NodeFailed(f"time: {self.time!r} is not a time: {error}") from None
        now = _now()
        if context.woken is None and due > now:
            context.wait_until(due)
        self.late = max(0, now - due)


def _now() -> int:
    return time.time_ns() // 1_000_000
