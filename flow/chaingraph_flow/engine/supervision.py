"""What an engine tells whoever may end its process, and what it is told of nodes that were ended so.

An engine runs foreign code, which may hang, exhaust memory or crash. Nothing inside the interpreter can end that, so a
supervisor outside does, by ending the process. It has to know which node ran; the next engine of the attempt has to
know that the node has used up a try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, Protocol


class Supervisor(Protocol):
    """Implemented by whoever runs an engine in a process that may be ended at any moment. Every call must be cheap."""

    def enter(self, node_id: str) -> None:
        """Code of this node runs on the event loop from now on."""

    def leave(self) -> None:
        """No code of a node runs on the event loop."""

    def enter_thread(self, node_id: str) -> int:
        """Code of this node runs in the calling thread from now on. Returns a number for `leave_thread`."""

    def leave_thread(self, number: int) -> None:
        """It no longer does."""

    def exhausted(self, node_id: str) -> NoReturn:
        """This node has met the memory limit. Ends the process."""

    def stuck(self, node_id: str, tries: int, started_at: int, message: str) -> None:
        """This node goes on after its time is over, and nothing here can end it. Has the process end soon."""


@dataclass(frozen=True, slots=True)
class KilledTry:
    """A try that ended with its process. The node is not run again as if nothing had happened: its `retry` decides."""

    node_id: str
    tries: int
    """How many tries the node has begun, this one included."""
    started_at: int
    """When its first try began, in milliseconds since 1970."""
    reason: str
    """NodeKilled, or NodeTimeout where the process was ended because the node would not."""
    message: str
