"""The change feed sees every change, also one that commits after a younger one."""

from __future__ import annotations

import pytest

from chaingraph_store.commands import creation, stopping
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import changes
from fixtures.ledger.new_executions import APP, create, new_execution

pytestmark = pytest.mark.integration


async def test_changes_since_lists_each_execution_once_in_order(ledger: Ledger) -> None:
    first, second = await create(ledger), await create(ledger)
    async with ledger.transaction() as connection:
        await stopping.stop(connection, first.id, reason="enough")
    async with ledger.connection() as connection:
        seen = await changes.since(connection, 0)
        newest = await changes.newest(connection)
        assert [execution for execution, _ in seen] == [second.id, first.id]
        assert seen[-1][1] == newest
        assert await changes.since(connection, newest) == []


async def test_look_behind_finds_late_commit(ledger: Ledger) -> None:
    late = new_execution(flow_revision="of-its-own")
    async with ledger.transaction() as slow:
        await creation.create(slow, late, application_name=APP)
        early = await create(ledger)
        async with ledger.connection() as connection:
            newest = await changes.newest(connection)
            assert [execution for execution, _ in await changes.since(connection, 0)] == [early.id]
    async with ledger.connection() as connection:
        assert await changes.since(connection, newest) == [], "its number is older than what was seen"
        again = await changes.since(connection, newest - changes.LOOK_BEHIND)
    assert {execution for execution, _ in again} == {early.id, late.id}
