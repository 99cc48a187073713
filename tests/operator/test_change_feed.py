"""The change feed on a real PostgreSQL: no change is missed, whatever the notifications do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from chaingraph_operator.loops.changes import ChangeFeed
from chaingraph_store import executions
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection, Ledger
from fixtures.ledger.new_executions import create
from fixtures.ledger.worker_by_hand import Worker
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


class Follower:
    """What a feed delivered: the newest sequence number of each execution."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.delivered: dict[ExecutionId, int] = {}
        self.deliveries = 0

    def changed(self, row: ExecutionRow) -> None:
        self.deliveries += 1
        self.delivered[row.id] = max(row.change_seq, self.delivered.get(row.id, 0))

    @asynccontextmanager
    async def following(self, *, listening: bool = True, reread_seconds: float = 30) -> AsyncIterator[None]:
        feed = ChangeFeed(self.ledger, self.changed, reread_seconds=reread_seconds)
        tasks = [asyncio.create_task(feed.follow())]
        if listening:
            tasks.append(asyncio.create_task(feed.listen()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def caught_up(self, ledger: Ledger, *, within: float) -> None:
        async def look() -> bool:
            async with ledger.connection() as connection:
                rows = await executions.by_ids(connection, list(self.delivered))
            return all(row.change_seq == self.delivered[row.id] for row in rows.values())

        await eventually(look, within=within, what="the newest change")


class LingeringLedger(Ledger):
    """A ledger whose readers take a while from having read to being done."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with super().connection() as connection:
            yield connection
            await asyncio.sleep(0.5)


async def test_feed_catches_a_change_made_during_a_delivery(ledger: Ledger, database_url: str) -> None:
    lingering = LingeringLedger(database_url, application_name="lingering", pool_size=2)
    await lingering.open()
    follower = Follower(lingering)
    async with follower.following():
        await asyncio.sleep(1)
        execution = (await create(ledger)).id

        async def delivered() -> bool:
            return execution in follower.delivered

        await eventually(delivered, within=10, what="the creation")
        claimed = await Worker(ledger, "worker-1").claim(execution)
        # Long before the next look at the sequence.
        await follower.caught_up(ledger, within=5)
        assert claimed.execution_id == execution
    await lingering.close()


async def test_feed_finds_unnotified_changes_in_the_sequence(ledger: Ledger) -> None:
    follower = Follower(ledger)
    made = [(await create(ledger)).id for _ in range(3)]
    async with follower.following(listening=False):

        async def all_there() -> bool:
            return set(follower.delivered) == set(made)

        await eventually(all_there, within=10, what="every execution")
    assert follower.deliveries == 3


async def test_notification_flood_does_not_block_sequence_reads(ledger: Ledger, database_url: str) -> None:
    lingering = LingeringLedger(database_url, application_name="lingering", pool_size=2)
    await lingering.open()
    follower = Follower(lingering)
    noisy, silent = [(await create(ledger)).id for _ in range(2)]
    async with follower.following(reread_seconds=0.5), ledger.connection() as connection:

        async def shout_until(found: Callable[[], bool], *, what: str) -> None:
            async def look() -> bool:
                await connection.execute("SELECT pg_notify(%s, %s)", (CHANGES, noisy))
                return found()

            await eventually(look, within=15, what=what)

        await shout_until(lambda: {noisy, silent} <= set(follower.delivered), what="both executions")
        # Without a notification of its own, and while there is always one of another.
        cursor = await connection.execute(
            "UPDATE chaingraph.executions SET change_seq = nextval('chaingraph.change_seq') WHERE id = %s"
            " RETURNING change_seq",
            (silent,),
        )
        [(newest,)] = await cursor.fetchall()
        await shout_until(lambda: follower.delivered[silent] == newest, what="what only the sequence has")
    await lingering.close()


async def test_a_lost_connection_loses_no_change(ledger: Ledger) -> None:
    follower = Follower(ledger)
    async with follower.following():
        first = (await create(ledger)).id

        async def there() -> bool:
            return first in follower.delivered

        await eventually(there, within=10, what="the first execution")
        async with ledger.connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE '% listen'"
            )
        second = (await create(ledger)).id

        async def both_there() -> bool:
            return second in follower.delivered

        await eventually(both_there, within=10, what="the execution made while nobody listened")
