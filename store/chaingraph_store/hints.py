"""Follow a table: NOTIFY is a hint, the table is the source of truth.

A notification names a key, and arrives after its transaction has committed. It is lost with its connection, and a dead
connection is detected late. So the whole table is read as well: at the start, after each reconnect, and periodically.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import LiteralString

from chaingraph_store.ledger import Ledger

Look = Callable[[Sequence[str], bool], Awaitable[None]]
"""Reads the named keys, in that order. With True: everything."""


class Hints:
    """The keys named since the last reading.

    Args:
        reread_seconds: interval between two readings of everything, whatever is named meanwhile.
    """

    def __init__(self, *, reread_seconds: float) -> None:
        self._reread_seconds = reread_seconds
        self._named: dict[str, None] = {}
        self._everything = False
        self._news = asyncio.Event()

    def name(self, key: str) -> None:
        """Record that this key may have changed."""
        self._named[key] = None
        self._news.set()

    def everything(self) -> None:
        """Record that any key may have changed."""
        self._everything = True
        self._news.set()

    async def listen(self, ledger: Ledger, channel: LiteralString) -> None:
        """Take the notifications of a channel as hints, until cancelled."""
        await ledger.listen(channel, self.name, connected=self.everything)

    async def follow(self, look: Look) -> None:
        """Read until cancelled. Starts with everything, also after an error."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            self._news.clear()
            # Checked by the clock, because pending hints leave the timeout no chance to fire.
            everything, self._everything = self._everything or clock() >= due, False
            # Removed before the reading: a key that is named again meanwhile has changed since.
            named, self._named = list(self._named), {}
            if everything:
                due = clock() + self._reread_seconds
            await look(named, everything)
