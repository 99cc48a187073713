"""`chaingraph erase`: erases executions and all their data from the database, with a record.

For administrators of the database: it needs the connection string and no API server.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import re
import socket
import sys
from typing import Final

import psycopg
import psycopg_pool

from chaingraph_cli.errors import CliError, Usage
from chaingraph_store import schema
from chaingraph_store.errors import StoreError
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.upkeep import erasing
from chaingraph_store.upkeep.erasing import Erasure

_VARIABLE: Final = "DATABASE_URL_EXECUTIONS"
_ID: Final = re.compile(r"EX[A-Z2-7]{24}")
_CONNECT_SECONDS: Final = 10.0


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    ids, namespace = [ExecutionId(each) for each in arguments.ids], arguments.all_of
    if bool(ids) == bool(namespace):
        raise Usage("Specify either execution ids or --all-of NAMESPACE.")
    if arguments.namespace_uid and not namespace:
        raise Usage("--namespace-uid needs --all-of.")
    for each in ids:
        if not _ID.fullmatch(each):
            raise Usage(f"{each!r} is not an execution id: use EX and 24 letters and digits, as in status.executionID.")
    dsn = os.environ.get(_VARIABLE, "")
    what = f"all executions of namespace {namespace!r}" if namespace else ", ".join(ids)
    if not arguments.yes and not _confirmed(what):
        print("Nothing was erased.")
        return 1
    erasure = Erasure(f"{getpass.getuser()}@{socket.gethostname()}", arguments.reason)
    try:
        count = asyncio.run(_erase(dsn, ids, namespace, arguments.namespace_uid, erasure))
    except (psycopg.Error, psycopg_pool.PoolTimeout, StoreError) as error:
        raise CliError(f"The database of {_VARIABLE} failed: {str(error).strip()}") from error
    print(f"Erased {count} executions. The record is in chaingraph.erasures.")
    return 0


def _confirmed(what: str) -> bool:
    if not sys.stdin.isatty():
        raise Usage("Cannot ask for confirmation without a terminal: use --yes.")
    print(f"Erase {what} and all descendants: rows, journals, events, rows of DBOS. Type 'erase' to confirm: ", end="")
    sys.stdout.flush()
    return sys.stdin.readline().strip() == "erase"


async def _erase(dsn: str, ids: list[ExecutionId], namespace: str, uid: str, erasure: Erasure) -> int:
    ledger = Ledger(dsn, application_name="chaingraph erase", pool_size=1)
    try:
        await ledger.open(timeout=_CONNECT_SECONDS)
        async with ledger.connection() as connection:
            await schema.check(connection)
        if namespace:
            return await erasing.erase_namespace(ledger, namespace, erasure, uid=uid)
        erased = await erasing.erase(ledger, ids, erasure)
    finally:
        await ledger.close()
    missing = sorted(set(ids) - set(erased))
    if missing:
        print(f"Not found in the database: {', '.join(missing)}", file=sys.stderr)
    return len(erased)
