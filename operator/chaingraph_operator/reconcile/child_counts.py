"""Read the counts of children and descendants for a parent's status.

Only an execution with children costs a query, and the whole tree is counted only once it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chaingraph_crds import limits
from chaingraph_store.children import child_rows
from chaingraph_store.children.child_rows import ChildSummary
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """The child counts, and the number of descendants at any depth in each phase; None when not read."""

    children: ChildSummary | None = None
    below: Mapping[str, int] | None = None


async def read(ledger: Ledger, row: ExecutionRow | None) -> ChildCounts:
    """Read the counts for a status that is built from this row."""
    if row is None or not row.children_total:
        return ChildCounts()
    async with ledger.connection() as connection:
        return ChildCounts(
            children=await child_rows.summary(connection, row.id, limits.MAX_CHILD_REFS),
            below=await child_rows.below(connection, row.id) if row.tree_ended else None,
        )
