"""The table `ledger_sizes`: the size of executions in the ledger, for namespaces with a limit.

The operator measures an execution some time after it has changed: its inputs and outputs, its journal, signals and
events, as PostgreSQL stores them, with compression. Indexes, DBOS's rows and flow revisions do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chaingraph_store.ledger import Connection

_MEASURE: Final = """
WITH changed AS MATERIALIZED (
  SELECT e.id, e.change_seq FROM chaingraph.executions e LEFT JOIN chaingraph.ledger_sizes s ON s.execution_id = e.id
  WHERE (%(all)s OR e.namespace = ANY(%(namespaces)s)) AND (s.execution_id IS NULL OR s.change_seq < e.change_seq)
  ORDER BY e.change_seq LIMIT %(limit)s
)
INSERT INTO chaingraph.ledger_sizes (execution_id, namespace, bytes, change_seq)
SELECT e.id, e.namespace,
       coalesce(pg_column_size(e.inputs), 0) + coalesce(pg_column_size(e.events), 0)
       + coalesce(pg_column_size(e.integration), 0) + coalesce(pg_column_size(e.outputs), 0)
       + coalesce(pg_column_size(e.attempts), 0)
       + (SELECT coalesce(sum(pg_column_size(j.record)), 0) FROM chaingraph.journal j WHERE j.execution_id = e.id)
       + (SELECT coalesce(sum(pg_column_size(s.payload)), 0) FROM chaingraph.signals s WHERE s.execution_id = e.id)
       + (SELECT coalesce(sum(pg_column_size(v.data)), 0) FROM chaingraph.events v WHERE v.execution_id = e.id),
       changed.change_seq
FROM changed JOIN chaingraph.executions e USING (id)
ON CONFLICT (execution_id) DO UPDATE SET bytes = excluded.bytes, change_seq = excluded.change_seq
"""
_FORGET: Final = "DELETE FROM chaingraph.ledger_sizes WHERE NOT %(all)s AND namespace <> ALL(%(namespaces)s)"


async def measure(connection: Connection, namespaces: Sequence[str] | None, *, limit: int) -> int:
    """Measure changed executions of these namespaces, at most `limit`; of all with None.

    Returns:
        How many were measured.
    """
    cursor = await connection.execute(
        _MEASURE, {"all": namespaces is None, "namespaces": list(namespaces or ()), "limit": limit}
    )
    return cursor.rowcount


async def forget_others(connection: Connection, namespaces: Sequence[str] | None) -> None:
    """Forget the sizes of namespaces without a limit."""
    await connection.execute(_FORGET, {"all": namespaces is None, "namespaces": list(namespaces or ())})
