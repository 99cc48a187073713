"""Cache answers for a moment, and request each one once for all concurrent callers."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """A bounded cache; the least recently used answers are dropped first.

    Args:
        size: maximum number of answers.
        seconds: how long an answer is cached, by its value.
    """

    def __init__(self, size: int, seconds: Callable[[V], float]) -> None:
        self._size = size
        self._seconds = seconds
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}

    def kept(self, key: K) -> bool:
        """Whether the answer is cached, or being requested."""
        kept = self._kept.get(key)
        return key in self._asking or (kept is not None and kept[0] > time.monotonic())

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """Return the cached answer, or a new one. An exception of `ask` goes to all waiting callers, uncached."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            self._kept.move_to_end(key)
            return kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key, ask), name="review")
            # Handled here, because all callers that waited for it may be gone.
            asking.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            self._asking[key] = asking
        # A caller that leaves must not take the answer from the others.
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
