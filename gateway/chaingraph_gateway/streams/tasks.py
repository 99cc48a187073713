"""The end of tasks that read the ledger."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.2


async def end(task: asyncio.Task[Any]) -> None:
    """Cancels a task and waits until it has ended; what it raised is left with it.

    Once is not enough: before Python 3.12 `asyncio.wait_for` swallows a cancellation that comes together with what was
    waited for, and psycopg waits by it for every answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
