"""Stopping, cancelling, and what ends a run from outside."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

import pytest

from chaingraph_flow import (
    EngineOptions,
    FailureReason,
    FlowOutcome,
    Node,
    NodeContext,
    NodeRecord,
    Registry,
)
from fixtures.flows.nodes import InThread, Work
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, engine, run_flow


class Stubborn(Node):
    """Does not let itself be cancelled at once."""

    async def run(self, context: NodeContext) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0.05)
                raise


class Immovable(Node):
    """Swallows every cancellation."""

    released: ClassVar[asyncio.Event]

    async def run(self, context: NodeContext) -> None:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue


class CancelsItself(Node):
    """Raises what only the engine should."""

    async def run(self, context: NodeContext) -> None:
        raise asyncio.CancelledError


REGISTRY = BUILT_IN.merge(Registry([Stubborn, Immovable, InThread, CancelsItself, Work]))


async def test_engine_ignores_result_of_timed_out_thread() -> None:
    options = EngineOptions(node_timeout_seconds=0.05)
    run = await run_flow(
        "nodes: [{id: it, type: InThread, inputs: {seconds: 0.3}}]", registry=REGISTRY, options=options
    )
    assert run.result.error is not None
    assert run.result.error.reason == FailureReason.NODE_TIMEOUT
    assert run.recorder.of("it").outputs == {}


async def test_self_cancelling_node_fails() -> None:
    run = await run_flow("nodes: [{id: it, type: CancelsItself}]", registry=REGISTRY)
    assert run.result.error is not None
    assert run.result.error.message == "the node cancelled itself"


async def test_stop_cancels_running_nodes_promptly() -> None:
    recorder = MemoryRecorder()
    made = engine("nodes: [{id: a, type: Work, inputs: {milliseconds: 60000}}, {id: b, type: Text}]", recorder=recorder)
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0.02)
    assert made.progress.current_nodes == ("a",)
    begun = time.perf_counter()
    made.stop("enough")
    made.stop("too late")
    result = await task
    assert time.perf_counter() - begun < 0.1
    assert (result.outcome, result.reason) == (FlowOutcome.STOPPED, "enough")
    assert recorder.named("flow:cancelled") == [{"reason": "enough"}]
    assert recorder.outcomes() == {"b": "completed"}
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stop_before_start_runs_nothing() -> None:
    recorder = MemoryRecorder()
    made = engine("nodes: [{id: a, type: Text}]", recorder=recorder)
    made.stop("never")
    result = await made.run()
    assert (result.outcome, recorder.records) == (FlowOutcome.STOPPED, [])


async def test_run_cancellation_waits_for_nodes() -> None:
    task = asyncio.create_task(engine("nodes: [{id: a, type: Stubborn}]", registry=REGISTRY).run())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_run_cancellation_fails_and_starts_no_node() -> None:
    recorder = MemoryRecorder()
    text = "nodes: [{id: a, type: Stubborn}, {id: b, type: Work, inputs: {milliseconds: 60000}}, {id: c, type: Text}]"
    options = EngineOptions(max_concurrency=2)
    task = asyncio.create_task(engine(text, registry=REGISTRY, recorder=recorder, options=options).run())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.records == []
    assert sorted(each["nodeId"] for each in recorder.named("node:started")) == ["a", "b"]


async def test_stop_does_not_wait_for_uncancellable_node() -> None:
    Immovable.released = asyncio.Event()
    made = engine(
        "nodes: [{id: a, type: Immovable}]", registry=REGISTRY, options=EngineOptions(cancel_grace_seconds=0.05)
    )
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0.02)
    made.stop("enough")
    result = await asyncio.wait_for(task, 1)
    assert result.outcome is FlowOutcome.STOPPED
    Immovable.released.set()
    await asyncio.sleep(0.01)


async def test_recorder_error_at_settled_ends_run() -> None:
    class Lost(MemoryRecorder):
        async def settled(self) -> None:
            raise PermissionError("the epoch has moved on")

    with pytest.raises(PermissionError):
        await engine(
            "nodes: [{id: a, type: ServerTime}, {id: b, type: Work, inputs: {milliseconds: 60000}}]", recorder=Lost()
        ).run()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_recorder_error_at_record_ends_run() -> None:
    class Full(MemoryRecorder):
        def record(self, record: NodeRecord) -> None:
            raise OverflowError("no room")

    with pytest.raises(OverflowError):
        await engine("nodes: [{id: a, type: Text}]", recorder=Full()).run()


async def test_failure_prevents_start_of_node_waiting_for_journal() -> None:
    class Slow(MemoryRecorder):
        async def settled(self) -> None:
            await asyncio.sleep(0.02)

    run = await run_flow(
        "nodes: [{id: effect, type: ServerTime}, {id: bad, type: Fail, inputs: {message: x}}]", recorder=Slow()
    )
    assert run.recorder.outcomes() == {"bad": "failed"}
    assert [each["nodeId"] for each in run.recorder.named("node:started")] == ["bad"]
