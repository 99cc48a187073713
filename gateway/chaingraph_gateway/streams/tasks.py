"""End tasks that read the ledger."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.2


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended; its exception is left in it.

    Once is not enough: before Python 3.12, `asyncio.wait_for` swallows a cancellation that arrives together with its
    result, and psycopg uses it for every answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_SECONDS)
