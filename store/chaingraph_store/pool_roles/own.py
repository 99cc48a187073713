"""Read the limits of this process's database role, when a worker starts."""

from __future__ import annotations

from collections.abc import Sequence

from chaingraph_store.ledger import Connection
from chaingraph_store.pool_roles.setting import VARIABLE, PoolRole


async def read(connection: Connection) -> PoolRole | None:
    """Return the pool role of the connected user; None for a role without such limits."""
    cursor = await connection.execute(
        "SELECT role, pools, queues FROM chaingraph.pool_roles WHERE role = chaingraph.pool_role()"
    )
    row = await cursor.fetchone()
    return None if row is None else PoolRole(row[0], tuple(row[1]), tuple(row[2]))


def refusal(role: PoolRole, *, pool: str, queues: Sequence[str]) -> str | None:
    """Return why a worker of this pool cannot serve these queues: variable, role, queue and remedy. None if it can."""
    migrate = f"and run `chaingraph-worker migrate` with {VARIABLE} (chart: workers.{pool}.database.role and .queues)"
    if pool not in role.pools:
        return (
            f"CHAINGRAPH_POOL is {pool!r}, but the database role {role.role!r} of DATABASE_URL_EXECUTIONS belongs to "
            f"the pools {', '.join(role.pools)}. Connect as the role of this pool, or give it to the pool {migrate}"
        )
    refused = [queue for queue in queues if queue not in role.queues]
    if refused:
        return (
            f"CHAINGRAPH_QUEUES has {refused[0]!r}, but the database role {role.role!r} of DATABASE_URL_EXECUTIONS may "
            f"only serve {', '.join(role.queues)}. Remove the queue, or give it to the pool {migrate}"
        )
    return None
