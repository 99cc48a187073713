"""The interface through which an engine reports what has happened."""

from __future__ import annotations

from typing import Protocol

from chaingraph_flow.engine.records import NodeRecord, WaitRecord
from chaingraph_flow.events import FlowEvent


class Recorder(Protocol):
    """Implemented by whatever runs an engine. All methods are called on the engine's event loop."""

    def record(self, record: NodeRecord) -> None:
        """Record the end of a node. Must not block. The outputs are shared with the engine: do not change them."""

    def wait(self, record: WaitRecord) -> None:
        """Record that a node waits. Must not block."""

    def publish(self, event: FlowEvent) -> None:
        """Publish an event. Must not block."""

    async def settled(self) -> None:
        """Return when all records are durable. Raises when they cannot be, for example after a loss of ownership.

        An exception ends the run: running nodes are cancelled, and `Engine.run` raises the same exception.
        """
