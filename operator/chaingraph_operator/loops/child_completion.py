"""Notify parents of ended children when the worker did not.

The worker that ran a child notifies its parent at once. For children that end otherwise, or whose worker died first,
this loop does: a second after the change feed brought the child, and every minute for all pending notifications in the
ledger. Several operators may do this at once.
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
_AWAITED_SECONDS: Final = 0.2
"""The delay for a child that a node of its parent waits for."""


def is_owed(row: ExecutionRow) -> bool:
    """Whether the parent of this row has yet to be notified of its end."""
    return (
        row.parent_id is not None
        and row.ended
        and not row.counted
        and (not row.parent_notified or row.children_active == 0)
    )


class ChildCompletion:
    """Notifies parents.

    Args:
        delay: seconds from a change to the notification. Meanwhile other children of the same parent may end.
        interval: seconds between two searches of the ledger.
    """

    def __init__(
        self, ledger: Ledger, metrics: Metrics, *, application_name: str, delay: float = 1.0, interval: float = 60.0
    ) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._metrics = metrics
        self._delay = delay
        self._interval = interval
        self._queue: WorkQueue[ExecutionId] = WorkQueue(max_delay=_LONGEST_RETRY)
        metrics.queue_depth("families", lambda: self._queue.depth)

    def changed(self, row: ExecutionRow) -> None:
        """Handle a changed row of the ledger."""
        if row.parent_id is not None and is_owed(row):
            self._queue.add_after(row.parent_id, min(_AWAITED_SECONDS, self._delay) if row.called_by else self._delay)

    async def search(self) -> None:
        """Find parents to notify, at once and then every minute, until cancelled.

        Raises:
            psycopg.OperationalError: PostgreSQL is unavailable.
        """
        while True:
            async with self._ledger.connection() as connection:
                owed = await completion.owed(connection)
            for parent in owed:
                self._queue.add(parent)
            await asyncio.sleep(self._interval)

    async def settle(self) -> None:
        """Notify one parent after the other until cancelled.

        Raises:
            psycopg.OperationalError: PostgreSQL is unavailable. Parents still to be notified are remembered.
        """
        while True:
            parent = await self._queue.get()
            try:
                await self._settle(parent)
            finally:
                self._queue.done(parent)

    async def _settle(self, parent: ExecutionId) -> None:
        """Notify one parent. Its own parent comes later, so that a failure is retried alone."""
        try:
            async with self._ledger.transaction() as connection:
                above = await completion.settle(connection, parent, application_name=self._application_name)
        except psycopg.Error as error:
            delay = self._queue.retry(parent)
            if is_outage(error):
                raise
            _log.warning(
                "cannot notify a parent execution of its children, retrying",
                execution_id=parent,
                error=str(error).strip(),
                retry_seconds=round(delay, 2),
            )
            return
        self._queue.forget(parent)
        self._metrics.families.inc()
        if above is not None:
            self._queue.add(above)
