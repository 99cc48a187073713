"""Traces from apply to node, as a collector gets them from real processes."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from chaingraph_runtime.tracing import span_id, trace_id
from chaingraph_store import trace_keys as keys
from chaingraph_store.ids import child_execution_id, execution_id
from fixtures.cluster.view import Cluster
from fixtures.processes.otlp import Collector, Received
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration

PIPELINE = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
CHAIN = {
    "nodes": [
        {"id": "one", "type": "Text", "inputs": {"value": "x"}},
        {"id": "wait", "type": "Sleep", "inputs": {"milliseconds": 50}},
        {"id": "told", "type": "ToText"},
        {"id": "broken", "type": "Fail"},
    ],
    "edges": [{"from": "wait.actual", "to": "told.value"}, {"from": "told.text", "to": "broken.message"}],
}

EMITTER = {
    "nodes": [
        {"id": "each", "type": "EmitEach", "inputs": {"eventName": "item", "items": [1, 2]}},
        {"id": "heard", "type": "EventListener", "inputs": {"eventName": "item"}},
    ]
}


def named(spans: list[Received], name: str) -> Received:
    [found] = [each for each in spans if each.name == name]
    return found


async def test_execution_is_one_trace_from_creation_to_nodes(
    cluster: Cluster, collector: Collector, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    operator = run_operator(**collector.environment)
    worker = run_worker(**collector.environment)
    annotation = f"00-{PIPELINE[0]}-{PIPELINE[1]}-01"
    began = time.time_ns()
    uid = cluster.apply(
        "Execution", "printing", {"flow": CHAIN}, annotations={"chaingraph.dev/traceparent": annotation}
    )
    await cluster.condition("Execution", "printing", "Succeeded", status="False")
    spans = await collector.spans(
        lambda found: {"execution.create", "execution.attempt"} <= {each.name for each in found}
    )
    execution = execution_id(uid)
    assert {each.trace for each in spans} == {trace_id(execution)}

    create, attempt = named(spans, "execution.create"), named(spans, "execution.attempt")
    assert (create.parent, create.id) == ("", span_id(keys.create(execution)))
    assert create.links == [PIPELINE]
    assert create.resource["service.name"] == "chaingraph-operator"
    assert create.attributes["chaingraph.execution.name"] == "printing"
    assert attempt.parent == create.id
    assert attempt.resource["service.name"] == "chaingraph-worker"
    assert attempt.resource["service.instance.id"] == worker.executor_id
    assert attempt.failed
    assert attempt.attributes["chaingraph.outcome"] == "Failed"
    assert attempt.attributes["error.type"] == "NodeFailed"

    nodes = {each.attributes["chaingraph.node.id"]: each for each in spans if each.name.startswith("node ")}
    assert set(nodes) == {"one", "wait", "told", "broken"}
    assert all(each.parent == attempt.id for each in nodes.values())
    assert nodes["wait"].attributes["chaingraph.node.type"] == "Sleep"
    assert nodes["wait"].ended - nodes["wait"].began >= 45_000_000
    assert not nodes["one"].failed
    assert nodes["broken"].failed
    assert float(nodes["broken"].message) >= 45
    assert nodes["broken"].message in attempt.message
    millisecond = 1_000_000
    moments = [began, create.began, create.ended, attempt.ended, time.time_ns()]
    assert all(earlier <= later + millisecond for earlier, later in pairwise(moments)), moments
    assert all(attempt.began <= each.began + millisecond for each in nodes.values())
    assert all(each.ended <= attempt.ended + millisecond for each in nodes.values())

    for process in (operator, worker):
        lines = [each for each in process.lines() if each.get("execution_id") == execution]
        assert lines
        assert all(each["trace_id"] == trace_id(execution) for each in lines)
    assert worker.terminate() == 0
    assert operator.terminate() == 0


async def test_child_trace_links_to_spawn_span(
    cluster: Cluster, collector: Collector, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator(**collector.environment)
    run_worker(**collector.environment)
    uid = cluster.apply("Execution", "parent", {"flow": EMITTER})
    await cluster.condition("Execution", "parent", "TreeSucceeded", status="True", within=60)
    parent = execution_id(uid)
    children = [child_execution_id(parent, position) for position in range(2)]
    # The span of an attempt is sent when it has ended, a while after those of its creation and of its nodes.
    wanted = {("execution.spawn", trace_id(parent))}
    wanted |= {("execution.attempt", trace_id(each)) for each in (parent, *children)}
    spans = await collector.spans(lambda found: wanted <= {(each.name, each.trace) for each in found})
    spawn = named(spans, "execution.spawn")
    assert spawn.trace == trace_id(parent)
    assert spawn.attributes["chaingraph.children"] == 2
    [attempt] = [each for each in spans if each.trace == trace_id(parent) and each.name == "execution.attempt"]
    assert spawn.parent == attempt.id
    for child in children:
        [own] = [each for each in spans if each.trace == trace_id(child) and each.name == "execution.attempt"]
        assert own.parent == ""
        assert own.links == [(spawn.trace, spawn.id)]
        assert own.attributes["chaingraph.execution.root_id"] == parent
        assert own.attributes["chaingraph.execution.parent_id"] == parent


async def test_trace_continues_after_worker_loss(
    cluster: Cluster, collector: Collector, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator(**collector.environment)
    first = run_worker(**collector.environment)
    nodes = [{"id": "one", "type": "Text"}, {"id": "long", "type": "work.Work", "inputs": {"milliseconds": 4000}}]
    execution = execution_id(cluster.apply("Execution", "moved", {"flow": {"nodes": nodes}}))
    await collector.spans(lambda found: any(each.name == "node one" for each in found))
    first.kill()
    second = run_worker(**collector.environment, CHAINGRAPH_RECOVERY_SECONDS="0.5")
    await cluster.condition("Execution", "moved", "Succeeded", status="True", within=60)
    spans = await collector.spans(lambda found: any(each.name == "execution.attempt" for each in found))
    assert {each.trace for each in spans} == {trace_id(execution)}
    attempt = named(spans, "execution.attempt")
    assert attempt.resource["service.instance.id"] == second.executor_id
    # Of the lost run there is what it sent: the node that had ended, which is not run again.
    assert named(spans, "node one").parent not in ("", attempt.id)
    assert named(spans, "node long").parent == attempt.id


async def test_unreachable_collector_does_not_block_processes(
    cluster: Cluster, collector: Collector, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    gone = collector.environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_MAX_QUEUE_SIZE": "8"}
    gone |= {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
    operator, worker = run_operator(**gone), run_worker(**gone).wait_ready()
    nodes = [{"id": f"n{number}", "type": "Text", "inputs": {"value": "x"}} for number in range(40)]
    cluster.apply("Execution", "untraced", {"flow": {"nodes": nodes}})
    await cluster.condition("Execution", "untraced", "Succeeded", status="True", within=30)
    for process in (operator, worker):
        began = time.monotonic()
        assert process.terminate() == 0
        assert time.monotonic() - began < 8
        assert all(line.startswith("{") for line in process.log.splitlines())


async def test_unsampled_traces_are_not_sent(
    cluster: Cluster, collector: Collector, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    none = collector.environment | {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    operator, worker = run_operator(**none), run_worker(**none).wait_ready()
    cluster.apply("Execution", "unsampled", {"flow": {"nodes": [{"id": "a", "type": "Text"}]}})
    await cluster.condition("Execution", "unsampled", "Succeeded", status="True")
    assert (operator.terminate(), worker.terminate()) == (0, 0)
    assert collector.received == []
