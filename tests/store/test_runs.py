"""A running attempt: claims, fenced flushes, dense indices over owners and crashes."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from chaingraph_store import events, executions
from chaingraph_store.attempts import parking, runs
from chaingraph_store.commands import control, stopping
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId, WorkflowId, workflow_id
from chaingraph_store.ledger import Ledger, dumps
from chaingraph_store.queue import releasing
from fixtures import soak
from fixtures.ledger.moves import PLAIN, steer, take_from_queue
from fixtures.ledger.new_executions import APP, create

pytestmark = pytest.mark.integration
ONE_RUNNING = runs.AttemptProgress(total=3, completed=1, failed=0, skipped=0, running=1, current_nodes=["b"])


def log(*types: str) -> list[runs.LogEntry]:
    return [runs.LogEntry(each, 1_700_000_000_000, dumps({"n": each})) for each in types]


async def claim_again(ledger: Ledger, execution: ExecutionId, worker: str) -> runs.Claim | None:
    async with ledger.connection() as connection:
        return await runs.claim(
            connection,
            execution,
            workflow=workflow_id(execution, 1),
            worker=worker,
        )


async def test_claim_returns_all_data_a_run_needs(ledger: Ledger) -> None:
    new = await create(ledger)
    claim = await take_from_queue(ledger, new.id)
    assert json.loads(claim.flow_spec) == new.flow_spec
    assert json.loads(claim.inputs) == {"city": "Seattle"}
    assert (claim.epoch, claim.journal, claim.started_before) == (1, b"[]", False)
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, new.id)
    assert row is not None
    assert (row.phase, row.worker) == ("Running", "worker-1")
    assert row.started_at == claim.started_at


async def test_first_claim_reports_waiting_time(ledger: Ledger) -> None:
    new = await create(ledger)
    async with ledger.connection() as connection:
        await connection.execute("UPDATE chaingraph.executions SET created_at = created_at - interval '90 s'")
    first = await take_from_queue(ledger, new.id)
    assert first.waited_seconds is not None
    assert 90 <= first.waited_seconds < 150
    again = await claim_again(ledger, new.id, "worker-1")
    assert again is not None
    assert again.waited_seconds is None, "a claim whose answer was lost, or one after a recovery"


async def test_claim_of_held_execution_reports_no_waiting_time(ledger: Ledger) -> None:
    held = await create(ledger, held=True)
    await steer(ledger, held.id, PLAIN, 2)
    async with ledger.transaction() as connection:
        assert await releasing.release(connection, held.id, application_name=APP)
    assert (await take_from_queue(ledger, held.id)).waited_seconds is None


async def test_claim_requires_executor_chosen_by_dbos(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await claim_again(ledger, new.id, "worker-1") is None, "still queued"
    await take_from_queue(ledger, new.id, "worker-1")
    assert await claim_again(ledger, new.id, "worker-2") is None, "another one's"


async def test_a_flush_writes_journal_events_and_row_together(ledger: Ledger) -> None:
    new = await create(ledger)
    claim = await take_from_queue(ledger, new.id)
    entry = runs.JournalEntry("a", "completed", dumps({"outputs": {"text": "nul \u0000 and é"}}))
    async with ledger.connection() as connection:
        first = await runs.flush(
            connection, claim, journal=[entry], log=log("flow:started", "node:completed"), progress=ONE_RUNNING
        )
        row = await executions.by_id(connection, new.id)
        written = await events.read(connection, new.id)
    assert first == 0
    assert row is not None
    assert (row.nodes_completed, row.nodes_running, row.current_nodes) == (1, 1, ["b"])
    assert [(event.index, event.type) for event in written] == [
        (-1, "execution:created"),
        (0, "flow:started"),
        (1, "node:completed"),
    ]
    again = await claim_again(ledger, new.id, "worker-1")
    assert again is not None
    assert json.loads(again.journal) == [[1, json.loads(entry.record)]]
    assert again.started_before


async def test_a_new_owner_fences_the_old_one(ledger: Ledger) -> None:
    new = await create(ledger)
    zombie = await take_from_queue(ledger, new.id)
    owner = await claim_again(ledger, new.id, "worker-1")
    assert owner is not None
    async with ledger.connection() as connection:
        with pytest.raises(OwnershipLost, match=new.id):
            await runs.flush(
                connection,
                zombie,
                journal=[runs.JournalEntry("a", "completed", b"{}")],
                log=log("node:completed"),
                progress=ONE_RUNNING,
            )
        assert [event.index for event in await events.read(connection, new.id)] == [-1], "nothing was written"
        assert await runs.not_ours(connection, [zombie, owner]) == {new.id: runs.AttemptMoved("Running", 0)}
        assert await runs.flush(connection, owner, journal=[], log=log("x"), progress=ONE_RUNNING) == 0


async def test_final_flush_writes_end_and_rejects_later_flushes(ledger: Ledger) -> None:
    new = await create(ledger)
    claim = await take_from_queue(ledger, new.id)
    done = runs.AttemptProgress(total=1, completed=1, failed=0, skipped=0, running=0, current_nodes=[])
    async with ledger.connection() as connection:
        await runs.flush(
            connection,
            claim,
            journal=[],
            log=log("flow:completed"),
            progress=done,
            end=runs.AttemptEnd("Completed", outputs=b'{"total": 3}'),
        )
        row = await executions.by_id(connection, new.id)
        assert row is not None
        assert (row.phase, row.outputs) == ("Completed", {"total": 3})
        assert row.finished_at is not None
        with pytest.raises(OwnershipLost):
            await runs.flush(connection, claim, journal=[], log=log("late"), progress=done)
    assert await claim_again(ledger, new.id, "worker-1") is None


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak.seeds(*range(5)))
async def test_event_indices_stay_dense_across_concurrent_owners(ledger: Ledger, seed: int) -> None:
    """Owners take over from each other at random while all of them go on writing."""
    chance = random.Random(seed)
    new = await create(ledger)
    owners = [await take_from_queue(ledger, new.id)]
    written: list[str] = []

    async def write(owner: runs.Claim, name: str) -> None:
        batch = [f"{name}.{n}" for n in range(chance.randint(0, 4))]
        async with ledger.connection() as connection:
            try:
                await runs.flush(connection, owner, journal=[], log=log(*batch), progress=ONE_RUNNING)
            except OwnershipLost:
                return
        written.extend(batch)

    for round_number in range(15):
        if chance.random() < 0.4:
            owner = await claim_again(ledger, new.id, "worker-1")
            assert owner is not None
            owners.append(owner)
        await asyncio.gather(*(write(owner, f"{round_number}/{owner.epoch}") for owner in owners))
    async with ledger.connection() as connection:
        log_rows = await events.read(connection, new.id, from_index=0)
    assert [event.index for event in log_rows] == list(range(len(log_rows)))
    assert sorted(event.type for event in log_rows) == sorted(written)


async def test_the_hot_path_reads_no_whole_table(ledger: Ledger) -> None:
    new = await create(ledger)
    claim = await take_from_queue(ledger, new.id)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, phase, workflow_id)"
            " SELECT 'EX' || n, 'team', n::text, %s, 'q', 'EX' || n, 'Completed', 'EX' || n"
            " FROM generate_series(1, 20000) n",
            (new.flow_revision,),
        )
        await connection.execute(
            "INSERT INTO chaingraph.journal (execution_id, node_id, attempt, outcome, record)"
            " SELECT 'EX' || n, 'a', 1, 'completed', '{}' FROM generate_series(1, 20000) n"
        )
        await connection.execute("ANALYZE chaingraph.executions, chaingraph.journal")
        await connection.execute("LOAD 'auto_explain'")
        await connection.execute("SET auto_explain.log_min_duration = 0; SET client_min_messages = 'log'")
        await connection.execute("SET auto_explain.log_analyze = off")
        plans: list[str] = []
        connection.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
        await runs.flush(connection, claim, journal=[], log=log("x"), progress=ONE_RUNNING)
        claimed_again = await runs.claim(connection, new.id, workflow=WorkflowId(new.id), worker="worker-1")
        assert claimed_again is not None
        await connection.execute("SELECT id FROM chaingraph.executions WHERE change_seq > 20000 ORDER BY change_seq")
        await runs.not_ours(connection, [claim])
        await parking.park(connection, claimed_again, applied_seq=0, held_nodes=[])
        wanted = control.DesiredControl(True, "", "", (), "Stop")
        await control.apply(connection, new.id, wanted, generation=2, application_name=APP)
        await stopping.stop(connection, new.id, reason="enough")
    ours = [plan for plan in plans if "chaingraph.executions" in plan]
    assert len(ours) == 9, "\n".join(each[:160] for each in ours)
    for plan in ours:
        assert "Index Scan" in plan
        assert "Seq Scan on executions" not in plan
        assert "Seq Scan on journal" not in plan


async def test_a_flush_whose_answer_was_lost_is_not_written_twice(ledger: Ledger) -> None:
    """The worker sees a broken connection and repeats the statement; it had committed."""
    new = await create(ledger)
    claim = await take_from_queue(ledger, new.id)
    async with ledger.connection() as connection:
        for _ in range(3):
            written = await runs.flush(
                connection,
                claim,
                journal=[runs.JournalEntry("a", "completed", dumps({"nodeId": "a"}))],
                log=log("flow:started", "node:started"),
                progress=ONE_RUNNING,
                first=claim.next_event_index,
            )
            assert written == claim.next_event_index
        for _ in range(2):
            await runs.flush(
                connection,
                claim,
                journal=[],
                log=log("flow:completed"),
                progress=ONE_RUNNING,
                end=runs.AttemptEnd("Completed"),
                first=claim.next_event_index + 2,
            )
        found = [(each.index, each.type) for each in await events.read(connection, new.id, from_index=0)]
    assert found == [(0, "flow:started"), (1, "node:started"), (2, "flow:completed")]


async def test_a_repeated_flush_of_a_former_owner_is_refused(ledger: Ledger) -> None:
    new = await create(ledger)
    claim = await take_from_queue(ledger, new.id)
    async with ledger.connection() as connection:
        await runs.flush(connection, claim, journal=[], log=log("flow:started"), progress=ONE_RUNNING, first=0)
        assert await claim_again(ledger, new.id, "worker-1") is not None
        with pytest.raises(OwnershipLost):
            await runs.flush(connection, claim, journal=[], log=log("flow:started"), progress=ONE_RUNNING, first=0)
