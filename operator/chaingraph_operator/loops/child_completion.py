"""Tells parents of children that have ended, where the worker has not: beside it, and for it when it is gone.

The worker that ran a child tells its parent within a moment. What ends in other ways, or whose worker died in between,
is told here: a second after the change feed brought it, and every minute whatever the ledger still owes. Several
operators may do this at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg
import structlog

from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.metrics import Metrics
from chaingraph_store.children import completion
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import is_outage

_log = structlog.get_logger(__name__)
_LONGEST_RETRY: Final = 15.0


def is_owed(row: ExecutionRow) -> bool:
    """Whether a row says that its parent has still to be told of it."""
    return (
        row.parent_id is not None
        and row.ended
        and not row.counted
        and (not row.parent_notified or row.children_active == 0)
    )


class ChildCompletion:
    """Settles what parents are owed.

    Args:
        delay: seconds from a change to the telling, in which further children of the same parent can end.
        interval: seconds between two searches of the ledger.
    """

    def __init__(self, ledger: Ledger, metrics: Metrics, *, delay: float = 1.0, interval: float = 60.0) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._delay = delay
        self._interval = interval
        self._queue: WorkQueue[ExecutionId] = WorkQueue(max_delay=_LONGEST_RETRY)
        metrics.queue_depth("families", lambda: self._queue.depth)

    def changed(self, row: ExecutionRow) -> None:
        """The ledger's row changed."""
        if row.parent_id is not None and is_owed(row):
            self._queue.add_after(row.parent_id, self._delay)

    async def search(self) -> None:
        """Finds what is owed, at once and every minute, for ever.

        Raises:
            psycopg.OperationalError: PostgreSQL is away.
        """
        while True:
            async with self._ledger.connection() as connection:
                owed = await completion.owed(connection)
            for parent in owed:
                self._queue.add(parent)
            await asyncio.sleep(self._interval)

    async def settle(self) -> None:
        """Settles for ever, one parent after the other.

        Raises:
            psycopg.OperationalError: PostgreSQL is away. What was to be settled is remembered.
        """
        while True:
            parent = await self._queue.get()
            try:
                await self._settle(parent)
            finally:
                self._queue.done(parent)

    async def _settle(self, parent: ExecutionId) -> None:
        """One parent. Its own parent comes later, so that what fails is repeated alone."""
        try:
            async with self._ledger.transaction() as connection:
                above = await completion.settle(connection, parent)
        except psycopg.Error as error:
            delay = self._queue.retry(parent)
            if is_outage(error):
                raise
            _log.warning(
                "cannot tell an execution of its children, trying again",
                execution_id=parent,
                error=str(error).strip(),
                retry_seconds=round(delay, 2),
            )
            return
        self._queue.forget(parent)
        self._metrics.families.inc()
        if above is not None:
            self._queue.add(above)
