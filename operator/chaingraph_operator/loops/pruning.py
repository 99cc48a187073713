"""Remove old executions without a resource from the ledger, some after each sweep.

The sweep lists the existing resources. Before that, the cutoff for ends is read from the database's clock. The row of
an execution that ended before the cutoff existed when the list began, and a root's resource existed before its row, so
a resource missing from the list is gone permanently. A tree is removed as a whole, when all of it ended before the
cutoff and none of it has a resource, because people look at it as a whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence, Set
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, TypeVar

import psycopg
import structlog

from chaingraph_operator.metrics import Metrics
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.upkeep import pruning
from chaingraph_store.upkeep.pruning import EndedRoot, PruneCursor

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_EXAMINED: Final = 5000
"""Executions examined after one sweep. The next sweep continues after them."""
_BATCH: Final = 100
"""Executions removed in one transaction."""
_PARENTS: Final = 100
_CHILDREN: Final = 2000
"""Parents and children of one tree in memory at a time."""
_MOST: Final = 20_000
"""Approximate number of executions removed after one sweep, so that the next sweep is not delayed."""
_UNUSED_BATCH: Final = 500
_UNUSED_EVERY: Final = 3600.0
"""Seconds between two searches for unused revisions and catalogues."""


class Pruning:
    """Removes old executions.

    Args:
        namespaces: the served namespaces; empty for all. The resources of other namespaces are unknown here.
        keep: how long to keep an ended execution without a resource; None to keep it forever.
    """

    def __init__(self, *, ledger: Ledger, namespaces: Sequence[str], keep: timedelta | None, metrics: Metrics) -> None:
        self._ledger = ledger
        self._namespaces = tuple(namespaces) or None
        self._keep = keep
        self._metrics = metrics
        self._place: EndedRoot | None = None
        self._unused_sought = float("-inf")

    async def cutoff(self) -> datetime | None:
        """Return the cutoff: only executions that ended before it are removed. Read it before listing the resources.

        Returns:
            None when nothing is ever removed.
        """
        if self._keep is None:
            return None
        async with self._ledger.connection() as connection:
            return await pruning.ago(connection, self._keep)

    async def prune(self, alive: Set[str], *, before: datetime) -> int:
        """Examine the next old executions, and remove those without a resource.

        Args:
            alive: the UIDs of all resources in the served namespaces, listed after `before` was read.
            before: the result of `cutoff`.

        Returns:
            How many were removed. After a database error, the rest is left for the next time.
        """
        try:
            return await self._prune(alive, before)
        except psycopg.Error as error:
            _log.warning("cannot remove old executions from the ledger, retrying later", error=str(error).strip())
            return 0

    async def _prune(self, alive: Set[str], before: datetime) -> int:
        async with self._ledger.connection() as connection:
            roots = await pruning.ended_roots(
                connection, before=before, namespaces=self._namespaces, after=self._place, limit=_EXAMINED
            )
        removed = 0
        passed = len(roots) < _EXAMINED
        for batch in _batches(roots, _BATCH):
            gone = [root for root in batch if root.uid is None or root.uid not in alive]
            removed += await self._remove_all(gone, alive, before, most=_MOST - removed)
            if removed >= _MOST:
                # The rest of the batch comes next time.
                passed = False
                break
            self._place = batch[-1]
        if passed:
            self._place = None
        if removed:
            self._metrics.pruned.inc(removed)
            _log.info("removed old executions from the ledger", count=removed, ended_before=before.isoformat())
        if passed and (removed or time.monotonic() - self._unused_sought > _UNUSED_EVERY):
            await self._remove_unused()
        return removed

    async def _remove_all(self, roots: Sequence[EndedRoot], alive: Set[str], before: datetime, *, most: int) -> int:
        removed = await self._remove([root.id for root in roots if not root.has_children], before)
        for root in roots:
            if root.has_children and removed < most and await self._may_go(root.id, alive, before):
                removed += await self._remove_tree(root.id, before, most=most - removed)
        return removed

    async def _may_go(self, root: ExecutionId, alive: Set[str], before: datetime) -> bool:
        async with self._ledger.connection() as connection:
            due = await pruning.tree_due(connection, root, before=before, namespaces=self._namespaces)
        return due and not await pruning.shows_any(self._ledger, root, alive)

    async def _remove_tree(self, root: ExecutionId, before: datetime, *, most: int) -> int:
        """Remove a tree from the leaves up: an interruption leaves a tree that the next run finds again."""
        removed = 0
        place: PruneCursor | None = None
        while removed < most:
            async with self._ledger.connection() as connection:
                parents = await pruning.lowest_parents(connection, root, after=place, limit=_PARENTS)
            if not parents:
                return removed + await self._remove([root], before)
            count = await self._remove_children([each.id for each in parents], before)
            removed += count
            # Continue while executions were removed: there may be more.
            if not count:
                place = parents[-1]
        return removed

    async def _remove_children(self, parents: Sequence[ExecutionId], before: datetime) -> int:
        async with self._ledger.connection() as connection:
            children = await pruning.children_of(connection, parents, limit=_CHILDREN)
        removed = 0
        for _, level in groupby(children, key=lambda child: child[0]):
            for batch in _batches([child for _, child in level], _BATCH):
                removed += await self._remove(batch, before)
        return removed

    async def _remove(self, executions: Sequence[ExecutionId], before: datetime) -> int:
        if not executions:
            return 0
        began = time.monotonic()
        removed = await pruning.remove(self._ledger, executions, before=before)
        # Pause for as long as the work took, to use at most half of one connection's capacity.
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
            _log.info("removed unused objects from the ledger", revisions=revisions, catalogues=catalogues)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
