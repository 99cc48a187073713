"""Stop active executions whose resource was deleted unseen, and hide ended ones.

There are no finalizers. A deletion during the operator's absence, or in a gap of the watch (after a 410 the relist does
not report deleted objects), is found here: first read the rows that still need action, then list the resources, from
one consistent snapshot. A resource existed before a row had its UID, so a resource missing from a complete list that
began after the row was read is gone permanently.

An ended execution counts while a descendant is active or yet to be spawned: its descendants must stop when its resource
is deleted, and may have no resources of their own.

The number stopped at once is not limited: see docs/decisions/0005.
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
    """Return the executions whose resource is gone and no ancestor's is: an ancestor's stop includes them. Pure.

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
        namespaces: the served namespaces; empty for all.
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
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                _log.warning("cannot list executions, nothing was swept; retrying later", error=str(error))
            await asyncio.sleep(self._interval)

    async def sweep(self) -> list[ExecutionId]:
        """Sweep once.

        Returns:
            The stopped executions.

        Raises:
            ApiError: the list is not complete; nothing was done.
            ForeignLedger: the ledger belongs to another cluster, whose resources are not visible here.
        """
        await self._guard.check()
        seen = await self._unseen.mark()
        before = await self._pruning.cutoff()
        known = [cached.key for cached in self._triggers.cache if not cached.gone]
        async with self._ledger.connection() as connection:
            tended = await executions.tended(connection, namespaces=self._namespaces or None)
        listed = [key async for key in self._listed(names.EXECUTION_PLURAL)]
        alive = {key.uid for key in listed}
        # An object without a UID exists all the same: no object of its name counts as gone.
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
            "stopped with its descendants: its resource was deleted unseen",
            execution_id=gone.id,
            namespace=gone.namespace,
            name=gone.name,
        )
        return True

    async def _sweep_flows(self) -> None:
        """Forget deleted Flows, so that nothing starts from them, here or by name."""
        known = [cached.key for cached in self._flows.cache]
        published = await self._flow_names.published()
        listed = [key async for key in self._listed(names.FLOW_PLURAL)]
        alive = {key.uid for key in listed}
        for key in known:
            if key.uid not in alive and Key(key.namespace, key.name, "") not in listed:
                self._flows.vanished(key)
        await self._flow_names.compare(published, {(key.namespace, key.name) for key in listed})

    async def _listed(self, plural: str) -> AsyncIterator[Key]:
        """Yield all served objects of a kind."""
        for namespace in self._namespaces or (None,):
            async for key in self._api.list_keys(plural, namespace):
                yield key
