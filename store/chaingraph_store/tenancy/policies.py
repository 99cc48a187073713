"""The table `namespace_policies`: the policy of each namespace, and its usage.

The operator writes it, from annotations of the Namespaces and from its settings. `fair_share` and `spawning` read it in
their own statements. See docs/decisions/0012.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, LiteralString

from psycopg.rows import dict_row

from chaingraph_store.ledger import Connection

DEFAULTS: Final = ""
"""The key of the row for all namespaces without one of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespacePolicy:
    """A namespace's policy. None means no limit."""

    queues: tuple[str, ...] | None = None
    """Names of queues; None for all that are not reserved."""
    max_running: int | None = None
    max_waiting: int | None = None
    max_priority: int | None = None
    weight: float = 1.0
    max_ledger_bytes: int | None = None
    egress: tuple[str, ...] = ()
    """CIDRs that its HTTP nodes may reach besides public addresses."""


@dataclass(frozen=True, slots=True)
class NamespaceUsage:
    """A namespace's usage. `waiting`: unfinished executions that do not run: queued, held or parked.

    `ledger_bytes` is as last measured, and 0 without a limit. See `ledger_sizes`.
    """

    waiting: int
    ledger_bytes: int


_COLUMNS: Final = tuple(field.name for field in fields(NamespacePolicy))
_SAVE: Final = f"""
INSERT INTO chaingraph.namespace_policies (namespace, {", ".join(_COLUMNS)})
VALUES (%(namespace)s, {", ".join(f"%({name})s" for name in _COLUMNS)})
ON CONFLICT (namespace) DO UPDATE
SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}, updated_at = now()
"""  # noqa: S608 - our own column names


async def save(connection: Connection, namespace: str, policy: NamespacePolicy) -> None:
    """Set the policy of a namespace, or with `DEFAULTS` that of all others."""
    values: dict[str, Any] = {name: getattr(policy, name) for name in _COLUMNS}
    values |= {
        "namespace": namespace,
        "queues": None if policy.queues is None else list(policy.queues),
        "egress": list(policy.egress),
    }
    await connection.execute(_SAVE, values)


async def forget(connection: Connection, namespace: str) -> None:
    """Remove the policy of a namespace, so that the defaults apply."""
    await connection.execute(
        "DELETE FROM chaingraph.namespace_policies WHERE namespace = %s AND namespace <> ''", (namespace,)
    )


async def all_policies(connection: Connection) -> dict[str, NamespacePolicy]:
    """Return every policy by its namespace; `DEFAULTS` has the defaults."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT namespace, {', '.join(_COLUMNS)} FROM chaingraph.namespace_policies")  # noqa: S608
        return {row.pop("namespace"): _policy(row) for row in await cursor.fetchall()}


def _policy(row: dict[str, Any]) -> NamespacePolicy:
    queues = row.pop("queues")
    return NamespacePolicy(**row | {"egress": tuple(row["egress"])}, queues=None if queues is None else tuple(queues))


def of_namespace(column: LiteralString, namespace: LiteralString) -> LiteralString:
    """Return an SQL expression: a column of the policy of a namespace, its own or the defaults'."""
    return (
        f"(SELECT policy.{column} FROM chaingraph.namespace_policies policy"  # noqa: S608 - put together of constants
        f" WHERE policy.namespace IN ({namespace}, '') ORDER BY policy.namespace DESC LIMIT 1)"
    )


_USAGE: Final = """
SELECT chaingraph.waiting_executions(%(namespace)s, %(enough)s),
       (SELECT coalesce(sum(bytes), 0)::bigint FROM chaingraph.ledger_sizes WHERE namespace = %(namespace)s)
"""


async def usage(connection: Connection, namespace: str, *, enough: int) -> NamespaceUsage:
    """Return the usage of a namespace.

    Args:
        enough: how far to count waiting executions.
    """
    cursor = await connection.execute(_USAGE, {"namespace": namespace, "enough": enough})
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    return NamespaceUsage(*row)


ROOM: Final = f"""
SELECT namespace, max_waiting, max_ledger_bytes FROM (
  SELECT e.namespace, {of_namespace("max_waiting", "e.namespace")} AS max_waiting,
         {of_namespace("max_ledger_bytes", "e.namespace")} AS max_ledger_bytes
  FROM chaingraph.executions e WHERE e.id = %s) limits
WHERE max_waiting IS NOT NULL OR max_ledger_bytes IS NOT NULL
"""  # noqa: S608 - put together of constants alone


async def room_for_children(connection: Connection, parent: str, wanted: int) -> int:
    """Return how many of the `wanted` next children fit into the quota of an execution's namespace.

    Reads without a lock: executions that spawn at the same time may each exceed the limit by a batch.
    """
    cursor = await connection.execute(ROOM, (parent,))
    row = await cursor.fetchone()
    if row is None:
        return wanted
    namespace, max_waiting, max_bytes = row
    used = await usage(connection, namespace, enough=0 if max_waiting is None else max_waiting)
    if max_bytes is not None and used.ledger_bytes >= max_bytes:
        return 0
    return wanted if max_waiting is None else max(0, min(wanted, max_waiting - used.waiting))
