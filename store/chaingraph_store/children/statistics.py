"""The age of the oldest pending work for children, for metrics.

Each part has its own index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaingraph_store.ledger import Connection


@dataclass(frozen=True, slots=True)
class ChildStatistics:
    """The age of the oldest pending work for children; 0 when there is none.

    Attributes:
        unspawned_seconds: completed executions with children yet to spawn.
        unnotified_seconds: children that have ended with all descendants, whose parent was not notified.
        unshown_seconds: children that should get a resource and have none.
    """

    unspawned_seconds: float
    unnotified_seconds: float
    unshown_seconds: float


_CHILDREN: Final = """
SELECT coalesce(extract(epoch FROM now() - (
         SELECT min(finished_at) FROM chaingraph.executions WHERE children_unspawned > 0)), 0)::float8,
       coalesce(extract(epoch FROM now() - (
         SELECT min(finished_at) FROM chaingraph.executions
         WHERE parent_id IS NOT NULL AND finished_at IS NOT NULL AND NOT counted
           AND (NOT parent_notified OR children_active = 0))), 0)::float8,
       coalesce(extract(epoch FROM now() - (
         SELECT created_at FROM chaingraph.executions
         WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create'
         ORDER BY created_at, id LIMIT 1)), 0)::float8
"""


async def children(connection: Connection) -> ChildStatistics:
    """Return the pending work for children."""
    cursor = await connection.execute(_CHILDREN)
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    return ChildStatistics(*row)
