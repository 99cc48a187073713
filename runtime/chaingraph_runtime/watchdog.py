"""End the process at once when its event loop is blocked, or when its lease has expired.

A process that lost its lease may have lost its work to another one, and anything it still did would be done twice. So
it does not shut down, it exits. A thread decides that, because the event loop may be blocked.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn

import structlog

LOST_EXIT: Final = 70
"""Exit code of a process that must not continue (EX_SOFTWARE)."""
_WATCH_SECONDS: Final = 0.2
_BEAT_SECONDS: Final = 0.5
_log = structlog.get_logger(__name__)


def exit_hard(reason: str) -> NoReturn:
    """End the process at once, without cleanup."""
    _log.critical("exiting immediately", reason=reason)
    os._exit(LOST_EXIT)


class Watchdog:
    """Watches from `start` to `end`.

    Args:
        overdue: returns why the process must end, or None. Called in the thread.
        stall_seconds: how long the event loop may be blocked.
        setting: the variable of that limit.
        lost: called with the reason, in the thread; must not return.
    """

    def __init__(
        self,
        overdue: Callable[[], str | None],
        *,
        stall_seconds: float,
        setting: str,
        lost: Callable[[str], NoReturn] = exit_hard,
    ) -> None:
        self._overdue = overdue
        self._stall_seconds = stall_seconds
        self._setting = setting
        self._lost = lost
        self._beaten = time.monotonic()
        self._over = False

    def start(self) -> None:
        """Start the thread. The caller must then run `beat`."""
        self._beaten = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def end(self) -> None:
        self._over = True

    async def beat(self) -> None:
        """Show that the event loop runs, until cancelled."""
        while True:
            self._beaten = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)

    def _watch(self) -> None:
        while not self._over:
            reason = self._overdue() or self._stalled()
            # Checked again: the end may have come meanwhile.
            if reason and not self._over:
                self._lost(reason)
            time.sleep(_WATCH_SECONDS)

    def _stalled(self) -> str | None:
        still = time.monotonic() - self._beaten
        if still <= self._stall_seconds:
            return None
        return f"the event loop was blocked for {still:.1f} s, more than {self._setting} ({self._stall_seconds:g})"
