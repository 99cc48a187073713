"""Stops executions whose resource is gone and whose deletion the watch has missed.

There is no finalizer, so a deletion while the operator was away, or one that fell into a gap of the watch (after a 410
the relist says nothing of what vanished), is found here: the active rows are read first, then the resources that
exist, from one consistent snapshot. A row's resource was there before the row, so what is missing in a complete list
that began after the row was read is gone for good.

There is no limit on how many are stopped at once: see docs/decisions/0005.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from chaingraph_crds import names
from chaingraph_operator.api import KubernetesApi
from chaingraph_operator.cluster_guard import ClusterGuard
from chaingraph_operator.executions import ExecutionIntake
from chaingraph_operator.flows import Flows
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.plan import DELETED
from chaingraph_operator.pruning import Pruning
from chaingraph_process.cluster_errors import ApiError
from chaingraph_store import executions, stopping
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger

_log = structlog.get_logger(__name__)


class Sweep:
    """Compares ledger and cluster.

    Args:
        namespaces: those that are served; empty for all.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        api: KubernetesApi,
        intake: ExecutionIntake,
        flows: Flows,
        guard: ClusterGuard,
        pruning: Pruning,
        namespaces: Sequence[str],
        interval: float,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._intake = intake
        self._flows = flows
        self._guard = guard
        self._pruning = pruning
        self._namespaces = tuple(namespaces)
        self._interval = interval
        self._metrics = metrics

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                _log.warning("cannot list executions, so nothing was swept; trying again later", error=str(error))
            await asyncio.sleep(self._interval)

    async def sweep(self) -> list[ExecutionId]:
        """Sweeps once.

        Returns:
            The executions that were stopped.

        Raises:
            ApiError: the list is not complete; nothing was done.
            ForeignLedger: the ledger is another cluster's, whose resources nobody here can see.
        """
        await self._guard.check()
        before = await self._pruning.cutoff()
        known = [cached.key for cached in self._intake.cache if not cached.gone]
        async with self._ledger.connection() as connection:
            active = await executions.active_resources(connection, namespaces=self._namespaces or None)
        alive = await self._alive(names.EXECUTION_PLURAL)
        for key in known:
            if key.uid not in alive:
                self._intake.vanished(key)
        await self._sweep_flows()
        stopped = []
        for execution, uid, namespace, name in active:
            if uid in alive:
                continue
            async with self._ledger.transaction() as connection:
                if not await stopping.stop(connection, execution, reason=DELETED):
                    continue
            stopped.append(execution)
            self._metrics.swept.inc()
            _log.warning(
                "stopped: its resource was deleted unseen", execution_id=execution, namespace=namespace, name=name
            )
        if before is not None:
            await self._pruning.prune(alive, before=before)
        return stopped

    async def _sweep_flows(self) -> None:
        """Forgets Flows that are gone, so that nothing is started of them."""
        known = [cached.key for cached in self._flows.cache]
        alive = await self._alive(names.FLOW_PLURAL)
        for key in known:
            if key.uid not in alive:
                self._flows.vanished(key)

    async def _alive(self, plural: str) -> set[str]:
        """The UIDs of all objects of a kind that are served."""
        found: set[str] = set()
        for namespace in self._namespaces or (None,):
            async for key in self._api.list_keys(plural, namespace):
                found.add(key.uid)
        return found
