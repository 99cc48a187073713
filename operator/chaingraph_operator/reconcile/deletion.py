"""Handle deleted Executions: stop them and their descendants, hide them, and forget them."""

from __future__ import annotations

import structlog

from chaingraph_operator.decide.plan import DELETED
from chaingraph_operator.kube.cache import Cached
from chaingraph_operator.kube.status_writer import StatusWriter
from chaingraph_operator.reconcile.creation import Creation
from chaingraph_operator.reconcile.flows import Flows
from chaingraph_operator.reconcile.snapshot import Snapshots
from chaingraph_operator.reconcile.triggers import ExecutionTriggers
from chaingraph_operator.reconcile.ttl import TtlExpiry
from chaingraph_operator.tenancy.admission import Admission
from chaingraph_operator.tenancy.namespaces import Namespaces
from chaingraph_store import executions
from chaingraph_store.commands import stopping
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import visibility

_log = structlog.get_logger(__name__)


class Deletion:
    """The end of a resource: active executions are stopped, and each component of the operator forgets it."""

    def __init__(
        self,
        *,
        triggers: ExecutionTriggers,
        snapshots: Snapshots,
        creation: Creation,
        ledger: Ledger,
        flows: Flows,
        writer: StatusWriter,
        ttl: TtlExpiry,
        namespaces: Namespaces,
        admission: Admission,
    ) -> None:
        self._triggers = triggers
        self._cache = triggers.cache
        self._snapshots = snapshots
        self._creation = creation
        self._ledger = ledger
        self._flows = flows
        self._writer = writer
        self._ttl = ttl
        self._namespaces = namespaces
        self._admission = admission

    async def finish(self, cached: Cached) -> None:
        """Stop the executions of a deleted resource, hide them from readers, and forget the resource."""
        key = cached.key
        row = await self._snapshots.row(key.uid)
        if row is None and await self._creation.adopt_deleted(cached):
            row = await self._snapshots.row(key.uid)
        if row is not None:
            self._triggers.forget_children(row.id)
            if not row.ended or row.children_total:
                await self._stop(row.id)
            if not self._ttl.has_expired(key):
                await self._hide(row)
        self._namespaces.forget(key.namespace)
        self._cache.drop(key)
        self._flows.forget(key)
        self._writer.forget(key)
        self._ttl.forget(key)
        self._admission.forget(key)

    async def _stop(self, execution: ExecutionId) -> None:
        async with self._ledger.transaction() as connection:
            stopped = await stopping.stop(connection, execution, reason=DELETED, deleted=True)
        if stopped:
            _log.info("stopped with its descendants: the resource was deleted", execution_id=execution)

    async def _hide(self, row: ExecutionRow) -> None:
        """Hide an execution whose resource was deleted by a user. An expired one stays readable."""
        async with self._ledger.transaction() as connection:
            parent = None if row.parent_id is None else await executions.by_id(connection, row.parent_id)
            above = None if parent is None or parent.uid is None else self._cache.key_of(parent.uid)
            # A parent whose deletion is in progress counts as existing, unless it has expired.
            exists = above is not None and not self._ttl.has_expired(above)
            await visibility.hide(connection, row.id, parent_exists=exists)
