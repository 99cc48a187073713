"""Calls of subflows: once, for each element, repeatedly; their failures, waits, signals, pauses and journals."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from chaingraph_flow import Any as AnyType
from chaingraph_flow import (
    EngineOptions,
    FlowOutcome,
    Input,
    InvalidFlow,
    Node,
    NodeContext,
    NodeFailed,
    NodeRecord,
    Output,
    Registry,
    Signal,
    WaitKind,
    WaitRecord,
    without_unhandled_failures,
)
from chaingraph_flow.graph import Graph
from fixtures.flows.runs import WORKING, MemoryRecorder, engine, flow, run_flow

pytestmark = pytest.mark.looptime

DOUBLE = """
subflows:
  - name: double
    inputs: [{name: item, type: number}, {name: index, type: number}, {name: by, type: number, default: 2}]
    outputs: [{name: value, from: times.result}]
    nodes: [{id: times, type: Math, inputs: {operation: multiply}}]
    edges: [{from: inputs.item, to: times.a}, {from: inputs.by, to: times.b}]
"""
EACH = """
nodes: [{id: all, type: ForEach, inputs: {subflow: double, items: [1, 2, 3], maxParallel: 2}}]
outputs: [{name: results, from: all.results}, {name: errors, from: all.errors}, {name: failed, from: all.failed}]
"""


class Effect(Node):
    """Counts its runs by execution path, and fails for the value that says so."""

    runs: ClassVar[list[str]] = []
    broken: ClassVar[set[Any]] = set()
    value = Input(AnyType())
    result = Output(AnyType())

    async def run(self, context: NodeContext) -> None:
        self.runs.append(context.node_id)
        if any(self.value == each for each in self.broken):
            raise NodeFailed(f"no {self.value}", reason="Broken", details={"value": self.value})
        self.result = self.value


REGISTRY = WORKING.merge(Registry([Effect]))
EFFECTS = """
subflows:
  - name: one
    inputs: [{name: item}]
    outputs: [{name: value, from: last.result}]
    nodes: [{id: first, type: Effect}, {id: last, type: Effect}]
    edges: [{from: inputs.item, to: first.value}, {from: first.result, to: last.value}]
nodes: [{id: all, type: ForEach, inputs: {subflow: one, items: [a, b, c], maxParallel: 2}}]
outputs: [{name: results, from: all.results}]
"""


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    Effect.runs.clear()
    Effect.broken.clear()


def latest(recorder: MemoryRecorder, after: int | None = None) -> tuple[list[NodeRecord], list[WaitRecord]]:
    """The journal after so many entries: the last one of each node."""
    entries = {each.node_id: each for each in recorder.entries[:after]}
    records = [each for each in entries.values() if isinstance(each, NodeRecord)]
    return records, [each for each in entries.values() if isinstance(each, WaitRecord)]


async def test_call_runs_subflow_with_defaults_and_gives_its_outputs() -> None:
    run = await run_flow(
        DOUBLE
        + """
nodes:
  - {id: four, type: Call, inputs: {subflow: double, item: 4, index: 0}}
  - {id: again, type: Call, inputs: {subflow: double, by: 10, index: 1}}
edges: [{from: four.value, to: again.item}]
outputs: [{name: value, from: again.value}]
"""
    )
    assert run.result.outputs == {"value": 80}
    assert list(run.recorder.outcomes()) == ["four.times", "four", "again.times", "again"]
    assert run.result.progress.total == run.result.progress.completed == 2
    started = [each["nodeId"] for each in run.recorder.named("node:started")]
    assert started == ["four", "four.times", "again", "again.times"]


async def test_for_each_gives_results_in_order_of_items() -> None:
    run = await run_flow(DOUBLE + EACH)
    assert run.result.outputs == {
        "results": [{"value": 2}, {"value": 4}, {"value": 6}],
        "errors": [None, None, None],
        "failed": 0,
    }


async def test_nodes_without_effects_in_a_loop_are_journaled_only_in_debug_mode() -> None:
    run = await run_flow(DOUBLE + EACH)
    assert set(run.recorder.outcomes()) == {"all", "all[0]", "all[1]", "all[2]"}
    assert [each["nodeId"] for each in run.recorder.named("node:completed")] == ["all"]
    debug = await run_flow(DOUBLE + EACH, options=EngineOptions(debug=True))
    expected = {"all", *(f"all[{number}]{each}" for number in range(3) for each in ("", ".times"))}
    assert set(debug.recorder.outcomes()) == expected
    assert {each["nodeId"] for each in debug.recorder.named("node:completed")} == expected - {
        "all[0]", "all[1]", "all[2]",
    }  # fmt: skip


async def test_failure_in_a_loop_journals_what_led_to_it() -> None:
    Effect.broken.add(3)
    text = """
subflows:
  - name: one
    inputs: [{name: item, type: number}]
    nodes: [{id: more, type: Math, inputs: {b: 1}}, {id: work, type: Effect}, {id: after, type: Math, inputs: {b: 1}}]
    edges: [{from: inputs.item, to: more.a}, {from: more.result, to: work.value}, {from: more.result, to: after.a}]
nodes: [{id: all, type: ForEach, inputs: {subflow: one, items: [1, 2, 3], maxParallel: 1}}]
"""
    run = await run_flow(text, registry=REGISTRY)
    outcomes = run.recorder.outcomes()
    assert {"all[0].more", "all[0].work", "all[1].more"} <= set(outcomes)
    assert outcomes["all[1].work"] == outcomes["all[1]"] == "failed"
    order = list(outcomes)
    assert order.index("all[1].more") < order.index("all[1].work")


async def test_for_each_over_nothing_completes() -> None:
    run = await run_flow(DOUBLE + EACH.replace("[1, 2, 3]", "[]"))
    assert run.result.outputs == {"results": [], "errors": [], "failed": 0}


async def test_for_each_runs_at_most_so_many_at_a_time() -> None:
    text = """
subflows:
  - {name: nap, inputs: [{name: item}], nodes: [{id: sleep, type: Sleep, inputs: {milliseconds: 1000}}]}
nodes: [{id: all, type: ForEach, inputs: {subflow: nap, items: [1, 2, 3, 4, 5], maxParallel: 2}}]
"""
    run = await run_flow(text)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert 2.99 <= asyncio.get_running_loop().time() < 3.1


async def test_first_failure_ends_for_each_with_place_of_the_node() -> None:
    Effect.broken.add("b")
    run = await run_flow(EFFECTS, registry=REGISTRY)
    assert run.result.outcome is FlowOutcome.FAILED
    assert run.result.error is not None
    assert run.result.error.node == "all"
    assert run.result.error.reason == "Broken"
    assert run.result.error.message == "all[1].first: no b"
    failed = run.recorder.of("all[1]")
    assert failed.details == {
        "node": "all[1].first", "reason": "Broken", "message": "no b", "details": {"value": "b"},
    }  # fmt: skip
    assert "all[2]" not in run.recorder.outcomes()


async def test_for_each_goes_on_after_failures_if_told_to() -> None:
    Effect.broken.update("ab")
    text = EFFECTS.replace("maxParallel: 2", "onError: Continue").replace(
        "from: all.results}", "from: all.results}, {name: errors, from: all.errors}, {name: failed, from: all.failed}"
    )
    run = await run_flow(text, registry=REGISTRY)
    assert run.result.outputs["results"] == [None, None, {"value": "c"}]
    assert [each and each["node"] for each in run.result.outputs["errors"]] == ["all[0].first", "all[1].first", None]
    assert run.result.outputs["failed"] == 2


async def test_for_each_runs_only_where_its_filter_holds() -> None:
    items = "[{kg: 1, to: a}, {kg: 9, to: b}, {kg: 12, to: c}, {kg: 2, to: d}]"
    for condition, ran in (("kg > `5`", "bc"), ("kg > `50`", ""), ("kg < `5`", "ad"), ("to", "abcd")):
        text = f"""
subflows:
  - name: send
    inputs: [{{name: item}}, {{name: index}}]
    outputs: [{{name: to, from: work.result}}]
    nodes: [{{id: work, type: Effect}}]
    edges: [{{from: inputs.item, to: work.value}}]
nodes: [{{id: all, type: ForEach, inputs: {{subflow: send, items: {items}, filter: "{condition}", maxParallel: 1}}}}]
outputs: [{{name: results, from: all.results}}, {{name: skipped, from: all.skipped}}]
"""
        run = await run_flow(text, registry=REGISTRY)
        results = run.result.outputs["results"]
        assert [each and each["to"]["to"] for each in results] == [each if each in ran else None for each in "abcd"]
        assert run.result.outputs["skipped"] == 4 - len(ran)


async def test_filter_that_cannot_be_evaluated_fails_the_node_with_its_element() -> None:
    text = EFFECTS.replace("items: [a, b, c]", "items: [{n: [1]}, {n: 2}], filter: 'length(n) > `0`'")
    run = await run_flow(text, registry=REGISTRY)
    assert run.result.error is not None
    assert run.result.error.reason == "ExpressionFailed"
    assert run.result.error.message.startswith("filter, items[1]: ")
    with pytest.raises(InvalidFlow, match=r"spec.nodes\[0\].inputs.filter"):
        await run_flow(EFFECTS.replace("items: [a, b, c]", "items: [a], filter: 'kg >'"), registry=REGISTRY)


async def test_failure_of_call_goes_to_its_error_port_with_details() -> None:
    Effect.broken.add("x")
    text = """
subflows:
  - name: inner
    inputs: [{name: value}]
    nodes: [{id: work, type: Effect}]
    edges: [{from: inputs.value, to: work.value}]
  - name: outer
    inputs: [{name: value}]
    nodes: [{id: sub, type: Call, inputs: {subflow: inner}}]
    edges: [{from: inputs.value, to: sub.value}]
nodes: [{id: top, type: Call, inputs: {subflow: outer, value: x}}, {id: seen, type: Object}]
edges: [{from: top.__error, to: seen.value}]
outputs: [{name: error, from: seen.value}]
"""
    run = await run_flow(text, registry=REGISTRY)
    assert run.result.outcome is FlowOutcome.COMPLETED
    error = run.result.outputs["error"]
    assert (error["node"], error["reason"], error["message"]) == ("top", "Broken", "top.sub.work: no x")
    assert error["details"]["node"] == "top.sub.work"


REPEAT = """
subflows:
  - name: page
    inputs: [{name: cursor, type: number, default: 0}, {name: iteration, type: number}]
    outputs: [{name: cursor, from: next.result}, {name: done, from: last.result}]
    nodes: [{id: next, type: Math, inputs: {b: 1}}, {id: last, type: Branch, inputs: {operator: ">=", right: 4}}]
    edges: [{from: inputs.cursor, to: next.a}, {from: next.result, to: last.left}]
nodes: [{id: pages, type: Repeat, inputs: {subflow: page, until: done}}]
outputs: [{name: cursor, from: pages.cursor}, {name: rounds, from: pages.iterations}]
"""


async def test_repeat_carries_outputs_into_inputs_of_their_name() -> None:
    run = await run_flow(REPEAT)
    assert run.result.outputs == {"cursor": 4, "rounds": 4}
    assert [each for each in run.recorder.outcomes() if each != "pages"] == [f"pages[{n}]" for n in range(4)]


async def test_repeat_that_does_not_end_fails_with_its_limit() -> None:
    run = await run_flow(REPEAT.replace("until: done", "until: done, maxIterations: 3"))
    assert run.result.error is not None
    assert run.result.error.reason == "IterationLimit"
    assert "'done' was not true after 3 rounds" in run.result.error.message


async def test_repeat_waits_between_its_rounds_without_a_slot() -> None:
    loop = asyncio.get_running_loop()
    text = REPEAT.replace("until: done", "until: done, delaySeconds: 600")
    run = await run_flow(text, clock=lambda: round(loop.time() * 1000))
    assert run.result.outputs == {"cursor": 4, "rounds": 4}
    assert 1799 <= asyncio.get_running_loop().time() < 1801
    assert [each["kind"] for each in run.recorder.named("node:waiting")] == ["Time"] * 3


async def test_long_wait_inside_a_call_lets_the_engine_sleep() -> None:
    text = """
subflows:
  - {name: nap, inputs: [{name: item}], nodes: [{id: sleep, type: Sleep, inputs: {milliseconds: 60000}}]}
nodes: [{id: all, type: ForEach, inputs: {subflow: nap, items: [1, 2]}}]
"""
    recorder = MemoryRecorder()
    first = engine(text, recorder=recorder)
    running = asyncio.ensure_future(first.run())
    await asyncio.sleep(10)
    assert first.asleep_until is not None
    assert (first.progress.running, first.progress.waiting, first.progress.current_nodes) == (0, 2, ())
    assert {each.node_id for each in first.running_nodes} == {"all", "all[0].sleep", "all[1].sleep"}
    assert first.park()
    assert (await running).outcome is FlowOutcome.PARKED
    records, waits = latest(recorder)
    assert {each.node_id: each.kind for each in waits} == {
        "all": WaitKind.CALL, "all[0].sleep": WaitKind.TIME, "all[1].sleep": WaitKind.TIME,
    }  # fmt: skip
    assert not records
    # The clock of the engine is the wall's, which the loop's time is ahead of.
    second = await engine(text, recorder=recorder, journal=records, waits=waits, resumed=True).run()
    assert second.outcome is FlowOutcome.COMPLETED
    assert len(recorder.named("node:started")) == 1
    assert [each["nodeId"] for each in recorder.named("node:completed")] == ["all[0].sleep", "all[1].sleep", "all"]


async def test_signal_reaches_a_node_inside_a_call_by_its_path() -> None:
    text = """
subflows:
  - name: ask
    inputs: [{name: item}]
    outputs: [{name: said, from: answer.payload}]
    nodes: [{id: answer, type: WaitForSignal}]
nodes: [{id: all, type: ForEach, inputs: {subflow: ask, items: [1, 2]}}]
outputs: [{name: results, from: all.results}]
"""
    early = [Signal(1, "s1", "all[1].answer", "early")]
    run = engine(text, signals=early)
    running = asyncio.ensure_future(run.run())
    await asyncio.sleep(1)
    run.deliver(Signal(2, "s2", "all[0].answer", "late"))
    result = await running
    assert result.outputs["results"] == [{"said": "late"}, {"said": "early"}]


async def test_breakpoint_holds_a_node_in_one_call_or_in_each() -> None:
    for at, held in (("all[1].times", ["all[1].times"]), ("all.times", ["all[0].times", "all[1].times"])):
        recorder = MemoryRecorder()
        run = engine(DOUBLE + EACH, recorder=recorder)
        run.set_breakpoints([at])
        running = asyncio.ensure_future(run.run())
        for _ in range(100):
            await asyncio.sleep(0.01)
        assert run.paused
        assert set(run.held) == set(held) | {each for each in run.held if each.endswith("times")}
        assert held[0] in run.held
        while not running.done():
            run.resume()
            await asyncio.sleep(0.01)
        hits = [each["nodeId"] for each in recorder.named("debug:breakpoint-hit")]
        assert hits[0] == held[0]
        assert (await running).outputs["failed"] == 0


async def test_timeout_of_calling_node_ends_all_its_calls() -> None:
    text = """
subflows:
  - name: nap
    inputs: [{name: item}]
    nodes:
      - {id: short, type: Sleep, inputs: {milliseconds: 1500}}
      - {id: long, type: Sleep, inputs: {milliseconds: 90000}}
nodes:
  - {id: all, type: ForEach, timeoutSeconds: 1, inputs: {subflow: nap, items: [1, 2]}}
  - {id: seen, type: Text, inputs: {value: went on}}
edges: [{from: all.__error, to: seen.__execute}]
"""
    run = await run_flow(text)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert run.recorder.of("all").reason == "NodeTimeout"
    assert asyncio.get_running_loop().time() < 2


async def test_retry_of_calling_node_repeats_only_what_failed() -> None:
    Effect.broken.add("b")
    text = EFFECTS.replace("type: ForEach,", "type: ForEach, retry: {maxAttempts: 2, backoffSeconds: 30},")
    running = asyncio.ensure_future(run_flow(text, registry=REGISTRY))
    await asyncio.sleep(10)
    Effect.broken.clear()
    run = await running
    assert run.result.outputs == {"results": [{"value": each} for each in "abc"]}
    assert sorted(Effect.runs) == sorted(
        ["all[0].first", "all[0].last", "all[1].first", "all[1].first", "all[1].last", "all[2].first", "all[2].last"]
    )
    assert run.recorder.of("all").attempts == 2


async def test_retry_of_execution_repeats_only_what_failed() -> None:
    Effect.broken.add("b")
    recorder = MemoryRecorder()
    run = await run_flow(EFFECTS, registry=REGISTRY, recorder=recorder)
    assert run.result.outcome is FlowOutcome.FAILED
    Effect.broken.clear()
    Effect.runs.clear()
    graph = Graph.build(flow(EFFECTS), REGISTRY.catalogue)
    kept = without_unhandled_failures(graph, latest(recorder)[0], None)
    assert "all[1]" not in {each.node_id for each in kept}
    again = await run_flow(EFFECTS, registry=REGISTRY, journal=kept)
    assert again.result.outputs == {"results": [{"value": each} for each in "abc"]}
    assert sorted(Effect.runs) == ["all[0].last", "all[1].first", "all[1].last", "all[2].first", "all[2].last"]


async def test_each_cut_of_the_journal_continues_without_repeating_an_ended_node() -> None:
    whole = await run_flow(EFFECTS, registry=REGISTRY)
    expected = whole.result.outputs
    for after in range(len(whole.recorder.entries) + 1):
        records, waits = latest(whole.recorder, after)
        Effect.runs.clear()
        done = {each.node_id for each in records}
        run = await run_flow(EFFECTS, registry=REGISTRY, journal=records, waits=waits, resumed=True)
        assert run.result.outputs == expected, after
        assert not done & set(Effect.runs), after


async def test_events_emitted_in_calls_spawn_children_in_order_of_calls() -> None:
    text = """
subflows:
  - name: tell
    inputs: [{name: item}]
    nodes: [{id: emit, type: EventEmitter, inputs: {eventName: told}}]
    edges: [{from: inputs.item, to: emit.payload}]
nodes:
  - {id: first, type: EventEmitter, inputs: {eventName: told, payload: 0}}
  - {id: all, type: ForEach, inputs: {subflow: tell, items: [1, 2, 3]}}
  - {id: hear, type: EventListener, inputs: {eventName: told}}
"""
    run = await run_flow(text, options=EngineOptions(max_children=4))
    assert [each.payload for each in run.result.emissions] == [0, 1, 2, 3]
    refused = await run_flow(text, options=EngineOptions(max_children=3))
    assert refused.result.error is not None
    assert refused.result.error.reason == "TooManyChildren"


async def test_stop_ends_calls() -> None:
    text = """
subflows:
  - {name: nap, inputs: [{name: item}], nodes: [{id: sleep, type: Sleep, inputs: {milliseconds: 60000}}]}
nodes: [{id: all, type: ForEach, inputs: {subflow: nap, items: [1, 2]}}]
"""
    run = engine(text)
    running = asyncio.ensure_future(run.run())
    await asyncio.sleep(1)
    run.stop("enough")
    assert (await running).outcome is FlowOutcome.STOPPED
    assert not [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]


async def test_pause_holds_nodes_of_calls_and_survives_a_park() -> None:
    recorder = MemoryRecorder()
    run = engine(DOUBLE + EACH, recorder=recorder)
    run.pause()
    running = asyncio.ensure_future(run.run())
    await asyncio.sleep(1)
    assert [*run.held] == ["all"]
    run.step()
    await asyncio.sleep(1)
    assert [*run.held] == ["all[0].times", "all[1].times"]
    assert run.park()
    await running
    records, waits = latest(recorder)
    again = engine(DOUBLE + EACH, journal=records, waits=waits, resumed=True)
    result = await again.run()
    assert result.outputs["results"] == [{"value": 2}, {"value": 4}, {"value": 6}]


async def test_calls_whose_nodes_are_all_skipped_leave_the_loop_to_others() -> None:
    text = f"""
subflows:
  - name: gated
    inputs: [{{name: item, type: boolean}}]
    nodes: [{{id: never, type: Text, inputs: {{value: x}}}}]
    edges: [{{from: inputs.item, to: never.__execute}}]
nodes: [{{id: all, type: ForEach, inputs: {{subflow: gated, items: [{", ".join(["false"] * 8000)}]}}}}]
"""
    running = asyncio.ensure_future(engine(text).run())
    turns = 0
    while not running.done():
        turns += 1
        await asyncio.sleep(0)
    assert (await running).outcome is FlowOutcome.COMPLETED
    assert turns > 5


async def test_many_items_leave_nothing_behind() -> None:
    items = "[" + ", ".join(map(str, range(2000))) + "]"
    recorder = MemoryRecorder()
    run = engine(
        DOUBLE + EACH.replace("[1, 2, 3]", items).replace("maxParallel: 2", "maxParallel: 20"), recorder=recorder
    )
    result = await run.run()
    assert result.outputs["results"][-1] == {"value": 3998}
    assert len(run.frames) == 0
    assert "all[0].times" not in run.frames
    assert not run._tries.count.keys() - {"all"}
