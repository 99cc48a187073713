"""The threads of nodes with a plain `def run`. Used by `attempt`.

They have a pool of their own: the event loop's default one belongs to whoever embeds the engine. DBOS bounds it and
needs it for its own statements, so a few slow nodes there would hold up every other execution of the process.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(64, 8 * (os.cpu_count() or 1)), thread_name_prefix="node")


async def in_thread(work: Callable[[], T]) -> T:
    """Run it in a thread, with the caller's context variables. A cancellation leaves the thread running."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_pool(), context.run, work)
