"""How runners and their engines end: exit codes and words that both sides know."""

from __future__ import annotations

from typing import Final

INVALID: Final = "Invalid"
"""The outcome of a flow that cannot be run here."""
INTERNAL_ERROR: Final = "InternalError"
"""The outcome of an engine that has failed itself."""
NODE_KILLED: Final = "NodeKilled"
"""The reason of a try whose process was killed or crashed."""
NODE_TIMEOUT: Final = "NodeTimeout"
"""The reason of a try whose process was ended because the node would not end in time."""

MEMORY_EXIT: Final = 86
"""Exit code of a runner that has met its memory limit."""
STUCK_EXIT: Final = 87
"""Exit code of a runner that has said which node would not end."""
WORKER_LOST_EXIT: Final = 88
"""Exit code of a runner that has not heard of its worker for the length of a lease."""
