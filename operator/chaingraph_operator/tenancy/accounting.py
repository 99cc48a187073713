"""Measure the size of executions in the ledger, for namespaces with a limit. Runs in the leading operator."""

from __future__ import annotations

import asyncio
from typing import Final

from chaingraph_operator.tenancy.namespaces import Namespaces
from chaingraph_store.ledger import Ledger
from chaingraph_store.tenancy import ledger_sizes

_BATCH: Final = 500
_PAUSE: Final = 0.1


class Accounting:
    """Measures sizes.

    Args:
        seconds: interval between two measurements.
    """

    def __init__(self, ledger: Ledger, namespaces: Namespaces, *, seconds: float) -> None:
        self._ledger = ledger
        self._namespaces = namespaces
        self._seconds = seconds

    async def run(self) -> None:
        """Measure changed executions until cancelled."""
        while True:
            await self.measure()
            await asyncio.sleep(self._seconds)

    async def measure(self) -> None:
        """Measure all changed executions, in batches."""
        limited = self._namespaces.limited_in_bytes
        async with self._ledger.transaction() as connection:
            await ledger_sizes.forget_others(connection, limited)
        while limited is None or limited:
            async with self._ledger.transaction() as connection:
                measured = await ledger_sizes.measure(connection, limited, limit=_BATCH)
            if measured < _BATCH:
                return
            await asyncio.sleep(_PAUSE)
