"""Stops executions whose resource is gone and whose deletion the watch has missed; hides those that have ended.

There is no finalizer, so a deletion while the operator was away, or one that fell into a gap of the watch (after a 410
the relist says nothing of what vanished), is found here: the rows of which something is left to do are read first,
then the resources that exist, from one consistent snapshot. A resource was there before a row had its UID, so what is
missing in a complete list that began after the row was read is gone for good.

An execution that has ended counts as long as something below it is active or has still to be spawned: what is below
has to end with its resource, and may have none of its own.

There is no limit on how many are stopped at once: see docs/decisions/0005.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence, Set

import structlog

from chaingraph_crds import names
from chaingraph_operator.decide.plan import DELETED
from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.leader.cluster_guard import ClusterGuard
from chaingraph_operator.loops.pruning import Pruning
from chaingraph_operator.loops.unseen_deletions import UnseenDeletions
from chaingraph_operator.metrics import Metrics
from chaingraph_operator.reconcile.flow_names import FlowNames
from chaingraph_operator.reconcile.flows import Flows
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_runtime.cluster_errors import ApiError
from chaingraph_store import executions
from chaingraph_store.commands import stopping
from chaingraph_store.executions import ActiveExecution
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import visibility

_log = structlog.get_logger(__name__)


def topmost_gone(tended: Sequence[ActiveExecution], alive: Set[str]) -> list[ActiveExecution]:
    """Those whose resource is gone, and not that of an execution above them: with that they are stopped anyway. Pure.

    Args:
        tended: parents before their children.
        alive: the UIDs of all resources.
    """
    gone: set[ExecutionId] = set()
    topmost = []
    for each in tended:
        below = each.parent_id in gone
        if below or each.uid not in alive:
            gone.add(each.id)
            if not below:
                topmost.append(each)
    return topmost


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
        triggers: ExecutionTriggers,
        flows: Flows,
        flow_names: FlowNames,
        guard: ClusterGuard,
        pruning: Pruning,
        unseen: UnseenDeletions,
        namespaces: Sequence[str],
        interval: float,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._triggers = triggers
        self._flows = flows
        self._flow_names = flow_names
        self._guard = guard
        self._pruning = pruning
        self._unseen = unseen
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
        seen = await self._unseen.mark()
        before = await self._pruning.cutoff()
        known = [cached.key for cached in self._triggers.cache if not cached.gone]
        async with self._ledger.connection() as connection:
            tended = await executions.tended(connection, namespaces=self._namespaces or None)
        listed = [key async for key in self._listed(names.EXECUTION_PLURAL)]
        alive = {key.uid for key in listed}
        # What has no UID is there all the same: nothing of that name is taken to be gone.
        unsure = {(key.namespace, key.name) for key in listed if not key.uid}
        for key in known:
            if key.uid not in alive and (key.namespace, key.name) not in unsure:
                self._triggers.vanished(key)
        tended = [each for each in tended if (each.namespace, each.name) not in unsure]
        await self._sweep_flows()
        stopped = [each.id for each in topmost_gone(tended, alive) if await self._stop(each)]
        await self._unseen.hide(alive, unsure, seen=seen)
        if before is not None:
            await self._pruning.prune(alive, before=before)
        return stopped

    async def _stop(self, gone: ActiveExecution) -> bool:
        async with self._ledger.transaction() as connection:
            await visibility.hide(connection, gone.id)
            if not await stopping.stop(connection, gone.id, reason=DELETED, deleted=True):
                return False
        self._metrics.swept.inc()
        _log.warning(
            "stopped, with what is below it: its resource was deleted unseen",
            execution_id=gone.id,
            namespace=gone.namespace,
            name=gone.name,
        )
        return True

    async def _sweep_flows(self) -> None:
        """Forgets Flows that are gone, so that nothing is started of them, here or by name."""
        known = [cached.key for cached in self._flows.cache]
        published = await self._flow_names.published()
        listed = [key async for key in self._listed(names.FLOW_PLURAL)]
        alive = {key.uid for key in listed}
        for key in known:
            if key.uid not in alive and Key(key.namespace, key.name, "") not in listed:
                self._flows.vanished(key)
        await self._flow_names.compare(published, {(key.namespace, key.name) for key in listed})

    async def _listed(self, plural: str) -> AsyncIterator[Key]:
        """All objects of a kind that are served."""
        for namespace in self._namespaces or (None,):
            async for key in self._api.list_keys(plural, namespace):
                yield key
