"""Measure how long a flow has run, without pauses, and run the timer of its timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RunningTime:
    """A stopwatch on the event loop's clock. It does not run until `go` is called."""

    def __init__(self, limit_seconds: float, ran_ms: int, expired: Callable[[], None]) -> None:
        """Start with the milliseconds that earlier engines have run; `expired` is called at the limit."""
        self._limit = limit_seconds
        self._ran = ran_ms / 1000
        self._expired = expired
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def go(self) -> None:
        """Start the stopwatch, on the event loop. When no time is left, it expires at once."""
        left = self._limit - self._ran
        if left <= 0:
            self._expired()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._timer = loop.call_later(left, self._expired)

    def stand(self) -> None:
        """Stop the stopwatch and its timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._ran += asyncio.get_running_loop().time() - self._since

    @property
    def milliseconds_left(self) -> int:
        """Return the time that is left, at least 0."""
        return max(0, round(self._limit * 1000) - self.milliseconds)

    @property
    def milliseconds(self) -> int:
        """Return the measured time."""
        running = 0.0 if self._timer is None else asyncio.get_running_loop().time() - self._since
        return int((self._ran + running) * 1000)
