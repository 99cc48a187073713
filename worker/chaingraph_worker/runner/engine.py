"""The engine of an assignment, which continues at the end of the journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

import chaingraph_flow
from chaingraph_crds.execution import ExecutionOptions
from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.node_paths import flow_of
from chaingraph_flow import (
    WAITING,
    Children,
    ControlState,
    Egress,
    Engine,
    EngineOptions,
    ExternalEvent,
    Graph,
    KilledTry,
    NodeRecord,
    NoSecrets,
    Recorder,
    Registry,
    RunContext,
    SecretSource,
    Signal,
    Supervisor,
    Trigger,
    WaitRecord,
    bind_inputs,
    without_unhandled_failures,
)
from chaingraph_worker.errors import InvalidInputs
from chaingraph_worker.runner.assignment import Assignment, RunnerLimits


def engine_of(
    assignment: Assignment,
    registry: Registry,
    *,
    recorder: Recorder,
    children: Children | None = None,
    on_control: Callable[[], None],
    may_spawn: Callable[[int], Awaitable[str | None]],
    supervisor: Supervisor | None,
    secrets: SecretSource | None = None,
) -> tuple[Engine, Graph]:
    """Create the engine at the end of the journal, with the debugger as it was left; and its graph.

    Raises:
        FlowError: the flow cannot run here: it is invalid, or this worker lacks one of its nodes.
        InvalidInputs: the node that called it gave inputs that do not fit.
    """
    flow = flow_of(orjson.loads(assignment.flow_spec), assignment.subflow)
    spec = FlowSpec.model_validate(flow)
    graph = Graph.build(spec, registry.catalogue)
    inputs = orjson.loads(assignment.inputs)
    if assignment.subflow and not assignment.called:
        # That of onExit is given more than it has to declare.
        inputs = {each.name: inputs.get(each.name) for each in spec.inputs}
    if assignment.called or assignment.subflow:
        inputs, errors = bind_inputs(spec.inputs, inputs)
        if errors:
            raise InvalidInputs(errors)
    options = ExecutionOptions.model_validate(orjson.loads(assignment.options))
    limits = RunnerLimits(**assignment.limits)
    trigger = _trigger(orjson.loads(assignment.events))
    journal, waits = _journal(assignment, graph, trigger)
    engine = Engine(
        graph,
        registry,
        options=EngineOptions(
            max_concurrency=options.max_concurrency,
            node_timeout_seconds=options.node_timeout_seconds,
            flow_timeout_seconds=options.flow_timeout_seconds,
            debug=options.debug,
            max_depth=limits.max_depth,
            max_children=limits.max_children,
            limits=chaingraph_flow.Limits(**limits.values),
            egress=Egress.of(limits.egress_allow, limits.egress_deny),
            secrets=secrets or NoSecrets(),
        ),
        context=RunContext(
            execution_id=assignment.execution_id,
            namespace=assignment.namespace,
            name=assignment.name,
            attempt=assignment.attempt,
            root_execution_id=assignment.root_id,
            parent_execution_id=assignment.parent_id or "",
            depth=assignment.depth,
            integration=orjson.loads(assignment.integration),
        ),
        inputs=inputs,
        trigger=trigger,
        journal=journal,
        waits=waits,
        signals=[
            Signal(seq, id_, name, payload, by, at, attempt)
            for seq, id_, name, by, at, attempt, payload in orjson.loads(assignment.signals)
        ],
        signals_told=assignment.applied_seq,
        children=children,
        recorder=recorder,
        resumed=assignment.started_before,
        control=ControlState(
            paused=assignment.paused,
            pause_node=assignment.pause_node,
            breakpoints=assignment.breakpoints,
            passed=assignment.held_nodes,
            steps=assignment.steps_owed,
            announced=assignment.pause_logged,
        ),
        ran_ms=assignment.ran_ms,
        on_control=on_control,
        may_spawn=may_spawn,
        supervisor=supervisor,
        killed=[KilledTry(**each) for each in assignment.killed],
    )
    return engine, graph


def _journal(
    assignment: Assignment, graph: Graph, trigger: Trigger | None
) -> tuple[list[NodeRecord], list[WaitRecord]]:
    """Return the finished nodes to keep, and the nodes that wait.

    A failure that ended an earlier attempt runs again; one of this attempt ends it. A node that waited in an earlier
    attempt runs again, from its beginning.
    """
    entries = orjson.loads(assignment.journal)
    ended = [(attempt, NodeRecord.from_json(record)) for attempt, record in entries if record["outcome"] != WAITING]
    earlier = [record for attempt, record in ended if attempt != assignment.attempt]
    own = [record for attempt, record in ended if attempt == assignment.attempt]
    waits = [
        WaitRecord.from_json(record)
        for attempt, record in entries
        if record["outcome"] == WAITING and attempt == assignment.attempt
    ]
    return [*without_unhandled_failures(graph, earlier, trigger), *own], waits


def _trigger(events: list[dict[str, Any]]) -> Trigger | None:
    return tuple(ExternalEvent(event["name"], event.get("payload")) for event in events) or None
