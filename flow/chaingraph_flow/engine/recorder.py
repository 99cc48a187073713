"""Where an engine leaves what has happened."""

from __future__ import annotations

from typing import Protocol

from chaingraph_flow.engine.records import NodeRecord
from chaingraph_flow.events import FlowEvent


class Recorder(Protocol):
    """Implemented by whoever runs an engine. All methods are called on the engine's event loop."""

    def record(self, record: NodeRecord) -> None:
        """A node has ended. Must not block. The outputs are shared with the engine: do not change them."""

    def publish(self, event: FlowEvent) -> None:
        """Something happened. Must not block."""

    async def settled(self) -> None:
        """Return when all that was handed in is durable. Raises when it cannot be (say, when ownership was lost).

        What it raises ends the run: nodes in flight are cancelled and `Engine.run` raises the same.
        """
