"""Commands at any moment, and workers killed at any moment: nothing is lost, run twice, or told twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.flows.chains import assert_each_node_completed_once, events_of, handing_back, steps
from fixtures.ledger.ledger import ended, row_of
from fixtures.ledger.moves import pauses_alternate, workflows
from fixtures.ledger.new_executions import create_of
from fixtures.ledger.spec_edits import Spec
from fixtures.processes.programs import RunWorker, WorkerProcess
from fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.long]

NODES = 10
EXECUTIONS = 8
KILLS = 8


async def command_at_random(spec: Spec, chance: random.Random, over: asyncio.Event) -> int:
    """Edits the spec until it is `over`; returns how often."""
    edits = 0
    while not over.is_set():
        await asyncio.sleep(chance.uniform(0.02, 0.8))
        match chance.randrange(6):
            case 0:
                await spec.pause()
            case 1 | 2:
                await spec.resume()
            case 3 | 4:
                await spec.step()
            case 5:
                await spec.breakpoints(*chance.sample([f"s{n}" for n in range(NODES)], chance.randrange(3)))
        edits += 1
    return edits


async def kill_at_random(run_worker: RunWorker, chance: random.Random) -> WorkerProcess:
    """Kills a worker as soon as another one is ready, again and again; returns the one that is left."""
    environment = {"CHAINGRAPH_PARK_SECONDS": "0.3", "DBOS_WORKER_CONCURRENCY": "4"}
    worker = await asyncio.to_thread(run_worker(**environment).wait_ready)
    for _ in range(KILLS):
        following = run_worker(**environment)
        await asyncio.sleep(chance.uniform(0.5, 3))
        worker.kill()
        worker = await asyncio.to_thread(following.wait_ready)
    return worker


async def operations(ledger: Ledger) -> dict[str, dict[int, str]]:
    """What DBOS has recorded of each run: the name of the operation at each function id."""
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT workflow_uuid, function_id, function_name FROM dbos.operation_outputs ORDER BY 1, 2"
        )
        found: dict[str, dict[int, str]] = {}
        for workflow, function, name in await cursor.fetchall():
            found.setdefault(workflow, {})[function] = name
        return found


def kind_at(function: int) -> str:
    if function == 1:
        return "run_flow"
    return "DBOS.sleep" if function % 2 else "DBOS.recv"


async def complete(ledger: Ledger, spec: Spec) -> None:
    """Takes every breakpoint away and resumes, until it has ended."""
    await spec.breakpoints()
    await spec.resume()
    row = await ended(ledger, spec.execution, within=120)
    assert row.phase == "Completed", f"{row.error_reason}: {row.error_message}"


async def assert_nothing_is_wrong(ledger: Ledger, execution: ExecutionId) -> None:
    log = await events_of(ledger, execution)
    assert_each_node_completed_once(log, NODES)
    types = [event.type for event in log]
    assert pauses_alternate(types)
    assert Counter(types)["flow:completed"] == 1
    row = await row_of(ledger, execution)
    assert (row.paused, row.parked, row.step_seqs, row.nodes_completed) == (False, False, [], NODES)


@pytest.mark.timeout(600)
@pytest.mark.soak
@pytest.mark.parametrize("seed", soak.seeds(1))
async def test_executions_survive_random_commands_and_kills(ledger: Ledger, run_worker: RunWorker, seed: int) -> None:
    chance = random.Random(seed)
    specs = [Spec(ledger, await create_of(ledger, steps(NODES, 100))) for _ in range(EXECUTIONS)]
    over = asyncio.Event()
    async with handing_back(ledger):
        editing = [
            asyncio.create_task(command_at_random(each, random.Random(f"{seed} {number}"), over))
            for number, each in enumerate(specs)
        ]
        last = await kill_at_random(run_worker, chance)
        over.set()
        assert sum(await asyncio.gather(*editing)) > EXECUTIONS
        await asyncio.gather(*(complete(ledger, each) for each in specs))

    async def recorded() -> bool:
        return not {"PENDING", "ENQUEUED"} & set((await workflows(ledger)).values())

    await eventually(recorded, what="the ends of the workflows")
    for each in specs:
        await assert_nothing_is_wrong(ledger, each.execution)
    assert set((await workflows(ledger)).values()) <= {"SUCCESS", "CANCELLED"}
    done = await operations(ledger)
    assert any(name == "DBOS.recv" for run in done.values() for name in run.values())
    for workflow, run in done.items():
        assert run == {function: kind_at(function) for function in run}, f"{workflow}: another order in a replay"
    assert '"Traceback' not in last.log
