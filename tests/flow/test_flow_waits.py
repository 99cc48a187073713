"""Waiting nodes: they hold no slot, end in time, and continue in another engine where they were."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import ClassVar

import pytest

from chaingraph_flow import (
    WAITING,
    EngineOptions,
    FlowOutcome,
    Input,
    Node,
    NodeContext,
    NodeRecord,
    Number,
    Outcome,
    Output,
    Registry,
    String,
    WaitKind,
    WaitRecord,
)
from fixtures.flows.runs import WORKING, MemoryRecorder, engine, failure_of, outputs_of, run_flow

pytestmark = pytest.mark.looptime
HOUR = 3_600_000


class Passes(Node):
    """Waits twice, and keeps what it saw in each pass."""

    seen: ClassVar[list[tuple[str, int, int]]] = []
    text = Input(String(), required=True)
    result = Output(String())

    async def run(self, context: NodeContext) -> None:
        since = context.woken.since if context.woken else 0
        self.seen.append((self.text, context.node_attempt, since))
        if len(self.seen) < 3:
            try:
                context.wait_until(time.time() * 1000 + 10_000)
            except Exception:  # noqa: BLE001 - a wait must get through this
                self.seen.clear()
        self.result = f"{self.text}!"


class InThread(Node):
    """Waits from a thread."""

    late = Output(Number())

    def run(self, context: NodeContext) -> None:
        if context.woken is None:
            context.wait_until(time.time() * 1000 + 50)
        self.late = 1


class Emits(Node):
    """Emits, and then waits."""

    async def run(self, context: NodeContext) -> None:
        context.emit("done")
        context.wait_until(time.time() * 1000 + 10_000)


class Flaky(Node):
    """Fails twice."""

    pure = True
    tries: ClassVar[list[int]] = []
    result = Output(Number())

    async def run(self, context: NodeContext) -> None:
        self.tries.append(context.node_attempt)
        if context.node_attempt < 3:
            raise RuntimeError("not yet")
        self.result = context.node_attempt


REGISTRY = WORKING.merge(Registry([Passes, InThread, Emits, Flaky]))


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def test_waiting_nodes_hold_no_slot() -> None:
    text = (
        "nodes: [" + ", ".join(f"{{id: {id_}, type: Sleep, inputs: {{milliseconds: {HOUR}}}}}" for id_ in "abc") + "]"
    )
    run = await run_flow(text, options=EngineOptions(max_concurrency=1))
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert 3599.9 <= loop_time() < 3601, "beside each other"
    assert [each.node_id for each in run.recorder.waits] == ["a", "b", "c"]
    assert {each["kind"] for each in run.recorder.named("node:waiting")} == {"Time"}
    assert len(run.recorder.named("node:started")) == 3


async def test_node_has_same_inputs_in_each_pass_and_no_further_try() -> None:
    Passes.seen.clear()
    run = await run_flow("nodes: [{id: a, type: Passes, inputs: {text: hi}}]", registry=REGISTRY)
    assert [(text, tries) for text, tries, _ in Passes.seen] == [("hi", 1)] * 3
    assert [since > 0 for _, _, since in Passes.seen] == [False, True, True]
    record = run.recorder.of("a")
    assert (record.outputs, record.attempts) == ({"result": "hi!"}, 1)
    assert 19.9 <= loop_time() < 21


@pytest.mark.looptime(False)
async def test_node_waits_from_a_thread() -> None:
    run = await run_flow("nodes: [{id: a, type: InThread}]", registry=REGISTRY)
    assert run.recorder.of("a").outputs == {"late": 1}


async def test_node_may_not_wait_after_it_emitted() -> None:
    run = await run_flow("nodes: [{id: a, type: Emits}]", registry=REGISTRY)
    assert run.result.error is not None
    assert "emit after the wait" in run.result.error.message
    assert run.recorder.waits == []


async def test_wait_continues_in_another_engine() -> None:
    text = f"nodes: [{{id: a, type: Sleep, inputs: {{milliseconds: {HOUR}}}}}]"
    first = engine(text, recorder=(recorder := MemoryRecorder()))
    task = asyncio.create_task(first.run())
    await asyncio.sleep(1)
    until = first.asleep_until
    assert until is not None
    assert until == recorder.waits[0].until
    assert first.park()
    assert (await task).outcome is FlowOutcome.PARKED
    (record,) = recorder.waits
    assert WaitRecord.from_json(record.to_json()) == record
    assert record.to_json()["outcome"] == WAITING
    later = replace(record, until=record.since + HOUR)
    began = loop_time()
    run = await run_flow(text, waits=[later], resumed=True)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert 3590 < loop_time() - began <= 3600
    assert run.recorder.named("node:started") == [], "it has started before"
    assert run.recorder.of("a").started_at == record.started_at


async def test_retry_continues_in_another_engine_with_its_number() -> None:
    Flaky.tries.clear()
    now = time.time_ns() // 1_000_000
    text = "nodes: [{id: a, type: Flaky, retry: {maxAttempts: 3, backoffSeconds: 10}}]"
    wait = WaitRecord("a", WaitKind.RETRY, now - 5000, now + 5000, now - 60_000, now - 5000, 2)
    run = await run_flow(text, registry=REGISTRY, waits=[wait], resumed=True)
    assert Flaky.tries == [3]
    assert run.recorder.of("a").attempts == 3
    assert 4.9 < loop_time() < 5.1


async def test_wait_of_finished_node_is_ignored() -> None:
    now = time.time_ns() // 1_000_000
    text = "nodes: [{id: a, type: Sleep, inputs: {milliseconds: 5000}}, {id: b, type: Text}]"
    done = NodeRecord("a", Outcome.COMPLETED, now, now, outputs={"actual": 5000.0})
    waits = [WaitRecord(id_, WaitKind.TIME, now, now + HOUR, now, now, 1) for id_ in ("a", "gone")]
    run = await run_flow(text, journal=[done], waits=waits)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert loop_time() < 1


async def test_flow_timeout_names_waiting_nodes() -> None:
    options = EngineOptions(flow_timeout_seconds=10)
    text = f"nodes: [{{id: nap, type: Sleep, inputs: {{milliseconds: {HOUR}}}}}]"
    running = engine(text, options=options)
    task = asyncio.create_task(running.run())
    await asyncio.sleep(1)
    until = running.asleep_until
    assert until is not None
    assert 8000 < until - time.time() * 1000 < 10_000, "it has to be awake when it times out"
    result = await task
    assert result.error is not None
    assert "interrupted: 'nap' waiting since" in result.error.message


async def test_own_timeout_of_node_includes_its_waits() -> None:
    text = """
        outputs: [{name: why, from: nap.__errorMessage}]
        nodes: [{id: nap, type: Sleep, timeoutSeconds: 5, retry: {maxAttempts: 2, backoffSeconds: 10},
                 inputs: {milliseconds: 3600000}}]"""
    run = await run_flow(text)
    assert run.result.outputs == {"why": "timed out after 5 s"}
    record = run.recorder.of("nap")
    assert (record.reason, record.attempts) == ("NodeTimeout", 2)
    assert 19.9 < loop_time() < 20.5
    assert [(each.kind, each.times_out) for each in run.recorder.waits] == [
        ("Time", True),
        ("Retry", False),
        ("Time", True),
    ]
    late = replace(run.recorder.waits[0], until=run.recorder.waits[0].since)
    again = await run_flow(text, waits=[late], resumed=True)
    assert again.recorder.waits[0].kind == "Retry", "it timed out while no engine was there"


async def test_default_timeout_of_nodes_does_not_include_waits() -> None:
    options = EngineOptions(node_timeout_seconds=1)
    run = await run_flow(f"nodes: [{{id: nap, type: Sleep, inputs: {{milliseconds: {HOUR}}}}}]", options=options)
    assert run.result.outcome is FlowOutcome.COMPLETED


async def test_stop_ends_waits() -> None:
    running = engine(f"nodes: [{{id: nap, type: Sleep, inputs: {{milliseconds: {HOUR}}}}}]")
    task = asyncio.create_task(running.run())
    await asyncio.sleep(1)
    running.stop("enough")
    assert (await task).outcome is FlowOutcome.STOPPED
    assert [(each.node_id, each.waits_for) for each in running.running_nodes] == [("nap", "Time")]
    assert loop_time() < 2


async def test_unhandled_failure_ends_waits() -> None:
    bad = "{id: bad, type: Fail, inputs: {message: x}}"
    text = f"nodes: [{{id: nap, type: Sleep, inputs: {{milliseconds: {HOUR}}}}}, {bad}]"
    run = await run_flow(text)
    assert run.result.outcome is FlowOutcome.FAILED
    assert loop_time() < 1


async def test_pause_holds_node_after_its_wait() -> None:
    running = engine("nodes: [{id: nap, type: Sleep, inputs: {milliseconds: 5000}}]")
    task = asyncio.create_task(running.run())
    await asyncio.sleep(1)
    running.pause()
    assert (running.quiet, running.asleep_until, running.progress.waiting) == (True, None, 1)
    await asyncio.sleep(10)
    assert (running.held, running.progress.waiting) == (("nap",), 0)
    running.resume()
    assert (await task).outcome is FlowOutcome.COMPLETED


async def test_wait_until_a_time() -> None:
    due = time.gmtime(time.time() + 60)
    outputs = await outputs_of("WaitUntil", time=time.strftime("%Y-%m-%dT%H:%M:%SZ", due))
    assert 58 < loop_time() < 61
    assert outputs == {"late": 0}


async def test_wait_until_a_time_in_the_past_is_no_wait() -> None:
    outputs = await outputs_of("WaitUntil", time="2026-01-31T09:00:00+01:00")
    assert outputs["late"] > 0
    assert loop_time() < 1


@pytest.mark.parametrize("text", ["2026-02-30T09:00:00Z", "2026-01-31T25:00:00Z"])
async def test_wait_until_refuses_impossible_times(text: str) -> None:
    assert "is not a time" in await failure_of("WaitUntil", time=text)


@pytest.mark.parametrize("text", ["tomorrow", "2026-01-31", "2026-01-31T09:00:00"])
async def test_wait_until_refuses_times_without_zone(text: str) -> None:
    with pytest.raises(Exception, match="time"):
        await outputs_of("WaitUntil", time=text)
