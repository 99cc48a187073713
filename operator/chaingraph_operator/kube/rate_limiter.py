"""A rate limiter that hands out turns evenly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RateLimiter:
    """Hands out turns evenly. Unused turns are lost, except those of the last tenth of a second.

    Args:
        per_second: turns per second; above 0.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] | None = None) -> None:
        self._interval = 1 / per_second
        self._saved = max(0.0, 0.1 - self._interval)
        self._clock = clock
        self._next = float("-inf")

    def book(self) -> float:
        """Reserve the next turn.

        Returns:
            Seconds until the turn; 0 when it is now.
        """
        now = self._clock() if self._clock is not None else asyncio.get_running_loop().time()
        turn = max(self._next, now - self._saved)
        self._next = turn + self._interval
        return max(0.0, turn - now)

    async def turn(self) -> None:
        """Wait for the next turn. Callers are served in order."""
        await asyncio.sleep(self.book())
