"""What is heard of executions, and the keys that it puts into the queue of their reconciler.

Fed by the watch (`observed`, `deleted`), by the ledger's change feed (`changed`), and by everything that an execution
can wait for.
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
"""From a change of a child to a look at its parent, in which its other children may change as well."""


class ExecutionTriggers:
    """Takes in what is heard of executions, and puts their keys into the queue.

    Attributes:
        cache: the resources as last seen.
        rows: rows that the feed brought along and that no reconciliation has taken yet.
    """

    def __init__(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue
        self._families: dict[ExecutionId, Key] = {}
        self.cache = ObjectCache()
        self.rows: dict[Key, ExecutionRow] = {}

    def observed(self, body: Mapping[str, Any]) -> None:
        """The watch saw this version of an Execution."""
        if self.cache.observe(body) is Seen.CHANGE:
            self._queue.add(key_of(body))

    def deleted(self, body: Mapping[str, Any]) -> None:
        """The watch saw that an Execution is gone."""
        self.cache.observe(body)
        self.vanished(key_of(body))

    def vanished(self, key: Key) -> None:
        """The Execution is gone, as the watch or the sweep found."""
        if self.cache.mark_gone(key):
            self._queue.add(key)

    def changed(self, row: ExecutionRow) -> None:
        """The ledger's row changed."""
        parent = self._families.get(row.parent_id) if row.parent_id is not None else None
        if parent is not None:
            self._queue.add_after(parent, _FAMILY_SECONDS)
        key = self.cache.key_of(row.uid) if row.uid is not None else None
        # A resource that the watch has not brought yet is reconciled, row and all, when it does.
        if key is None:
            return
        known = self.rows.get(key)
        if known is None or known.change_seq < row.change_seq:
            self.rows[key] = row
        if row.id in self._families and not row.tree_ended:
            # It has ended and was shown so: what changes now are the counts of its children, often.
            self._queue.add_after(key, _FAMILY_SECONDS)
        else:
            self._queue.add(key)

    def follow_children(self, row: ExecutionRow, key: Key) -> None:
        """From now on an execution that has ended is woken by its children, until everything below it has ended."""
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
        """Looks again at every execution that waits, as for a worker of its queue."""
        self.wake(cached.key for cached in self.cache if cached.phase in ("", "Pending"))

    def resync(self) -> None:
        """Looks again at every execution that has not ended."""
        self.wake(cached.key for cached in self.cache if not cached.finished)
