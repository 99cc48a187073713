"""Policies of namespaces in the ledger: written, read, and what is used of them."""

from __future__ import annotations

import pytest

from chaingraph_store.attempts.runs import AttemptEnd
from chaingraph_store.ledger import Ledger
from chaingraph_store.tenancy import ledger_sizes, policies
from chaingraph_store.tenancy.policies import NamespacePolicy, NamespaceUsage
from fixtures.ledger.moves import claimed, flush, paused_and_parked
from fixtures.ledger.new_executions import create

pytestmark = pytest.mark.integration
FULL = NamespacePolicy(
    queues=("a", "b"),
    max_running=1,
    max_waiting=2,
    max_priority=3,
    weight=4,
    max_ledger_bytes=5,
    egress=("10.0.0.0/8",),
)


async def usage(ledger: Ledger, namespace: str = "team", enough: int = 100) -> NamespaceUsage:
    async with ledger.connection() as connection:
        return await policies.usage(connection, namespace, enough=enough)


async def measure(ledger: Ledger, *namespaces: str, limit: int = 100) -> int:
    async with ledger.connection() as connection:
        return await ledger_sizes.measure(connection, namespaces or None, limit=limit)


async def test_policies_are_read_as_written(ledger: Ledger) -> None:
    async with ledger.connection() as connection:
        await policies.save(connection, policies.DEFAULTS, NamespacePolicy())
        await policies.save(connection, "team", NamespacePolicy())
        await policies.save(connection, "team", FULL)
        assert await policies.all_policies(connection) == {"": NamespacePolicy(), "team": FULL}
        await policies.forget(connection, "team")
        await policies.forget(connection, policies.DEFAULTS)
        assert await policies.all_policies(connection) == {"": NamespacePolicy()}, "the defaults stay"


async def test_queued_held_and_parked_executions_wait(ledger: Ledger) -> None:
    await create(ledger)
    await create(ledger, held=True)
    await paused_and_parked(ledger, (await create(ledger)).id)
    await claimed(ledger, (await create(ledger)).id)
    await flush(ledger, await claimed(ledger, (await create(ledger)).id), "flow:completed", end=AttemptEnd("Completed"))
    await create(ledger, namespace="other")
    assert (await usage(ledger)).waiting == 3
    assert (await usage(ledger, enough=2)).waiting == 2


async def test_sizes_follow_changes_and_removals(ledger: Ledger) -> None:
    first = await create(ledger, inputs={"text": "x" * 1000})
    await create(ledger, namespace="other")
    assert await measure(ledger, "team") == 1
    assert await measure(ledger, "team") == 0, "nothing has changed"
    before = (await usage(ledger)).ledger_bytes
    assert before >= 1000
    await flush(ledger, await claimed(ledger, first.id), "flow:started", journal=["a", "b"])
    assert await measure(ledger, "team") == 1
    assert (await usage(ledger)).ledger_bytes > before
    assert (await usage(ledger, "other")).ledger_bytes == 0
    assert await measure(ledger) == 1, "of all namespaces, the other one is new"
    async with ledger.connection() as connection:
        await ledger_sizes.forget_others(connection, ["other"])
        assert (await policies.usage(connection, "team", enough=0)).ledger_bytes == 0
        await connection.execute("DELETE FROM chaingraph.executions")
    assert (await usage(ledger, "other")).ledger_bytes == 0


async def test_measuring_goes_on_where_it_was_cut(ledger: Ledger) -> None:
    for _ in range(5):
        await create(ledger)
    assert [await measure(ledger, limit=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_claim_says_where_its_namespace_may_reach(ledger: Ledger) -> None:
    assert (await claimed(ledger, (await create(ledger)).id)).egress == []
    async with ledger.connection() as connection:
        await policies.save(connection, policies.DEFAULTS, NamespacePolicy())
        await policies.save(connection, "team", FULL)
    assert (await claimed(ledger, (await create(ledger)).id)).egress == ["10.0.0.0/8"]
    assert (await claimed(ledger, (await create(ledger, namespace="other")).id)).egress == []
