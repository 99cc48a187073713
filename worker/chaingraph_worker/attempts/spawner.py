"""Spawn the emissions of a completed execution as children, and notify parents of ended children.

The end of the parent is written before. Only the slot of its queue waits for this.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import Final

import psycopg
import structlog

from chaingraph_store.children import completion, spawning
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics
from chaingraph_worker.attempts import observer
from chaingraph_worker.attempts.calling import CallLimits
from chaingraph_worker.errors import JournalIncomplete
from chaingraph_worker.supervision.children import Children, journaled
from chaingraph_worker.supervision.pool import Pool

_TOGETHER_SECONDS: Final = 0.05
"""Seconds in which ended children are collected for one notification of their parent."""
_log = structlog.get_logger(__name__)


class Spawner:
    """Spawns children, and notifies their parents.

    Args:
        spacing_ms: the distance between the children of a tree in the queue.
        max_tree: maximum executions of one tree.
    """

    def __init__(self, ledger: Ledger, pool: Pool, *, application_name: str, spacing_ms: int, max_tree: int) -> None:
        self._ledger = ledger
        self._pool = pool
        self._application_name = application_name
        self._spacing_ms = spacing_ms
        self._max_tree = max_tree
        self._ended: set[ExecutionId] = set()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()

    def call_limits(self, max_children: int) -> CallLimits:
        """Return the limits of calls, of an execution that may have so many children."""
        return CallLimits(max_children, self._max_tree)

    @property
    def spacing_ms(self) -> int:
        """The distance between the children of a tree in the queue."""
        return self._spacing_ms

    async def refusal(self, root: ExecutionId, count: int) -> str | None:
        """Return why an execution may not spawn this many children; None when it may.

        Called before the end is written. Concurrent ends in one tree do not see each other, so a tree may become a
        little larger.
        """

        async def once() -> int:
            async with self._ledger.connection() as connection:
                return await spawning.tree_size(connection, root)

        size = await retry_transient(once, what=f"size of the tree {root}")
        if size + count <= self._max_tree:
            return None
        return (
            f"{count} events emitted, but the tree of {root} already has {size} executions, the limit is "
            f"{self._max_tree} (CHAINGRAPH_MAX_TREE of the workers). No event spawned an execution. Look for a loop of "
            "emitters and listeners, or raise the limit and retry"
        )

    async def spawn(
        self, execution: ExecutionId, children: Children | None = None, *, epoch: int | None = None
    ) -> None:
        """Create the children that an execution has yet to spawn.

        Args:
            children: their data; None to read it from the journal.
            epoch: of the run that emitted it, if that is the caller's own.

        Raises:
            JournalIncomplete: the journal has fewer events than were counted at the end.
        """

        began, made = time.time_ns(), 0

        async def once() -> bool:
            nonlocal children, made
            async with self._ledger.connection() as connection:
                parent = await spawning.parent(connection, execution)
                if parent is None:
                    return True
                journal = None if children else await spawning.journal(connection, execution)
            if journal is not None:
                children = await journaled(
                    self._pool,
                    journal.namespace,
                    flow_spec=journal.flow_spec,
                    subflow=journal.subflow,
                    integration=journal.integration,
                    journal=journal.records,
                )
            assert children is not None
            left = children.emitted[parent.made : parent.made + spawning.BATCH]
            if not left:
                raise JournalIncomplete(execution, emitted=len(children.emitted), total=parent.total)
            try:
                batch = await spawning.spawn(
                    self._ledger,
                    parent,
                    left,
                    nodes=children.nodes,
                    integration=children.integration,
                    spacing_ms=self._spacing_ms,
                    application_name=self._application_name,
                )
            except psycopg.errors.ForeignKeyViolation:
                # The revision of a named Flow is being replaced and removed at this moment.
                _log.info("a named Flow has just changed, retrying", execution_id=execution)
                return False
            if batch is not None:
                metrics.CHILDREN.inc(batch.made)
                made += batch.made
                if parent.made + batch.made == parent.total:
                    observer.spawned(execution, root=parent.root_id, children=made, began=began, epoch=epoch)
                if batch.unstarted:
                    self.ended(execution)
                _log.info("spawned", execution_id=execution, children=parent.made + batch.made, of=parent.total)
                if batch.barred:
                    # The run ends and frees its slot. `dispatch.revive_ended` brings it back until all are created.
                    _log.info(
                        "QuotaExceeded: the namespace has no room for more children; they are created later",
                        execution_id=execution,
                        children=parent.made + batch.made,
                        of=parent.total,
                    )
                    return True
            return False

        while not await retry_transient(once, what=f"children of {execution}"):
            pass

    def ended(self, parent: ExecutionId, *, awaited: bool = False) -> None:
        """Schedule the notification of a parent whose child has ended. `awaited`: one of its nodes waits for it."""
        self._ended.add(parent)
        self._wake.set()
        if awaited:
            self._hurry.set()

    async def tell(self) -> None:
        """Notify parents until cancelled. The operator notifies the rest."""
        while True:
            await self._wake.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TOGETHER_SECONDS):
                    await self._hurry.wait()
            self._wake.clear()
            self._hurry.clear()
            ended, self._ended = self._ended, set()
            for parent in ended:
                await self._tell(parent)

    async def _tell(self, parent: ExecutionId) -> None:
        try:
            settle = partial(completion.settle_upwards, self._ledger, parent, application_name=self._application_name)
            await retry_transient(settle, what="child completion")
        except psycopg.Error:
            _log.exception("cannot notify a parent of its children; the operator will", execution_id=parent)
