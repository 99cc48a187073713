"""Pausing, resuming and stepping a run, on a clock that jumps instead of waiting."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from chaingraph_flow import (
    Engine,
    EngineOptions,
    FlowEvent,
    FlowOutcome,
    FlowResult,
    Node,
    NodeContext,
    NodeFailed,
    Registry,
)
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, engine

pytestmark = pytest.mark.looptime


class Flaky(Node):
    """Fails the first two tries."""

    pure = True

    async def run(self, context: NodeContext) -> None:
        if context.node_attempt < 3:
            raise NodeFailed(f"try {context.node_attempt}")


class Effect(Node):
    """Waits for the journal."""

    ran: ClassVar[list[str]] = []

    async def run(self, context: NodeContext) -> None:
        Effect.ran.append(context.node_id)


REGISTRY = BUILT_IN.merge(Registry([Flaky, Effect]))

# Each takes a second.
CHAIN = """
    nodes:
    - {id: a, type: Sleep, inputs: {milliseconds: 1000}}
    - {id: b, type: Sleep, inputs: {milliseconds: 1000}}
    - {id: c, type: Sleep, inputs: {milliseconds: 1000}}
    edges: [{from: a.__success, to: b.__execute}, {from: b.__success, to: c.__execute}]
"""
SIDE_BY_SIDE = (
    "nodes: [" + ", ".join(f"{{id: {id_}, type: Sleep, inputs: {{milliseconds: 1000}}}}" for id_ in "abc") + "]"
)
EFFECTS = "nodes: [{id: a, type: Effect}, {id: b, type: Effect}, {id: c, type: Effect}]"


class Held(MemoryRecorder):
    """A journal that is durable once the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def settled(self) -> None:
        await self.gate.wait()


class Session:
    """A run that a test drives from outside."""

    def __init__(self, spec: str, **how: Any) -> None:
        self.recorder: MemoryRecorder = how.setdefault("recorder", MemoryRecorder())
        self.engine: Engine = engine(spec, registry=REGISTRY, **how)
        self.task: asyncio.Task[FlowResult] | None = None

    async def go(self, seconds: float) -> None:
        """Let it run for a while."""
        if self.task is None:
            self.task = asyncio.create_task(self.engine.run())
        await asyncio.sleep(seconds)

    async def end(self) -> FlowResult:
        await self.go(0)
        assert self.task is not None
        result = await asyncio.wait_for(self.task, 100)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    def told(self) -> list[str]:
        """What the flow, its nodes and the debugger did, in short."""
        return [_short(each) for each in self.recorder.events if not each.type.startswith("edge:")]

    def held(self) -> tuple[str, ...]:
        return self.engine.held

    def current(self) -> tuple[str, ...]:
        return self.engine.progress.current_nodes

    @property
    def started(self) -> list[str]:
        return [each["nodeId"] for each in self.recorder.named("node:started")]


def _short(event: FlowEvent) -> str:
    what = event.type.partition(":")[2]
    return f"{what} {event.data['nodeId']}" if "nodeId" in event.data else what


# -- pause and resume -----------------------------------------------------------------------------------------


async def test_pause_holds_next_node_and_resume_continues() -> None:
    run = Session(CHAIN)
    await run.go(0.5)
    run.engine.pause()
    assert (run.engine.paused, run.engine.pause_node) == (True, "")
    assert run.recorder.named("flow:paused") == [{"reason": "Paused"}]
    assert (run.engine.quiet, run.held()) == (False, ())
    assert run.current() == ("a",)
    await run.go(10)
    assert (run.engine.quiet, run.held()) == (True, ("b",))
    assert run.current() == ("b",)
    assert (run.engine.progress.completed, run.engine.progress.running) == (1, 0)
    run.engine.resume()
    assert (run.engine.paused, run.engine.pause_node, run.held()) == (False, "", ())
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.told() == [
        "started", "started a", "paused", "completed a", "resumed", "started b", "completed b", "started c",
        "completed c", "completed",
    ]  # fmt: skip


async def test_repeated_commands_have_no_effect() -> None:
    run = Session(CHAIN)
    await run.go(0.5)
    run.engine.resume()
    run.engine.pause()
    run.engine.pause()
    await run.go(10)
    run.engine.resume()
    run.engine.resume()
    await run.end()
    assert run.recorder.named("flow:paused") == [{"reason": "Paused"}]
    assert run.recorder.named("flow:resumed") == [{}]


@pytest.mark.parametrize("spec", [SIDE_BY_SIDE, EFFECTS])
async def test_pause_at_start_starts_nothing(spec: str) -> None:
    run = Session(spec)
    await run.go(0)  # the nodes have their tasks, which have not had a turn
    run.engine.pause()
    await run.go(10)
    assert run.started == []
    assert run.held() == ("a", "b", "c")
    assert run.engine.quiet
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert sorted(run.started) == ["a", "b", "c"]
    assert all(each.attempts == 1 for each in run.recorder.records)


async def test_pause_holds_nodes_waiting_for_journal() -> None:
    Effect.ran = []
    recorder = Held()
    run = Session(EFFECTS, recorder=recorder)
    await run.go(1)
    run.engine.pause()
    assert not run.engine.quiet
    recorder.gate.set()
    await run.go(1)
    assert (Effect.ran, run.started, run.held(), run.engine.quiet) == ([], [], ("a", "b", "c"), True)
    run.engine.resume()
    await run.end()
    assert sorted(Effect.ran) == ["a", "b", "c"]


async def test_pause_over_before_durable_journal_has_no_effect() -> None:
    Effect.ran = []
    recorder = Held()
    run = Session(EFFECTS, recorder=recorder)
    await run.go(1)
    run.engine.pause()
    run.engine.resume()
    recorder.gate.set()
    await run.end()
    assert Effect.ran == ["a", "b", "c"]


async def test_pause_holds_nodes_waiting_for_slot() -> None:
    run = Session(SIDE_BY_SIDE, options=EngineOptions(max_concurrency=1))
    await run.go(0.5)
    run.engine.pause()
    assert run.held() == ("b", "c")
    assert run.current() == ("a", "b", "c")
    await run.go(10)
    assert run.started == ["a"]
    run.engine.resume()
    await run.end()
    assert run.told()[-5:] == ["started b", "completed b", "started c", "completed c", "completed"]


async def test_pause_holds_retry_and_step_runs_one_try() -> None:
    run = Session("nodes: [{id: a, type: Flaky, retry: {maxAttempts: 3, backoffSeconds: 10}}]")
    await run.go(1)
    run.engine.pause()
    await run.go(1)
    assert (run.engine.quiet, run.held(), run.engine.progress.waiting) == (True, (), 1)
    await run.go(20)
    assert (run.engine.quiet, run.held(), run.engine.progress.waiting) == (True, ("a",), 0)
    run.engine.step()
    await run.go(1)
    assert (run.engine.quiet, run.held()) == (True, ()), "the second try has failed, and the third is to come"
    await run.go(50)
    assert run.held() == ("a",), "a step is for one try"
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.recorder.of("a").attempts == 3
    assert run.started == ["a"]


async def test_pause_before_start_is_announced_at_start() -> None:
    run = Session(SIDE_BY_SIDE)
    run.engine.pause()
    assert run.recorder.events == []
    assert not run.engine.quiet, "what it will hold is not known yet"
    await run.go(10)
    assert run.told() == ["started", "paused"]
    assert run.held() == ("a", "b", "c")
    run.engine.resume()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED


async def test_pause_over_before_start_is_not_announced() -> None:
    run = Session(SIDE_BY_SIDE)
    run.engine.pause()
    run.engine.resume()
    await run.end()
    assert not {"paused", "resumed"} & set(run.told())


async def test_paused_run_completes_if_nothing_is_held() -> None:
    run = Session(SIDE_BY_SIDE)
    await run.go(0.5)
    run.engine.pause()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.told()[-1] == "completed"


async def test_commands_after_the_end_change_nothing() -> None:
    run = Session(CHAIN)
    await run.end()
    before = run.told()
    run.engine.pause()
    run.engine.step()
    run.engine.resume()
    run.engine.set_breakpoints(["a"])
    assert (run.told(), run.engine.paused, run.engine.park()) == (before, False, False)


# -- step -----------------------------------------------------------------------------------------------------


async def test_step_runs_held_nodes_and_stays_paused() -> None:
    run = Session(CHAIN)
    run.engine.pause()
    await run.go(1)
    for held, done in (("a", 1), ("b", 2)):
        assert run.held() == (held,)
        run.engine.step()
        assert run.held() == ()
        assert not run.engine.quiet
        await run.go(10)
        assert run.engine.progress.completed == done
        assert run.engine.paused
        assert run.engine.quiet
    run.engine.step()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.told() == [
        "started", "paused", "started a", "completed a", "started b", "completed b", "started c", "completed c",
        "completed",
    ]  # fmt: skip


async def test_step_runs_held_nodes_as_slots_free_up() -> None:
    run = Session(SIDE_BY_SIDE, options=EngineOptions(max_concurrency=2))
    run.engine.pause()
    await run.go(1)
    run.engine.step()
    await run.go(0.5)
    assert run.current() == ("a", "b", "c")
    assert (run.engine.progress.running, run.held()) == (2, ())
    assert not run.engine.quiet
    await run.go(1)
    assert run.current() == ("c",)
    assert (await run.end()).outcome is FlowOutcome.COMPLETED


async def test_step_with_nothing_held_applies_to_next_node() -> None:
    run = Session(CHAIN)
    await run.go(0.5)
    run.engine.pause()
    run.engine.step()
    await run.go(10)
    assert run.started == ["a", "b"]
    assert run.held() == ("c",)


async def test_two_steps_at_once_run_two_nodes() -> None:
    run = Session(CHAIN)
    run.engine.pause()
    await run.go(1)
    run.engine.step()
    run.engine.step()
    await run.go(10)
    assert run.started == ["a", "b"]
    assert run.held() == ("c",)


async def test_step_right_after_pause_runs_starting_nodes() -> None:
    run = Session(EFFECTS)
    await run.go(0)
    run.engine.pause()
    run.engine.step()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert run.started == ["a", "b", "c"]


@pytest.mark.parametrize("turns", range(6))
async def test_step_includes_nodes_returning_to_the_gate(turns: int) -> None:
    recorder = Held()
    run = Session(EFFECTS, recorder=recorder)
    await run.go(1)
    run.engine.pause()
    recorder.gate.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    run.engine.step()
    assert (await run.end()).outcome is FlowOutcome.COMPLETED
    assert sorted(run.started) == ["a", "b", "c"]


async def test_step_without_pause_has_no_effect() -> None:
    run = Session(CHAIN)
    await run.go(0.5)
    run.engine.step()
    run.engine.pause()
    await run.go(10)
    assert run.started == ["a"]


async def test_resume_cancels_owed_steps() -> None:
    run = Session(CHAIN)
    await run.go(0.5)
    run.engine.pause()
    run.engine.step()
    run.engine.resume()
    run.engine.pause()
    await run.go(10)
    assert run.started == ["a"]


async def test_pause_holds_stepped_nodes_without_slot() -> None:
    run = Session(SIDE_BY_SIDE, options=EngineOptions(max_concurrency=1))
    run.engine.pause()
    await run.go(1)
    run.engine.step()
    run.engine.resume()
    await run.go(0.5)
    run.engine.pause()
    await run.go(10)
    assert run.started == ["a"]
    assert run.held() == ("b", "c")
