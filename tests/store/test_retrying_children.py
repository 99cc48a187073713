"""Retries of children: the trees they are in are open again, and a flow that was missing is looked for once more."""

from __future__ import annotations

import json

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.children import completion
from chaingraph_store.commands.retrying import RefusedRetry
from chaingraph_store.flows import flow_names
from chaingraph_store.flows.flow_names import Content, Named
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import claimed, flush, log_of, retry, stop, workflows
from fixtures.ledger.new_executions import APP, create
from fixtures.trees.children import complete, complete_and_spawn, emission

pytestmark = pytest.mark.integration
FLOW = {"nodes": [{"id": "a", "type": "Text"}, {"id": "b", "type": "Text"}]}


async def fail(ledger: Ledger, execution: ExecutionId, worker: str) -> None:
    taken = await claimed(ledger, execution, worker)
    end = runs.AttemptEnd("Failed", error_node="a", error_reason="NodeFailed", error_message="broken")
    await flush(ledger, taken, "flow:started", "flow:failed", end=end)


async def opened(ledger: Ledger, *executions: ExecutionId) -> list[int]:
    """How many children of each are open."""
    return [(await row_of(ledger, each)).children_active for each in executions]


async def test_retry_reopens_ancestors_until_the_child_ends(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    (middle,) = await complete_and_spawn(ledger, root, 1)
    (first, second) = await complete_and_spawn(ledger, middle, 2, worker="worker-2")
    await fail(ledger, first, "worker-3")
    await stop(ledger, second)
    await completion.settle_upwards(ledger, middle, application_name=APP)
    assert await opened(ledger, root, middle) == [0, 0]
    assert await retry(ledger, first, "again") is True
    assert await retry(ledger, first, "again") is False
    assert await retry(ledger, second, "again", paused=True) is True
    assert await opened(ledger, root, middle) == [1, 2]
    await complete(ledger, first, worker="worker-4")
    await completion.settle_upwards(ledger, middle, application_name=APP)
    assert await opened(ledger, root, middle) == [1, 1]
    await stop(ledger, second)
    await completion.settle_upwards(ledger, middle, application_name=APP)
    assert await opened(ledger, root, middle) == [0, 0]
    ends = [each for each in await log_of(ledger, middle) if each in ("child:completed", "child:failed")]
    assert sorted(ends[:2]) == ["child:failed", "child:failed"]
    assert ends[2:] == ["child:completed", "child:failed"]


async def test_retry_runs_child_once_its_missing_flow_exists(ledger: Ledger) -> None:
    parent = (await create(ledger)).id
    (child,) = await complete_and_spawn(ledger, parent, [emission("order", 1, flow="shipping")])
    assert (await row_of(ledger, child)).error_reason == "FlowNotFound"
    refused = await retry(ledger, child, "early")
    assert isinstance(refused, RefusedRetry)
    assert refused.reason == "FlowNotFound"
    assert refused.message.startswith("Flow 'shipping' in namespace 'team' cannot run: not found")
    assert (await row_of(ledger, child)).phase == "Failed"
    async with ledger.connection() as connection:
        await flow_names.publish(
            connection, ("team", "shipping"), Named(None, problem="it has an error", reason="FlowInvalid"), None
        )
    refused = await retry(ledger, child, "invalid")
    assert isinstance(refused, RefusedRetry)
    assert (refused.reason, refused.message[:27]) == ("FlowInvalid", "Flow 'shipping' in namespac")
    async with ledger.connection() as connection:
        named = Named("right", nodes=2)
        await flow_names.publish(connection, ("team", "shipping"), named, Content(FLOW, {"speed": "slow"}))
    assert await retry(ledger, child, "early") is False, "it was used up"
    assert await retry(ledger, child, "again") is True
    row = await row_of(ledger, child)
    assert (row.flow_revision, row.nodes_total, row.retry_refusal) == ("right", 2, "")
    assert (await workflows(ledger, child))[f"{child}-2"] == "ENQUEUED"
    taken = await claimed(ledger, child)
    assert (json.loads(taken.flow_spec), json.loads(taken.inputs)) == (FLOW, {"speed": "slow"})
