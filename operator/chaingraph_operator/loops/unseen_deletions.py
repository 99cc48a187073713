"""Hide ended executions whose resources were deleted unseen. Part of the sweep.

The watch reports a deletion once. A deletion during the operator's absence leaves an execution in the ledger that is
still shown. An expired resource leaves one too, which stays readable: `expired_at` distinguishes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from typing import Final

import structlog

from chaingraph_operator.metrics import Metrics
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import visibility
from chaingraph_store.reads.visibility import RemovedExecution

_log = structlog.get_logger(__name__)
_PAGE: Final = 2000


def sorted_out(gone: Sequence[RemovedExecution], alive: Set[str]) -> tuple[list[RemovedExecution], list[ExecutionId]]:
    """Return which executions to hide, and which have expired with their parent. Pure.

    The others wait: their parent is gone too, and its outcome is not known yet.

    Args:
        gone: parents before their children.
        alive: the UIDs of all resources.
    """
    hide: list[RemovedExecution] = []
    expired: list[ExecutionId] = []
    for each in gone:
        if each.parent_expired:
            expired.append(each.id)
        elif each.is_root or each.parent_hidden or each.parent_uid in alive:
            hide.append(each)
    return hide, expired


class UnseenDeletions:
    """Compares the ledger's ended executions with the resources.

    Args:
        namespaces: the served namespaces; empty for all.
    """

    def __init__(self, ledger: Ledger, *, namespaces: Sequence[str], metrics: Metrics) -> None:
        self._ledger = ledger
        self._namespaces = tuple(namespaces) or None
        self._metrics = metrics

    async def mark(self) -> int:
        """Return the position in the ledger. Call this before listing the resources."""
        async with self._ledger.connection() as connection:
            return await visibility.mark(connection)

    async def hide(self, alive: Set[str], unsure: Set[tuple[str, str]], *, seen: int) -> int:
        """Hide executions without a resource, page by page, and in a tree one generation after the other.

        Args:
            alive: the UIDs of all resources that existed after `seen`.
            unsure: namespaces and names of resources without a UID: executions of these names are skipped.
            seen: the result of `mark`.

        Returns:
            How many were deleted or expired.
        """
        found = 0
        while now := await self._pass(alive, unsure, seen):
            found += now
        return found

    async def _pass(self, alive: Set[str], unsure: Set[tuple[str, str]], seen: int) -> int:
        found, after = 0, ""
        while True:
            async with self._ledger.connection() as connection:
                page = await visibility.standing(connection, seen=seen, after=after, limit=_PAGE)
                missing = [id_ for id_, uid in page if uid not in alive]
                gone = (
                    await visibility.gone(connection, missing, namespaces=self._namespaces)
                    if missing
                    else list[RemovedExecution]()
                )
            found += await self._take_in([each for each in gone if (each.namespace, each.name) not in unsure], alive)
            if len(page) < _PAGE:
                return found
            after = page[-1][0]
            await asyncio.sleep(0)

    async def _take_in(self, gone: Sequence[RemovedExecution], alive: Set[str]) -> int:
        hide, expired = sorted_out(gone, alive)
        for each in hide:
            async with self._ledger.transaction() as connection:
                await visibility.hide(connection, each.id, parent_exists=not each.parent_hidden)
            _log.info(
                "hidden: its resource was deleted unseen",
                execution_id=each.id,
                namespace=each.namespace,
                name=each.name,
            )
        if expired:
            async with self._ledger.transaction() as connection:
                await visibility.expire(connection, expired)
        self._metrics.swept.inc(len(hide))
        return len(hide) + len(expired)
