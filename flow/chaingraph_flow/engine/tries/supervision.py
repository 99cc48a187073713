"""The interface to the supervisor that may end an engine's process, and the record of nodes that ended that way.

An engine runs foreign code, which may hang, exhaust memory or crash. Nothing inside the interpreter can end that, so a
supervisor outside ends the process. It has to know which node was running, and the next engine of the attempt has to
know that the node has used up a try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, Protocol


class Supervisor(Protocol):
    """Implemented by whatever runs an engine in a process that may be ended at any time. Every call must be cheap."""

    def enter(self, node_id: str) -> None:
        """Record that code of this node runs on the event loop from now on."""

    def leave(self) -> None:
        """Record that no code of a node runs on the event loop."""

    def enter_thread(self, node_id: str) -> int:
        """Record that code of this node runs in the calling thread from now on. Returns a number for `leave_thread`."""

    def leave_thread(self, number: int) -> None:
        """Record that it no longer does."""

    def exhausted(self, node_id: str) -> NoReturn:
        """End the process, because this node reached the memory limit."""

    def stuck(self, node_id: str, tries: int, started_at: int, message: str) -> None:
        """End the process soon, because this node continues after its timeout and cannot be ended here."""


@dataclass(frozen=True, slots=True)
class KilledTry:
    """A try that ended with its process. The node's `retry` decides whether it runs again."""

    node_id: str
    tries: int
    """The number of tries that the node has started, including this one."""
    started_at: int
    """When its first try started, in milliseconds since 1970."""
    reason: str
    """NodeKilled, or NodeTimeout when the process was ended because the node exceeded its timeout."""
    message: str
