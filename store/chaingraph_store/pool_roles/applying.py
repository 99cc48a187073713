"""Apply the setting to the rights and policies of the pools' roles.

A role never has a right without the policies that limit it: a removed role loses its rights first and its policies
last, a new one gets them in the opposite order. Each table is changed in its own transaction, and only if something
changes, because that locks out all its users for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import psycopg
import structlog
from psycopg import sql

from chaingraph_store.errors import SettingsRefused
from chaingraph_store.ledger import checked_dsn
from chaingraph_store.periodic import TASKS, own_task
from chaingraph_store.pool_roles import policies
from chaingraph_store.pool_roles.policies import EVERYBODY, PREFIX, RIGHTS, RowPolicy
from chaingraph_store.pool_roles.setting import VARIABLE, PoolRole, parse
from chaingraph_store.queue import dbos_guards

_SCHEMAS: Final = ("chaingraph", "dbos")
_POWERFUL: Final = (
    *("pg_read_all_data", "pg_write_all_data", "pg_maintain", "pg_signal_backend"),
    *("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"),
)
"""Roles of PostgreSQL itself that a pool's role may not be a member of."""
_LOCK_TIMEOUT: Final = "5s"
_TRIES: Final = 10
_log = structlog.get_logger(__name__)
_Connection = psycopg.Connection[Any]

_UNFIT: Final = """
SELECT CASE
  WHEN r.rolsuper THEN 'is a superuser' WHEN r.rolbypassrls THEN 'has BYPASSRLS'
  WHEN r.rolcreaterole THEN 'has CREATEROLE' WHEN r.rolreplication THEN 'has REPLICATION'
  WHEN r.rolname = ANY (%(kinds)s) THEN 'is that of all processes of a kind'
  WHEN EXISTS (SELECT FROM pg_tables t
               WHERE t.schemaname = ANY (%(schemas)s) AND pg_has_role(r.oid, t.tableowner, 'MEMBER'))
    THEN 'owns tables of the database, or is a member of the role that does'
  ELSE (SELECT 'is a member of the role ' || m.rolname FROM pg_roles m
        WHERE m.rolname = ANY (%(others)s) AND m.oid <> r.oid AND pg_has_role(r.oid, m.oid, 'MEMBER') LIMIT 1)
END FROM pg_roles r WHERE r.rolname = %(role)s
"""


def apply(
    dsn: str, setting: str | None, *, kinds: Sequence[str], version: str, application_name: str
) -> list[PoolRole]:
    """Apply the setting to the pools' roles. Safe to repeat. Blocks.

    Args:
        setting: CHAINGRAPH_POOL_ROLES; None keeps the existing roles.
        kinds: roles of the kinds of processes, whose rights no pool's role may have.
        version: of the application, as the workers register it with DBOS. Pools' roles cannot.
        application_name: DBOS's application.

    Raises:
        SettingsRefused: the setting is invalid, or names a role that is missing or cannot be restricted to its pool.
    """
    with psycopg.connect(checked_dsn(dsn), autocommit=True) as connection:
        recorded = [
            PoolRole(role, tuple(pools), tuple(queues))
            for role, pools, queues in connection.execute(
                "SELECT role, pools, queues FROM chaingraph.pool_roles ORDER BY role"
            ).fetchall()
        ]
        desired = recorded if setting is None else parse(setting)
        for each in desired:
            _check(connection, each, kinds, [*kinds, *_POWERFUL, *(role.role for role in desired)])
        if not desired and not recorded:
            return []
        for role in {each.role for each in recorded} - {each.role for each in desired}:
            _revoke(connection, role)
        _set_policies(connection, [policy for each in desired for policy in policies.of(each)])
        _record(connection, desired)
        if desired:
            dbos_guards.add_shared_rows(connection, version=version, application_name=application_name)
        for each in desired:
            _grant(connection, each.role)
    _log.info("pool roles", roles={each.role: list(each.queues) for each in desired})
    return desired


def _check(connection: _Connection, role: PoolRole, kinds: Sequence[str], others: Sequence[str]) -> None:
    row = connection.execute(
        _UNFIT, {"role": role.role, "schemas": list(_SCHEMAS), "kinds": list(kinds), "others": list(others)}
    ).fetchone()
    where = f"{VARIABLE}: role {role.role!r} of pool {role.pools[0]}"
    if row is None:
        raise SettingsRefused(
            f"{where} does not exist. CREATE ROLE {sql.Identifier(role.role).as_string(None)} LOGIN PASSWORD "
            "'...', then run `chaingraph-worker migrate` again"
        )
    if row[0] is not None:
        raise SettingsRefused(
            f"{where} {row[0]}, so it cannot be restricted to its queues. Create a role that is a member of no other"
        )


def _revoke(connection: _Connection, role: str) -> None:
    """Revoke all rights, unless the role no longer exists."""
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchall():
        return
    who = sql.Identifier(role)
    with connection.transaction():
        for schema in _SCHEMAS:
            within = sql.Identifier(schema)
            for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
                connection.execute(
                    sql.SQL("REVOKE ALL ON ALL {} IN SCHEMA {} FROM {}").format(sql.SQL(kind), within, who)
                )
            connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(within, who))
        connection.execute(sql.SQL("REVOKE ALL ON public._yoyo_migration FROM {}").format(who))


def _grant(connection: _Connection, role: str) -> None:
    who = sql.Identifier(role)
    with connection.transaction():
        _revoke(connection, role)
        for schema in _SCHEMAS:
            within = sql.Identifier(schema)
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(within, who))
            connection.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}").format(within, who))
        connection.execute(sql.SQL("GRANT SELECT ON public._yoyo_migration TO {}").format(who))
        connection.execute(sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbos TO {}").format(who))
        for table, rights in RIGHTS.items():
            connection.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(", ".join(rights)), _identifier(table), who)
            )


def _set_policies(connection: _Connection, desired: Sequence[RowPolicy]) -> None:
    tables = connection.execute(
        "SELECT t.schemaname || '.' || t.tablename, t.rowsecurity, ARRAY(SELECT p.policyname::text FROM pg_policies p"
        "   WHERE p.schemaname = t.schemaname AND p.tablename = t.tablename AND starts_with(p.policyname, %s))"
        " FROM pg_tables t WHERE t.schemaname = ANY (%s) ORDER BY 1",
        (PREFIX, list(_SCHEMAS)),
    ).fetchall()
    for table, secured, present in tables:
        its = [each for each in desired if each.table == table]
        names = {each.name for each in its} | ({EVERYBODY} if its else set())
        if secured != bool(its) or set(present) != names:
            _in_turn(connection, partial(_change, connection, table, its, present))


def _change(connection: _Connection, table: str, desired: Sequence[RowPolicy], present: Sequence[str]) -> None:
    name = _identifier(table)
    for policy in present:
        connection.execute(sql.SQL("DROP POLICY {} ON {}").format(sql.Identifier(policy), name))
    if not desired:
        connection.execute(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(name))
        return
    connection.execute(
        sql.SQL("CREATE POLICY {} ON {} USING (true) WITH CHECK (true)").format(sql.Identifier(EVERYBODY), name)
    )
    for each in desired:
        clauses = [
            sql.SQL("CREATE POLICY {} ON {} AS RESTRICTIVE FOR {} TO {}").format(
                sql.Identifier(each.name), name, sql.SQL(each.command), sql.Identifier(each.role)
            )
        ]
        # Our own texts, with the names of queues and pools as literals.
        if each.using:
            clauses.append(sql.SQL("USING ({})").format(sql.SQL(each.using)))
        if each.check:
            clauses.append(sql.SQL("WITH CHECK ({})").format(sql.SQL(each.check)))
        connection.execute(sql.SQL(" ").join(clauses))
    connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))


def _in_turn(connection: _Connection, change: Callable[[], None]) -> None:
    """Apply a change in a transaction that waits for its lock a few seconds at a time: all others wait behind it."""
    for left in reversed(range(_TRIES)):
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
                change()
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if not left:
                raise


def _record(connection: _Connection, desired: Sequence[PoolRole]) -> None:
    tasks = [own_task(task, each.role) for each in desired for task in TASKS]
    with connection.transaction():
        connection.execute("DELETE FROM chaingraph.pool_roles")
        for each in desired:
            connection.execute(
                "INSERT INTO chaingraph.pool_roles (role, pools, queues) VALUES (%s, %s, %s)",
                (each.role, list(each.pools), list(each.queues)),
            )
        connection.execute("DELETE FROM chaingraph.upkeep WHERE task LIKE '%%/%%' AND NOT task = ANY (%s)", (tasks,))
        connection.execute(
            "INSERT INTO chaingraph.upkeep (task) SELECT unnest(%s::text[]) ON CONFLICT (task) DO NOTHING", (tasks,)
        )


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split(".", 1))
