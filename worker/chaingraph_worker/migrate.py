"""Migrate the database to this release: DBOS's schema and ours.

Workers and the operator never migrate: their roles may not, and several start at once. In a cluster the migration may
start before PostgreSQL: it waits for CHAINGRAPH_MIGRATE_WAIT_SECONDS, by default 0.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Final

import psycopg
import structlog
from dbos import DBOS
from psycopg import conninfo

from chaingraph_runtime import logs
from chaingraph_store import roles, schema
from chaingraph_store.errors import SettingsRefused, StoreError
from chaingraph_store.ledger import checked_dsn
from chaingraph_store.pool_roles import applying
from chaingraph_store.pool_roles.setting import VARIABLE
from chaingraph_store.queue import dbos_guards
from chaingraph_store.transient import TRANSIENT_ERRORS

JOURNAL_FORMAT: Final = "chaingraph-journal-1"
"""The application version for DBOS, which gives unpinned work to the latest version only. With our own version there, a
rollout would stop all older workers, and a rollback all workers. The journal carries an attempt from worker to worker:
this names its format. `pinning` decides which version runs an execution."""
APPLICATION: Final = "chaingraph-executor"
"""DBOS's application, when DBOS_APPLICATION_NAME names no other."""
_WAIT: Final = "CHAINGRAPH_MIGRATE_WAIT_SECONDS"
_CONNECT_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


def migrate(dsn: str, *, pool_roles: str | None = None, application_name: str = APPLICATION) -> list[str]:
    """Apply the missing migrations of both schemas, and the rights of each role.

    Args:
        pool_roles: CHAINGRAPH_POOL_ROLES; None keeps the roles of pools.
        application_name: DBOS's application, as the workers use it.

    Returns:
        The ids of our own migrations that were applied now.

    Raises:
        SettingsRefused: the connection string or the roles of pools are invalid.
    """
    DBOS.migrate(sqlalchemy_url(checked_dsn(dsn)))
    applied = schema.migrate(dsn)
    dbos_guards.apply(dsn)
    roles.grant(dsn)
    applying.apply(dsn, pool_roles, kinds=roles.KINDS, version=JOURNAL_FORMAT, application_name=application_name)
    return applied


def sqlalchemy_url(dsn: str) -> str:
    """Return the connection string as a URL for DBOS, whatever its libpq form."""
    if dsn.startswith(("postgresql://", "postgres://")):
        return "postgresql://" + dsn.split("://", 1)[1]
    return schema.url(conninfo.conninfo_to_dict(dsn), scheme="postgresql")


def wait_for_server(dsn: str, seconds: float) -> None:
    """Return once PostgreSQL accepts a connection. Blocks.

    Args:
        seconds: how long to retry; 0 tries once.

    Raises:
        SettingsRefused: the connection string is invalid.
        psycopg.OperationalError: there was no connection in that time.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(checked_dsn(dsn), connect_timeout=_CONNECT_SECONDS).close()
        except psycopg.OperationalError as error:
            if time.monotonic() + _PAUSE_SECONDS > until:
                raise
            _log.warning("waiting for PostgreSQL", error=str(error).strip())
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def main() -> None:
    dsn = os.environ.get("DATABASE_URL_EXECUTIONS", "")
    logs.configure("info", component="migration")
    logs.adopt("dbos")
    try:
        wait_for_server(dsn, _wait_seconds())
        applied = migrate(
            dsn,
            pool_roles=os.environ.get(VARIABLE, "").strip() or None,
            application_name=os.environ.get("DBOS_APPLICATION_NAME") or APPLICATION,
        )
    except StoreError as error:
        _log.critical("cannot migrate", error=str(error))
        sys.exit(1)
    except TRANSIENT_ERRORS as error:
        _log.critical("PostgreSQL at DATABASE_URL_EXECUTIONS does not answer", error=str(error).strip())
        sys.exit(1)
    _log.info("migrated" if applied else "nothing to migrate: the database has this release's schema", applied=applied)


def _wait_seconds() -> float:
    given = os.environ.get(_WAIT, "") or "0"
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise SettingsRefused(f"{_WAIT} is {given!r}. Set a number of seconds from 0 to 86400")
    return seconds


if __name__ == "__main__":
    main()
