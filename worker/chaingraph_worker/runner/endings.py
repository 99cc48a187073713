"""How runners and their engines end: exit codes and outcomes shared with the worker."""

from __future__ import annotations

from typing import Final

INVALID: Final = "Invalid"
"""The outcome of a flow that cannot run here."""
INVALID_INPUTS: Final = "InvalidInputs"
"""The reason of a called flow whose inputs do not fit."""
INTERNAL_ERROR: Final = "InternalError"
"""The outcome of an engine that failed itself."""
NODE_KILLED: Final = "NodeKilled"
"""The reason of a try whose process was killed or crashed."""
NODE_TIMEOUT: Final = "NodeTimeout"
"""The reason of a try whose process was ended because the node did not end after its timeout."""

MEMORY_EXIT: Final = 86
"""Exit code of a runner that reached its memory limit."""
STUCK_EXIT: Final = 87
"""Exit code of a runner that has reported a node that does not end."""
WORKER_LOST_EXIT: Final = 88
"""Exit code of a runner that has not heard from its worker for the duration of a lease."""
