"""Timeouts, back-off and concurrency, on a clock that jumps instead of waiting."""

from __future__ import annotations

import asyncio

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
from fixtures.flows.runs import BUILT_IN, run_flow

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
    assert run.result.error.reason is FailureReason.NODE_TIMEOUT
    assert run.result.error.message == "did not end within 5 s"
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
    assert run.result.outputs == {"b": {"value": "did not end within 5 s"}}


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
