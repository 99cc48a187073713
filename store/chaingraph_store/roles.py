"""Rights of the database roles, one for each kind of process.

The database administrator creates the roles, by these names; logins may be members of them. Missing roles are skipped,
and other roles get their rights by default privileges.

DBOS needs all its tables in every worker, so a worker with the role for all workers can change any workflow. It cannot
change a flow that others run, the record of erasures, the cluster's identity, or the schema. A pool's role is also
restricted to the pool's queues: see `pool_roles`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
import structlog
from psycopg import sql

from chaingraph_store.ledger import checked_dsn

OPERATOR: Final = "chaingraph_operator"
WORKER: Final = "chaingraph_worker"
GATEWAY: Final = "chaingraph_gateway"
KINDS: Final = (OPERATOR, WORKER, GATEWAY)
_ALL: Final = "SELECT, INSERT, UPDATE, DELETE"
_TABLES: Final = (
    "flow_revisions",
    "executions",
    "journal",
    "signals",
    "events",
    "catalogues",
    "workers",
    "flows",
    "trees",
    "upkeep",
    "erasures",
    "cluster",
    "operators",
    "namespace_policies",
    "queue_shares",
    "ledger_sizes",
    "pool_roles",
)
_RIGHTS: Final[Mapping[str, Mapping[str, str]]] = {
    OPERATOR: dict.fromkeys(_TABLES, _ALL) | {"erasures": "SELECT, INSERT", "pool_roles": "SELECT"},
    WORKER: {
        "flow_revisions": "SELECT",
        "flows": "SELECT",
        "executions": "SELECT, INSERT, UPDATE",
        "journal": "SELECT, INSERT, UPDATE",
        "signals": "SELECT",
        "events": "SELECT, INSERT",
        "trees": "SELECT, INSERT, UPDATE",
        "catalogues": "SELECT, INSERT, UPDATE",
        "workers": _ALL,
        "upkeep": "SELECT, UPDATE",
        "namespace_policies": "SELECT",
        "queue_shares": "SELECT, INSERT, UPDATE",
        "ledger_sizes": "SELECT",
        "pool_roles": "SELECT",
    },
    GATEWAY: dict.fromkeys(("executions", "journal", "events", "trees"), "SELECT"),
}
"""Rights on the tables of our schema, by role."""
_USES_DBOS: Final = (OPERATOR, WORKER)
_log = structlog.get_logger(__name__)


def grant(dsn: str) -> list[str]:
    """Grant each existing role its rights, and revoke other rights on our tables. Blocks.

    Returns:
        The roles.
    """
    with psycopg.connect(checked_dsn(dsn), autocommit=True) as connection:
        found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (list(_RIGHTS),)).fetchall()
        roles = sorted(row[0] for row in found)
        for role in roles:
            with connection.transaction():
                _grant(connection, role)
    if roles:
        _log.info("granted rights", roles=roles)
    return roles


def _grant(connection: psycopg.Connection[Any], role: str) -> None:
    who = sql.Identifier(role)

    def run(statement: str, *names: sql.Composable) -> None:
        connection.execute(sql.SQL(statement).format(*names, who))

    run("GRANT USAGE ON SCHEMA chaingraph TO {}")
    run("GRANT SELECT ON public._yoyo_migration TO {}")
    run("REVOKE ALL ON ALL TABLES IN SCHEMA chaingraph FROM {}")
    for table, rights in _RIGHTS[role].items():
        run(f"GRANT {rights} ON {{}} TO {{}}", sql.Identifier("chaingraph", table))
    # `schema.check` looks up DBOS's tables by name.
    run("GRANT USAGE ON SCHEMA dbos TO {}")
    run("REVOKE ALL ON ALL TABLES IN SCHEMA dbos FROM {}")
    if role in _USES_DBOS:
        run("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA chaingraph TO {}")
        run(f"GRANT {_ALL} ON ALL TABLES IN SCHEMA dbos TO {{}}")
        run("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA dbos TO {}")
        run("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbos TO {}")
