"""Parking a pause, going on from the journal in another engine, the flow's time, and what is left behind: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from chaingraph_flow import (
    ControlState,
    Engine,
    EngineOptions,
    FailureReason,
    FlowEvent,
    FlowOutcome,
    FlowResult,
    Graph,
    Node,
    NodeContext,
    NodeFailed,
    Registry,
    RunContext,
)
from fixtures.flows.runs import WORKING, MemoryRecorder, flow, run_flow

pytestmark = pytest.mark.looptime


class Never(Node):
    """Always fails."""

    async def run(self, context: NodeContext) -> None:
        raise NodeFailed("never")


REGISTRY = WORKING.merge(Registry([Never]))
# Each takes a second.
CHAIN = """
    nodes:
    - {id: a, type: Sleep, inputs: {milliseconds: 1000}}
    - {id: b, type: Sleep, inputs: {milliseconds: 1000}}
    - {id: c, type: Text, inputs: {value: end}}
    edges: [{from: a.__success, to: b.__execute}, {from: b.__success, to: c.__execute}]
"""
LONG = "nodes: [{id: a, type: Work, inputs: {milliseconds: 60000}}, {id: b, type: Sleep, inputs: {milliseconds: 10}}]"


class Session:
    """A run made as a worker makes one, from what the ledger knows."""

    def __init__(self, spec: str, *, recorder: MemoryRecorder | None = None, **how: Any) -> None:
        self.recorder = recorder or MemoryRecorder()
        self.seen: list[tuple[bool, bool, tuple[str, ...]]] = []
        self.engine = Engine(
            Graph.build(flow(spec), REGISTRY.catalogue),
            REGISTRY,
            context=RunContext("EXtest"),
            recorder=self.recorder,
            journal=list(self.recorder.records),
            on_control=lambda: self.seen.append((self.engine.paused, self.engine.quiet, self.engine.held)),
            **how,
        )
        self.task = asyncio.create_task(self.engine.run())

    def successor(self, spec: str, **how: Any) -> Session:
        """The engine of another worker, after this one has parked."""
        state = ControlState(
            paused=self.engine.paused, pause_node=self.engine.pause_node, passed=self.engine.held, **how
        )
        return Session(spec, recorder=self.recorder, resumed=True, control=state, ran_ms=self.engine.ran_ms)

    def told(self) -> list[str]:
        return [
            f"{each.type.partition(':')[2]} {each.data.get('nodeId', '')}".strip()
            for each in self.recorder.events
            if not each.type.startswith("edge:")
        ]

    async def end(self) -> FlowResult:
        result = await asyncio.wait_for(self.task, 1000)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result


def now() -> float:
    return asyncio.get_running_loop().time()


# -- parking --------------------------------------------------------------------------------------------------


async def test_parked_run_resumes_in_another_engine() -> None:
    first = Session(CHAIN)
    await asyncio.sleep(0.5)
    first.engine.pause()
    assert not first.engine.park(), "a node is in flight"
    await asyncio.sleep(5)
    assert first.engine.park()
    first.engine.resume()  # too late: the next engine is told
    result = await first.end()
    assert (result.outcome, result.error, result.reason) == (FlowOutcome.PARKED, None, "")
    assert result.progress.current_nodes == ("b",)
    assert first.told() == ["started", "started a", "paused", "completed a"]
    second = first.successor(CHAIN)
    await asyncio.sleep(100)
    assert (second.engine.held, second.engine.quiet, second.engine.pause_node) == (("b",), True, "")
    second.engine.resume()
    undisturbed = await run_flow(CHAIN)
    end = await second.end()
    assert (end.outcome, end.outputs) == (FlowOutcome.COMPLETED, undisturbed.result.outputs)
    assert first.told() == [
        "started", "started a", "paused", "completed a", "resumed", "started b", "completed b", "started c",
        "completed c", "completed",
    ]  # fmt: skip
    # `a` ran on in the pause, which does not count.
    assert first.recorder.named("flow:completed")[0]["executionTime"] == pytest.approx(1500, abs=50)


async def test_run_parks_only_when_idle() -> None:
    run = Session(CHAIN)
    assert not run.engine.park(), "it has not begun"
    await asyncio.sleep(0.5)
    assert not run.engine.park(), "a node runs, and it is not paused"
    run.engine.pause()
    assert not run.engine.park(), "a node runs"
    await asyncio.sleep(20)
    assert run.engine.park()
    assert (await run.end()).outcome is FlowOutcome.PARKED


async def test_run_with_waiting_node_parks_with_or_without_pause() -> None:
    text = "nodes: [{id: a, type: Never, retry: {maxAttempts: 2, backoffSeconds: 10}}, {id: b, type: Text}]"
    for pauses in (False, True):
        run = Session(text)
        await asyncio.sleep(1)
        if pauses:
            run.engine.pause()
        assert run.engine.park()
        assert (await run.end()).outcome is FlowOutcome.PARKED
        assert [(each.node_id, each.kind, each.attempts) for each in run.recorder.waits] == [("a", "Retry", 1)]


async def test_step_that_is_pending_for_waiting_node_keeps_run_here() -> None:
    run = Session("nodes: [{id: a, type: Never, retry: {maxAttempts: 2, backoffSeconds: 10}}, {id: b, type: Text}]")
    await asyncio.sleep(1)
    run.engine.pause()
    run.engine.step()
    assert not run.engine.park()
    assert (await run.end()).error is not None, "the step is for the second try, which fails"


async def test_successor_does_not_hit_breakpoint_again() -> None:
    first = Session(CHAIN, control=ControlState(breakpoints=["b", "c"]))
    await asyncio.sleep(5)
    assert first.engine.park()
    await first.end()
    second = first.successor(CHAIN, breakpoints=["b", "c"])
    await asyncio.sleep(5)
    second.engine.resume()
    await asyncio.sleep(5)
    assert second.engine.held == ("c",)
    second.engine.resume()
    await second.end()
    assert [each["nodeId"] for each in first.recorder.named("debug:breakpoint-hit")] == ["b", "c"]


async def test_successor_starts_resumed_past_breakpoint() -> None:
    first = Session(CHAIN, control=ControlState(breakpoints=["b"]))
    await asyncio.sleep(5)
    first.engine.park()
    await first.end()
    state = ControlState(breakpoints=["b"], passed=first.engine.held)
    second = Session(CHAIN, recorder=first.recorder, resumed=True, control=state, ran_ms=first.engine.ran_ms)
    assert (await second.end()).outcome is FlowOutcome.COMPLETED
    assert second.told().count("breakpoint-hit b") == 1
    assert second.told().count("resumed") == 0, "who resumed what was parked has said so"


async def test_successor_carries_out_owed_steps() -> None:
    first = Session(CHAIN)
    await asyncio.sleep(0.5)
    first.engine.pause()
    await asyncio.sleep(5)
    first.engine.park()
    await first.end()
    second = first.successor(CHAIN, steps=1)
    await asyncio.sleep(5)
    assert second.engine.held == ("c",)
    assert second.told()[-2:] == ["started b", "completed b"]
    second.engine.stop("enough")
    await second.end()


async def test_run_started_paused_announces_the_pause() -> None:
    run = Session(CHAIN, control=ControlState(paused=True, pause_node="b", steps=1, announced=False))
    await asyncio.sleep(5)
    assert run.told() == ["started", "paused", "started a", "completed a"]
    assert run.engine.held == ("b",)
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED


async def test_failed_journal_ends_paused_run() -> None:
    text = "nodes: [{id: bad, type: Fail, inputs: {message: x}}, {id: b, type: Work, inputs: {milliseconds: 60000}}]"
    first = Session(text)
    await asyncio.sleep(1)
    first.engine.pause()
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.task
    second = first.successor(text)
    assert (await second.end()).outcome is FlowOutcome.FAILED


async def test_on_control_reports_every_change() -> None:
    run = Session(CHAIN)
    await asyncio.sleep(0.5)
    assert run.seen == []
    run.engine.pause()
    await asyncio.sleep(1)
    run.engine.step()
    await asyncio.sleep(2)
    run.engine.resume()
    await run.end()
    assert run.seen == [
        (True, False, ()), (True, True, ("b",)), (True, False, ()), (True, True, ("c",)), (False, False, ()),
    ]  # fmt: skip


# -- time -----------------------------------------------------------------------------------------------------


async def test_flow_time_stops_during_pause() -> None:
    begun = now()
    spec = "nodes: [{id: a, type: Work, timeoutSeconds: 600, inputs: {milliseconds: 3600000}}]"
    run = Session(spec, options=EngineOptions(flow_timeout_seconds=10))
    await asyncio.sleep(4)
    assert run.engine.ran_ms == pytest.approx(4000, abs=50)
    run.engine.pause()
    await asyncio.sleep(100)
    assert run.engine.ran_ms == pytest.approx(4000, abs=50)
    run.engine.resume()
    result = await run.end()
    assert result.error is not None
    assert (result.error.reason, result.error.node) == (FailureReason.FLOW_TIMEOUT, "")
    assert now() - begun == pytest.approx(110, abs=0.1)
    assert run.engine.ran_ms == pytest.approx(10_000, abs=50)


async def test_node_times_out_during_pause() -> None:
    begun = now()
    spec = "nodes: [{id: a, type: Work, timeoutSeconds: 5, inputs: {milliseconds: 3600000}}, {id: b, type: Text}]"
    run = Session(spec, options=EngineOptions(flow_timeout_seconds=3))
    await asyncio.sleep(1)
    run.engine.pause()
    result = await run.end()
    assert result.error is not None
    assert result.error.reason == FailureReason.NODE_TIMEOUT
    assert now() - begun == pytest.approx(5, abs=0.1)


async def test_flow_timeout_counts_all_engines_of_an_attempt() -> None:
    begun = now()
    run = Session(LONG, ran_ms=7000, options=EngineOptions(flow_timeout_seconds=10))
    result = await run.end()
    assert result.error is not None
    assert result.error.reason == FailureReason.FLOW_TIMEOUT
    assert now() - begun == pytest.approx(3, abs=0.1)
    assert run.recorder.named("flow:failed")[0]["executionTime"] == pytest.approx(10_000, abs=50)


async def test_flow_without_time_left_starts_nothing() -> None:
    run = Session(LONG, ran_ms=10_000, resumed=True, options=EngineOptions(flow_timeout_seconds=10))
    assert (await run.end()).outcome is FlowOutcome.FAILED
    assert run.told() == ["failed"]


async def test_run_started_paused_uses_no_flow_time() -> None:
    run = Session(CHAIN, control=ControlState(paused=True), options=EngineOptions(flow_timeout_seconds=3))
    await asyncio.sleep(100)
    assert run.engine.ran_ms == 0
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED


# -- beginning and ends -----------------------------------------------------------------------------------


async def test_stepped_node_failure_ends_paused_flow() -> None:
    run = Session(
        """
        nodes:
        - {id: long, type: Sleep, inputs: {milliseconds: 1000}}
        - {id: bad, type: Fail, inputs: {message: broken}}
        - {id: short, type: Sleep, inputs: {milliseconds: 100}}
        - {id: held, type: Text}
        edges: [{from: long.__success, to: bad.__execute}, {from: short.__success, to: held.__execute}]
        """
    )
    await asyncio.sleep(0.05)
    run.engine.pause()
    await asyncio.sleep(0.5)
    assert run.engine.held == ("held",)
    await asyncio.sleep(1)
    run.engine.step()  # lets go both, and the failure ends the flow
    result = await run.end()
    assert result.error is not None
    assert (result.outcome, result.error.node) == (FlowOutcome.FAILED, "bad")


async def test_running_node_failure_ends_paused_flow() -> None:
    run = Session(
        """
        nodes:
        - {id: slow, type: Work, timeoutSeconds: 5, inputs: {milliseconds: 60000}}
        - {id: short, type: Sleep, inputs: {milliseconds: 100}}
        - {id: held, type: Text}
        edges: [{from: short.__success, to: held.__execute}]
        """
    )
    await asyncio.sleep(0.05)
    run.engine.pause()
    result = await run.end()
    assert result.error is not None
    assert (result.outcome, result.error.node) == (FlowOutcome.FAILED, "slow")
    assert [each["nodeId"] for each in run.recorder.named("node:started")] == ["slow", "short"]


async def test_recorder_error_at_command_ends_run() -> None:
    class Full(MemoryRecorder):
        def publish(self, event: FlowEvent) -> None:
            if event.type == "flow:paused":
                raise OverflowError("no room")

    run = Session(CHAIN, recorder=Full())
    await asyncio.sleep(0.5)
    run.engine.pause()
    with pytest.raises(OverflowError):
        await run.end()


@pytest.mark.parametrize("attempt", [1, 3])
async def test_flow_started_event_has_attempt(attempt: int) -> None:
    recorder = MemoryRecorder()
    graph = Graph.build(flow("nodes: [{id: a, type: Text}]"), REGISTRY.catalogue)
    await Engine(graph, REGISTRY, context=RunContext("EX", attempt=attempt), recorder=recorder).run()
    assert recorder.named("flow:started") == [{"nodes": 1, "attempt": attempt}]


# -- nothing is left behind -----------------------------------------------------------------------------------


def pause(run: Session) -> None:
    run.engine.pause()


def stop(run: Session) -> None:
    run.engine.stop("enough")


def park(run: Session) -> None:
    assert run.engine.park()


def cancel(run: Session) -> None:
    run.task.cancel()


NODE_TIMEOUT = EngineOptions(node_timeout_seconds=5)
FLOW_TIMEOUT = EngineOptions(flow_timeout_seconds=5)


@pytest.mark.parametrize(
    ("spec", "options", "acts", "end"),
    [
        (LONG, NODE_TIMEOUT, [], FailureReason.NODE_TIMEOUT),
        (LONG, FLOW_TIMEOUT, [], FailureReason.FLOW_TIMEOUT),
        (LONG, EngineOptions(), [stop], FlowOutcome.STOPPED),
        (LONG, EngineOptions(), [pause, stop], FlowOutcome.STOPPED),
        (LONG, NODE_TIMEOUT, [pause], FailureReason.NODE_TIMEOUT),
        (CHAIN, EngineOptions(), [pause, park], FlowOutcome.PARKED),
        (CHAIN, EngineOptions(), [pause, stop], FlowOutcome.STOPPED),
        (CHAIN, EngineOptions(), [pause, cancel], None),
        (LONG, EngineOptions(), [pause, cancel], None),
    ],
)
async def test_engine_leaves_no_task_or_timer_behind(
    spec: str, options: EngineOptions, acts: list[Callable[[Session], None]], end: FlowOutcome | FailureReason | None
) -> None:
    before = asyncio.all_tasks()
    timers = len(pending_timers())
    run = Session(spec, options=options)
    for act in acts:
        await asyncio.sleep(1.5)
        act(run)
    if end is None:
        with pytest.raises(asyncio.CancelledError):
            await run.task
    else:
        result = await run.task
        assert end in (result.outcome, result.error and result.error.reason)
    assert asyncio.all_tasks() == before
    assert len(pending_timers()) == timers


def pending_timers() -> list[asyncio.TimerHandle]:
    """The event loop's timers that would still fire."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [each for each in scheduled if not each.cancelled()]
