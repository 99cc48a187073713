"""An operator that has not heard of an edit which another one has obeyed: it carries out nothing of what it knows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from chaingraph_store.commands import control
from chaingraph_store.commands.control import ControlUpdate
from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.view import Cluster
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.moves import PLAIN, messages
from fixtures.ledger.new_executions import APP
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.cut_off import Way
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "hello"}}, {"id": "b", "type": "Text"}]}


def patch(cluster: Cluster, name: str, **spec: Any) -> None:
    cluster.kubectl("patch", "cgx", name, "--type=merge", "-p", json.dumps({"spec": spec}))


async def test_operator_cut_off_from_the_api_server_repeats_no_step(
    cluster: Cluster,
    run_operator: RunOperator,
    start_worker: StartWorker,
    ledger: Ledger,
    way: Way,
) -> None:
    worker = await start_worker()
    proxy, kubeconfig = way
    cut_off = run_operator(KUBECONFIG=str(kubeconfig))
    execution = execution_id(cluster.apply("Execution", "session", {"flow": FLOW, "paused": False}))
    claimed = await worker.claim(execution)
    patch(cluster, "session", paused=True, step="0")
    row = await wait_for(ledger, execution, lambda row: row.step_token == "0")
    await worker.pause(claimed)
    await cluster.condition("Execution", "session", "Paused", status="True")
    proxy.cut()
    other = run_operator()
    patch(cluster, "session", step="1")
    await wait_for(ledger, execution, lambda each: each.step_token == "1" and each.control_seq > row.control_seq)

    async def tried() -> bool:
        return "reconciliation failed" in cut_off.log

    # It hears of the row's change, whose token is not the one that it knows.
    await eventually(tried, what="an attempt of the one that is cut off")
    proxy.restore()
    other.terminate()
    patch(cluster, "session", step="2")
    await wait_for(ledger, execution, lambda each: each.step_token == "2")
    assert await steps_sent(ledger, execution) == ["0", "1", "2"]


async def test_operator_frozen_after_its_read_drops_the_stale_spec(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = await start_worker()
    operator = run_operator()
    execution = execution_id(cluster.apply("Execution", "session", {"flow": FLOW}))
    claimed = await worker.claim(execution)
    patch(cluster, "session", paused=True)
    await wait_for(ledger, execution, lambda row: row.wants_pause)
    await worker.pause(claimed)
    await cluster.condition("Execution", "session", "Paused", status="True")
    async with ledger.transaction() as connection:
        await connection.execute("SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE", (execution,))
        patch(cluster, "session", step="old", options={"breakpoints": ["b"]})
        await eventually(lambda: waits_for_a_lock(ledger), what="the operator, between its look and its command")
        patch(cluster, "session", step="new", options={"breakpoints": ["a"]})
        # What another operator does meanwhile.
        newer = replace(PLAIN, paused=True, step="new", breakpoints=("a",))
        done = await control.apply(connection, execution, newer, generation=4, application_name=APP)
        assert done == ControlUpdate(("BREAKPOINTS", "STEP"))
    await wait_for_status(cluster, generation=4)
    assert "discarded an outdated spec" in operator.log
    row = await row_of(ledger, execution)
    assert (row.step_token, row.breakpoints, row.observed_generation) == ("new", ["a"], 4)
    assert await steps_sent(ledger, execution) == ["new"]


async def test_edits_take_effect_after_an_api_server_restore(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    """Its objects have earlier generations then than those that were obeyed."""
    await start_worker()
    operator = run_operator()
    uid = cluster.apply("Execution", "session", {"flow": FLOW, "queue": "nowhere"})
    execution = (await cluster.row(uid)).id
    async with ledger.connection() as connection:
        await connection.execute("UPDATE chaingraph.executions SET observed_generation = 7 WHERE id = %s", (execution,))
    patch(cluster, "session", paused=True)
    row = await wait_for(ledger, execution, lambda row: row.wants_pause)
    assert row.observed_generation == 2
    assert operator.log.count("its data were restored") == 1


async def waits_for_a_lock(ledger: Ledger) -> bool:
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        row = await cursor.fetchone()
    return row is not None and row[0] > 0


async def wait_for_status(cluster: Cluster, *, generation: int) -> None:
    async def look() -> bool:
        return cluster.status("Execution", "session").get("observedGeneration") == generation

    await eventually(look, what=f"the status of generation {generation}")


async def steps_sent(ledger: Ledger, execution: ExecutionId) -> list[str]:
    sent = [each for _, _, said in await messages(ledger, execution) for each in said["commands"]]
    return [each["token"] for each in sent if each["kind"] == "STEP"]
