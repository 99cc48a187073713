"""Removes from the ledger what ended long ago and has no resource any more, a little after each sweep.

The sweep knows which resources there are. The moment before which an execution must have ended is read from the
database's clock before the resources are listed. So the row of whatever ended before that moment was there when the
list began, its resource was there before its row, and what is missing in the list is gone for good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence, Set
from datetime import datetime, timedelta
from typing import Final

import psycopg
import structlog

from chaingraph_operator.metrics import Metrics
from chaingraph_store import pruning
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.pruning import EndedRoot, Member

_log = structlog.get_logger(__name__)
_EXAMINED: Final = 5000
"""Executions that are looked at after one sweep; the next one goes on behind them."""
_BATCH: Final = 100
"""Executions that are removed in one transaction."""
_UNUSED_BATCH: Final = 500
_UNUSED_EVERY: Final = 3600.0
"""Seconds between two searches for revisions and catalogues that nobody uses."""


def removable(members: Sequence[Member], alive: Set[str]) -> list[list[ExecutionId]]:
    """The executions whose whole tree may go, the lowest level of the trees first. Pure.

    A tree stays while one of its executions runs, ended too recently or has a resource: people look at it as a whole.
    """
    kept = {each.root for each in members if not each.expired or (each.uid is not None and each.uid in alive)}
    levels: dict[int, list[ExecutionId]] = {}
    for each in members:
        if each.root not in kept:
            levels.setdefault(each.level, []).append(each.id)
    return [levels[level] for level in sorted(levels, reverse=True)]


class Pruning:
    """Removes old executions.

    Args:
        namespaces: those that are served; empty for all. What resources other namespaces have is not known here.
        keep: how long after its end an execution without a resource is kept; None for ever.
    """

    def __init__(self, *, ledger: Ledger, namespaces: Sequence[str], keep: timedelta | None, metrics: Metrics) -> None:
        self._ledger = ledger
        self._namespaces = tuple(namespaces) or None
        self._keep = keep
        self._metrics = metrics
        self._place: EndedRoot | None = None
        self._unused_sought = float("-inf")

    async def cutoff(self) -> datetime | None:
        """The moment before which executions must have ended to be removed, to be read before resources are listed.

        Returns:
            None when nothing is ever removed.
        """
        if self._keep is None:
            return None
        async with self._ledger.connection() as connection:
            return await pruning.ago(connection, self._keep)

    async def prune(self, alive: Set[str], *, before: datetime) -> int:
        """Goes on a little through the old executions and removes those whose resource is gone.

        Args:
            alive: the UIDs of all resources in the served namespaces, listed after `before` was read.
            before: as `cutoff` gave it.

        Returns:
            How many were removed. What a fault of the database prevents is left for the next time.
        """
        try:
            return await self._prune(alive, before)
        except psycopg.Error as error:
            _log.warning("cannot remove old executions from the ledger, trying again later", error=str(error).strip())
            return 0

    async def _prune(self, alive: Set[str], before: datetime) -> int:
        async with self._ledger.connection() as connection:
            roots = await pruning.ended_roots(
                connection, before=before, namespaces=self._namespaces, after=self._place, limit=_EXAMINED
            )
        gone = [root.id for root in roots if root.uid is None or root.uid not in alive]
        removed = 0
        for batch in _batches(gone, _BATCH):
            removed += await self._remove_trees(batch, alive, before)
        passed = len(roots) < _EXAMINED
        self._place = None if passed else roots[-1]
        if removed:
            self._metrics.pruned.inc(removed)
            _log.info("removed old executions from the ledger", count=removed, ended_before=before.isoformat())
        if passed and (removed or time.monotonic() - self._unused_sought > _UNUSED_EVERY):
            await self._remove_unused()
        return removed

    async def _remove_trees(self, roots: Sequence[ExecutionId], alive: Set[str], before: datetime) -> int:
        async with self._ledger.connection() as connection:
            members = await pruning.members(connection, roots, before=before, namespaces=self._namespaces)
        removed = 0
        for level in removable(members, alive):
            for batch in _batches(level, _BATCH):
                began = time.monotonic()
                removed += await pruning.remove(self._ledger, batch, before=before)
                # As long as it worked, so that this never takes more than half of what one connection can.
                await asyncio.sleep(time.monotonic() - began)
        return removed

    async def _remove_unused(self) -> None:
        revisions = catalogues = 0
        while found := await pruning.remove_unused_revisions(self._ledger, limit=_UNUSED_BATCH):
            revisions += found
            await asyncio.sleep(0.05)
        while found := await pruning.remove_unused_catalogues(self._ledger, limit=_UNUSED_BATCH):
            catalogues += found
        self._unused_sought = time.monotonic()
        if revisions or catalogues:
            _log.info("removed what nobody uses from the ledger", revisions=revisions, catalogues=catalogues)


def _batches(executions: Sequence[ExecutionId], size: int) -> Iterator[Sequence[ExecutionId]]:
    for start in range(0, len(executions), size):
        yield executions[start : start + size]
