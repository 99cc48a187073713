"""The execution that a name stands for."""

from __future__ import annotations

import pytest

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import details
from fixtures.ledger.ledger import row_of
from fixtures.ledger.new_executions import create
from fixtures.trees.children import complete_and_spawn

pytestmark = pytest.mark.integration


async def named(ledger: Ledger, name: str) -> ExecutionId | None:
    async with ledger.connection() as connection:
        found = await details.newest_named(connection, "team", name)
    return None if found is None else found.id


async def test_named_returns_newest_resource_with_the_name(ledger: Ledger) -> None:
    assert await named(ledger, "nightly") is None
    await create(ledger, name="nightly")
    newest = await create(ledger, name="nightly")
    assert await named(ledger, "nightly") == newest.id


async def test_named_prefers_resource_over_ledger_only_child(ledger: Ledger) -> None:
    root = await create(ledger, name="nightly", resources="None")
    parents_name = (await row_of(ledger, root.id)).name
    resource = await create(ledger, name=f"{parents_name}-0")
    (child,) = await complete_and_spawn(ledger, root.id, 1)
    assert (await row_of(ledger, child)).name == f"{parents_name}-0"
    assert await named(ledger, f"{parents_name}-0") == resource.id


async def test_named_counts_child_awaiting_its_resource_as_newest(ledger: Ledger) -> None:
    root = await create(ledger, name="nightly")
    await create(ledger, name="nightly-0")
    (child,) = await complete_and_spawn(ledger, root.id, 1)
    assert await named(ledger, "nightly-0") == child
