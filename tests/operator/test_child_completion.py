"""The operator notifies parents of finished children, up to the root of their tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chaingraph_operator.loops.changes import ChangeFeed
from chaingraph_operator.loops.child_completion import ChildCompletion, is_owed
from chaingraph_operator.metrics import Metrics
from chaingraph_store import events
from chaingraph_store.commands import stopping
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.health import LedgerHealth
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.cluster.execution_cases import row_of as row_by_hand
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.new_executions import APP, create
from fixtures.processes.cut_off import DistantLedger
from fixtures.processes.programs import RunOperator
from fixtures.trees.children import complete, complete_and_spawn
from fixtures.waiting import eventually

PARENT = ExecutionId("EX-parent")


@pytest.mark.parametrize(
    ("phase", "fields", "owed"),
    [
        ("Completed", {}, True),
        ("Failed", {}, True),
        ("Stopped", {"parent_notified": True}, True),
        ("Completed", {"parent_notified": True, "children_total": 2, "children_active": 1}, False),
        ("Completed", {"children_total": 2, "children_active": 1}, True),
        ("Completed", {"parent_notified": True, "counted": True}, False),
        ("Running", {}, False),
        ("Completed", {"parent_id": None}, False),
    ],
)
def test_a_parent_is_owed_the_end_of_a_child_and_of_its_tree(phase: str, fields: dict[str, Any], owed: bool) -> None:
    assert is_owed(row_by_hand(phase, **{"parent_id": PARENT} | fields)) == owed


class Office:
    """Families with a feed of its own."""

    def __init__(self, ledger: Ledger, *, delay: float = 0.3, interval: float = 600) -> None:
        self.metrics = Metrics()
        self.families = ChildCompletion(ledger, self.metrics, application_name=APP, delay=delay, interval=interval)
        self.health = LedgerHealth(ledger, writes=True)
        self.feed = ChangeFeed(ledger, self.families.changed)

    @property
    def settled(self) -> float:
        return self.metrics.registry.get_sample_value("chaingraph_operator_families_total") or 0

    @asynccontextmanager
    async def open(self, *, fed: bool = True) -> AsyncIterator[None]:
        parts = {"search": self.families.search, "settle": self.families.settle}
        if fed:
            parts |= {"listen": self.feed.listen, "follow": self.feed.follow}
        tasks = [asyncio.create_task(self.health.retry(name, part)) for name, part in parts.items()]
        yield
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def told(ledger: Ledger, execution: ExecutionId) -> list[tuple[str, int]]:
    """What the log says of children that have ended."""
    async with ledger.connection() as connection:
        log = await events.read(connection, execution)
    return [(each.type, each.data["position"]) for each in log if each.type in ("child:completed", "child:failed")]


def closed(row: ExecutionRow) -> bool:
    return row.children_active == 0


@pytest.mark.integration
async def test_children_ending_together_are_reported_together(ledger: Ledger) -> None:
    office = Office(ledger, delay=1)
    parent = (await create(ledger)).id
    async with office.open():
        children = await complete_and_spawn(ledger, parent, 4)
        for child in children[:3]:
            await complete(ledger, child)
        async with ledger.transaction() as connection:
            assert await stopping.stop(connection, children[3], reason="enough")
        row = await wait_for(ledger, parent, closed)
        assert row.children_total == 4
        assert sorted(await told(ledger, parent)) == [
            ("child:completed", 0),
            ("child:completed", 1),
            ("child:completed", 2),
            ("child:failed", 3),
        ]
        await asyncio.sleep(1.5)
        assert office.settled <= 2


@pytest.mark.integration
async def test_tree_end_is_reported_up_to_its_root(ledger: Ledger) -> None:
    office = Office(ledger, delay=0.05)
    root = (await create(ledger)).id
    async with office.open():
        path = [root]
        for _ in range(4):
            path.append((await complete_and_spawn(ledger, path[-1], 1))[0])
        for child in path[1:-1]:
            await wait_for(ledger, child, lambda row: row.parent_notified)
        assert (await row_of(ledger, root)).children_active == 1
        await complete(ledger, path[-1])
        await wait_for(ledger, root, closed, within=10)
        for parent in path[:-1]:
            assert await told(ledger, parent) == [("child:completed", 0)]


@pytest.mark.integration
async def test_search_finds_owed_reports_without_notifications(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    children = await complete_and_spawn(ledger, root, 2)
    grandchildren = await complete_and_spawn(ledger, children[0], 3)
    for each in [*grandchildren, children[1]]:
        await complete(ledger, each)
    office = Office(ledger, interval=0.5)
    async with office.open(fed=False):
        await wait_for(ledger, root, closed, within=10)
        assert sorted(await told(ledger, children[0])) == [("child:completed", number) for number in range(3)]
        late = (await create(ledger)).id
        (only,) = await complete_and_spawn(ledger, late, 1)
        await complete(ledger, only)
        await wait_for(ledger, late, closed, within=10)


@pytest.mark.integration
@pytest.mark.parametrize("code", ["40P01", "40001", "P0001"])
async def test_rolled_back_report_is_retried(ledger: Ledger, code: str) -> None:
    parent = (await create(ledger)).id
    (child,) = await complete_and_spawn(ledger, parent, 1)
    async with ledger.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
            f" IF NEW.type = 'child:completed' THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF;"
            " RETURN NEW; END$$".encode()
        )
        await connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON chaingraph.events FOR EACH ROW EXECUTE FUNCTION no()"
        )
    office = Office(ledger, delay=0.01)
    office.health.answered()
    async with office.open():
        await complete(ledger, child)
        await asyncio.sleep(0.7)
        assert not closed(await row_of(ledger, parent))
        assert office.health.error() is None, "PostgreSQL is there"
        async with ledger.connection() as connection:
            await connection.execute("DROP TRIGGER no ON chaingraph.events")
        await wait_for(ledger, parent, closed, within=10)
        assert await told(ledger, parent) == [("child:completed", 0)]


@pytest.mark.integration
async def test_child_ends_in_a_postgresql_outage_are_reported_later(
    ledger: Ledger, distant_ledger: DistantLedger
) -> None:
    proxy, cut_off = distant_ledger
    parent = (await create(ledger)).id
    children = await complete_and_spawn(ledger, parent, 3)
    office = Office(cut_off, delay=0.05)
    async with office.open():
        await complete(ledger, children[0])
        await wait_for(ledger, parent, lambda row: row.children_active == 2)
        proxy.cut()
        for child in children[1:]:
            await complete(ledger, child)

        async def noticed() -> bool:
            return office.health.error() is not None

        await eventually(noticed, what="the outage")
        proxy.restore()
        await wait_for(ledger, parent, closed)
    assert sorted(await told(ledger, parent)) == [("child:completed", number) for number in range(3)]


@pytest.mark.integration
async def test_operator_reports_old_and_new_child_ends_to_parents(ledger: Ledger, run_operator: RunOperator) -> None:
    """In a namespace that it does not serve: this is a matter of the ledger alone."""
    before = (await create(ledger)).id
    for child in await complete_and_spawn(ledger, before, 2):
        await complete(ledger, child)
    operator = run_operator()
    await wait_for(ledger, before, closed)
    later = (await create(ledger)).id
    for child in await complete_and_spawn(ledger, later, 2):
        await complete(ledger, child)
    await wait_for(ledger, later, closed)
    operator.wait_figure('chaingraph_operator_queue_depth{queue="families"} 0.0')
    assert "chaingraph_operator_families_total 0.0" not in operator.get("/metrics").text
