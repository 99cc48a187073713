"""Children: what a completed execution has emitted is spawned, and parents are told of children that have ended.

Used by `attempt`. The end of the parent is written before; nothing waits for this but the slot of its queue.
"""

from __future__ import annotations

import asyncio
import time
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
from chaingraph_worker.errors import JournalIncomplete
from chaingraph_worker.supervision.children import Children, journaled
from chaingraph_worker.supervision.pool import Pool

_TOGETHER_SECONDS: Final = 0.05
"""Children that end within it are told of in one transaction."""
_log = structlog.get_logger(__name__)


class Spawner:
    """Makes children, and tells their parents.

    Args:
        spacing_ms: how far apart the children of a tree stand in the queue.
        max_tree: executions of one tree, at most.
    """

    def __init__(self, ledger: Ledger, pool: Pool, *, application_name: str, spacing_ms: int, max_tree: int) -> None:
        self._ledger = ledger
        self._pool = pool
        self._application_name = application_name
        self._spacing_ms = spacing_ms
        self._max_tree = max_tree
        self._ended: set[ExecutionId] = set()
        self._wake = asyncio.Event()

    async def refusal(self, root: ExecutionId, count: int) -> str | None:
        """Why an execution may not spawn so many; None when it may.

        Asked before the end is written. Executions of one tree that end at this very moment do not see each other, so
        a tree may become a little larger.
        """

        async def once() -> int:
            async with self._ledger.connection() as connection:
                return await spawning.tree_size(connection, root)

        size = await retry_transient(once, what=f"size of the tree {root}")
        if size + count <= self._max_tree:
            return None
        return (
            f"it emitted {count} events, and the tree of {root} has {size} executions already: a tree may have "
            f"{self._max_tree} (CHAINGRAPH_MAX_TREE of the workers). None of them was spawned; look for a loop of "
            "emitters and listeners, or raise the limit and retry"
        )

    async def spawn(
        self, execution: ExecutionId, children: Children | None = None, *, epoch: int | None = None
    ) -> None:
        """Makes what is left to be made of an execution's children, if anything is.

        Args:
            children: what they need; None where it has to be read from the journal.
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
                # The revision of a Flow that was named is being replaced and removed at this very moment.
                _log.info("a named flow has just changed, trying again", execution_id=execution)
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
                    # The run ends and frees its slot. `dispatch.revive_ended` brings it back, until all are made.
                    _log.info(
                        "QuotaExceeded: the namespace has no room for more children; they are made later",
                        execution_id=execution,
                        children=parent.made + batch.made,
                        of=parent.total,
                    )
                    return True
            return False

        while not await retry_transient(once, what=f"children of {execution}"):
            pass

    def ended(self, parent: ExecutionId) -> None:
        """A child of this execution has ended: it is told soon."""
        self._ended.add(parent)
        self._wake.set()

    async def tell(self) -> None:
        """Tells parents, for ever. What is not told by us, the operator tells."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_TOGETHER_SECONDS)
            self._wake.clear()
            ended, self._ended = self._ended, set()
            for parent in ended:
                await self._tell(parent)

    async def _tell(self, parent: ExecutionId) -> None:
        try:
            await retry_transient(partial(completion.settle_upwards, self._ledger, parent), what="child completion")
        except psycopg.Error:
            _log.exception("could not tell a parent of its children; the operator will", execution_id=parent)
