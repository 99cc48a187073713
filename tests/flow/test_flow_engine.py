"""The engine on small flows: what runs, what is skipped, what fails, and what is told."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from chaingraph_flow import (
    Any,
    Array,
    Engine,
    EngineOptions,
    FailureReason,
    FlowOutcome,
    Graph,
    Input,
    Node,
    NodeContext,
    NodeFailed,
    Number,
    Output,
    Registry,
    RunContext,
    String,
    UnknownNodeType,
)
from fixtures.flows.nodes import InThread
from fixtures.flows.runs import BUILT_IN, MemoryRecorder, engine, flow, run_flow


class Flaky(Node):
    """Fails until its third try."""

    tries: ClassVar[list[int]] = []
    result = Output(Number())

    async def run(self, context: NodeContext) -> None:
        self.tries.append(context.node_attempt)
        context.emit("tried", context.node_attempt)
        if context.node_attempt < 3:
            raise NodeFailed("not yet")
        self.result = context.node_attempt


class Forgets(Node):
    """Does not set its output."""

    result = Output(String())

    async def run(self, context: NodeContext) -> None:
        """Nothing."""


class Mutates(Node):
    """Changes its input."""

    items = Input(Array(), required=True)
    result = Output(Array())

    async def run(self, context: NodeContext) -> None:
        self.items.append("changed")
        self.items[0]["x"] = "changed"
        self.result = self.items


OWN = [Flaky, InThread, Forgets, Mutates]
REGISTRY = BUILT_IN.merge(Registry(OWN))


async def test_edges_carry_values_and_nested_paths() -> None:
    run = await run_flow("""
        nodes:
        - {id: order, type: Object, inputs: {value: {lines: [{price: 3}, {price: 4}], customer: {name: Ann}}}}
        - {id: sum, type: Math, inputs: {operation: multiply}}
        - {id: out, type: Object, inputs: {value: {kept: 1}}}
        edges:
        - {from: "order.value.lines[0].price", to: sum.a}
        - {from: "order.value.lines[1].price", to: sum.b}
        - {from: sum.result, to: out.value.total}
        - {from: order.value.customer.name, to: "out.value.names[0]"}
    """)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert run.result.outputs == {"out": {"value": {"kept": 1, "total": 12, "names": ["Ann"]}}}


async def test_branch_runs_one_side_and_join_merges() -> None:
    text = """
        inputs: [{name: n, type: number}]
        nodes:
        - {id: large, type: Branch, inputs: {operator: ">", right: 10}}
        - {id: big, type: Text, inputs: {value: large}}
        - {id: small, type: Text, inputs: {value: small}}
        - {id: after, type: Text}
        - {id: join, type: Join}
        edges:
        - {from: inputs.n, to: large.left}
        - {from: large.result, to: big.__execute}
        - {from: large.otherwise, to: small.__execute}
        - {from: big.value, to: after.value}
        - {from: after.value, to: join.a}
        - {from: small.value, to: join.b}
        outputs: [{name: size, from: join.result}, {name: only, from: after.value}]
    """
    large = await run_flow(text, inputs={"n": 11})
    assert large.result.outputs == {"size": "large", "only": "large"}
    small = await run_flow(text, inputs={"n": 1})
    assert small.result.outputs == {"size": "small"}
    assert small.recorder.outcomes() == {
        "large": "completed", "big": "skipped", "after": "skipped", "small": "completed", "join": "completed",
    }  # fmt: skip
    assert small.recorder.of("big").reason == "__execute: large.result is not true"
    assert small.recorder.of("after").reason == "value: no value from big.value: big was skipped"
    assert small.result.progress.skipped == 2


async def test_handled_failure_follows_error_edge() -> None:
    run = await run_flow("""
        nodes:
        - {id: divide, type: Math, inputs: {a: 1, b: 0, operation: divide}}
        - {id: use, type: ToText}
        - {id: say, type: Text}
        edges:
        - {from: divide.result, to: use.value}
        - {from: divide.__errorMessage, to: say.value}
    """)
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert run.recorder.outcomes() == {"divide": "failed", "use": "skipped", "say": "completed"}
    assert run.result.outputs == {"say": {"value": "1 divide 0: division by zero"}}


async def test_error_port_of_completed_node_skips_target() -> None:
    run = await run_flow("""
        nodes: [{id: a, type: Text, inputs: {value: x}}, {id: rescue, type: Text}, {id: next, type: Text}]
        edges:
        - {from: a.__error, to: rescue.__execute}
        - {from: a.__success, to: next.__execute}
    """)
    assert run.recorder.outcomes() == {"a": "completed", "rescue": "skipped", "next": "completed"}


async def test_unhandled_failure_lets_running_nodes_finish() -> None:
    run = await run_flow("""
        nodes:
        - {id: slow, type: Sleep, inputs: {milliseconds: 30}}
        - {id: after, type: ToText}
        - {id: bad, type: Fail, inputs: {message: no way}}
        - {id: last, type: Text}
        edges: [{from: slow.actual, to: after.value}, {from: bad.__success, to: last.__execute}]
    """)
    assert run.result.outcome is FlowOutcome.FAILED
    assert run.result.error is not None
    assert (run.result.error.node, run.result.error.message, run.result.error.reason) == (
        "bad", "no way", FailureReason.NODE_FAILED,
    )  # fmt: skip
    assert run.recorder.outcomes() == {"bad": "failed", "slow": "completed"}
    assert [each.type for each in run.recorder.events][-1] == "flow:failed"
    assert run.recorder.named("flow:failed")[0]["nodeId"] == "bad"


async def test_flow_output_of_error_port_handles_failure() -> None:
    run = await run_flow("""
        nodes: [{id: bad, type: Fail, inputs: {message: no way}}]
        outputs: [{name: why, from: bad.__errorMessage}, {name: failed, from: bad.__error},
                  {name: kind, from: bad.__error.reason}]
    """)
    assert run.result.outcome is FlowOutcome.COMPLETED
    error = {"node": "bad", "reason": "NodeFailed", "message": "no way", "details": None}
    assert run.result.outputs == {"why": "no way", "failed": error, "kind": "NodeFailed"}


@pytest.mark.parametrize("execute", [True, False])
async def test_execute_value_decides_if_node_runs(execute: bool) -> None:
    run = await run_flow(f"nodes: [{{id: a, type: Text, inputs: {{__execute: {str(execute).lower()}}}}}]")
    assert run.recorder.outcomes() == {"a": "completed" if execute else "skipped"}


async def test_null_fails_required_port() -> None:
    run = await run_flow("""
        nodes:
        - {id: none, type: First, inputs: {items: [[]]}}
        - {id: empty, type: First}
        - {id: item, type: Cast, inputs: {schema: string}}
        - {id: text, type: Text, inputs: {}}
        - {id: need, type: Length}
        edges:
        - {from: none.result, to: empty.items}
        - {from: empty.result, to: need.value}
        - {from: need.__errorMessage, to: text.value}
        - {from: empty.result, to: item.value}
        outputs: [{name: text, from: text.value}, {name: why, from: item.__errorMessage}]
    """)
    assert run.result.outputs["text"] == "empty.result is null, but 'value' needs a value"
    assert run.recorder.of("need").reason == "InvalidInput"


async def test_output_of_wrong_type_fails_with_its_path() -> None:
    run = await run_flow("""
        nodes:
        - id: read
          type: JSONRead
          inputs:
            text: '[{"n": 1}, {"n": "two"}]'
            schema: {type: array, items: {type: object, properties: {n: number}}}
    """)
    assert run.result.error is not None
    assert run.result.error.message == "the output value[1].n: must be a number, is a string"
    assert run.result.error.reason == FailureReason.INVALID_OUTPUT


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", "result.nan"),
        ("set", "not a JSON value"),
        ("key", "the keys of a JSON object are strings"),
        ("big", "64 bits"),
        ("surrogate", "surrogate"),
        ("deep", "nested deeper"),
        ("numbers", "the output numbers[1]: must be a number"),
    ],
)
async def test_invalid_output_value_fails_node(what: str, message: str) -> None:
    values = {
        "nan": float("nan"), "set": {1}, "key": {1: 2}, "big": 2**70, "surrogate": "\ud800", "numbers": 1,
    }  # fmt: skip
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]

    class Wrong(Node):
        """Sets one wrong output."""

        result = Output(Any())
        numbers = Output(Array(items=Number()), optional=True)

        async def run(self, context: NodeContext) -> None:
            self.result = {what: values.get(what, deep)}
            if what == "numbers":
                self.numbers = [1, "two"]

    run = await run_flow("nodes: [{id: it, type: Wrong}]", registry=Registry([Wrong]))
    assert run.result.error is not None
    assert message in run.result.error.message
    assert run.result.error.reason == FailureReason.INVALID_OUTPUT


async def test_unset_output_fails_node() -> None:
    run = await run_flow("nodes: [{id: it, type: Forgets}]", registry=REGISTRY)
    assert run.result.error is not None
    assert "without a value for its output 'result'" in run.result.error.message


async def test_edge_target_gets_a_copy() -> None:
    run = await run_flow(
        """
        nodes: [{id: list, type: Array, inputs: {value: [{x: 1}]}}, {id: a, type: Mutates}, {id: b, type: Mutates}]
        edges: [{from: list.value, to: a.items}, {from: list.value, to: b.items}]
        """,
        registry=REGISTRY,
    )
    assert run.recorder.of("list").outputs == {"value": [{"x": 1}]}
    assert run.recorder.of("b").outputs == {"result": [{"x": "changed"}, "changed"]}


async def test_run_does_not_change_static_values() -> None:
    made = engine("nodes: [{id: a, type: Mutates, inputs: {items: [{x: 1}]}}]", registry=REGISTRY)
    await made.run()
    assert made._graph.nodes["a"].inputs[0].value == [{"x": 1}]


async def test_retry_keeps_emissions_of_last_try_only() -> None:
    Flaky.tries.clear()
    recorder = MemoryRecorder()
    run = await run_flow(
        "nodes: [{id: it, type: Flaky, retry: {maxAttempts: 4, backoffSeconds: 0.01}}]",
        registry=REGISTRY,
        recorder=recorder,
    )
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert Flaky.tries == [1, 2, 3]
    assert recorder.of("it").attempts == 3
    assert [each.payload for each in run.result.emissions] == [3]
    assert len(recorder.named("node:started")) == 1
    assert [each["log"] for each in recorder.named("node:debug-log-string")] == [
        "try 1 of 4 failed: not yet; next try in 0.01 s",
        "try 2 of 4 failed: not yet; next try in 0.02 s",
    ]


async def test_retries_stop_at_max_attempts() -> None:
    Flaky.tries.clear()
    run = await run_flow(
        "nodes: [{id: it, type: Flaky, retry: {maxAttempts: 2, backoffSeconds: 0}}]", registry=REGISTRY
    )
    assert run.result.outcome is FlowOutcome.FAILED
    assert run.recorder.of("it").attempts == 2
    assert run.result.emissions == ()


async def test_threaded_node_completes_and_logs() -> None:
    run = await run_flow("nodes: [{id: it, type: InThread}]", registry=REGISTRY)
    assert run.result.outputs == {"it": {"result": "done"}}
    types = [each.type for each in run.recorder.events]
    assert types.index("node:started") < types.index("node:debug-log-string") < types.index("node:completed")


async def test_engine_publishes_events_in_order() -> None:
    run = await run_flow("""
        nodes: [{id: a, type: Text, inputs: {value: x}}, {id: b, type: DebugLog}]
        edges: [{from: a.value, to: b.message}]
    """)
    assert [each.type for each in run.recorder.events] == [
        "flow:started", "node:started", "node:completed", "edge:transfer-completed", "node:started",
        "node:debug-log-string", "node:completed", "flow:completed",
    ]  # fmt: skip
    assert run.recorder.named("edge:transfer-completed")[0]["from"] == "a.value"


async def test_debug_option_reports_status_changes() -> None:
    run = await run_flow("nodes: [{id: a, type: Text}]", options=EngineOptions(debug=True))
    told = [(each["oldStatus"], each["newStatus"]) for each in run.recorder.named("node:status-changed")]
    assert told == [("idle", "ready"), ("ready", "executing"), ("executing", "completed")]


def test_engine_rejects_registry_without_node_class() -> None:
    spec = flow("nodes: [{id: a, type: Text}]")
    graph = Graph.build(spec, BUILT_IN.catalogue)
    with pytest.raises(UnknownNodeType, match="Install its package"):
        Engine(graph, Registry(), context=RunContext("EX"), recorder=MemoryRecorder())


async def test_engine_runs_long_chain_within_cpu_budget() -> None:
    from chaingraph_crds.flow import EdgeSpec, FlowSpec, NodeSpec

    count = 1000
    nodes = [NodeSpec(id=f"n{i}", type="Math", inputs={"b": 1} if i else {"a": 0, "b": 1}) for i in range(count)]
    edges = [EdgeSpec.model_validate({"from": f"n{i}.result", "to": f"n{i + 1}.a"}) for i in range(count - 1)]
    spec = FlowSpec.model_construct(description="", inputs=[], outputs=[], nodes=nodes, edges=edges)
    # of the processor's time: the machine that runs this test may be busy with others
    best = 1.0
    for _ in range(3):
        made = engine(spec)
        begun = time.process_time()
        result = await made.run()
        best = min(best, time.process_time() - begun)
        assert result.outputs == {"n999": {"result": 1000}}
    assert best < 0.2
