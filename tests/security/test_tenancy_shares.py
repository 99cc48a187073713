"""No namespace keeps another one from running: bursts, long executions, priorities, ceilings (H5)."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue.dispatch import RUN_QUEUE
from fixtures.ledger.moves import hand_back
from fixtures.ledger.new_executions import create
from fixtures.ledger.shares import end_runs, many, register_queues, set_policy, take
from fixtures.processes.background import BackgroundLoop

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
async def queues(ledger: Ledger) -> None:
    await register_queues(ledger, f"{RUN_QUEUE}@pool/1", "gpu")


async def burst(ledger: Ledger, namespace: str, count: int) -> None:
    """Many waiting executions in one statement, older than what comes later."""
    first = await create(ledger, namespace=namespace)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, priority, queue_partition_key,"
            "  created_at, updated_at, application_name, recovery_attempts)"
            " SELECT 'burst-' || n, 'ENQUEUED', name, queue_name, priority, queue_partition_key, created_at + n,"
            "  updated_at, application_name, 0 FROM dbos.workflow_status, generate_series(1, %s) n"
            " WHERE workflow_uuid = %s",
            (count - 1, first.id),
        )


async def test_newcomer_is_next_behind_a_burst(ledger: Ledger) -> None:
    await burst(ledger, "loud", 5000)
    running = await take(ledger, 1)
    [quiet] = await many(ledger, "quiet", 1)
    await end_runs(ledger, running)
    assert await take(ledger, 1) == [quiet], "one slot in all, and another namespace was served last"


async def test_free_slot_goes_to_whom_nothing_runs(ledger: Ledger) -> None:
    await many(ledger, "loud", 20)
    running = await take(ledger, 5)
    quiet = await many(ledger, "quiet", 2)
    await end_runs(ledger, running[:2])
    assert await take(ledger, 2) == quiet


async def test_weeks_of_one_namespace_leave_a_guest_slot(ledger: Ledger) -> None:
    """Five slots and a guest slot: ten executions that never end hold the five."""
    await many(ledger, "sleeper", 10)
    assert len(await take(ledger, 6, guests=1)) == 5
    assert await take(ledger, 1, guests=1) == []
    first, second = await many(ledger, "quiet", 2)
    assert await take(ledger, 1, guests=1) == [first]
    await end_runs(ledger, [first])
    assert await take(ledger, 1, guests=1) == [second]


async def test_guest_passes_the_limit_of_the_queue(ledger: Ledger) -> None:
    await many(ledger, "sleeper", 10)
    assert len(await take(ledger, 6, guests=1, limit=3)) == 3
    [guest] = await many(ledger, "quiet", 1)
    assert await take(ledger, 3, guests=1, limit=3) == [guest]


async def test_priority_counts_within_its_namespace(ledger: Ledger) -> None:
    await many(ledger, "loud", 10, priority=1000)
    await take(ledger, 2)
    low, high = (
        (await create(ledger, namespace="quiet", name="low")).id,
        (await create(ledger, namespace="quiet", name="high", priority=7)).id,
    )
    assert await take(ledger, 2) == [high, low]


async def test_weights_divide_the_slots(ledger: Ledger) -> None:
    await set_policy(ledger, "heavy", weight=3.0)
    heavy = await many(ledger, "heavy", 20)
    await many(ledger, "light", 20)
    assert Counter(each in heavy for each in await take(ledger, 8)) == {True: 6, False: 2}


async def test_weights_divide_one_slot_in_time(ledger: Ledger) -> None:
    await set_policy(ledger, "heavy", weight=3.0)
    heavy = await many(ledger, "heavy", 20)
    await many(ledger, "light", 20)
    served = []
    for _ in range(16):
        [run] = await take(ledger, 1)
        served.append(run in heavy)
        await end_runs(ledger, [run])
    assert sum(served) == 12


async def test_idle_time_earns_no_credit(ledger: Ledger) -> None:
    """One who comes back does not get all the turns that it has not used."""
    early = await many(ledger, "early", 40)
    for _ in range(20):
        await end_runs(ledger, await take(ledger, 1))
    await many(ledger, "late", 20)
    served = []
    for _ in range(10):
        [run] = await take(ledger, 1)
        served.append(run in early)
        await end_runs(ledger, [run])
    assert 4 <= sum(served) <= 6


# -- ceilings ----------------------------------------------------------------------------------------------------------


async def test_ceiling_holds_over_queues_and_versions(ledger: Ledger) -> None:
    await set_policy(ledger, "small", max_running=3)
    await many(ledger, "small", 5)
    await many(ledger, "small", 5, queue="gpu")
    taken = [*await take(ledger, 2), *await take(ledger, 5, queue="gpu")]
    assert len(taken) == 3
    await end_runs(ledger, taken[:1])
    assert len(await take(ledger, 5)) == 1
    assert await take(ledger, 5, queue="gpu") == []


async def test_ceiling_holds_for_what_was_handed_back(ledger: Ledger) -> None:
    await set_policy(ledger, "small", max_running=2)
    await many(ledger, "small", 4)
    assert len(await take(ledger, 4, executor="dead")) == 2
    assert await take(ledger, 4) == []
    await hand_back(ledger, "dead")
    assert len(await take(ledger, 4)) == 2


async def test_ceiling_of_zero_suspends_a_namespace(ledger: Ledger) -> None:
    await set_policy(ledger, "off", max_running=0)
    await many(ledger, "off", 2)
    assert await take(ledger, 5) == []
    await set_policy(ledger, "off", max_running=None)
    assert len(await take(ledger, 5)) == 2


async def test_defaults_hold_for_unknown_namespaces(ledger: Ledger) -> None:
    await set_policy(ledger, "", max_running=1)
    await set_policy(ledger, "big", max_running=None)
    await many(ledger, "any", 3)
    await many(ledger, "big", 3)
    assert len(await take(ledger, 9)) == 4


async def test_two_workers_never_exceed_a_ceiling(ledger: Ledger) -> None:
    await set_policy(ledger, "small", max_running=3)
    await many(ledger, "small", 12)
    taken = await asyncio.gather(*(take(ledger, 2, executor=f"w{n}") for n in range(6)))
    assert sum(map(len, taken)) == 3


async def test_held_executions_count_as_nothing_running(ledger: Ledger) -> None:
    await set_policy(ledger, "small", max_running=1)
    held = await create(ledger, namespace="small", name="held", held=True)
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE dbos.workflow_status SET status = 'PENDING' WHERE workflow_uuid = %s", (f"{held.id}-hold",)
        )
    waiting = await many(ledger, "small", 1)
    assert await take(ledger, 2) == waiting


# -- robustness --------------------------------------------------------------------------------------------------------


async def test_runs_of_a_former_operator_are_taken(ledger: Ledger) -> None:
    """While an installation is upgraded, the old operator enqueues without a namespace."""
    old = await many(ledger, "team", 3)
    async with ledger.connection() as connection:
        await connection.execute("UPDATE dbos.workflow_status SET queue_partition_key = NULL")
    new = await many(ledger, "team", 3)
    assert set(await take(ledger, 10)) == {*old, *new}


async def test_locked_runs_of_one_namespace_stop_nobody(ledger: Ledger) -> None:
    locked = await many(ledger, "stopping", 3)
    [quiet] = await many(ledger, "quiet", 1)
    async with ledger.transaction() as connection:
        await connection.execute("SELECT FROM dbos.workflow_status WHERE workflow_uuid = ANY(%s) FOR UPDATE", (locked,))
        assert await take(ledger, 2) == [quiet]


async def test_other_versions_and_applications_are_left(ledger: Ledger) -> None:
    await many(ledger, "team", 2)
    async with ledger.connection() as connection:
        await connection.execute("UPDATE dbos.workflow_status SET application_version = 'other'")
    assert await take(ledger, 5) == []
    assert await take(ledger, 5, application_name="another-app", version="other") == []
    assert len(await take(ledger, 5, version="other")) == 2


async def test_take_gives_what_dbos_expects(ledger: Ledger) -> None:
    [run] = await many(ledger, "team", 1)
    await take(ledger, 5, executor="me", owner="mine", version="v1")
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT status, executor_id, owner_xid, application_version, recovery_attempts,"
            " started_at_epoch_ms IS NOT NULL FROM dbos.workflow_status WHERE workflow_uuid = %s",
            (run,),
        )
        assert await cursor.fetchone() == ("PENDING", "me", "mine", "v1", 1, True)


_RUNS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), min_size=1, max_size=25)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    waiting=_RUNS,
    ceilings=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)),
    free=st.integers(1, 8),
    guests=st.integers(0, 2),
    ends=st.lists(st.integers(0, 7), max_size=30),
)
def test_shares_hold_for_any_mix(
    database_url: str,
    background: BackgroundLoop,
    waiting: list[tuple[str, int]],
    ceilings: dict[str, int],
    free: int,
    guests: int,
    ends: list[int],
) -> None:
    """Whoever waits below its ceiling with nothing running is served before anybody else, or no slot is free."""

    async def play() -> None:
        ledger = Ledger(database_url, application_name="tests", pool_size=2)
        await ledger.open()
        try:
            await rounds(ledger)
        finally:
            await ledger.close()

    async def rounds(ledger: Ledger) -> None:
        async with ledger.connection() as connection:
            await connection.execute("DELETE FROM dbos.workflow_status")
            await connection.execute("DELETE FROM chaingraph.namespace_policies")
            await connection.execute("DELETE FROM chaingraph.queue_shares")
        for namespace, ceiling in ceilings.items():
            await set_policy(ledger, namespace, max_running=ceiling)
        owners: dict[ExecutionId, str] = {}
        for number, (namespace, priority) in enumerate(waiting):
            new = await create(ledger, namespace=namespace, name=f"e{number}", priority=priority)
            owners[new.id] = namespace
        left, running = dict(owners), list[ExecutionId]()
        for end in [0, *ends]:
            if running:
                await end_runs(ledger, [running.pop(end % len(running))])
            before = Counter(owners[each] for each in running)
            taken = await take(ledger, free + guests - len(running), guests=guests)
            running += taken
            for each in taken:
                del left[each]
            counts = Counter(owners[each] for each in running)
            for namespace, ceiling in ceilings.items():
                assert counts[namespace] <= ceiling
            assert len(running) <= free + guests
            starved = {n for n in left.values() if counts[n] == 0 and ceilings.get(n, 9) > 0}
            if starved:
                assert len(running) == free + guests, "a guest slot is free"
                served = Counter(owners[each] for each in taken)
                assert all(before[n] == 0 and served[n] == 1 for n in served), "others were served a second time"

    background.run(play())
