"""Random graphs for the engine's property tests, and what must become of them, worked out independently.

`expected` is a second, plain reading of the rules: recursive, without an event loop. The engine must agree with it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any as Value
from typing import ClassVar

from flow_runs import MemoryRecorder
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    Any,
    Boolean,
    Enum,
    Input,
    Node,
    NodeContext,
    NodeFailed,
    NodeSkipped,
    Number,
    Output,
    Registry,
)

PORTS = ("a", "b", "t", "__execute")
SOURCES = ("value", "yes", "no", "__success", "__error", "__errorMessage")
BOOLEANS = ("yes", "no", "__success", "__error")


@dataclass
class Observed:
    """What the nodes of one run saw."""

    recorder: MemoryRecorder
    started: list[str] = field(default_factory=list)
    now: int = 0
    most: int = 0
    ended_at_start: dict[str, set[str]] = field(default_factory=dict)
    durable_at_start: dict[str, set[str]] = field(default_factory=dict)


class _Act(Node):
    observed: ClassVar[Observed]

    behaviour = Input(Enum(options=("complete", "fail", "skip")), default="complete", static=True)
    turns = Input(Number(), default=0, static=True)
    a = Input(Any())
    b = Input(Any())
    t = Input(Any(), tolerant=True)
    value = Output(Any())
    yes = Output(Boolean())
    no = Output(Boolean())

    async def act(self, context: NodeContext) -> None:
        seen = _Act.observed
        records = seen.recorder.records
        seen.started.append(context.node_id)
        seen.ended_at_start[context.node_id] = {each.node_id for each in records}
        seen.durable_at_start[context.node_id] = {each.node_id for each in records[: seen.recorder.durable]}
        seen.now += 1
        seen.most = max(seen.most, seen.now)
        try:
            for _ in range(int(self.turns)):
                await asyncio.sleep(0)
        finally:
            seen.now -= 1
        context.emit("ran", context.node_id)
        if self.behaviour == "fail":
            raise NodeFailed(f"{context.node_id} failed")
        if self.behaviour == "skip":
            raise NodeSkipped("had nothing to do")
        given = sorted(context.given & {"a", "b", "t"})
        self.value = [context.node_id, *([name, brief(getattr(self, name))] for name in given)]
        self.yes, self.no = True, False


class Effect(_Act):
    """Has effects: waits for the journal."""

    async def run(self, context: NodeContext) -> None:
        await self.act(context)


class PureAct(_Act):
    """Has none."""

    pure = True

    async def run(self, context: NodeContext) -> None:
        await self.act(context)


REGISTRY = Registry([Effect, PureAct])


def observe(recorder: MemoryRecorder) -> Observed:
    """Watch the nodes of the next run."""
    _Act.observed = Observed(recorder)
    return _Act.observed


def brief(value: Value) -> Value:
    """Enough of a value to tell it from others, without growing along the graph."""
    return value[0] if isinstance(value, list) else value


@st.composite
def graphs(draw: st.DrawFn) -> FlowSpec:
    """Acyclic graphs of up to ten nodes that complete, fail, skip, branch, and take what others give."""
    count = draw(st.integers(1, 10))
    nodes, edges = [], []
    for index in range(count):
        behaviour = draw(st.sampled_from(["complete"] * 6 + ["fail", "skip"]))
        inputs: dict[str, Value] = {"behaviour": behaviour, "turns": draw(st.integers(0, 3))}
        nodes.append({"id": f"n{index}", "type": draw(st.sampled_from(["Effect", "PureAct"])), "inputs": inputs})
        for port in PORTS:
            if index == 0 or not draw(st.booleans()):
                continue
            source = draw(st.integers(0, index - 1))
            end = draw(st.sampled_from(BOOLEANS if port == "__execute" else SOURCES))
            edges.append({"from": f"n{source}.{end}", "to": f"n{index}.{port}"})
    order = draw(st.permutations(nodes))
    return FlowSpec.model_validate({"nodes": order, "edges": draw(st.permutations(edges))})


@dataclass(frozen=True)
class Expected:
    """What becomes of a node."""

    outcome: str
    value: Value = None


def expected(spec: FlowSpec) -> dict[str, Expected]:
    """What becomes of each node when no failure halts the flow."""
    behaviour = {node.id: node.inputs["behaviour"] for node in spec.nodes}
    incoming: dict[str, dict[str, tuple[str, str]]] = {node.id: {} for node in spec.nodes}
    for edge in spec.edges:
        target, port = edge.to.split(".")
        source, end = edge.from_.split(".")
        incoming[target][port] = (source, end)
    known: dict[str, Expected] = {}

    def delivered(source: str, end: str) -> list[Value]:
        is_error_port = end in ("__error", "__errorMessage")
        found = become(source)
        if found.outcome == "failed" and is_error_port:
            return [True if end == "__error" else f"{source} failed"]
        if found.outcome == "completed" and not is_error_port:
            return [{"value": found.value, "yes": True, "no": False, "__success": True}[end]]
        return []

    def become(node: str) -> Expected:
        if node not in known:
            given = {port: delivered(*source) for port, source in incoming[node].items()}
            refused = any(not values for port, values in given.items() if port != "t")
            if refused or given.get("__execute", [True]) != [True]:
                known[node] = Expected("skipped")
            elif behaviour[node] == "complete":
                parts = [[port, brief(given[port][0])] for port in ("a", "b", "t") if given.get(port)]
                known[node] = Expected("completed", [node, *parts])
            else:
                known[node] = Expected({"fail": "failed", "skip": "skipped"}[behaviour[node]])
        return known[node]

    return {node.id: become(node.id) for node in spec.nodes}


def unhandled(spec: FlowSpec, found: dict[str, Expected]) -> set[str]:
    """The nodes that would fail without an edge from their error ports."""
    handled = {edge.from_.split(".")[0] for edge in spec.edges if ".__error" in edge.from_}
    return {node for node, each in found.items() if each.outcome == "failed"} - handled


def sources_of(spec: FlowSpec) -> dict[str, set[str]]:
    """The direct sources of each node."""
    sources: dict[str, set[str]] = {node.id: set() for node in spec.nodes}
    for edge in spec.edges:
        sources[edge.to.split(".")[0]].add(edge.from_.split(".")[0])
    return sources
