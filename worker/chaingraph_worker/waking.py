"""Wake executions that are asleep when their time has come. Every worker does this; no operator is needed.

A look is one read of an index. A worker sleeps until the next time that it knows, or for a moment: another worker may
have put an execution to sleep with an earlier one.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import waking
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics

_LOOK_SECONDS: Final = 0.5
"""Maximum time between two looks."""
_SHORTEST_SECONDS: Final = 0.005
"""Minimum time between two looks: another worker may hold the row that is due."""
_log = structlog.get_logger(__name__)


class Waking:
    """Looks for executions to wake."""

    def __init__(self, ledger: Ledger, *, application_name: str) -> None:
        self._ledger = ledger
        self._application_name = application_name

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            seconds = await retry_transient(self.wake, what="executions to wake")
            await asyncio.sleep(max(_SHORTEST_SECONDS, min(seconds, _LOOK_SECONDS)))

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
