"""Random loops and calls against a plain loop in Python, with journals cut anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.node_paths import flow_of
from chaingraph_flow import Any as AnyType
from chaingraph_flow import (
    ChildCall,
    ChildEnd,
    Engine,
    FlowOutcome,
    FlowResult,
    Input,
    Node,
    NodeContext,
    NodeFailed,
    NodeRecord,
    Output,
    Registry,
    WaitRecord,
)
from fixtures.flows.runs import WORKING, MemoryRecorder, engine


class Work(Node):
    """An effect, which must not be repeated."""

    type = "test.Effect"
    runs: ClassVar[list[str]] = []
    broken: ClassVar[frozenset[Any]] = frozenset()
    value = Input(AnyType())
    result = Output(AnyType())

    async def run(self, context: NodeContext) -> None:
        self.runs.append(f"{context.execution_id}/{context.node_id}")
        await asyncio.sleep(0)
        if self.value in self.broken:
            raise NodeFailed(f"no {self.value}")
        self.result = self.value


REGISTRY = WORKING.merge(Registry([Work]))


def flow_text(
    rows: list[list[int]], most: tuple[int, int], goes_on: bool, once: bool, run: tuple[str, str] = ("Inline", "Inline")
) -> str:
    """A loop over rows, of loops over their numbers: each is squared by a node without effects, and worked on.

    `run`: where the calls of the outer and of the inner loop run.
    """
    on_error = "Continue" if goes_on else "Fail"
    call = "all.results" if not once else "call.results"
    top = f"{{id: all, type: ForEach, inputs: {{subflow: row, items: {rows}, maxParallel: {most[0]}, run: {run[0]}}}}}"
    if once:
        top = "{id: call, type: Call, inputs: {subflow: rows}}"
    return f"""
subflows:
  - name: one
    inputs: [{{name: item, type: number}}]
    outputs: [{{name: value, from: work.result}}]
    nodes:
      - {{id: square, type: Math, inputs: {{operation: multiply}}}}
      - {{id: work, type: test.Effect}}
    edges:
      - {{from: inputs.item, to: square.a}}
      - {{from: inputs.item, to: square.b}}
      - {{from: square.result, to: work.value}}
  - name: row
    inputs: [{{name: item, type: array}}]
    outputs: [{{name: values, from: each.results}}, {{name: failed, from: each.failed}}]
    nodes:
      - {{id: read, type: Cast, inputs: {{schema: {{type: array, items: number}}}}}}
      - id: each
        type: ForEach
        inputs: {{subflow: one, maxParallel: {most[1]}, onError: {on_error}, run: {run[1]}}}
    edges: [{{from: inputs.item, to: read.value}}, {{from: read.result, to: each.items}}]
  - name: rows
    outputs: [{{name: results, from: all.results}}]
    nodes: [{{id: all, type: ForEach, inputs: {{subflow: row, items: {rows}, maxParallel: {most[0]}, run: {run[0]}}}}}]
nodes: [{top}]
outputs: [{{name: results, from: {call}}}]
"""


def expected(rows: list[list[int]], goes_on: bool) -> list[Any] | None:
    """What the flow gives; None when it fails."""
    found = []
    for row in rows:
        values = [None if number * number in Work.broken else {"value": number * number} for number in row]
        if None in values and not goes_on:
            return None
        found.append({"values": values, "failed": values.count(None)})
    return found


def written(recorder: MemoryRecorder, after: int) -> tuple[list[NodeRecord], list[WaitRecord]]:
    entries = {each.node_id: each for each in recorder.entries[:after]}
    return (
        [each for each in entries.values() if isinstance(each, NodeRecord)],
        [each for each in entries.values() if isinstance(each, WaitRecord)],
    )


class Tree:
    """Executions that call others, which run to their ends: each call is made once."""

    def __init__(self, text: str) -> None:
        self.spec = yaml.safe_load(text)
        self.ends: dict[str, dict[tuple[str, str], ChildEnd]] = {}
        self.made: set[str] = set()

    async def run(self, execution: str, *, subflow: str = "", depth: int = 0, **how: Any) -> tuple[Engine, FlowResult]:
        self.ends.setdefault(execution, {})
        children = _Children(self, execution, depth)
        spec = FlowSpec.model_validate(flow_of(self.spec, subflow))
        run = engine(
            spec,
            registry=REGISTRY,
            execution_id=execution,
            depth=depth,
            children=children,
            **how,
        )
        children.engine = run
        result = await run.run()
        for each in children.tasks:  # nobody waits for them any more: they are stopped
            each.cancel()
        return run, result


class _Children:
    def __init__(self, tree: Tree, parent: str, depth: int) -> None:
        self.tree, self.parent, self.depth = tree, parent, depth
        self.engine: Engine
        self.tasks: set[asyncio.Task[None]] = set()

    def call(self, call: ChildCall) -> None:
        execution = f"{self.parent}/{call.call}:{call.tried}"
        if (known := self.tree.ends[self.parent].get((call.call, call.tried))) is not None:
            asyncio.get_running_loop().call_soon(lambda: self.engine.child_ended(known))
            return
        assert execution not in self.tree.made, "it is called twice"
        self.tree.made.add(execution)
        self.tasks.add(asyncio.get_running_loop().create_task(self._run(execution, call)))

    def stop(self, calls: Sequence[str]) -> None:
        pass

    async def _run(self, execution: str, call: ChildCall) -> None:
        _, result = await self.tree.run(
            execution, subflow=call.subflow, depth=self.depth + 1, inputs=call.inputs, recorder=MemoryRecorder()
        )
        error = result.error
        told = () if error is None else (error.node, error.reason, error.message, error.cause and error.cause.to_json())
        end = ChildEnd(call.call, call.tried, execution, "", str(result.outcome), result.outputs, *told)
        self.tree.ends[self.parent][call.call, call.tried] = end
        self.engine.child_ended(end)
        self.engine.child_ended(end)  # as a hint, and as a command


@settings(deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 6), max_size=4), max_size=4),
    most=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    goes_on=st.booleans(),
    once=st.booleans(),
    broken=st.frozensets(st.sampled_from([0, 1, 4, 9, 16, 25, 36]), max_size=2),
    cuts=st.lists(st.floats(0, 1), max_size=3),
    where=st.tuples(*[st.sampled_from(["Inline", "Inline", "Child"])] * 2),
)
def test_loops_give_what_a_plain_loop_gives_wherever_they_are_cut(
    rows: list[list[int]],
    most: tuple[int, int],
    goes_on: bool,
    once: bool,
    broken: frozenset[int],
    cuts: list[float],
    where: tuple[str, str],
) -> None:
    Work.broken = broken
    tree = Tree(flow_text(rows, most, goes_on, once, where))

    async def play() -> None:
        journal: list[NodeRecord] = []
        waits: list[WaitRecord] = []
        entries: list[NodeRecord | WaitRecord] = []
        for cut in [*cuts, None]:
            Work.runs.clear()
            recorder = MemoryRecorder()
            recorder.entries = list(entries)
            before = {each.node_id for each in journal}
            tree.made.clear()  # those of a former engine have ended, or were stopped with it
            run, result = await tree.run("EX", recorder=recorder, journal=journal, waits=waits, resumed=bool(journal))
            assert not {f"EX/{each}" for each in before} & set(Work.runs), "a node that had ended ran again"
            assert len(Work.runs) == len(set(Work.runs)), "a node ran twice"
            wanted = expected(rows, goes_on)
            assert result.outcome is (FlowOutcome.FAILED if wanted is None else FlowOutcome.COMPLETED), result
            if wanted is not None:
                assert result.outputs["results"] == wanted
            assert len(run.frames) == 0 or wanted is None
            if cut is not None:
                after = len(entries) + round(cut * (len(recorder.entries) - len(entries)))
                entries = recorder.entries[:after]
                journal, waits = written(recorder, after)

    asyncio.run(play())
