"""Hand-back and retry of executions that still have to spawn, and of children."""

from __future__ import annotations

import pytest

from chaingraph_store.children import completion
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import recovery
from fixtures.ledger import moves
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import claimed, workflows
from fixtures.ledger.new_executions import APP, create
from fixtures.trees.children import complete, complete_and_spawn, items, spawn
from fixtures.trees.forest import forest, settle_all, spawn_batch, stop_tree, together

pytestmark = pytest.mark.integration


async def revive(ledger: Ledger) -> list[recovery.HandedBack]:
    async with ledger.transaction() as connection:
        return await recovery.revive_stranded(connection, application_name=APP)


async def ended_long_ago(ledger: Ledger, *, seconds: int) -> None:
    """Every workflow was touched last so much earlier."""
    async with ledger.connection() as connection:
        await connection.execute("UPDATE dbos.workflow_status SET updated_at = updated_at - %s * 1000", (seconds,))


async def test_hand_back_requeues_execution_lost_while_spawning(ledger: Ledger) -> None:
    new, spawned, barred = await create(ledger), await create(ledger), await create(ledger)
    for each in (new, spawned, barred):
        await complete(ledger, each.id, children=300, worker="dead")
        await spawn_batch(ledger, each.id, 300)
    await spawn_batch(ledger, spawned.id, 300)
    await stop_tree(ledger, barred.id)
    before = await row_of(ledger, new.id)
    assert await moves.hand_back(ledger, "dead") == [], "no attempt is lost: it has completed"
    states = await workflows(ledger)
    assert [states[each.id] for each in (new, spawned, barred)] == ["ENQUEUED", "CANCELLED", "CANCELLED"]
    assert await row_of(ledger, new.id) == before
    assert await moves.claim(ledger, new.id) is None, "there is nothing to run"
    assert len(await spawn(ledger, new.id, items(300))) == 300
    assert (await row_of(ledger, new.id)).children_spawned == 300
    found = await forest(ledger, new.id)
    found.check()
    assert await moves.hand_back(ledger, "worker-1") == []
    assert (await workflows(ledger))[new.id] == "CANCELLED", "whose end nobody could record"


@pytest.mark.parametrize("outcome", ["SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])
async def test_revive_requeues_workflow_with_children_to_spawn(ledger: Ledger, outcome: str) -> None:
    left, done, barred = await create(ledger), await create(ledger), await create(ledger)
    for each in (left, done, barred):
        await complete(ledger, each.id, children=1)
    await spawn_batch(ledger, done.id, 1)
    await stop_tree(ledger, barred.id)
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE dbos.workflow_status SET status = %s WHERE status = 'PENDING'",
            (outcome,),
        )
        await connection.execute(
            "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, error)"
            " SELECT workflow_uuid, 1, 'run_flow', 'boom' FROM dbos.workflow_status"
        )
    await ended_long_ago(ledger, seconds=3)
    assert await revive(ledger) == []
    assert "ENQUEUED" not in [(await workflows(ledger))[each.id] for each in (left, done, barred)], (
        "it may be on its way"
    )
    await ended_long_ago(ledger, seconds=4)
    before = await row_of(ledger, left.id)
    assert await together(revive(ledger), revive(ledger)) == [[], []]
    states = await workflows(ledger)
    assert [states[each.id] for each in (left, done, barred)] == ["ENQUEUED", outcome, outcome]
    assert await row_of(ledger, left.id) == before
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT workflow_uuid FROM dbos.operation_outputs WHERE workflow_uuid = %s", (left.id,)
        )
        assert await cursor.fetchall() == [], "or DBOS would replay it"
    await spawn(ledger, left.id, items(1))
    await moves.claim(ledger, left.id)
    await moves.finish_workflow(ledger, left.id)
    await ended_long_ago(ledger, seconds=60)
    assert await revive(ledger) == []
    assert (await workflows(ledger))[left.id] == "SUCCESS"


async def test_given_up_child_is_settled_as_failed(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    (child,) = await complete_and_spawn(ledger, root, 1)
    await moves.claimed(ledger, child, "dead")
    (back,) = await moves.hand_back(ledger, "dead", max_recoveries=1)
    assert back.given_up
    await settle_all(ledger)
    found = await forest(ledger, root)
    found.check()
    found.check_settled()
    assert found.logs[root][-1][1:][1]["reason"] == "TooManyRecoveries"


async def test_hand_backs_stops_and_settling_at_once_do_not_deadlock(ledger: Ledger) -> None:
    for number in range(6):
        root, worker = (await create(ledger)).id, f"dead-{number}"
        children = await complete_and_spawn(ledger, root, 8)
        for child in children[:4]:
            await claimed(ledger, child, worker)
        await complete(ledger, children[4], children=5, worker=worker)
        answers = await together(
            stop_tree(ledger, root),
            moves.hand_back(ledger, worker, max_recoveries=1),
            completion.settle_upwards(ledger, root, application_name=APP),
            spawn_batch(ledger, children[4], 5),
            settle_all(ledger),
        )
        assert not [error for error in answers if isinstance(error, BaseException)]
        await stop_tree(ledger, root)
        await settle_all(ledger)
        found = await forest(ledger, root)
        found.check()
        found.check_settled()
        assert found.at_rest(found.members[root])
