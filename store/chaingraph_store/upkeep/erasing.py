"""Erase executions from the ledger at once, with all their data, and record the erasure.

For data that must not stay until its retention ends. Database administrators call it by `chaingraph erase`. Active
executions are stopped first, in the same transaction; their worker finds the row gone, and can write nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from chaingraph_store.commands import stopping
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection, Ledger, plain
from chaingraph_store.queue import dispatch

_AT_ONCE: Final = 100
"""Trees in one transaction."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Erasure:
    """Who erases, and why, for the record."""

    by: str
    reason: str


_TREE: Final = """
WITH RECURSIVE tree AS (
  SELECT id, run FROM chaingraph.executions WHERE id = ANY(%(heads)s)
  UNION
  SELECT c.id, c.run FROM tree JOIN chaingraph.executions c ON c.parent_id = tree.id
)
SELECT e.id, e.run, e.flow_revision, e.namespace FROM chaingraph.executions e
WHERE e.id = ANY(ARRAY(SELECT id FROM tree)) ORDER BY e.id FOR UPDATE
"""
_ROOTS: Final = """
SELECT r.id FROM chaingraph.executions r
WHERE r.namespace = %(namespace)s AND (%(uid)s = '' OR r.namespace_uid = %(uid)s)
  AND NOT EXISTS (SELECT FROM chaingraph.executions p WHERE p.id = r.parent_id AND p.namespace = r.namespace)
  AND (%(uid)s = '' OR r.parent_id IS NULL)
ORDER BY r.id LIMIT %(limit)s
"""
_FORGET_FLOWS: Final = """
DELETE FROM chaingraph.flow_revisions r WHERE r.revision = ANY(%s)
  AND NOT EXISTS (SELECT FROM chaingraph.executions e WHERE e.flow_revision = r.revision)
  AND NOT EXISTS (SELECT FROM chaingraph.flows f WHERE f.revision = r.revision)
"""
_RECORD: Final = """
INSERT INTO chaingraph.erasures (erased_by, reason, namespace, name, executions, ids)
VALUES (%(by)s || ' as ' || session_user, %(reason)s, %(namespace)s, %(name)s, %(count)s, %(ids)s)
"""


async def erase(ledger: Ledger, executions: Sequence[ExecutionId], erasure: Erasure) -> list[ExecutionId]:
    """Erase executions, each with all descendants.

    Returns:
        The erased executions.
    """
    async with ledger.transaction() as connection:
        return await _erase(connection, executions, erasure)


async def erase_namespace(ledger: Ledger, namespace: str, erasure: Erasure, *, uid: str = "") -> int:
    """Erase everything of a namespace, in several transactions. Repeat it after an interruption.

    Args:
        uid: only executions of the namespace with this UID, which may have been deleted since.

    Returns:
        How many executions were erased.
    """
    erased = 0
    while True:
        async with ledger.transaction() as connection:
            cursor = await connection.execute(_ROOTS, {"namespace": namespace, "uid": uid, "limit": _AT_ONCE})
            roots = [ExecutionId(row[0]) for row in await cursor.fetchall()]
            if not roots:
                break
            erased += len(await _erase(connection, roots, erasure))
    if not uid:
        async with ledger.transaction() as connection:
            await connection.execute("DELETE FROM chaingraph.flows WHERE namespace = %s", (namespace,))
    return erased


async def _erase(connection: Connection, heads: Sequence[ExecutionId], erasure: Erasure) -> list[ExecutionId]:
    for head in sorted(heads):
        await stopping.stop(connection, head, reason="Erased", deleted=True)
    cursor = await connection.execute(_TREE, {"heads": list(heads)})
    rows = await cursor.fetchall()
    if not rows:
        return []
    ids = [ExecutionId(row[0]) for row in rows]
    await dispatch.remove(connection, [(ExecutionId(row[0]), row[1]) for row in rows])
    await connection.execute("DELETE FROM chaingraph.executions WHERE id = ANY(%s)", (ids,))
    await connection.execute(_FORGET_FLOWS, (sorted({row[2] for row in rows if row[2] is not None}),))
    for namespace in sorted({row[3] for row in rows}):
        of_it = [row[0] for row in rows if row[3] == namespace]
        await connection.execute(
            _RECORD,
            {
                "by": plain(erasure.by),
                "reason": plain(erasure.reason),
                "namespace": namespace,
                "name": "",
                "count": len(of_it),
                "ids": of_it,
            },
        )
        _log.warning("erased executions", namespace=namespace, executions=of_it, by=erasure.by, reason=erasure.reason)
    return ids
