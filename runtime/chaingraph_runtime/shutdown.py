"""Run a process until SIGTERM or SIGINT, and shut it down gracefully."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog

_END_SECONDS: Final = 2.0
_log = structlog.get_logger(__name__)


class Shutdown:
    """The request to shut down: a signal, or a component that has stopped."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()

    def on_signals(self) -> None:
        """Handle SIGTERM and SIGINT on the running loop. Repeat this if a library takes them over."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request)

    def request(self) -> None:
        self._requested.set()

    async def wait(self) -> None:
        await self._requested.wait()

    async def interrupts(
        self, serve: Coroutine[Any, Any, None], *, drain: Callable[[], Awaitable[None]] | None = None
    ) -> bool:
        """Run `serve` until the shutdown is requested; then drain, while it still runs, and cancel it.

        Returns:
            False when `serve` ended by itself before.

        Raises:
            Exception: `serve` failed.
        """
        serving = asyncio.create_task(serve, name="serving")
        requested = asyncio.create_task(self.wait(), name="shutdown")
        try:
            await asyncio.wait({serving, requested}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                return False
            _log.info("shutting down")
            if drain is not None:
                await drain()
        finally:
            requested.cancel()
            serving.cancel()
            # A component may swallow it; the end of the event loop cancels it once more.
            await asyncio.wait({serving}, timeout=_END_SECONDS)
        if not serving.done():
            left = sorted(task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task())
            _log.warning("components did not stop in time", tasks=left)
        _log.info("shut down")
        return True
