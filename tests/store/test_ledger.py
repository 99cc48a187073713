"""The pool."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.ledger import Ledger

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("turns", range(12))
async def test_who_is_told_to_end_while_a_connection_is_handed_over_ends_and_loses_none(
    database_url: str, turns: int
) -> None:
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
