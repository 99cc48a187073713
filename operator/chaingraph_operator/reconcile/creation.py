"""Create executions, and bind the resources of children to them."""

from __future__ import annotations

import time
from dataclasses import replace

import structlog

from chaingraph_operator.decide.actions import Adopt
from chaingraph_operator.kube.cache import Cached
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.reconcile import traces
from chaingraph_operator.tenancy.namespaces import Namespaces
from chaingraph_store.children import child_rows
from chaingraph_store.commands import creation
from chaingraph_store.commands.creation import NewExecution
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger

_log = structlog.get_logger(__name__)


class Creation:
    """Creates rows, and finds the row that a resource represents."""

    def __init__(self, ledger: Ledger, namespaces: Namespaces, *, application_name: str) -> None:
        self._ledger = ledger
        self._namespaces = namespaces
        self._application_name = application_name

    async def create(self, new: NewExecution, cached: Cached) -> bool:
        """Create the execution, and enqueue or hold it; False when it exists already.

        Raises:
            ConflictingRevision: the database has other content under the flow's revision.
        """
        began = time.time_ns()
        new = replace(new, namespace_uid=await self._namespaces.uid(new.namespace))
        async with self._ledger.transaction() as connection:
            created = await creation.create(connection, new, application_name=self._application_name)
        if created:
            _log.info("created", execution_id=new.id, flow=new.flow_name, revision=new.flow_revision, held=new.held)
            traces.created(new, began=began, applied_by=cached.traceparent)
        return created

    async def adopt(self, asked: Adopt, key: Key) -> bool:
        """Bind the resource to the child that its spec names; False when the database has no such child for it."""
        async with self._ledger.transaction() as connection:
            adopted = await child_rows.adopt(
                connection, asked.id, parent=asked.parent, uid=key.uid, namespace=key.namespace, name=key.name
            )
        if adopted:
            _log.debug("adopted the resource of a child", execution_id=asked.id)
        return adopted

    async def adopt_deleted(self, cached: Cached) -> bool:
        """Bind a child's resource that was deleted before it was bound. Otherwise another one would be created."""
        said = {} if cached.partial else cached.spec_object().get("spawnedBy") or {}
        if not said:
            return False
        return await self.adopt(
            Adopt(ExecutionId(said["executionID"]), ExecutionId(said["parentExecutionID"])), cached.key
        )
