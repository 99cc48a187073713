"""Calls that are executions of their own, without a worker: requests, ends, failures, stops, and other engines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from chaingraph_flow import ChildCall, ChildEnd, FlowOutcome, Graph, InvalidFlow
from fixtures.flows.runs import WORKING, MemoryRecorder, engine, flow

pytestmark = pytest.mark.looptime

PAGES = """
subflows:
  - name: page
    inputs: [{name: item, type: number}, {name: size, type: number, default: 10}]
    outputs: [{name: rows, from: rows.result}]
    nodes: [{id: rows, type: Math, inputs: {operation: multiply}}]
    edges: [{from: inputs.item, to: rows.a}, {from: inputs.size, to: rows.b}]
"""
EACH = """
nodes: [{id: pages, type: ForEach, inputs: {subflow: page, run: Child, items: [1, 2, 3], maxParallel: 2}}]
outputs: [{name: results, from: pages.results}]
"""


def graph(text: str) -> Graph:
    return Graph.build(flow(text), WORKING.catalogue)


class Children:
    """Keeps what is requested."""

    def __init__(self) -> None:
        self.called: list[ChildCall] = []
        self.stopped: list[str] = []

    def call(self, call: ChildCall) -> None:
        self.called.append(call)

    def stop(self, calls: Sequence[str]) -> None:
        self.stopped += calls


def done(call: ChildCall, **outputs: Any) -> ChildEnd:
    return ChildEnd(call.call, call.tried, f"EX-{call.call}", "a-child", "Completed", outputs)


def failed(call: ChildCall, message: str = "no luck") -> ChildEnd:
    cause = {"node": "rows", "reason": "Broken", "message": message, "details": {"row": 7}}
    told = f"rows: {message}"
    return ChildEnd(call.call, call.tried, f"EX-{call.call}", "a-child", "Failed", None, "rows", "Broken", told, cause)


async def began(children: Children, count: int) -> None:
    while len(children.called) < count:  # noqa: ASYNC110 - a test
        await asyncio.sleep(0.01)


async def test_calls_are_requested_as_others_end() -> None:
    children, recorder = Children(), MemoryRecorder()
    run = engine(PAGES + EACH, recorder=recorder, children=children)
    running = asyncio.ensure_future(run.run())
    await began(children, 2)
    first, second = children.called
    assert [(each.call, each.tried, each.subflow, each.inputs) for each in children.called] == [
        ("pages[0]", "1.1", "page", {"item": 1, "size": 10}),
        ("pages[1]", "1.1", "page", {"item": 2, "size": 10}),
    ]
    assert (run.live_children, run.progress.waiting, run.progress.running) == (2, 2, 0)
    assert run.asleep_until is not None
    run.child_ended(done(second, rows=20, more="not declared"))
    await began(children, 3)
    run.child_ended(done(first, rows=10))
    run.child_ended(done(first, rows=11))  # again
    run.child_ended(done(children.called[2], rows=30))
    result = await running
    assert result.outcome is FlowOutcome.COMPLETED
    assert result.outputs == {"results": [{"rows": 10}, {"rows": 20}, {"rows": 30}]}
    assert [each.data["nodeId"] for each in recorder.events if each.type == "child:completed"] == [
        "pages[1]",
        "pages[0]",
        "pages[2]",
    ]


async def test_another_engine_asks_again_for_live_calls_alone() -> None:
    children, recorder = Children(), MemoryRecorder()
    first = engine(PAGES + EACH, recorder=recorder, children=children)
    running = asyncio.ensure_future(first.run())
    await began(children, 2)
    first.child_ended(done(children.called[0], rows=10))
    await began(children, 3)
    first.stop("lost")
    await running
    again = Children()
    second = engine(
        PAGES + EACH,
        children=again,
        journal=recorder.records,
        waits=recorder.waits,
        resumed=True,
    )
    running = asyncio.ensure_future(second.run())
    await began(again, 2)
    assert [(each.call, each.tried) for each in again.called] == [("pages[1]", "1.1"), ("pages[2]", "1.1")]
    for each, rows in zip(again.called, (20, 30), strict=True):
        second.child_ended(done(each, rows=rows))
    assert (await running).outputs == {"results": [{"rows": 10}, {"rows": 20}, {"rows": 30}]}


async def test_failure_has_path_reason_and_details_and_stops_the_others() -> None:
    children = Children()
    run = engine(PAGES + EACH, children=children)
    running = asyncio.ensure_future(run.run())
    await began(children, 2)
    run.child_ended(failed(children.called[1]))
    result = await running
    assert result.outcome is FlowOutcome.FAILED
    assert result.error is not None
    assert (result.error.node, result.error.reason) == ("pages", "Broken")
    assert result.error.message == "pages[1].rows: no luck"
    assert result.error.cause is not None
    assert result.error.cause.details == {"row": 7}
    assert children.stopped == ["pages[0]"]


async def test_retry_calls_failed_ones_again_under_another_id() -> None:
    children = Children()
    text = EACH.replace("id: pages,", "id: pages, retry: {maxAttempts: 2, backoffSeconds: 1},")
    run = engine(PAGES + text, children=children)
    running = asyncio.ensure_future(run.run())
    await began(children, 2)
    run.child_ended(done(children.called[0], rows=10))
    run.child_ended(failed(children.called[1]))
    await began(children, 5)
    later = children.called[3:]
    assert [(each.call, each.tried) for each in later] == [("pages[1]", "1.2"), ("pages[2]", "1.2")]
    for each in later:
        run.child_ended(done(each, rows=each.inputs["item"] * 10))
    assert (await running).outputs == {"results": [{"rows": 10}, {"rows": 20}, {"rows": 30}]}


async def test_timeout_stops_the_calls() -> None:
    children = Children()
    run = engine(
        PAGES + EACH.replace("id: pages,", "id: pages, timeoutSeconds: 5,"),
        children=children,
    )
    result = await run.run()
    assert result.error is not None
    assert result.error.reason == "NodeTimeout"
    assert children.stopped == ["pages[0]", "pages[1]"]


async def test_pause_lets_calls_end_and_begins_no_node() -> None:
    children = Children()
    text = """
nodes: [{id: one, type: Call, inputs: {subflow: page, run: Child, item: 1}}, {id: next, type: Math, inputs: {b: 1}}]
edges: [{from: one.rows, to: next.a}]
outputs: [{name: sum, from: next.result}]
"""
    run = engine(PAGES + text, children=children)
    running = asyncio.ensure_future(run.run())
    await began(children, 1)
    run.pause()
    run.child_ended(done(children.called[0], rows=10))
    await asyncio.sleep(1)
    assert run.quiet
    assert run.held == ("next",)
    run.resume()
    assert (await running).outputs == {"sum": 11}


def test_subflow_may_call_itself_as_a_child_only() -> None:
    text = """
subflows:
  - name: down
    outputs: [{name: deeper, from: again.deeper}]
    nodes: [{id: again, type: Call, inputs: {subflow: down, run: Child}}]
nodes: [{id: start, type: Call, inputs: {subflow: down}}]
outputs: [{name: deeper, from: start.deeper}]
"""
    assert graph(text).subflows["down"].nodes["again"].child
    with pytest.raises(InvalidFlow, match="closes the circle of calls down → down"):
        graph(text.replace(", run: Child", ""))


@pytest.mark.parametrize(
    ("inputs", "path", "message"),
    [
        (
            "{}",
            "subflow",
            "'subflow' is required: the name of one of the flow's subflows; or 'flow', the name of anoth",
        ),
        ("{flow: ''}", "flow", "is empty: the name of a Flow, or remove it"),
        ("{flow: x, subflow: page}", "flow", "'subflow' and 'flow' exclude each other: remove one of them"),
        ("{flow: x, run: Inline}", "run", "another Flow runs as an execution of its own: remove 'run', or set it to"),
        ("{flow: x, inputs: 7}", "inputs", "must be an object, is a number"),
        ("{subflow: page, run: Somewhere, item: 1}", "run", "must be one of Inline, Child; is 'Somewhere'"),
        ("{subflow: pgae, run: Child}", "subflow", "the flow has no subflow 'pgae'; did you mean 'page'?"),
    ],
)
def test_bad_call_is_refused_with_its_path(inputs: str, path: str, message: str) -> None:
    with pytest.raises(InvalidFlow) as refused:
        graph(f"{PAGES}\nnodes: [{{id: one, type: Call, inputs: {inputs}}}]")
    found = [(each.path, each.message) for each in refused.value.errors]
    assert [each for each in found if each[0] == f"spec.nodes[0].inputs.{path}" and message in each[1]], found


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("[{name: phase, type: number}]", "its input 'phase' has the type number, and is a string"),
        ("[{name: city, required: true}]", "its input 'city' is required"),
    ],
)
def test_on_exit_needs_a_subflow_that_fits(inputs: str, message: str) -> None:
    text = "subflows: [{{name: after, inputs: {}, nodes: [{{id: a, type: Sleep}}]}}]\nnodes: [{{id: a, type: Sleep}}]\n"
    graph(text.format("[{name: phase, type: string}, {name: city}]") + "onExit: {subflow: after}")
    with pytest.raises(InvalidFlow, match=message):
        graph(text.format(inputs) + "onExit: {subflow: after}")
    with pytest.raises(InvalidFlow, match="the flow has no subflow 'aftr'; did you mean 'after'"):
        graph(text.format("[]") + "onExit: {subflow: aftr}")
