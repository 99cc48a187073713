"""Queue an execution's key whenever something changed that its reconciler must look at.

Triggers come from the watch (`observed`, `deleted`), from the ledger's change feed (`changed`), and from everything
that an execution can wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from chaingraph_operator.kube.cache import ObjectCache, Seen, key_of
from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId

_FAMILY_SECONDS: Final = 2.0
"""Delay in seconds from a change of a child to the reconciliation of its parent, to batch further changes."""


class ExecutionTriggers:
    """Receives changes of executions, and queues their keys.

    Attributes:
        cache: the latest known resources.
        rows: rows from the change feed that no reconciliation has used yet.
    """

    def __init__(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue
        self._families: dict[ExecutionId, Key] = {}
        self.cache = ObjectCache()
        self.rows: dict[Key, ExecutionRow] = {}

    def observed(self, body: Mapping[str, Any]) -> None:
        """Handle a new version of an Execution from the watch."""
        if self.cache.observe(body) is Seen.CHANGE:
            self._queue.add(key_of(body))

    def deleted(self, body: Mapping[str, Any]) -> None:
        """Handle a deletion from the watch."""
        self.cache.observe(body)
        self.vanished(key_of(body))

    def vanished(self, key: Key) -> None:
        """Handle a deleted Execution, as found by the watch or the sweep."""
        if self.cache.mark_gone(key):
            self._queue.add(key)

    def changed(self, row: ExecutionRow) -> None:
        """Handle a changed row of the ledger."""
        parent = self._families.get(row.parent_id) if row.parent_id is not None else None
        if parent is not None:
            self._queue.add_after(parent, _FAMILY_SECONDS)
        key = self.cache.key_of(row.uid) if row.uid is not None else None
        # A resource that the watch has not brought yet is reconciled, with this row, when it comes.
        if key is None:
            return
        known = self.rows.get(key)
        if known is None or known.change_seq < row.change_seq:
            self.rows[key] = row
        if row.id in self._families and not row.tree_ended:
            # Its end is shown already. From now on the counts of its children change, often.
            self._queue.add_after(key, _FAMILY_SECONDS)
        else:
            self._queue.add(key)

    def follow_children(self, row: ExecutionRow, key: Key) -> None:
        """Reconcile an ended execution on changes of its children, until all descendants have ended."""
        if row.ended and not row.tree_ended:
            self._families[row.id] = key
        else:
            self._families.pop(row.id, None)

    def forget_children(self, execution: ExecutionId) -> None:
        self._families.pop(execution, None)

    def wake(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue.add(key)

    def wake_waiting(self) -> None:
        """Reconcile every waiting execution, for example after its queue got a worker."""
        self.wake(cached.key for cached in self.cache if cached.phase in ("", "Pending"))

    def resync(self) -> None:
        """Reconcile every execution that has not ended."""
        self.wake(cached.key for cached in self.cache if not cached.finished)
