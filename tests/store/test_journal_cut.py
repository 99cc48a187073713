"""A retry that cuts the journal, and one that takes another revision of the flow: in one transaction, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chaingraph_store import events
from chaingraph_store.attempts import runs
from chaingraph_store.commands import journal_cut
from chaingraph_store.commands.journal_cut import EndedAttempt, JournalCut, NewRevision
from chaingraph_store.commands.retrying import RefusedRetry
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import claimed, flush, retry
from fixtures.ledger.new_executions import create

pytestmark = pytest.mark.integration
FAILED = runs.AttemptEnd("Failed", error_node="c", error_reason="NodeFailed", error_message="broken")
CUT = JournalCut(attempt=1, node="b", dropped=("b", "c"), kept=1, completed=1, again=("b", "c"))
LATEST = NewRevision("f" * 64, {"nodes": [{"id": "a", "type": "Text"}, {"id": "z", "type": "Text"}]}, 2, {"town": "\0"})


async def failed(ledger: Ledger) -> ExecutionId:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    await flush(ledger, taken, "flow:started", "flow:failed", journal=["a", "b", "c"], completed=3, end=FAILED)
    return new.id


async def journal_of(ledger: Ledger, execution: ExecutionId) -> list[str]:
    async with ledger.connection() as connection:
        ended = await journal_cut.ended_attempt(connection, execution)
    assert ended is not None
    return list(ended.journal)


async def test_ended_attempt_has_all_to_decide_from(ledger: Ledger) -> None:
    new = await create(ledger, events=[{"name": "paid", "payload": "\0"}, {"name": "sent"}])
    await flush(ledger, await claimed(ledger, new.id), "flow:started", journal=["a"], completed=1, end=FAILED)
    async with ledger.connection() as connection:
        assert await journal_cut.ended_attempt(connection, new.id) == EndedAttempt(
            1, new.flow_revision, new.flow_spec, new.inputs, ("paid", "sent"), {"a": "completed"}
        )
        assert await journal_cut.ended_attempt(connection, ExecutionId("EXnone")) is None


@pytest.mark.parametrize("paused", [False, True])
async def test_cut_entries_are_gone_and_the_others_stay(ledger: Ledger, paused: bool) -> None:
    execution = await failed(ledger)
    before = await row_of(ledger, execution)
    assert await retry(ledger, execution, "again", cut=CUT, paused=paused) is True
    row = await row_of(ledger, execution)
    assert (row.phase, row.attempt, row.nodes_completed) == ("Paused" if paused else "Pending", 2, 1)
    assert (row.flow_revision, row.nodes_total) == (before.flow_revision, before.nodes_total)
    assert await journal_of(ledger, execution) == ["a"]
    told = row.attempts[-1]
    assert (told["retriedNode"], told["kept"], told["runsAgain"], told["runsAgainTotal"]) == ("b", 1, ["b", "c"], 2)
    assert told["flowRevision"] is None
    async with ledger.connection() as connection:
        log = await events.read(connection, execution)
        cursor = await connection.execute(
            "SELECT recovered_nodes, next_event_index FROM chaingraph.executions WHERE id = %s", [execution]
        )
        assert await cursor.fetchone() == (1, log[-1].index + 1)
    assert [event.index for event in log] == list(range(-1, len(log) - 1))
    assert [event.type for event in log[3:]] == ["flow:retried", *(["flow:paused"] if paused else [])]
    assert log[3].data == {"attempt": 2, "kept": 1, "runsAgain": ["b", "c"], "runsAgainTotal": 2, "node": "b"}
    if not paused:
        assert json.loads((await claimed(ledger, execution)).journal) == [[1, {"node": "a"}]]


async def test_execution_runs_the_new_revision_from_then_on(ledger: Ledger) -> None:
    execution = await failed(ledger)
    former = (await row_of(ledger, execution)).flow_revision
    cut = replace(CUT, node="", again=("b",), removed=1, flow=LATEST)
    assert await retry(ledger, execution, "again", cut=cut) is True
    row = await row_of(ledger, execution)
    assert (row.flow_revision, row.nodes_total) == (LATEST.revision, 2)
    assert (row.attempts[-1]["flowRevision"], row.attempts[-1]["removed"]) == (former, 1)
    taken = await claimed(ledger, execution)
    assert (json.loads(taken.flow_spec), json.loads(taken.inputs)) == (LATEST.spec, LATEST.inputs)
    async with ledger.connection() as connection:
        data = (await events.read(connection, execution, from_index=2))[0].data
    assert (data["flowRevision"], data["formerRevision"], data["removed"]) == (LATEST.revision, former, 1)


async def test_start_drops_the_whole_journal(ledger: Ledger) -> None:
    execution = await failed(ledger)
    cut = replace(CUT, node="", kept=0, completed=0, flow=LATEST)
    assert await retry(ledger, execution, "again", cut=cut, from_start=True) is True
    assert await journal_of(ledger, execution) == []
    assert (await row_of(ledger, execution)).nodes_completed == 0


async def test_cut_of_another_attempt_changes_nothing(ledger: Ledger) -> None:
    execution = await failed(ledger)
    assert await retry(ledger, execution, "first", cut=CUT) is True
    await flush(ledger, await claimed(ledger, execution), "flow:started", journal=["b", "c"], completed=3, end=FAILED)
    before = await row_of(ledger, execution)
    assert await retry(ledger, execution, "second", cut=CUT) is False
    assert await row_of(ledger, execution) == before
    assert await retry(ledger, execution, "second", cut=replace(CUT, attempt=2)) is True, "its token was not used up"
    assert await retry(ledger, execution, "second", cut=replace(CUT, attempt=2)) is False
    assert await journal_of(ledger, execution) == ["a"]


async def test_forged_revision_is_refused(ledger: Ledger) -> None:
    execution = await failed(ledger)
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.flow_revisions (revision, spec) VALUES (%s, %s)", (LATEST.revision, '{"nodes":[]}')
        )
    answer = await retry(ledger, execution, "again", cut=replace(CUT, flow=LATEST))
    assert isinstance(answer, RefusedRetry)
    assert answer.reason == "ConflictingRevision"
    row = await row_of(ledger, execution)
    assert (row.phase, row.attempt, row.retry_refusal) == ("Failed", 1, "ConflictingRevision")
    assert await journal_of(ledger, execution) == ["a", "b", "c"]
