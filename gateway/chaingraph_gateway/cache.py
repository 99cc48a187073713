"""Answers that are kept for a moment, asked for once however many wait for them. Used for reviews by the API server."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Bounded; what is used least goes first.

    Args:
        size: answers at most.
        seconds: how long an answer is kept, by what it is.
    """

    def __init__(self, size: int, seconds: Callable[[V], float]) -> None:
        self._size = size
        self._seconds = seconds
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}

    def kept(self, key: K) -> bool:
        """Whether the answer is kept, or being asked for."""
        kept = self._kept.get(key)
        return key in self._asking or (kept is not None and kept[0] > time.monotonic())

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The answer that is kept, or a new one. What `ask` raises is raised to all who wait, and not kept."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            self._kept.move_to_end(key)
            return kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key, ask), name="review")
            # Seen here, because those who waited for it may all have gone away.
            asking.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            self._asking[key] = asking
        # One who goes away must not take the answer from the others.
        return await asyncio.shield(asking)

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        try:
            answer = await ask()
        finally:
            del self._asking[key]
        self._kept[key] = (time.monotonic() + self._seconds(answer), answer)
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return answer
