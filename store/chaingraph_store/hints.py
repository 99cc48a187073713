"""NOTIFY is a hint, the table is the truth: which keys to look at in a table, and when to look at all of it.

A notification names a key, and comes after its transaction has committed. It is lost with its connection, and a dead
connection is noticed late. So everything is looked at as well: at first, after each reconnection, and every so often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import LiteralString

from chaingraph_store.ledger import Ledger

Look = Callable[[Sequence[str], bool], Awaitable[None]]
"""Looks at the keys that were named, in that order. With True: at everything."""


class Hints:
    """The keys named since the last look.

    Args:
        reread_seconds: from one look at everything to the next, whatever is named meanwhile.
    """

    def __init__(self, *, reread_seconds: float) -> None:
        self._reread_seconds = reread_seconds
        self._named: dict[str, None] = {}
        self._everything = False
        self._news = asyncio.Event()

    def name(self, key: str) -> None:
        """This key may have changed."""
        self._named[key] = None
        self._news.set()

    def everything(self) -> None:
        """Any key may have changed."""
        self._everything = True
        self._news.set()

    async def listen(self, ledger: Ledger, channel: LiteralString) -> None:
        """Take the notifications of a channel as hints, until cancelled."""
        await ledger.listen(channel, self.name, connected=self.everything)

    async def follow(self, look: Look) -> None:
        """Look until cancelled. Starts with everything, also after an error."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            self._news.clear()
            # Checked by the clock, because pending hints leave the timeout no chance to fire.
            everything, self._everything = self._everything or clock() >= due, False
            # Taken out before the look: a key that is named again meanwhile has changed since.
            named, self._named = list(self._named), {}
            if everything:
                due = clock() + self._reread_seconds
            await look(named, everything)
