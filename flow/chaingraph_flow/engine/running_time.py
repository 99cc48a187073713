"""How long a flow has run, without its pauses, and the timer of its timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RunningTime:
    """A stopwatch on the event loop's clock. It stands until `go` is called."""

    def __init__(self, limit_seconds: float, ran_ms: int, expired: Callable[[], None]) -> None:
        """Begin with the milliseconds that earlier engines have run; `expired` is called at the limit."""
        self._limit = limit_seconds
        self._ran = ran_ms / 1000
        self._expired = expired
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def go(self) -> None:
        """Go on counting. To be called on the event loop. With nothing left of the time, it has expired at once."""
        left = self._limit - self._ran
        if left <= 0:
            self._expired()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._timer = loop.call_later(left, self._expired)

    def stand(self) -> None:
        """Count no further, and let no timer run."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._ran += asyncio.get_running_loop().time() - self._since

    @property
    def milliseconds(self) -> int:
        """What it shows now."""
        running = 0.0 if self._timer is None else asyncio.get_running_loop().time() - self._since
        return int((self._ran + running) * 1000)
