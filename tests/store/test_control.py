"""Commands: what each does to an execution wherever it is, once however often, and who is told."""

from __future__ import annotations

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.commands.control import ControlUpdate
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.flows import flow_revisions
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import releasing
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import (
    claimed,
    flush,
    log_of,
    messages,
    park,
    paused_and_parked,
    place,
    retry,
    steer,
    stop,
    workflows,
)
from fixtures.ledger.new_executions import APP, create

pytestmark = pytest.mark.integration
NODES = {"nodes": [{"id": "a", "type": "Text"}, {"id": "b", "type": "Text"}]}


async def release(ledger: Ledger, execution: ExecutionId) -> bool:
    async with ledger.transaction() as connection:
        return await releasing.release(connection, execution, application_name=APP)


# -- held ------------------------------------------------------------------------------------------------------


async def test_resume_of_held_execution_sends_start_signal_once(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    assert await steer(ledger, new.id) == ControlUpdate(("START",))
    assert await steer(ledger, new.id) == ControlUpdate()
    assert [topic for _, topic, _ in await messages(ledger)] == ["START_SIGNAL"]
    assert await release(ledger, new.id)
    assert await place(ledger, new.id) == ("Pending", False, False, 0)


async def test_resume_token_alone_does_not_start_held_execution(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    assert await steer(ledger, new.id, paused=True, resume="1") == ControlUpdate((), ("RESUME",))
    assert await messages(ledger) == []
    row = await row_of(ledger, new.id)
    assert (row.phase, row.resume_token) == ("Created", "1"), "the token is used up"


async def test_step_starts_held_execution_in_single_steps(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    assert await steer(ledger, new.id, paused=True, step="1") == ControlUpdate(("STEP",))
    assert await steer(ledger, new.id, paused=True, step="2") == ControlUpdate(("STEP",))
    assert [topic for _, topic, _ in await messages(ledger)] == ["START_SIGNAL"]
    assert await release(ledger, new.id)
    assert await place(ledger, new.id) == ("Pending", False, True, 2)
    taken = await claimed(ledger, new.id)
    assert (taken.paused, taken.steps_owed, taken.started_before) == (True, 2, False)
    assert await log_of(ledger, new.id) == ["flow:paused"], "the engine has nothing to announce"


async def test_release_parks_held_execution_paused_again(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    assert await steer(ledger, new.id) == ControlUpdate(("START",))
    assert await steer(ledger, new.id, paused=True) == ControlUpdate(("PAUSE",))
    assert await log_of(ledger, new.id) == []
    assert await release(ledger, new.id)
    assert await place(ledger, new.id) == ("Paused", True, True, 0)
    assert await log_of(ledger, new.id) == ["flow:paused"]
    assert new.id not in await workflows(ledger), "it takes no place in the queue"


# -- queued ----------------------------------------------------------------------------------------------------


async def test_pause_parks_queued_run_and_resume_enqueues_next(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await steer(ledger, new.id, paused=True) == ControlUpdate(("PAUSE",))
    assert await steer(ledger, new.id, paused=True) == ControlUpdate()
    assert await place(ledger, new.id) == ("Paused", True, True, 0)
    assert await workflows(ledger) == {new.id: "CANCELLED"}
    assert await steer(ledger, new.id) == ControlUpdate(("RESUME",))
    assert await workflows(ledger) == {new.id: "CANCELLED", f"{new.id}-2": "ENQUEUED"}
    row = await row_of(ledger, new.id)
    assert (row.phase, row.run, row.attempt, row.workflow_id) == ("Pending", 2, 1, f"{new.id}-2")
    assert await log_of(ledger, new.id) == ["flow:paused", "flow:resumed"]
    assert await messages(ledger) == []


async def test_step_and_resume_are_ignored_and_used_up_when_queued(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await steer(ledger, new.id, step="1", resume="1") == ControlUpdate((), ("RESUME", "STEP"))
    row = await row_of(ledger, new.id)
    assert (row.step_token, row.resume_token, row.step_seqs) == ("1", "1", [])
    assert await steer(ledger, new.id, step="1", resume="1") == ControlUpdate()
    assert await steer(ledger, new.id) == ControlUpdate(), "a token that is taken away asks for nothing"


async def test_ledger_announces_resume_of_queued_run_with_owed_step(ledger: Ledger) -> None:
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    assert await steer(ledger, new.id, step="1") == ControlUpdate(("STEP",))
    assert await place(ledger, new.id) == ("Pending", False, True, 1)
    assert await steer(ledger, new.id, step="1", resume="1") == ControlUpdate(("RESUME",))
    assert await place(ledger, new.id) == ("Pending", False, False, 0)
    assert await log_of(ledger, new.id) == ["flow:started", "flow:paused", "flow:resumed"]
    assert (await claimed(ledger, new.id)).paused is False


async def test_pause_with_step_single_steps_queued_execution(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await steer(ledger, new.id, paused=True, step="1") == ControlUpdate(("PAUSE", "STEP"))
    assert await workflows(ledger) == {new.id: "CANCELLED", f"{new.id}-2": "ENQUEUED"}
    assert await place(ledger, new.id) == ("Pending", False, True, 1)
    assert await log_of(ledger, new.id) == ["flow:paused"]


# -- active ----------------------------------------------------------------------------------------------------


async def test_edit_sends_numbered_commands_in_one_message(ledger: Ledger) -> None:
    new = await create(ledger, flow_spec=NODES, flow_revision="two nodes")
    taken = await claimed(ledger, new.id)
    async with ledger.connection() as ear:
        await ear.execute("LISTEN chaingraph_control")
        updated = await steer(ledger, new.id, paused=True, step="now", breakpoints=("b", "c"))
        told = [notice.payload async for notice in ear.notifies(timeout=5, stop_after=1)]
    assert updated == ControlUpdate(("BREAKPOINTS", "PAUSE", "STEP"))
    assert told == [new.id]
    assert await messages(ledger) == [
        (
            new.id,
            "COMMAND",
            {
                "commands": [
                    {"seq": 1, "kind": "BREAKPOINTS", "breakpoints": ["b", "c"]},
                    {"seq": 2, "kind": "PAUSE"},
                    {"seq": 3, "kind": "STEP", "token": "now"},
                ]
            },
        )
    ]
    wanted = {"paused": True, "step": "now", "breakpoints": ("c", "b")}
    assert await steer(ledger, new.id, **wanted) == ControlUpdate(), "breakpoints are a set"
    assert len(await messages(ledger)) == 1
    assert await log_of(ledger, new.id) == [], "the engine announces"
    assert taken.control_seq == 0
    async with ledger.connection() as connection:
        assert await runs.not_ours(connection, [taken]) == {new.id: runs.AttemptMoved(None, 3)}


async def test_resume_by_token_and_spec_sends_one_command(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    await steer(ledger, new.id, paused=True)
    await flush(ledger, taken, "flow:started", "flow:paused", paused=True, applied=1)
    assert await steer(ledger, new.id, resume="1", paused=False) == ControlUpdate(("RESUME",))
    assert [message["commands"] for _, _, message in await messages(ledger)][1] == [{"seq": 2, "kind": "RESUME"}]


async def test_resume_token_does_not_override_spec_paused(ledger: Ledger) -> None:
    new = await create(ledger)
    await claimed(ledger, new.id)
    await steer(ledger, new.id, paused=True)
    assert await steer(ledger, new.id, paused=True, resume="1") == ControlUpdate((), ("RESUME",))
    assert (await row_of(ledger, new.id)).paused


async def test_breakpoint_hit_accepts_step_and_resume_token(ledger: Ledger) -> None:
    new = await create(ledger, breakpoints=("a",))
    taken = await claimed(ledger, new.id)
    assert taken.breakpoints == ["a"]
    assert await steer(ledger, new.id, breakpoints=("a",), step="1") == ControlUpdate((), ("STEP",))
    await flush(ledger, taken, "flow:paused", paused=True, node="a", current=["a"])
    row = await row_of(ledger, new.id)
    assert (row.phase, row.paused, row.pause_node, row.wants_pause) == ("Paused", True, "a", False)
    held = {"breakpoints": ("a",), "step": "2"}
    assert await steer(ledger, new.id, **held) == ControlUpdate(("STEP",))
    assert await steer(ledger, new.id, **held, resume="1") == ControlUpdate(("RESUME",))
    await flush(ledger, taken, "flow:resumed", applied=2)
    assert await place(ledger, new.id) == ("Running", False, False, 0)


async def test_flush_older_than_command_does_not_undo_it(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    await steer(ledger, new.id, paused=True)
    await flush(ledger, taken, applied=0)
    assert await place(ledger, new.id) == ("Running", False, True, 0), "the phase is the engine's, the wish ours"
    await flush(ledger, taken, "flow:paused", applied=1, paused=True)
    await steer(ledger, new.id, paused=False)
    await flush(ledger, taken, applied=1, paused=True)
    assert await place(ledger, new.id) == ("Paused", False, False, 0)
    assert (await row_of(ledger, new.id)).pause_node == ""


async def test_breakpoint_hit_registers_with_commands_in_flight(ledger: Ledger) -> None:
    new = await create(ledger, breakpoints=("a",))
    taken = await claimed(ledger, new.id)
    await steer(ledger, new.id, breakpoints=("a", "b"))
    await flush(ledger, taken, "flow:paused", applied=0, paused=True, node="a")
    assert await steer(ledger, new.id, breakpoints=("a", "b"), resume="1") == ControlUpdate(("RESUME",))


async def test_steps_stay_owed_until_engine_makes_them(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    for step in ("", "1", "2", "3"):
        await steer(ledger, new.id, paused=True, step=step)
    seen = []
    for applied, owed in ((1, 0), (3, 2), (3, 1), (4, 2), (4, 1), (4, 0)):
        await flush(ledger, taken, applied=applied, paused=True, steps_owed=owed)
        seen.append((await row_of(ledger, new.id)).step_seqs)
    assert seen == [[2, 3, 4], [2, 3, 4], [3, 4], [3, 4], [4], []]


# -- parked ----------------------------------------------------------------------------------------------------


async def test_next_run_of_parked_execution_gets_held_nodes(ledger: Ledger) -> None:
    new = await create(ledger, breakpoints=("a",))
    await paused_and_parked(ledger, new.id, held=("a", "b"))
    row = await row_of(ledger, new.id)
    assert (row.phase, row.parked, row.worker, row.current_nodes) == ("Paused", True, "", ["a", "b"])
    assert await steer(ledger, new.id, breakpoints=("a",), resume="1") == ControlUpdate(("RESUME",))
    taken = await claimed(ledger, new.id, "worker-2")
    assert (taken.run, taken.paused, taken.held_nodes, taken.started_before) == (2, False, ["a", "b"], True)
    assert await log_of(ledger, new.id) == ["flow:started", "flow:paused", "flow:resumed"]


async def test_step_of_parked_execution_logs_no_resume(ledger: Ledger) -> None:
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    assert await steer(ledger, new.id, step="1") == ControlUpdate(("STEP",))
    taken = await claimed(ledger, new.id)
    assert (taken.paused, taken.steps_owed, taken.pause_node) == (True, 1, "a")
    await flush(ledger, taken, "node:completed", paused=True, node="a", current=["b"])
    assert await park(ledger, taken, held=["b"])
    assert await log_of(ledger, new.id) == ["flow:started", "flow:paused", "node:completed"]


async def test_pause_at_parked_breakpoint_only_sets_wants_pause(ledger: Ledger) -> None:
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    assert await steer(ledger, new.id, paused=True) == ControlUpdate(("PAUSE",))
    assert (await row_of(ledger, new.id)).wants_pause
    assert await log_of(ledger, new.id) == ["flow:started", "flow:paused"]
    assert await steer(ledger, new.id) == ControlUpdate(("RESUME",))
    assert await place(ledger, new.id) == ("Pending", False, False, 0)


async def test_park_requires_pause_and_all_commands_applied(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    assert not await park(ledger, taken), "it is not paused"
    await steer(ledger, new.id, paused=True)
    assert not await park(ledger, taken, applied=1), "the pause is not in the log"
    await flush(ledger, taken, "flow:paused", applied=1, paused=True)
    await steer(ledger, new.id, paused=True, step="1")
    assert not await park(ledger, taken, applied=1)
    await flush(ledger, taken, applied=2, paused=True)
    assert await park(ledger, taken, applied=2)
    with pytest.raises(OwnershipLost):
        await park(ledger, taken, applied=2)
    with pytest.raises(OwnershipLost):
        await flush(ledger, taken, applied=2, paused=True)
    async with ledger.connection() as connection:
        assert await runs.not_ours(connection, [taken]) == {new.id: runs.AttemptMoved("Paused", 2)}


# -- all of them -----------------------------------------------------------------------------------------------


async def test_steer_ignores_ended_and_unknown_executions(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await stop(ledger, new.id)
    assert await steer(ledger, new.id, paused=True) is None
    assert await steer(ledger, ExecutionId("EXNOTHING"), paused=True) is None


async def test_creation_tokens_trigger_no_command(ledger: Ledger) -> None:
    new = await create(ledger, step="s", resume="r", retry="t", breakpoints=("a",), on_stop="Continue")
    wanted = {"step": "s", "resume": "r", "breakpoints": ("a",), "on_stop": "Continue"}
    assert await steer(ledger, new.id, **wanted) == ControlUpdate()
    assert await steer(ledger, new.id, **wanted | {"on_stop": "Stop"}) == ControlUpdate()
    assert (await row_of(ledger, new.id)).on_stop == "Stop"
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "t") is False


async def test_a_steer_without_a_difference_writes_nothing(ledger: Ledger) -> None:
    new = await create(ledger)
    before = await row_of(ledger, new.id)
    await steer(ledger, new.id)
    assert await row_of(ledger, new.id) == before


async def test_nodes_of_a_flow_with_nul_are_read(ledger: Ledger) -> None:
    """The API server takes them, and PostgreSQL cannot look into such JSON: no command would get through."""
    flow = {"nodes": [{"id": "a", "type": "Text", "inputs": {"text": "x\0y"}}]}
    new = await create(ledger, flow_revision="nul", flow_spec=flow)
    assert await steer(ledger, new.id, paused=True, breakpoints=("a", "z")) == ControlUpdate(("BREAKPOINTS", "PAUSE"))
    async with ledger.connection() as connection:
        assert await flow_revisions.node_places(connection, "nul") == frozenset("a")
        assert await flow_revisions.node_places(connection, "none") is None
