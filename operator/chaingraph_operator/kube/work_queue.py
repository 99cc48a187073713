"""A queue of keys for workers, at the core of every controller.

A key is queued at most once and never has two workers at a time. A key added while it is being processed is queued
again afterwards. Failed keys come back after an exponential delay with jitter. The semantics are those of client-go's
work queue. All state is in memory, because it can be rebuilt.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

Clock = Callable[[], float]


class WorkQueue(Generic[K]):
    """Keys in order of arrival, and delayed keys.

    Args:
        base_delay: seconds before the first retry of a key; doubles with each further failure.
        max_delay: maximum seconds between two retries.
        jitter: returns the factor that shortens a retry's delay, from 0.5 to 1.
    """

    def __init__(
        self,
        *,
        base_delay: float = 0.05,
        max_delay: float = 60.0,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),
        clock: Clock | None = None,
    ) -> None:
        self._base = base_delay
        self._max = max_delay
        self._jitter = jitter
        self._clock = clock
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = 0
        self._failures: dict[K, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._getters: deque[asyncio.Future[None]] = deque()
        self._idlers: list[asyncio.Future[None]] = []

    @property
    def depth(self) -> int:
        """Number of keys ready for a free worker."""
        return len(self._ready) + len(self._again)

    @property
    def delayed(self) -> int:
        """Number of delayed keys."""
        return len(self._due)

    @property
    def idle(self) -> bool:
        """Whether no key is queued or being processed. Delayed keys do not count."""
        return not (self._ready or self._working or self._again)

    def failures(self, key: K) -> int:
        """Return how often the key has failed since `forget`."""
        return self._failures.get(key, 0)

    def add(self, key: K) -> None:
        """Queue the key now or, while a worker processes it, once that worker is done."""
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake_one()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue the key after a delay. Of several times, the earliest wins."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._now() + seconds
        if key in self._waiting or due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._order += 1
        heapq.heappush(self._later, (due, self._order, key))
        self._arm()

    def retry(self, key: K) -> float:
        """Requeue a failed key after a delay.

        Returns:
            The delay, in seconds.
        """
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay = min(self._max, self._base * 2.0 ** min(count, 32)) * self._jitter()
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Reset the failures of a key that succeeded."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for the next key. Its worker must call `done` afterwards."""
        while not self._ready:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake_one()
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Release the key after processing. It is queued again if it was added meanwhile."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        if self.idle:
            for waiter in self._idlers:
                if not waiter.done():
                    waiter.set_result(None)
            self._idlers.clear()

    async def wait_idle(self) -> None:
        """Wait until no key is queued or being processed."""
        if not self.idle:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idlers.append(waiter)
            await waiter

    def _now(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        """Set the one timer for all delayed keys to the earliest of them."""
        if not self._later or self._later[0][0] >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._later[0][0]
        self._timer = asyncio.get_running_loop().call_later(max(0.0, self._timer_at - self._now()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        self.release_due()
        self._arm()

    def release_due(self) -> None:
        """Queue the keys whose delay is over. Called by the timer."""
        now = self._now()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            # A key that was added, or got an earlier time, leaves stale entries behind.
            if self._due.get(key) == due:
                self.add(key)
