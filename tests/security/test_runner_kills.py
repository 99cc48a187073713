"""Code of a node that ends, freezes or fills its process: it alone is charged, and its execution goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaingraph_store.commands import stopping
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_worker.attempts.attempt import NOT_OURS, RunDependencies, run_attempt
from chaingraph_worker.attempts.inbox import CommandInbox
from chaingraph_worker.supervision.children import ChildrenUnread, journaled
from fixtures.flows import hostile
from fixtures.flows.chains import events_of
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.new_executions import create_of
from fixtures.processes.attempts import surroundings_of, take
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def dependencies(ledger: Ledger, tmp_path: Path) -> AsyncIterator[RunDependencies]:
    """Runners with small limits, in which the hostile nodes are installed."""
    nodes = hostile.install(tmp_path / "nodes")
    async with surroundings_of(ledger, memory_mb=96, cpu_seconds=2, silence_seconds=1.5, nodes=nodes) as made:
        yield made


async def run(ledger: Ledger, dependencies: RunDependencies, flow: dict[str, Any]) -> ExecutionId:
    """Runs an execution of a flow to its end."""
    execution = await create_of(ledger, flow)
    await take(ledger, execution)
    await run_attempt(dependencies, execution, run=1, inbox=CommandInbox())
    return execution


def flow_of(type_: str, **fields: Any) -> dict[str, Any]:
    return {
        "nodes": [{"id": "evil", "type": type_, **fields}, {"id": "good", "type": "Text", "inputs": {"value": "x"}}]
    }


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        ("Segfault", "crashed its process with SIGSEGV"),
        ("SegfaultInThread", "crashed its process with SIGSEGV"),
        ("Exit", "ended its process with exit code 3"),
        ("ExitQuietly", "ended its process with exit code 0"),
        ("CloseEverything", "ended its process"),
        ("KillItself", "SIGKILL"),
        ("Spin", "blocked the event loop for 1.5 s"),
        ("HoldInterpreter", "blocked the event loop for 1.5 s"),
        ("Fill", "took more than 96 MB of memory (CHAINGRAPH_RUNNER_MEMORY_MB)"),
        ("FillInThread", "took more than 96 MB of memory (CHAINGRAPH_RUNNER_MEMORY_MB)"),
        ("Burn", "took more than 2 s of processor time (CHAINGRAPH_RUNNER_CPU_SECONDS)"),
    ],
)
async def test_hostile_node_alone_fails_as_killed(
    ledger: Ledger, dependencies: RunDependencies, type_: str, words: str
) -> None:
    execution = await run(ledger, dependencies, flow_of(type_))
    row = await row_of(ledger, execution)
    assert (row.phase, row.error_node, row.error_reason) == ("Failed", "evil", "NodeKilled")
    assert words in row.error_message
    assert row.nodes_failed == 1
    log = await events_of(ledger, execution)
    assert [event.index for event in log] == list(range(-1, len(log) - 1))
    assert [event.type for event in log].count("flow:started") == 1
    assert [event.data["reason"] for event in log if event.type == "node:failed"] == ["NodeKilled"]
    after = await run(ledger, dependencies, flow_of("Text", inputs={"value": "y"}))
    assert (await row_of(ledger, after)).phase == "Completed", "the worker goes on"


@pytest.mark.parametrize("type_", ["Immortal", "ImmortalThread"])
async def test_node_that_ignores_its_timeout_is_ended(
    ledger: Ledger, dependencies: RunDependencies, type_: str
) -> None:
    execution = await run(ledger, dependencies, flow_of(type_, timeoutSeconds=1))
    row = await row_of(ledger, execution)
    assert (row.phase, row.error_node, row.error_reason) == ("Failed", "evil", "NodeTimeout")
    assert row.error_message == "timed out after 1 s"


async def test_killed_node_gets_its_retries(ledger: Ledger, dependencies: RunDependencies) -> None:
    retry = {"maxAttempts": 3, "backoffSeconds": 0.01}
    flow = flow_of("Fragile", retry=retry, inputs={"succeedsAt": 3}) | {
        "outputs": [{"name": "n", "from": "evil.result"}]
    }
    execution = await run(ledger, dependencies, flow)
    row = await row_of(ledger, execution)
    assert (row.phase, row.outputs) == ("Completed", {"n": 3})
    told = [event.data["log"] for event in await events_of(ledger, execution) if event.type == "node:debug-log-string"]
    assert [each.split(" failed: ")[0] for each in told] == ["try 1 of 3", "try 2 of 3"]


async def test_killed_node_can_be_handled_by_the_flow(ledger: Ledger, dependencies: RunDependencies) -> None:
    flow = {
        "outputs": [{"name": "why", "from": "evil.__errorMessage"}],
        "nodes": [{"id": "evil", "type": "Exit"}],
    }
    row = await row_of(ledger, await run(ledger, dependencies, flow))
    assert (row.phase, row.outputs) == ("Completed", {"why": "ended its process with exit code 3"})


async def test_kill_repeats_no_node_that_has_ended(
    ledger: Ledger, dependencies: RunDependencies, tmp_path: Path
) -> None:
    written = tmp_path / "effects"
    nodes = [{"id": f"e{n}", "type": "Effect", "inputs": {"path": str(written)}} for n in range(5)]
    evil = {"id": "evil", "type": "Fragile", "retry": {"maxAttempts": 3, "backoffSeconds": 0.01}}
    edges = [{"from": f"e{n}.__success", "to": f"e{n + 1}.__execute"} for n in range(4)]
    edges.append({"from": "e2.__success", "to": "evil.__execute"})
    row = await row_of(ledger, await run(ledger, dependencies, {"nodes": [*nodes, evil], "edges": edges}))
    assert row.phase == "Completed"
    lines = written.read_text().split()
    assert sorted(set(lines)) == ["e0", "e1", "e2", "e3", "e4"]
    assert [lines.count(f"e{n}") for n in range(3)] == [1, 1, 1], "they had ended before the kill"


async def test_hostile_neighbour_changes_nothing(ledger: Ledger, dependencies: RunDependencies, tmp_path: Path) -> None:
    written = tmp_path / "effects"
    honest = {"nodes": [{"id": "slow", "type": "Effect", "inputs": {"path": str(written), "seconds": 3}}]}
    attacks = ["Segfault", "Spin", "Fill", "Exit", "HoldInterpreter"]
    results = await asyncio.gather(
        run(ledger, dependencies, honest), *(run(ledger, dependencies, flow_of(each)) for each in attacks)
    )
    row = await row_of(ledger, results[0])
    assert (row.phase, row.recoveries, row.attempt, row.run) == ("Completed", 0, 1, 1)
    assert written.read_text() == "slow\n", "it was not repeated"
    assert {(await row_of(ledger, each)).error_reason for each in results[1:]} == {"NodeKilled"}


async def test_threads_do_not_outlive_a_failed_execution(ledger: Ledger, dependencies: RunDependencies) -> None:
    flow = flow_of("ImmortalThread")
    flow["nodes"].append({"id": "boom", "type": "Math", "inputs": {"operation": "divide", "a": 1, "b": 0}})
    execution = await run(ledger, dependencies, flow)
    assert (await row_of(ledger, execution)).error_node == "boom"
    await eventually(gone(dependencies), what="the end of the runner")


async def test_threads_do_not_outlive_a_stopped_execution(ledger: Ledger, dependencies: RunDependencies) -> None:
    execution = await create_of(ledger, flow_of("ImmortalThread"))
    await take(ledger, execution)
    running = asyncio.create_task(run_attempt(dependencies, execution, run=1, inbox=CommandInbox()))
    await wait_for(ledger, execution, lambda row: row.current_nodes == ["evil"])
    async with ledger.transaction() as connection:
        assert await stopping.stop(connection, execution, reason="enough")
    assert await running == NOT_OURS
    await eventually(gone(dependencies), what="the end of the runner")


async def test_long_journal_is_read_while_the_runner_beats(ledger: Ledger) -> None:
    ids = [f"n{number}" for number in range(100_000)]
    record = {"outcome": "completed", "startedAt": 1, "finishedAt": 2}
    journal = orjson.dumps([{"nodeId": id_, **record} for id_ in ids])
    spec = orjson.dumps({"nodes": [{"id": id_} for id_ in ids]})
    async with surroundings_of(ledger, memory_mb=2048) as made:
        runner = await made.pool.take("team-a")
        made.pool.give_back(runner)
        before = runner.board.beats
        children = await journaled(made.pool, "team-a", flow_spec=spec, subflow="", integration=b"{}", journal=journal)
        assert (children.nodes, children.emitted) == (len(ids), ())
        assert runner.board.beats > before + 2, "a worker ends runners that are silent"
        with pytest.raises(ChildrenUnread, match="exit code 1"):
            await journaled(made.pool, "team-a", flow_spec=b"[", subflow="", integration=b"{}", journal=journal)


def gone(dependencies: RunDependencies) -> Callable[[], Awaitable[bool]]:
    """Whether no runner has a thread beside its first one: runners that have are over or end."""

    async def look() -> bool:
        tasks = (Path(f"/proc/{pid}/task") for pid in dependencies.pool.process_ids)
        return all(len(list(each.iterdir())) == 1 for each in tasks if each.exists())

    return look


async def test_killed_node_in_a_call_fails_that_call_alone(ledger: Ledger, dependencies: RunDependencies) -> None:
    flow = {
        "outputs": [{"name": "results", "from": "all.results"}, {"name": "errors", "from": "all.errors"}],
        "subflows": [
            {
                "name": "one",
                "inputs": [{"name": "item"}],
                "outputs": [{"name": "done", "from": "before.__success"}],
                "nodes": [
                    {"id": "before", "type": "ServerTime"},
                    {"id": "gate", "type": "Branch", "inputs": {"operator": "==", "right": 3}},
                    {"id": "crash", "type": "Segfault"},
                ],
                "edges": [
                    {"from": "inputs.item", "to": "gate.left"},
                    {"from": "before.__success", "to": "gate.__execute"},
                    {"from": "gate.result", "to": "crash.__execute"},
                ],
            }
        ],
        "nodes": [
            {
                "id": "all",
                "type": "ForEach",
                "inputs": {"subflow": "one", "items": [1, 2, 3, 4], "maxParallel": 1, "onError": "Continue"},
            }
        ],
    }
    execution = await run(ledger, dependencies, flow)
    row = await row_of(ledger, execution)
    assert row.phase == "Completed"
    assert row.outputs is not None
    assert row.outputs["results"] == [{"done": True}, {"done": True}, None, {"done": True}]
    failure = row.outputs["errors"][2]
    assert (failure["node"], failure["reason"]) == ("all[2].crash", "NodeKilled")
    completed = [each.data["nodeId"] for each in await events_of(ledger, execution) if each.type == "node:completed"]
    assert len(completed) == len(set(completed))
