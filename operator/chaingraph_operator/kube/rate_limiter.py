"""A bounded rate: so many turns a second, whoever asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RateLimiter:
    """Hands out turns, evenly. What was not used is lost, but for a tenth of a second's worth.

    Args:
        per_second: turns a second; above 0.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] | None = None) -> None:
        self._interval = 1 / per_second
        self._saved = max(0.0, 0.1 - self._interval)
        self._clock = clock
        self._next = float("-inf")

    def book(self) -> float:
        """Takes the next turn.

        Returns:
            Seconds until it comes; 0 when that is now.
        """
        now = self._clock() if self._clock is not None else asyncio.get_running_loop().time()
        turn = max(self._next, now - self._saved)
        self._next = turn + self._interval
        return max(0.0, turn - now)

    async def turn(self) -> None:
        """Returns when the next turn has come. Who asks first has it first."""
        await asyncio.sleep(self.book())
