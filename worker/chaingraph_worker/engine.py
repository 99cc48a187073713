"""The engine of a claim: what the ledger says of an execution, as the engine takes it. Called by `attempt`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import chaingraph_flow
from chaingraph_crds.execution import ExecutionOptions
from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    ControlState,
    Egress,
    Engine,
    EngineOptions,
    ExternalEvent,
    Graph,
    NodeRecord,
    Recorder,
    Registry,
    RunContext,
    Trigger,
    without_unhandled_failures,
)
from chaingraph_store.runs import Claim


@dataclass(frozen=True, slots=True)
class Limits:
    """What an execution may spawn: how deep in its tree, and how many; and what its values may cost and reach."""

    max_depth: int
    max_children: int
    values: chaingraph_flow.Limits = field(default_factory=chaingraph_flow.Limits)
    egress: Egress = field(default_factory=Egress)


def engine_of(
    claim: Claim,
    registry: Registry,
    *,
    limits: Limits,
    recorder: Recorder,
    on_control: Callable[[], None],
    may_spawn: Callable[[int], Awaitable[str | None]],
) -> Engine:
    """An engine that goes on where the journal ends, with the debugger as it was left.

    Raises:
        FlowError: the flow cannot be run here: it is invalid, or this worker lacks one of its nodes.
    """
    graph = Graph.build(FlowSpec.model_validate(claim.flow_spec), registry.catalogue)
    options = ExecutionOptions.model_validate(claim.options)
    trigger = _trigger(claim.events)
    return Engine(
        graph,
        registry,
        options=EngineOptions(
            max_concurrency=options.max_concurrency,
            node_timeout_seconds=options.node_timeout_seconds,
            flow_timeout_seconds=options.flow_timeout_seconds,
            debug=options.debug,
            max_depth=limits.max_depth,
            max_children=limits.max_children,
            limits=limits.values,
            egress=limits.egress,
        ),
        context=RunContext(
            execution_id=claim.execution_id,
            namespace=claim.namespace,
            name=claim.name,
            attempt=claim.attempt,
            root_execution_id=claim.root_id,
            parent_execution_id=claim.parent_id or "",
            depth=claim.depth,
            integration=claim.integration,
        ),
        inputs=claim.inputs,
        trigger=trigger,
        journal=_journal(claim, graph, trigger),
        recorder=recorder,
        resumed=claim.started_before,
        control=ControlState(
            paused=claim.paused,
            pause_reason=claim.pause_reason,
            breakpoints=claim.breakpoints,
            passed=claim.held_nodes,
            steps=claim.steps_owed,
            announced=claim.pause_logged,
        ),
        ran_ms=claim.ran_ms,
        on_control=on_control,
        may_spawn=may_spawn,
    )


def _journal(claim: Claim, graph: Graph, trigger: Trigger | None) -> list[NodeRecord]:
    """What need not run again. A failure that ended an earlier attempt does, and one of this attempt ends this one."""
    earlier = [NodeRecord.from_json(record) for attempt, record in claim.journal if attempt != claim.attempt]
    own = [NodeRecord.from_json(record) for attempt, record in claim.journal if attempt == claim.attempt]
    return [*without_unhandled_failures(graph, earlier, trigger), *own]


def _trigger(events: list[dict[str, Any]]) -> Trigger | None:
    return tuple(ExternalEvent(event["name"], event.get("payload")) for event in events) or None
