"""The fence around operators: who was replaced writes nothing more, and who replaces it waits for what is under way."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from chaingraph_store.errors import Superseded
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.upkeep import cluster, operators
from chaingraph_store.upkeep.cluster import ClusterIdentity
from chaingraph_store.upkeep.operators import Fence, Tenure
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration
OURS = ClusterIdentity("11111111-aaaa", "sha256:ours")
THEIRS = ClusterIdentity("22222222-bbbb", "sha256:theirs")
LEASE = "team/chaingraph-operator"


async def lead(ledger: Ledger, holder: str, *, lease: str = LEASE) -> Fence:
    fence = Fence()
    async with ledger.transaction() as connection:
        fence.adoptions = (await cluster.recognise(connection, OURS)).adoptions
    async with ledger.transaction() as connection:
        fence.tenure = await operators.take(connection, lease, holder)
    return fence


async def hold(ledger: Ledger, fence: Fence) -> None:
    async with ledger.transaction() as connection:
        await fence.hold(connection)


async def adopt(ledger: Ledger, by: ClusterIdentity, of: ClusterIdentity) -> None:
    async with ledger.transaction() as connection:
        await cluster.recognise(connection, by, adopt=of.uid)


async def test_new_leader_gets_greater_epoch_and_fences_previous(ledger: Ledger) -> None:
    first = await lead(ledger, "pod-1")
    await hold(ledger, first)
    second = await lead(ledger, "pod-2")
    assert first.tenure == Tenure(LEASE, 1)
    assert second.tenure == Tenure(LEASE, 2)
    with pytest.raises(Superseded, match=r"pod-2 leads since .* \(epoch 2, this operator's was 1\)"):
        await hold(ledger, first)
    await hold(ledger, second)


async def test_leader_does_not_fence_leaders_of_other_leases(ledger: Ledger) -> None:
    ours = await lead(ledger, "pod-1")
    theirs = await lead(ledger, "pod-2", lease="other/chaingraph-operator")
    await hold(ledger, ours)
    await hold(ledger, theirs)


async def test_adoption_fences_unelected_operators(ledger: Ledger) -> None:
    fence = Fence()
    await hold(ledger, fence)
    async with ledger.transaction() as connection:
        fence.adoptions = (await cluster.recognise(connection, OURS)).adoptions
    await hold(ledger, fence)
    await adopt(ledger, THEIRS, OURS)
    with pytest.raises(Superseded, match=f"now belongs to another cluster: to {THEIRS.uid}"):
        await hold(ledger, fence)
    await adopt(ledger, OURS, THEIRS)
    with pytest.raises(Superseded):
        await hold(ledger, fence)


async def test_fence_rejects_leader_after_database_restore(ledger: Ledger) -> None:
    fence = await lead(ledger, "pod-1")
    async with ledger.connection() as connection:
        await connection.execute("DELETE FROM chaingraph.operators")
    with pytest.raises(Superseded, match="the database was restored"):
        await hold(ledger, fence)


@pytest.mark.parametrize("by", ["election", "adoption"])
async def test_takeover_waits_for_open_writes_and_blocks_later_ones(ledger: Ledger, by: str) -> None:
    fence = await lead(ledger, "pod-1")
    async with ledger.transaction() as under_way:
        await fence.hold(under_way)
        taking = asyncio.create_task(adopt(ledger, THEIRS, OURS) if by == "adoption" else lead_again(ledger))
        await eventually(lambda: waits_for_the_lock(ledger), what="somebody who waits")
        late = asyncio.create_task(hold(ledger, fence))
        await asyncio.sleep(0.1)
        assert not taking.done()
        assert not late.done(), "who comes later is not let past who waits"
        await write(under_way)
    await taking
    with pytest.raises(Superseded):
        await late


async def lead_again(ledger: Ledger) -> None:
    await lead(ledger, "pod-2")


async def write(connection: Connection) -> None:
    await connection.execute("UPDATE chaingraph.cluster SET recorded_at = now()")


async def waits_for_the_lock(ledger: Ledger) -> bool:
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        row = await cursor.fetchone()
    return row is not None and row[0] > 0


async def test_guarded_ledger_writes_only_in_transactions(database_url: str, ledger: Ledger) -> None:
    await lead(ledger, "pod-1")
    asked: list[Connection] = []

    async def guard(connection: Connection) -> None:
        asked.append(connection)

    guarded = Ledger(database_url, application_name="guarded")
    guarded.guard(guard)
    await guarded.open()
    try:
        async with guarded.connection() as connection:
            await connection.execute("SELECT 1 FROM chaingraph.cluster")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await write(connection)
        assert asked == []
        async with guarded.transaction() as connection:
            await write(connection)
            assert asked == [connection]
        async with guarded.connection() as connection:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await write(connection)
    finally:
        await guarded.close()
