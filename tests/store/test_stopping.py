"""STOP, in every phase that it can meet, and down the tree."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store import events, executions
from chaingraph_store.attempts import runs
from chaingraph_store.children import turns
from chaingraph_store.children.child_rows import hide as hide_below
from chaingraph_store.commands import stopping
from chaingraph_store.commands.creation import NewExecution
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import releasing
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import (
    claimed,
    hand_back,
    log_of,
    paused_and_parked,
    retry,
    steer,
    stop,
    take_from_queue,
    workflows,
)
from fixtures.ledger.new_executions import APP, create
from fixtures.trees.children import complete, complete_and_spawn, items, spawn
from fixtures.trees.forest import active, forest, in_line, lock, settle_all, spawn_batch, stop_tree, together

pytestmark = pytest.mark.integration
NOTHING = runs.AttemptProgress(total=1, completed=0, failed=0, skipped=0, running=0, current_nodes=[])


async def test_stop_cancels_queued_execution(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await stop(ledger, new.id)
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, new.id)
        log = await events.read(connection, new.id)
        assert await workflows(ledger) == {new.id: "CANCELLED"}
    assert row is not None
    assert (row.phase, row.error_message) == ("Stopped", "enough")
    assert [(event.index, event.type, event.data) for event in log[1:]] == [(0, "flow:cancelled", {"reason": "enough"})]


async def test_stopped_held_execution_cannot_be_released(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    assert await stop(ledger, new.id)
    async with ledger.transaction() as connection:
        assert await workflows(ledger) == {f"{new.id}-hold": "CANCELLED"}
        assert not await releasing.release(connection, new.id, application_name=APP)


async def test_stop_fences_running_execution_and_notifies_worker(ledger: Ledger) -> None:
    new = await create(ledger)
    claim = await take_from_queue(ledger, new.id)
    async with ledger.connection() as ear:
        await ear.execute("LISTEN chaingraph_control")
        assert await stop(ledger, new.id)
        told = [notice.payload async for notice in ear.notifies(timeout=5, stop_after=1)]
    assert told == [new.id]
    async with ledger.connection() as connection:
        with pytest.raises(OwnershipLost):
            await runs.flush(connection, claim, journal=[], log=[], progress=NOTHING, end=runs.AttemptEnd("Completed"))
        row = await executions.by_id(connection, new.id)
        assert row is not None
        assert row.phase == "Stopped", "a stop is not overtaken by a completion"


async def test_stop_ignores_ended_execution(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await stop(ledger, new.id)
    assert not await stop(ledger, new.id)
    async with ledger.connection() as connection:
        assert len(await events.read(connection, new.id)) == 2


async def test_stop_ignores_unknown_execution(ledger: Ledger) -> None:
    assert not await stop(ledger, ExecutionId("EXNOTHING"))


async def child_of(ledger: Ledger, parent: NewExecution, **columns: str) -> NewExecution:
    """A child that was spawned: its parent and root are in its row."""
    child = await create(ledger)
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions e SET parent_id = p.id, root_id = p.root_id, depth = p.depth + 1, uid = NULL,"
            " position = p.children_total"
            " FROM chaingraph.executions p WHERE e.id = %s AND p.id = %s",
            (child.id, parent.id),
        )
        await connection.execute(
            "UPDATE chaingraph.executions SET children_total = children_total + 1,"
            " children_spawned = children_spawned + 1 WHERE id = %s",
            (parent.id,),
        )
        for column, value in columns.items():
            await connection.execute(f"UPDATE chaingraph.executions SET {column} = %s WHERE id = %s", (value, child.id))
    return child


async def phases(ledger: Ledger, *each: NewExecution) -> list[str]:
    return [(await row_of(ledger, one.id)).phase for one in each]


async def test_stop_of_parked_execution_clears_its_pause(ledger: Ledger) -> None:
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    assert await stop(ledger, new.id)
    row = await row_of(ledger, new.id)
    assert (row.phase, row.parked, row.paused, row.current_nodes, row.steps_owed) == ("Stopped", False, False, [], 0)
    assert await log_of(ledger, new.id) == ["flow:started", "flow:paused", "flow:cancelled"]


async def test_stop_overtakes_step_of_parked_execution(ledger: Ledger) -> None:
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    assert await steer(ledger, new.id, step="1")
    assert await stop(ledger, new.id)
    assert (await workflows(ledger))[f"{new.id}-2"] == "CANCELLED"


async def test_stop_descends_as_far_as_on_stop_allows(ledger: Ledger) -> None:
    root = await create(ledger)
    ended = await child_of(ledger, root)
    below_ended = await child_of(ledger, ended)
    await stop(ledger, ended.id, children=False)
    lenient = await child_of(ledger, root, on_stop="Continue")
    spared = await child_of(ledger, lenient)
    parked = await child_of(ledger, root)
    await paused_and_parked(ledger, parked.id)
    beside = await create(ledger)
    async with ledger.connection() as ear:
        await ear.execute("LISTEN chaingraph_control")
        assert await stop(ledger, root.id)
        told = {notice.payload async for notice in ear.notifies(timeout=5, stop_after=4)}
    assert told == {each.id for each in (root, below_ended, lenient, parked)}
    assert await phases(ledger, root, ended, below_ended, lenient, parked) == ["Stopped"] * 5
    assert await phases(ledger, spared, beside) == ["Pending", "Pending"]
    assert (await row_of(ledger, root.id)).error_message == "enough"
    assert (await row_of(ledger, below_ended.id)).error_message == f"Stopped with its ancestor {root.id}: enough"
    assert await log_of(ledger, ended.id) == ["flow:cancelled"], "once"
    states = await workflows(ledger)
    assert {each for each, state in states.items() if state == "ENQUEUED"} == {spared.id, beside.id}


async def test_stop_can_let_children_continue(ledger: Ledger) -> None:
    root = await create(ledger)
    child = await child_of(ledger, root)
    assert await stop(ledger, root.id, children=False)
    assert await phases(ledger, root, child) == ["Stopped", "Pending"]


async def test_later_stop_ends_spared_children(ledger: Ledger) -> None:
    root = await create(ledger)
    child = await child_of(ledger, root)
    assert await stop(ledger, root.id, children=False)
    assert await stop(ledger, root.id)
    assert await phases(ledger, root, child) == ["Stopped", "Stopped"]
    assert not await stop(ledger, root.id)


async def test_stops_and_hand_back_in_one_tree_do_not_deadlock(ledger: Ledger) -> None:
    spawners = set()
    for number in range(6):
        root = (await create(ledger)).id
        worker = f"worker-{number}"
        children = await complete_and_spawn(ledger, root, 4, worker=worker)
        below = [each for child in children[:3] for each in await complete_and_spawn(ledger, child, 4, worker=worker)]
        await complete(ledger, below[0], children=3, worker=worker)
        for each in [children[3], *below[1::2]]:
            await claimed(ledger, each, worker)
        stops = [stop_tree(ledger, each) for each in (root, root, *children[1:], below[1])]
        answers = await together(*stops, hand_back(ledger, worker), stop_tree(ledger, children[0], deleted=True))
        assert not [error for error in answers if isinstance(error, BaseException)]
        assert await active(ledger) == set()
        queued = {each for each, state in (await workflows(ledger)).items() if state == "ENQUEUED"}
        spawners.add(below[0])
        assert queued <= spawners, "who takes it finds nothing left to spawn"
        await settle_all(ledger)
        found = await forest(ledger)
        found.check()
        found.check_settled()
        for log in found.logs.values():
            assert [kind for _, kind, _ in log].count("flow:cancelled") <= 1


@pytest.mark.parametrize("ends_meanwhile", [False, True])
@pytest.mark.parametrize("deleted", [False, True])
async def test_waiting_stop_ends_children_spawned_meanwhile(
    ledger: Ledger, deleted: bool, ends_meanwhile: bool
) -> None:
    """The stop has found their parent active or with nothing made, and gets its lock after they were made."""
    root = (await create(ledger)).id
    first, *_, parent = sorted(await complete_and_spawn(ledger, root, 5))
    assert await stop_tree(ledger, root)
    for each in (first, parent):
        assert await retry(ledger, each, "again") is True
    if not ends_meanwhile:
        await complete(ledger, parent, children=3)
    async with ledger.transaction() as connection:
        assert await stopping.stop(connection, first, reason="this one too")
        ending = asyncio.create_task(stop_tree(ledger, root, deleted=deleted))
        await in_line(ledger, 1)
        if ends_meanwhile:
            await complete(ledger, parent, children=3)
        children = await spawn(ledger, parent, items(3))
        assert await active(ledger) == {first, *children}
    assert await ending
    assert await active(ledger) == set(), "whatever was there when the stop began"
    assert {(await workflows(ledger))[child] for child in children} == {"CANCELLED"}


@pytest.mark.parametrize("ends_meanwhile", [False, True])
async def test_waiting_stop_bars_children_not_yet_spawned(ledger: Ledger, ends_meanwhile: bool) -> None:
    root = (await create(ledger)).id
    first, *_, parent = sorted(await complete_and_spawn(ledger, root, 5))
    if not ends_meanwhile:
        await complete(ledger, parent, children=300)
    async with ledger.transaction() as connection:
        await lock(connection, first)
        ending = asyncio.create_task(stop_tree(ledger, root))
        await in_line(ledger, 1)
        if ends_meanwhile:
            await complete(ledger, parent, children=300)
        made = await spawn_batch(ledger, parent, 300)
        assert made is not None
        assert made.made == 200
    assert await ending
    assert await spawn_batch(ledger, parent, 300) is None
    row = await row_of(ledger, parent)
    assert (row.phase, row.children_spawned, row.children_suppressed, row.children_active) == (
        "Completed",
        200,
        100,
        200,
    )
    assert row.tree_stopped
    assert await active(ledger) == set()
    await settle_all(ledger)
    (await forest(ledger)).check_settled()


async def test_stop_of_completed_root_records_generation_once(
    ledger: Ledger,
) -> None:
    root = (await create(ledger)).id
    middle, other = await complete_and_spawn(ledger, root, 2)
    (leaf,) = await complete_and_spawn(ledger, middle, 1)
    await complete(ledger, other)
    assert await stop_tree(ledger, root, generation=7)
    row = await row_of(ledger, root)
    assert (row.phase, row.tree_stopped, row.observed_generation) == ("Completed", True, 7)
    assert (await row_of(ledger, middle)).tree_stopped, "what is below it was stopped, with something above it"
    assert not (await row_of(ledger, other)).tree_stopped
    assert (await row_of(ledger, leaf)).observed_generation == 0, "that of another resource"
    before = row.change_seq
    assert not await stop_tree(ledger, root, generation=7)
    assert (await row_of(ledger, root)).change_seq == before
    await settle_all(ledger)
    (await forest(ledger)).check_settled()


async def test_delete_of_ended_tree_hides_children_and_stops_nothing(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    middle, other = await complete_and_spawn(ledger, root, 2)
    (leaf,) = await complete_and_spawn(ledger, middle, 1)
    for each in (other, leaf):
        await complete(ledger, each)
    await settle_all(ledger)
    before = await log_of(ledger, root)
    await stop_tree(ledger, root, deleted=True)
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT id, resources FROM chaingraph.executions")
        hidden = {row[0] for row in await cursor.fetchall() if row[1] == "None"}
    assert hidden == {middle, other, leaf}, "the root has one"
    assert not (await row_of(ledger, middle)).tree_stopped
    assert await log_of(ledger, root) == before
    assert not await stop_tree(ledger, root, deleted=True)


async def test_delete_and_hide_at_once_do_not_deadlock(ledger: Ledger) -> None:
    """The deletion stops and hides; a creation of a child's resource that finds the parent gone hides as well."""
    for _ in range(8):
        root = (await create(ledger)).id
        children = await complete_and_spawn(ledger, root, 20)
        for child in children[::2]:
            await complete(ledger, child)
        below = await complete_and_spawn(ledger, children[1], 10)
        assert not [
            error
            for error in await together(
                stop_tree(ledger, root, deleted=True),
                hide(ledger, root),
                *(stop_tree(ledger, child, deleted=True) for child in children[:4]),
            )
            if isinstance(error, BaseException)
        ]
        async with ledger.connection() as connection:
            assert await turns.count(connection, namespaces=None) == 0
        assert await active(ledger) == set(), below


async def hide(ledger: Ledger, parent: ExecutionId) -> int:
    async with ledger.transaction() as connection:
        return await hide_below(connection, parent)
