"""Follow changes of executions in the ledger. A notification is a hint, the sequence is the source of truth.

Named rows are read, many at a time. To look at everything, the sequence is read from slightly before the newest number
seen, because numbers become visible out of order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from chaingraph_store import executions
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.hints import Hints
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection, Ledger
from chaingraph_store.reads import changes

_log = structlog.get_logger(__name__)
_REREAD_SECONDS: Final = 30.0
_BATCH: Final = 200


class ChangeFeed:
    """The change feed. Calls `changed` with each changed row, at least once.

    Args:
        reread_seconds: interval between two readings of the sequence, whatever is notified meanwhile.
    """

    def __init__(
        self, ledger: Ledger, changed: Callable[[ExecutionRow], None], *, reread_seconds: float = _REREAD_SECONDS
    ) -> None:
        self._ledger = ledger
        self._changed = changed
        self._hints = Hints(reread_seconds=reread_seconds)
        self._newest: int | None = None
        self._delivered: dict[ExecutionId, int] = {}

    async def listen(self) -> None:
        """Listen for notifications until cancelled."""
        await self._hints.listen(self._ledger, CHANGES)

    async def follow(self) -> None:
        """Read changed rows and pass them on, until cancelled. Starts with the sequence, also after a failure."""
        await self._hints.follow(self._read)

    async def _read(self, named: Sequence[str], everything: bool) -> None:
        # If this fails, the sequence has the changes.
        for start in range(0, len(named), _BATCH):
            async with self._ledger.connection() as connection:
                await self._pass_on(connection, [ExecutionId(each) for each in named[start : start + _BATCH]])
        if everything:
            await self.read_sequence()

    async def read_sequence(self) -> None:
        """Read all changes since slightly before the newest one seen."""
        async with self._ledger.connection() as connection:
            if self._newest is None:
                self._newest = await changes.newest(connection)
            after = max(0, self._newest - changes.LOOK_BEHIND)
            while True:
                found = await changes.since(connection, after)
                news = [execution for execution, seq in found if self._delivered.get(execution, 0) < seq]
                for start in range(0, len(news), _BATCH):
                    await self._pass_on(connection, news[start : start + _BATCH])
                if not found or found[-1][1] == after:
                    break
                after = found[-1][1]
        self._forget_old()

    async def _pass_on(self, connection: Connection, batch: list[ExecutionId]) -> None:
        rows = await executions.by_ids(connection, batch)
        for row in sorted(rows.values(), key=lambda each: each.change_seq):
            self._delivered[row.id] = row.change_seq
            self._newest = max(self._newest or 0, row.change_seq)
            self._changed(row)

    def _forget_old(self) -> None:
        """Forget numbers that are too old for the next reading."""
        oldest = (self._newest or 0) - changes.LOOK_BEHIND
        self._delivered = {execution: seq for execution, seq in self._delivered.items() if seq > oldest}
