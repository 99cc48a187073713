"""How many children an execution may have, and how deep in its tree: the node that emits beyond that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    EmissionRefused,
    Engine,
    EngineOptions,
    FailureReason,
    FlowOutcome,
    FlowResult,
    Graph,
    Input,
    Node,
    NodeContext,
    NodeError,
    NodeFailed,
    NodeRecord,
    NodeSkipped,
    Number,
    Outcome,
    Output,
    Registry,
    RunContext,
    String,
    without_unhandled_failures,
)
from fixtures import soak
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, Run, flow, run_flow


class Emits(Node):
    """Emits some events after some turns of the event loop; the try can fail or skip after that, or hide a refusal."""

    tried: ClassVar[list[str]] = []

    events = Input(Number(), default=0)
    turns = Input(Number(), default=0)
    then = Input(String())
    payload = Output(Number())

    async def run(self, context: NodeContext) -> None:
        self.tried.append(context.node_id)
        for _ in range(int(self.turns)):
            await asyncio.sleep(0)
        try:
            for index in range(int(self.events)):
                context.emit(context.node_id, index)
        except EmissionRefused:
            if self.then != "hide":
                raise
        if self.then == "fail":
            raise NodeFailed("has emitted")
        if self.then == "skip":
            raise NodeSkipped("has emitted")
        self.payload = 1


class EmitsInGroup(Node):
    """Emits from a task of its own, so that what is raised comes in a group."""

    async def run(self, context: NodeContext) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._emit(context))

    async def _emit(self, context: NodeContext) -> None:
        context.emit("e")


class EmitsInThread(Node):
    """Emits from a thread."""

    events = Input(Number(), default=0)

    def run(self, context: NodeContext) -> None:
        for index in range(int(self.events)):
            context.emit("e", index)


REGISTRY = Registry([*(BUILT_IN[name] for name in BUILT_IN.catalogue), Emits, EmitsInGroup, EmitsInThread])


@pytest.fixture(autouse=True)
def nothing_tried() -> None:
    Emits.tried.clear()


async def run(text: str | FlowSpec, limit: int, journal: Sequence[NodeRecord] = (), concurrency: int = 50) -> Run:
    options = EngineOptions(max_children=limit, max_concurrency=concurrency)
    return await run_flow(text, registry=REGISTRY, options=options, journal=journal)


async def run_at_depth(text: str, depth: int, limit: int) -> tuple[FlowResult, MemoryRecorder]:
    recorder = MemoryRecorder()
    made = Engine(
        Graph.build(flow(text), REGISTRY.catalogue),
        REGISTRY,
        context=RunContext("EX1", depth=depth),
        recorder=recorder,
        options=EngineOptions(max_depth=limit),
    )
    return await made.run(), recorder


# -- depth ---------------------------------------------------------------------------------------------------

TELL = "nodes: [{id: tell, type: EventEmitter, inputs: {eventName: placed}}]"


@pytest.mark.parametrize(("depth", "limit"), [(0, 1), (99, 100), (1, 2)])
async def test_depth_below_limit_allows_children(depth: int, limit: int) -> None:
    result, _ = await run_at_depth(TELL, depth, limit)
    assert result.outcome is FlowOutcome.COMPLETED
    assert [each.name for each in result.emissions] == ["placed"]


@pytest.mark.parametrize(("depth", "limit"), [(100, 100), (101, 100), (0, 0)])
async def test_depth_limit_fails_emitting_node(depth: int, limit: int) -> None:
    result, _ = await run_at_depth(TELL, depth, limit)
    assert result.outcome is FlowOutcome.FAILED
    assert result.emissions == ()
    assert result.error is not None
    assert (result.error.node, result.error.reason) == ("tell", FailureReason.DEPTH_LIMIT)
    assert result.error.message == (
        f"event 'placed' cannot spawn an execution: this execution is at depth {depth} of its tree, and the maximum "
        f"depth of children is {limit} (CHAINGRAPH_MAX_DEPTH)"
    )


async def test_depth_limit_spares_silent_node_and_can_be_handled() -> None:
    result, recorder = await run_at_depth(
        """
        nodes:
        - {id: none, type: EmitEach, inputs: {eventName: e, items: []}}
        - {id: tell, type: EventEmitter, inputs: {eventName: e}}
        - {id: why, type: Text}
        edges: [{from: tell.__errorMessage, to: why.value}]
        """,
        100,
        100,
    )
    assert result.outcome is FlowOutcome.COMPLETED
    assert recorder.outcomes() == {"none": "completed", "tell": "failed", "why": "completed"}
    assert recorder.of("tell").reason == "DepthLimit"
    assert "CHAINGRAPH_MAX_DEPTH" in recorder.of("why").outputs["value"]


@pytest.mark.parametrize("then", ["", "hide", "fail", "skip"])
async def test_depth_limit_fails_node_despite_its_own_handling(then: str) -> None:
    text = f"nodes: [{{id: it, type: Emits, inputs: {{events: 1, then: {then!r}}}}}]"
    result, recorder = await run_at_depth(text, 100, 100)
    assert result.outcome is FlowOutcome.FAILED
    assert recorder.of("it").reason == "DepthLimit"


@pytest.mark.parametrize("type_", ["EmitsInGroup", "EmitsInThread, inputs: {events: 1}"])
async def test_depth_limit_is_reported_from_task_and_thread(type_: str) -> None:
    result, _ = await run_at_depth(f"nodes: [{{id: it, type: {type_}}}]", 7, 7)
    assert result.error is not None
    assert result.error.reason == FailureReason.DEPTH_LIMIT


# -- children ------------------------------------------------------------------------------------------------


async def test_child_limit_is_inclusive() -> None:
    run_ = await run("nodes: [{id: a, type: Emits, inputs: {events: 3}}, {id: b, type: Emits, inputs: {events: 2}}]", 5)
    assert run_.result.outcome is FlowOutcome.COMPLETED
    assert len(run_.result.emissions) == 5


async def test_child_limit_fails_node_and_discards_its_events() -> None:
    run_ = await run(
        """
        nodes:
        - {id: last, type: Emits, inputs: {events: 2}}
        - {id: first, type: Emits, inputs: {events: 3}}
        - {id: tooMany, type: Emits, inputs: {events: 3}}
        - {id: why, type: Text}
        edges:
        - {from: first.__success, to: tooMany.__execute}
        - {from: tooMany.__errorMessage, to: why.value}
        - {from: why.value, to: last.then}
        """,
        5,
    )
    assert run_.result.outcome is FlowOutcome.COMPLETED
    assert run_.recorder.of("tooMany").reason == "TooManyChildren"
    assert run_.recorder.of("tooMany").emissions == ()
    assert run_.recorder.of("why").outputs["value"] == (
        "the execution would have 6 children, 3 emitted by this node and 3 by others; the limit is 5 "
        "(CHAINGRAPH_MAX_CHILDREN)"
    )
    assert [each.name for each in run_.result.emissions] == ["last", "last", "first", "first", "first"]
    (failed,) = run_.recorder.named("node:failed")
    assert (failed["nodeId"], failed["reason"]) == ("tooMany", "TooManyChildren")


async def test_unhandled_child_limit_failure_fails_flow() -> None:
    run_ = await run("nodes: [{id: a, type: EmitEach, inputs: {eventName: e, items: [1, 2, 3]}}]", 2)
    assert run_.result.outcome is FlowOutcome.FAILED
    assert run_.result.error is not None
    assert run_.result.error.reason == FailureReason.TOO_MANY_CHILDREN
    assert run_.result.emissions == ()


@pytest.mark.parametrize("type_", ["Emits", "EmitsInThread"])
async def test_node_stops_at_first_event_beyond_limit(type_: str) -> None:
    run_ = await run(f"nodes: [{{id: a, type: {type_}, inputs: {{events: 1.0e+9}}}}]", 4)
    assert run_.result.error is not None
    assert run_.result.error.reason == FailureReason.TOO_MANY_CHILDREN
    assert run_.result.error.message.startswith(
        "the execution would have 5 children, 5 emitted by this node; the limit is 4"
    )


async def test_zero_child_limit_allows_flow_without_events() -> None:
    text = "nodes: [{id: a, type: Emits, inputs: {events: %d}}]"
    assert (await run(text % 0, 0)).result.outcome is FlowOutcome.COMPLETED
    assert (await run(text % 1, 0)).result.outcome is FlowOutcome.FAILED


def test_engine_options_reject_negative_limits() -> None:
    with pytest.raises(ValueError, match=r"max_children must be at least 0 \(none\), is -1"):
        EngineOptions(max_children=-1)
    with pytest.raises(ValueError, match=r"max_depth must be at least 0 \(none\), is -2"):
        EngineOptions(max_depth=-2)


async def test_child_limit_counts_only_completed_nodes() -> None:
    run_ = await run(
        """
        nodes:
        - {id: failed, type: Emits, inputs: {events: 3, then: fail}}
        - {id: skipped, type: Emits, inputs: {events: 3, then: skip}}
        - {id: handled, type: Text}
        - {id: a, type: Emits, inputs: {events: 3}}
        edges: [{from: failed.__errorMessage, to: handled.value}, {from: handled.__success, to: a.__execute}]
        """,
        3,
    )
    assert run_.result.outcome is FlowOutcome.COMPLETED
    assert [each.name for each in run_.result.emissions] == ["a", "a", "a"]


# -- tries ---------------------------------------------------------------------------------------------------

RETRY = "retry: {maxAttempts: 5, backoffSeconds: 0}"


async def test_node_beyond_limit_is_not_retried() -> None:
    run_ = await run(f"nodes: [{{id: a, type: Emits, inputs: {{events: 3}}, {RETRY}}}]", 2)
    assert Emits.tried == ["a"]
    assert run_.recorder.of("a").attempts == 1
    _, recorder = await run_at_depth(f"nodes: [{{id: b, type: Emits, inputs: {{events: 1}}, {RETRY}}}]", 1, 1)
    assert Emits.tried == ["a", "b"]
    assert recorder.of("b").attempts == 1
    assert recorder.named("node:debug-log-string") == []


async def test_child_limit_counts_each_try_separately() -> None:
    run_ = await run(f"nodes: [{{id: a, type: Emits, inputs: {{events: 2, then: fail}}, {RETRY}}}]", 2)
    assert Emits.tried == ["a"] * 5
    assert run_.recorder.of("a").reason == "NodeFailed"


# -- the journal ---------------------------------------------------------------------------------------------

THREE = """
    nodes:
    - {id: a, type: Emits, inputs: {events: 2}}
    - {id: b, type: Emits, inputs: {events: 2}}
    - {id: c, type: Emits, inputs: {events: 0}}
    edges: [{from: a.payload, to: b.turns}, {from: b.payload, to: c.turns}]
"""


async def test_child_limit_counts_journal_events() -> None:
    first = await run(THREE, 4)
    assert first.result.outcome is FlowOutcome.COMPLETED
    for upto in range(4):
        journal = first.recorder.records[:upto]
        again = await run(THREE, 3, journal)
        if upto < 2:
            assert again.result.error is not None
            assert (again.result.error.node, again.result.error.reason) == ("b", FailureReason.TOO_MANY_CHILDREN)
            assert len(again.result.emissions) == 2
        else:  # what the journal has stands, although the limit was lowered since
            assert again.result.outcome is FlowOutcome.COMPLETED
            assert len(again.result.emissions) == 4


async def test_retry_with_higher_limit_resumes_at_the_limit() -> None:
    first = await run(THREE, 3)
    graph = Graph.build(flow(THREE), REGISTRY.catalogue)
    journal = without_unhandled_failures(graph, first.recorder.records, None)
    assert [each.node_id for each in journal] == ["a"]
    second = await run(THREE, 4, journal)
    assert second.result.outcome is FlowOutcome.COMPLETED
    assert [each.name for each in second.result.emissions] == ["a", "a", "b", "b"]


# -- in concurrency ------------------------------------------------------------------------------------------


@st.composite
def emitting_flows(draw: st.DrawFn) -> FlowSpec:
    """Up to eight nodes that emit, most of them at once; some handled by an error port, some chained."""
    nodes, edges = [], []
    for index in range(draw(st.integers(1, 8))):
        events, turns = draw(st.integers(0, 4)), draw(st.integers(0, 3))
        nodes.append({"id": f"n{index}", "type": "Emits", "inputs": {"events": events, "turns": turns}})
        if draw(st.booleans()):
            nodes.append({"id": f"h{index}", "type": "Text"})
            edges.append({"from": f"n{index}.__errorMessage", "to": f"h{index}.value"})
        if index and draw(st.booleans()):
            edges.append({"from": f"n{draw(st.integers(0, index - 1))}.__success", "to": f"n{index}.__execute"})
    return FlowSpec.model_validate({"nodes": draw(st.permutations(nodes)), "edges": edges})


def weighed(spec: FlowSpec, records: Sequence[NodeRecord], limit: int, begun: int = 0) -> None:
    """Every node that ended, in that order, completed if its events still fitted, and failed for that alone if not."""
    asked = {node.id: node.inputs.get("events") for node in spec.nodes}
    emitted = sum(len(each.emissions) for each in records[:begun])
    for each in records[begun:]:
        events = asked[each.node_id]
        if each.outcome is Outcome.SKIPPED or not isinstance(events, int):
            continue
        if emitted + events <= limit or events == 0:
            assert (each.outcome, len(each.emissions)) == (Outcome.COMPLETED, events), each
            emitted += events
        else:
            assert (each.outcome, each.reason, each.emissions) == (Outcome.FAILED, "TooManyChildren", ()), each


@pytest.mark.soak
@settings(max_examples=soak.examples(300), deadline=None)
@given(emitting_flows(), st.integers(0, 12), st.integers(1, 8), st.data())
def test_child_limit_holds_under_concurrency(spec: FlowSpec, limit: int, concurrency: int, data: st.DataObject) -> None:
    first = asyncio.run(run(spec, limit, concurrency=concurrency))
    records = first.recorder.records
    weighed(spec, records, limit)
    assert len(first.result.emissions) <= limit
    assert len(first.result.emissions) == sum(len(each.emissions) for each in records)
    journal = records[: data.draw(st.integers(0, len(records)))]
    lower = data.draw(st.integers(0, limit))
    second = asyncio.run(run(spec, lower, journal, concurrency))
    both = [*journal, *second.recorder.records]
    weighed(spec, both, lower, begun=len(journal))
    assert len(second.result.emissions) == sum(len(each.emissions) for each in both)


@pytest.mark.parametrize("refusal", [None, "the tree is full"])
async def test_may_spawn_is_asked_once_and_refusal_fails_flow(refusal: str | None) -> None:
    asked: list[int] = []

    async def may_spawn(count: int) -> str | None:
        asked.append(count)
        return refusal

    recorder = MemoryRecorder()
    spec = flow("nodes: [{id: tell, type: EmitEach, inputs: {eventName: e, items: [1, 2, 3]}}]")
    engine = Engine(
        Graph.build(spec, BUILT_IN.catalogue),
        BUILT_IN,
        context=RunContext("EXtest"),
        recorder=recorder,
        may_spawn=may_spawn,
    )
    result = await engine.run()
    assert asked == [3], "once, of all"
    assert len(result.emissions) == 3
    if refusal is None:
        assert (result.outcome, recorder.events[-1].type) == (FlowOutcome.COMPLETED, "flow:completed")
    else:
        assert result.error == NodeError("", refusal, FailureReason.TREE_LIMIT)
        assert [each.type for each in recorder.events if each.type.startswith("flow:")] == [
            "flow:started",
            "flow:failed",
        ]


async def test_may_spawn_is_not_called_without_events_or_on_failure() -> None:
    async def may_spawn(count: int) -> str | None:
        raise AssertionError(count)

    for text in (
        "nodes: [{id: tell, type: EmitEach, inputs: {eventName: e, items: []}}]",
        "nodes: [{id: tell, type: EmitEach, inputs: {eventName: e, items: [1]}},"
        " {id: fails, type: Fail, inputs: {message: 'no'}}]",
    ):
        engine = Engine(
            Graph.build(flow(text), BUILT_IN.catalogue),
            BUILT_IN,
            context=RunContext("EXtest"),
            recorder=MemoryRecorder(),
            may_spawn=may_spawn,
        )
        await engine.run()
