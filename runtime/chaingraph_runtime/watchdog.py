"""Ends the process at once when its event loop stands still, or when its lease is over.

A process that lost its lease may have lost its work to another one, and would do again whatever it still does. So it
does not shut down, it exits. A thread decides that, because the event loop may be what hangs.
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
"""Exit code of a process that may not go on (EX_SOFTWARE)."""
_WATCH_SECONDS: Final = 0.2
_BEAT_SECONDS: Final = 0.5
_log = structlog.get_logger(__name__)


def exit_hard(reason: str) -> NoReturn:
    """End the process at once, without running anything more of it."""
    _log.critical("Exiting at once", reason=reason)
    os._exit(LOST_EXIT)


class Watchdog:
    """Watches from `start` to `end`.

    Args:
        overdue: says why the process has to end, or None. Called in the thread.
        stall_seconds: how long the event loop may stand still.
        setting: the variable that this comes from.
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
        """Start the thread. `beat` is to run from now on."""
        self._beaten = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def end(self) -> None:
        self._over = True

    async def beat(self) -> None:
        """Show that the event loop turns, for ever."""
        while True:
            self._beaten = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)

    def _watch(self) -> None:
        while not self._over:
            reason = self._overdue() or self._stalled()
            # Asked again: the end may have come meanwhile.
            if reason and not self._over:
                self._lost(reason)
            time.sleep(_WATCH_SECONDS)

    def _stalled(self) -> str | None:
        still = time.monotonic() - self._beaten
        if still <= self._stall_seconds:
            return None
        return f"the event loop has stood still for {still:.1f} s, more than {self._setting} ({self._stall_seconds:g})"
