"""Timeouts, back-off and concurrency, on a clock that jumps instead of waiting."""

from __future__ import annotations

import asyncio
import re

import pytest

from chaingraph_flow import (
    EngineOptions,
    FailureReason,
    FlowOutcome,
    Input,
    Node,
    NodeContext,
    NodeFailed,
    Number,
    Registry,
)
from chaingraph_flow.engine.result import RunningNode
from fixtures.flows.runs import BUILT_IN, engine, run_flow

pytestmark = pytest.mark.looptime


class Wait(Node):
    """Waits, and notes how many do at once."""

    now = 0
    most = 0
    seconds = Input(Number(), default=1)

    async def run(self, context: NodeContext) -> None:
        Wait.now += 1
        Wait.most = max(Wait.most, Wait.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            Wait.now -= 1


class Never(Node):
    """Always fails."""

    pure = True

    async def run(self, context: NodeContext) -> None:
        raise NodeFailed("never")


REGISTRY = BUILT_IN.merge(Registry([Wait, Never]))


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_node_timeout_ends_node_with_reason() -> None:
    begun = now()
    run = await run_flow("nodes: [{id: a, type: Wait, timeoutSeconds: 5, inputs: {seconds: 1000}}]", registry=REGISTRY)
    assert now() - begun == pytest.approx(5, abs=0.1)
    assert run.result.error is not None
    assert run.result.error.reason == FailureReason.NODE_TIMEOUT
    assert run.result.error.message == "timed out after 5 s"
    assert Wait.now == 0


async def test_default_node_timeout_applies_without_own_timeout() -> None:
    begun = now()
    run = await run_flow(
        "nodes: [{id: a, type: Wait, inputs: {seconds: 1000}}]",
        registry=REGISTRY,
        options=EngineOptions(node_timeout_seconds=7),
    )
    assert now() - begun == pytest.approx(7, abs=0.1)
    assert run.result.outcome is FlowOutcome.FAILED


async def test_node_timeout_can_be_handled() -> None:
    run = await run_flow(
        """
        nodes:
        - {id: a, type: Wait, timeoutSeconds: 5, inputs: {seconds: 1000}}
        - {id: b, type: Text}
        edges: [{from: a.__errorMessage, to: b.value}]
        """,
        registry=REGISTRY,
    )
    assert run.result.outputs == {"b": {"value": "timed out after 5 s"}}


async def test_flow_timeout_cancels_running_nodes() -> None:
    begun = now()
    run = await run_flow(
        """
        nodes: [{id: a, type: Wait, inputs: {seconds: 400}}, {id: b, type: Wait, inputs: {seconds: 400}}]
        edges: [{from: a.__success, to: b.__execute}]
        """,
        registry=REGISTRY,
        options=EngineOptions(flow_timeout_seconds=500),
    )
    assert now() - begun == pytest.approx(500, abs=0.1)
    assert run.result.error is not None
    assert (run.result.error.node, run.result.error.reason) == ("", FailureReason.FLOW_TIMEOUT)
    assert run.recorder.outcomes() == {"a": "completed"}
    assert Wait.now == 0


async def test_retries_back_off_exponentially_up_to_their_limit() -> None:
    begun = now()
    run = await run_flow(
        "nodes: [{id: a, type: Never, retry: {maxAttempts: 6, backoffSeconds: 2, maxBackoffSeconds: 10}}]",
        registry=REGISTRY,
    )
    assert run.recorder.of("a").attempts == 6
    assert now() - begun == pytest.approx(2 + 4 + 8 + 10 + 10, abs=0.1)


async def test_node_waiting_for_retry_holds_no_slot() -> None:
    begun = now()
    run = await run_flow(
        """
        nodes:
        - {id: a, type: Never, retry: {maxAttempts: 2, backoffSeconds: 100, maxBackoffSeconds: 100}}
        - {id: b, type: Wait, inputs: {seconds: 20}}
        - {id: rescue, type: Text}
        edges: [{from: a.__error, to: rescue.__execute}]
        """,
        registry=REGISTRY,
        options=EngineOptions(max_concurrency=1),
    )
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert now() - begun == pytest.approx(100, abs=0.1)


async def test_unhandled_failure_ends_retry_wait_of_other_node() -> None:
    begun = now()
    run = await run_flow(
        """
        nodes:
        - {id: a, type: Never, retry: {maxAttempts: 9, backoffSeconds: 100, maxBackoffSeconds: 1000}}
        - {id: wait, type: Wait, inputs: {seconds: 3}}
        - {id: bad, type: Fail, inputs: {message: over}}
        edges: [{from: wait.__success, to: bad.__execute}]
        """,
        registry=REGISTRY,
    )
    assert run.result.error is not None
    assert run.result.error.node == "bad"
    assert now() - begun == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(("limit", "seconds"), [(1, 12), (5, 3), (50, 1)])
async def test_concurrency_limit_holds_and_is_used(limit: int, seconds: float) -> None:
    Wait.most = 0
    begun = now()
    nodes = ", ".join(f"{{id: n{index}, type: Wait}}" for index in range(12))
    await run_flow(f"nodes: [{nodes}]", registry=REGISTRY, options=EngineOptions(max_concurrency=limit))
    assert Wait.most == min(limit, 12)
    assert now() - begun == pytest.approx(seconds, abs=0.1)


async def test_flow_timeout_names_what_ran_and_what_waited_for_its_next_try() -> None:
    made = engine(
        """
        nodes:
          - {id: quick, type: Text, inputs: {value: x}}
          - {id: slow, type: Wait, inputs: {seconds: 1000}}
          - {id: flaky, type: Never, retry: {maxAttempts: 5, backoffSeconds: 40, maxBackoffSeconds: 40}}
        """,
        registry=REGISTRY,
        options=EngineOptions(flow_timeout_seconds=60),
    )
    seen: list[tuple[RunningNode, ...]] = []
    asyncio.get_running_loop().call_later(1, lambda: seen.append(made.running_nodes))
    result = await made.run()
    assert result.error is not None
    assert result.error.reason == FailureReason.FLOW_TIMEOUT
    slow, flaky = seen[0]
    assert (slow.node_id, slow.tries, slow.max_tries, slow.next_at) == ("slow", 1, 1, None)
    assert (flaky.node_id, flaky.tries, flaky.max_tries) == ("flaky", 1, 5)
    assert flaky.next_at is not None
    assert 39_000 < flaky.next_at - flaky.since < 45_000
    text = r"the flow timed out after 60 s; interrupted: 'slow' since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(try 1 of 1\), "
    text += r"'flaky' retrying at \S+Z \(try 2 of 5 failed\)"
    assert re.fullmatch(text, result.error.message)
    assert [each.node_id for each in made.running_nodes] == ["slow", "flaky"], "kept: what the end has interrupted"


async def test_a_stop_keeps_what_it_interrupts_and_a_completed_run_keeps_nothing() -> None:
    made = engine("nodes: [{id: slow, type: Wait, inputs: {seconds: 1000}}]", registry=REGISTRY)
    asyncio.get_running_loop().call_later(1, made.stop, "enough")
    assert (await made.run()).outcome is FlowOutcome.STOPPED
    assert [each.node_id for each in made.running_nodes] == ["slow"]
    run = engine("nodes: [{id: a, type: Wait}]", registry=REGISTRY)
    assert (await run.run()).outcome is FlowOutcome.COMPLETED
    assert run.running_nodes == ()


async def test_edges_without_a_value_are_skipped_and_have_not_failed() -> None:
    run = await run_flow(
        """
        nodes:
          - {id: gate, type: Boolean, inputs: {value: false}}
          - {id: b, type: Text, inputs: {value: x}}
          - {id: c, type: Length}
          - {id: either, type: Join, inputs: {d: nothing}}
          - {id: wrong, type: Wait}
        edges:
          - {from: gate.value, to: b.__execute}
          - {from: b.value, to: c.value}
          - {from: b.value, to: either.a}
          - {from: either.__error, to: wrong.__execute}
        """,
        registry=REGISTRY,
    )
    told = run.recorder.named("edge:transfer-failed")
    assert {(each["to"], each["skipped"]) for each in told} == {
        ("c.value", True),
        ("either.a", True),
        ("wrong.__execute", True),
    }
    failing = await run_flow(
        """
        nodes:
          - {id: name, type: Text, inputs: {value: Not One}}
          - {id: tell, type: EventEmitter, inputs: {eventName: e}}
        edges: [{from: name.value, to: tell.flow}]
        """,
        registry=REGISTRY,
    )
    assert [each.get("skipped") for each in failing.recorder.named("edge:transfer-failed")] == [None]
