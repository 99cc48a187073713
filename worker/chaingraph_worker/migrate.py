"""Brings the database to this release: DBOS's schema and ours. Run by `chaingraph-worker migrate`, or as a module.

Workers and the operator never migrate: they run under a role that cannot, and several start at once.
"""

from __future__ import annotations

import os
import sys

from dbos import DBOS
from psycopg import conninfo

from chaingraph_store import schema
from chaingraph_store.errors import StoreError
from chaingraph_store.ledger import checked_dsn


def migrate(dsn: str) -> list[str]:
    """Applies the missing migrations of both schemas.

    Returns:
        The ids of our own migrations that were applied now.

    Raises:
        SettingsRefused: the connection string is unusable.
    """
    DBOS.migrate(sqlalchemy_url(checked_dsn(dsn)))
    return schema.migrate(dsn)


def sqlalchemy_url(dsn: str) -> str:
    """The connection string as DBOS takes it: a URL, whatever form of libpq's it had."""
    if dsn.startswith(("postgresql://", "postgres://")):
        return "postgresql://" + dsn.split("://", 1)[1]
    return schema.url(conninfo.conninfo_to_dict(dsn), scheme="postgresql")


def main() -> None:
    try:
        applied = migrate(os.environ.get("DATABASE_URL_EXECUTIONS", ""))
    except StoreError as error:
        sys.exit(f"chaingraph migrate: {error}")
    print(f"migrated: {', '.join(applied)}" if applied else "the database is up to date")


if __name__ == "__main__":
    main()
