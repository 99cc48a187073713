"""Wake executions whose time has come or whose child has ended, and create the children of `onExit` that are due.

Every worker does this; no operator is needed.

A look is one read of an index. A worker sleeps until the next time that it knows, or for a moment: another worker may
have put an execution to sleep with an earlier one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from chaingraph_store.children import completion, exits
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import waking
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics

_LOOK_SECONDS: Final = 0.5
"""Maximum time between two looks."""
_UNTOLD_SECONDS: Final = 1.0
"""The worker of a child tells its parent sooner."""
_SHORTEST_SECONDS: Final = 0.005
"""Minimum time between two looks: another worker may hold the row that is due."""
_log = structlog.get_logger(__name__)


class Waking:
    """Looks for executions to wake."""

    def __init__(
        self, ledger: Ledger, *, application_name: str, spacing_ms: int, tell: Callable[[ExecutionId], None]
    ) -> None:
        """Create it.

        Args:
            spacing_ms: the distance between the children of a tree in the queue.
            tell: tells a parent of its ended children.
        """
        self._ledger = ledger
        self._tell = tell
        self._spacing_ms = spacing_ms
        self._application_name = application_name

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wake_in_time())
            tasks.create_task(self._look_for_ends())

    async def _wake_in_time(self) -> None:
        while True:
            seconds = await retry_transient(self.wake, what="executions to wake")
            await asyncio.sleep(max(_SHORTEST_SECONDS, min(seconds, _LOOK_SECONDS)))

    async def _look_for_ends(self) -> None:
        while True:
            await retry_transient(self.exit, what="executions to create for onExit")
            await retry_transient(self.tell, what="executions that wait for ended children")
            await asyncio.sleep(_LOOK_SECONDS)

    async def exit(self) -> None:
        """Create the executions of `onExit` that are due."""
        for each in await exits.create_due(
            self._ledger, spacing_ms=self._spacing_ms, application_name=self._application_name
        ):
            metrics.CHILDREN.inc()
            _log.info("created for onExit", execution_id=each.id, namespace=each.namespace, name=each.name)

    async def tell(self) -> None:
        """Tell parents that wait for a child whose worker was lost between its end and their notification."""
        async with self._ledger.connection() as connection:
            parents = await completion.awaited(connection, seconds=_UNTOLD_SECONDS)
        for parent in parents:
            self._tell(parent)

    async def wake(self) -> float:
        """Wake the executions whose time has come. Returns the seconds until the next look."""
        while True:
            async with self._ledger.connection() as connection:
                seconds = await waking.seconds_to_next(connection, within=_LOOK_SECONDS)
            if seconds is None or seconds > 0:
                return _LOOK_SECONDS if seconds is None else seconds
            woken = await waking.wake(self._ledger, application_name=self._application_name)
            for each in woken:
                metrics.WAKEUP_SECONDS.observe(each.late_seconds)
                _log.info("awake", execution_id=each.execution_id, namespace=each.namespace, name=each.name)
            if not woken:
                return _SHORTEST_SECONDS  # another worker is waking them
