"""The pool."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import TRANSIENT_ERRORS
from fixtures.ledger.new_executions import create

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("turns", range(12))
async def test_cancel_during_connection_handover_loses_no_connection(database_url: str, turns: int) -> None:
    """As when a part of a process fails, gives its connection back, and all other parts are cancelled."""
    ledger = Ledger(database_url, application_name="tests", pool_size=1)
    await ledger.open()

    async def other() -> None:
        async with ledger.connection():
            await asyncio.Event().wait()

    try:
        async with ledger.connection():
            waiting = asyncio.create_task(other())
            await asyncio.sleep(0.1)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=10)
        assert done, "it goes on for ever"
        assert waiting.cancelled()
        async with asyncio.timeout(10), ledger.transaction() as connection:
            await connection.execute("SELECT 1")
    finally:
        waiting.cancel()
        await ledger.close()


async def test_transaction_of_frozen_process_releases_its_locks(database_url: str, ledger: Ledger) -> None:
    """As when its machine is gone: the server does not hear of it for hours."""
    execution = (await create(ledger)).id
    frozen = Ledger(database_url, application_name="frozen", pool_size=1, idle_seconds=0.5)
    await frozen.open()
    lock = "SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE"

    async def waits_for_its_own_process() -> None:
        async with frozen.transaction() as connection:
            await connection.execute(lock, (execution,))
            async with asyncio.timeout(20), ledger.transaction() as other:
                await other.execute(lock, (execution,))
            await connection.execute("SELECT 1")

    try:
        with pytest.raises(TRANSIENT_ERRORS, match="idle-in-transaction timeout"):
            await waits_for_its_own_process()
        async with frozen.transaction() as connection:
            await connection.execute(lock, (execution,))
    finally:
        await frozen.close()


async def test_idle_limit_ignores_slow_statements(database_url: str) -> None:
    """The limit is for each wait between two statements, not for what the server works on."""
    ledger = Ledger(database_url, application_name="slow", pool_size=1, idle_seconds=0.5)
    await ledger.open()
    try:
        async with ledger.transaction() as connection:
            await connection.execute("SELECT pg_sleep(1.5)")
        async with ledger.connection() as connection:
            await asyncio.sleep(1.5)
            await connection.execute("SELECT 1")
    finally:
        await ledger.close()
