"""The nodes of a run that wait, and the timers that wake them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator

from chaingraph_flow.engine.records import WaitRecord


class Waits:
    """Waiting nodes. A timer counts on the event loop's clock: setting the wall clock neither shortens nor extends it.

    Args:
        clock: milliseconds since 1970.
        wake: called on the event loop with the record of a node whose wait is over.
    """

    def __init__(self, clock: Callable[[], int], wake: Callable[[WaitRecord], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._records: dict[str, WaitRecord] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._order: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[WaitRecord]:
        return iter(self._records.values())

    @property
    def next_at(self) -> int | None:
        """When the first of them continues, in milliseconds since 1970; None without any."""
        while self._order:
            until, id_ = self._order[0]
            record = self._records.get(id_)
            if record is not None and record.until == until:
                return until
            heapq.heappop(self._order)
        return None

    def add(self, record: WaitRecord) -> None:
        """Wake the node when its time has come. Call it on the event loop."""
        id_ = record.node_id
        self._records[id_] = record
        heapq.heappush(self._order, (record.until, id_))
        seconds = max(0, record.until - self._clock()) / 1000
        self._timers[id_] = asyncio.get_running_loop().call_later(seconds, self._over, id_)

    def clear(self) -> None:
        """Forget all nodes."""
        self.stop()
        self._records.clear()
        self._order.clear()

    def stop(self) -> None:
        """Stop the timers. The nodes stay."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _over(self, id_: str) -> None:
        del self._timers[id_]
        self._wake(self._records.pop(id_))
