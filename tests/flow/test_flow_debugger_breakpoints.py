"""Breakpoints: when they are hit, what is said of it, and how a run goes on from them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaingraph_flow import EngineOptions, FlowOutcome, FlowResult, Node, NodeContext, NodeFailed, Registry
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, engine

pytestmark = pytest.mark.looptime


class Twice(Node):
    """Fails the first try."""

    async def run(self, context: NodeContext) -> None:
        if context.node_attempt == 1:
            raise NodeFailed("not yet")


REGISTRY = BUILT_IN.merge(Registry([Twice]))
CHAIN = """
    nodes: [{id: a, type: Text, inputs: {value: x}}, {id: b, type: Text}, {id: c, type: Text}]
    edges: [{from: a.value, to: b.value}, {from: b.value, to: c.value}]
"""
SIDE_BY_SIDE = "nodes: [{id: a, type: Text}, {id: b, type: Text}, {id: c, type: ServerTime}, {id: d, type: Text}]"


class Session:
    """A run with breakpoints from its beginning."""

    def __init__(self, spec: str, *breakpoints: str, **how: Any) -> None:
        self.recorder = MemoryRecorder()
        self.engine = engine(spec, registry=REGISTRY, recorder=self.recorder, **how)
        self.engine.set_breakpoints(breakpoints)
        self.task = asyncio.create_task(self.engine.run())

    def held(self) -> tuple[str, ...]:
        return self.engine.held

    def told(self) -> list[str]:
        """What happened but for edges, in short."""
        return [
            f"{each.type.partition(':')[2]} {each.data.get('nodeId', '')}".strip()
            for each in self.recorder.events
            if not each.type.startswith("edge:")
        ]

    def hits(self) -> list[str]:
        return [each["nodeId"] for each in self.recorder.named("debug:breakpoint-hit")]

    async def end(self) -> FlowResult:
        result = await asyncio.wait_for(self.task, 100)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result


async def test_breakpoint_pauses_run_until_resume() -> None:
    run = Session(CHAIN, "b")
    await asyncio.sleep(1)
    assert (run.held(), run.engine.quiet, run.engine.pause_node) == (("b",), True, "b")
    assert run.recorder.named("flow:paused") == [{"reason": "Breakpoint", "node": "b"}]
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.told() == [
        "started", "started a", "completed a", "breakpoint-hit b", "paused", "resumed", "started b", "completed b",
        "started c", "completed c", "completed",
    ]  # fmt: skip


async def test_step_passes_breakpoint_to_next_node() -> None:
    run = Session(CHAIN, "a", "b")
    await asyncio.sleep(1)
    run.engine.step()
    await asyncio.sleep(1)
    assert (run.held(), run.hits()) == (("b",), ["a", "b"])
    assert run.told().count("paused") == 1
    run.engine.resume()
    await run.end()


async def test_simultaneous_breakpoints_pause_once() -> None:
    run = Session(SIDE_BY_SIDE, "b", "c", "d")
    await asyncio.sleep(1)
    # `a` had its task already, and is held all the same: nothing begins in a pause.
    assert run.told() == ["started", "breakpoint-hit b", "paused", "breakpoint-hit c", "breakpoint-hit d"]
    assert sorted(run.held()) == ["a", "b", "c", "d"]
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.hits() == ["b", "c", "d"]
    assert (run.told().count("paused"), run.told().count("resumed")) == (1, 1)


async def test_waiting_nodes_hit_breakpoints_when_another_pauses() -> None:
    run = Session(SIDE_BY_SIDE, "a", "d", options=EngineOptions(max_concurrency=1))
    await asyncio.sleep(1)
    assert run.hits() == ["a", "d"]
    assert run.held() == ("a", "b", "c", "d")
    run.engine.resume()
    await run.end()
    assert run.hits() == ["a", "d"]


async def test_breakpoint_on_skipped_node_is_not_hit() -> None:
    run = Session(
        """
        nodes:
        - {id: shut, type: Boolean, inputs: {value: false}}
        - {id: skipped, type: Text}
        - {id: after, type: Text}
        edges: [{from: shut.value, to: skipped.__execute}, {from: skipped.value, to: after.value}]
        """,
        "skipped",
        "after",
        "no-such-node",
    )
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.hits() == []


async def test_breakpoint_is_hit_once_across_retries() -> None:
    run = Session("nodes: [{id: a, type: Twice, retry: {maxAttempts: 2, backoffSeconds: 10}}]", "a")
    await asyncio.sleep(1)
    run.engine.resume()
    await asyncio.sleep(1)
    run.engine.set_breakpoints([])
    run.engine.set_breakpoints(["a"])
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.hits() == ["a"]


async def test_breakpoint_set_between_retries_is_not_hit() -> None:
    run = Session("nodes: [{id: a, type: Twice, retry: {maxAttempts: 2, backoffSeconds: 10}}]")
    await asyncio.sleep(1)
    run.engine.set_breakpoints(["a"])
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.hits() == []


async def test_breakpoint_removal_does_not_resume() -> None:
    run = Session(CHAIN, "b")
    await asyncio.sleep(1)
    run.engine.set_breakpoints([])
    await asyncio.sleep(1)
    assert (run.held(), run.engine.paused) == (("b",), True)
    run.engine.resume()
    await run.end()


async def test_breakpoint_set_during_run_stops_starting_node() -> None:
    run = Session(SIDE_BY_SIDE)
    await asyncio.sleep(0)
    run.engine.set_breakpoints(["c"])
    await asyncio.sleep(1)
    assert run.hits() == ["c"]
    assert run.held() == ("c",)
    assert not [each for each in run.recorder.named("node:started") if each["nodeId"] == "c"]
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.hits() == ["c"]


async def test_breakpoint_set_on_held_node_is_not_hit() -> None:
    run = Session(CHAIN)
    run.engine.pause()
    await asyncio.sleep(1)
    run.engine.set_breakpoints(["a"])
    run.engine.resume()
    await run.end()
    assert run.hits() == []


async def test_breakpoint_hit_in_pause_adds_no_pause() -> None:
    run = Session(CHAIN, "b")
    run.engine.pause()
    await asyncio.sleep(1)
    run.engine.step()
    await asyncio.sleep(1)
    assert (run.hits(), run.engine.pause_node) == (["b"], "")
    assert run.told() == ["started", "paused", "started a", "completed a", "breakpoint-hit b"]
    run.engine.resume()
    await run.end()


async def test_owed_step_passes_breakpoint_after_hit() -> None:
    run = Session(CHAIN, "b")
    run.engine.pause()
    await asyncio.sleep(1)
    run.engine.step()
    run.engine.step()
    await asyncio.sleep(1)
    assert run.held() == ("c",)
    assert run.hits() == ["b"]
    run.engine.resume()
    await run.end()


async def test_stop_ends_run_held_at_breakpoint() -> None:
    run = Session(CHAIN, "b")
    await asyncio.sleep(1)
    run.engine.stop("enough")
    result = await run.end()
    assert (result.outcome, result.reason) == (FlowOutcome.STOPPED, "enough")
    assert run.told()[-2:] == ["paused", "cancelled"]
