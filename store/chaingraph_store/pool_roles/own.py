"""What the database role of this process may do: asked by a worker when it starts."""

from __future__ import annotations

from collections.abc import Sequence

from chaingraph_store.ledger import Connection
from chaingraph_store.pool_roles.setting import VARIABLE, PoolRole


async def read(connection: Connection) -> PoolRole | None:
    """The pool role of whoever is connected; None for a role that is kept to no pool."""
    cursor = await connection.execute(
        "SELECT role, pools, queues FROM chaingraph.pool_roles WHERE role = chaingraph.pool_role()"
    )
    row = await cursor.fetchone()
    return None if row is None else PoolRole(row[0], tuple(row[1]), tuple(row[2]))


def refusal(role: PoolRole, *, pool: str, queues: Sequence[str]) -> str | None:
    """Why a worker of this pool cannot serve these queues; None if it can. Names variable, role, queue and remedy."""
    migrate = f"and run `chaingraph-worker migrate` with {VARIABLE} (chart: workers.{pool}.database.role and .queues)"
    if pool not in role.pools:
        return (
            f"CHAINGRAPH_POOL is {pool!r}: the database role {role.role!r} of DATABASE_URL_EXECUTIONS is that of the "
            f"pools {', '.join(role.pools)}. Connect as the role of this pool, or give it to the pool {migrate}"
        )
    refused = [queue for queue in queues if queue not in role.queues]
    if refused:
        return (
            f"CHAINGRAPH_QUEUES names {refused[0]!r}: the database role {role.role!r} of DATABASE_URL_EXECUTIONS may "
            f"serve {', '.join(role.queues)} alone. Take the queue out, or give it to the pool {migrate}"
        )
    return None
