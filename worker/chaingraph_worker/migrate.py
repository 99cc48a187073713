"""Brings the database to this release: DBOS's schema and ours.

Workers and the operator never migrate: they run under a role that cannot, and several start at once. In a cluster the
migration may begin before PostgreSQL: CHAINGRAPH_MIGRATE_WAIT_SECONDS says how long it waits for it, 0 by default.
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
"""What DBOS takes for the application's version. It gives work that is pinned to none to the latest version alone, so a
version of ours there would stop all older workers during a rollout, and all workers after a rollback. What carries an
attempt from worker to worker is the journal: this names its format. Which version runs what is ours: see `pinning`."""
APPLICATION: Final = "chaingraph-executor"
"""DBOS's application, where DBOS_APPLICATION_NAME names no other."""
_WAIT: Final = "CHAINGRAPH_MIGRATE_WAIT_SECONDS"
_CONNECT_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


def migrate(dsn: str, *, pool_roles: str | None = None, application_name: str = APPLICATION) -> list[str]:
    """Applies the missing migrations of both schemas, and what each role may do.

    Args:
        pool_roles: CHAINGRAPH_POOL_ROLES; None leaves the roles of pools as they are.
        application_name: DBOS's application, which the workers use.

    Returns:
        The ids of our own migrations that were applied now.

    Raises:
        SettingsRefused: the connection string is unusable, or the roles of pools are.
    """
    DBOS.migrate(sqlalchemy_url(checked_dsn(dsn)))
    applied = schema.migrate(dsn)
    dbos_guards.apply(dsn)
    roles.grant(dsn)
    applying.apply(dsn, pool_roles, kinds=roles.KINDS, version=JOURNAL_FORMAT, application_name=application_name)
    return applied


def sqlalchemy_url(dsn: str) -> str:
    """The connection string as DBOS takes it: a URL, whatever form of libpq's it had."""
    if dsn.startswith(("postgresql://", "postgres://")):
        return "postgresql://" + dsn.split("://", 1)[1]
    return schema.url(conninfo.conninfo_to_dict(dsn), scheme="postgresql")


def wait_for_server(dsn: str, seconds: float) -> None:
    """Returns once PostgreSQL takes a connection. Blocks.

    Args:
        seconds: how long to go on trying; 0 tries once.

    Raises:
        SettingsRefused: the connection string is unusable.
        psycopg.OperationalError: there was no connection in all that time.
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
    _log.info("migrated" if applied else "nothing to migrate: the database is of this release", applied=applied)


def _wait_seconds() -> float:
    given = os.environ.get(_WAIT, "") or "0"
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise SettingsRefused(f"{_WAIT} is {given!r}; give a number of seconds from 0 to 86400")
    return seconds


if __name__ == "__main__":
    main()
