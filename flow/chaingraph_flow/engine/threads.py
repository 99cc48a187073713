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
from contextlib import suppress
from functools import cache


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=min(64, 8 * (os.cpu_count() or 1)), thread_name_prefix="node")


async def in_thread(work: Callable[[], object], *, started: Callable[[], None]) -> None:
    """Run it in a thread, with the caller's context variables. A cancellation leaves the thread running.

    Args:
        work: What it returns is dropped; what it raises is raised here, StopIteration and SystemExit too, which a
            future cannot carry.
        started: Called on the event loop once a thread has taken it. It may have waited for one.
    """
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()

    def guarded() -> BaseException | None:
        with suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits for this node any more
            loop.call_soon_threadsafe(started)
        try:
            context.run(work)
        except BaseException as error:  # noqa: BLE001 - handed to the event loop, which raises it
            return error
        return None

    error = await loop.run_in_executor(_pool(), guarded)
    if error is not None:
        raise error
