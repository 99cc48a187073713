"""The data of a claimed execution for its runner."""

from __future__ import annotations

from dataclasses import asdict, replace

from chaingraph_store.attempts import runs
from chaingraph_worker.runner.assignment import Assignment, RunnerLimits
from chaingraph_worker.supervision import killed


def limits_of(claim: runs.Claim, limits: RunnerLimits, connections: int) -> RunnerLimits:
    """Return the worker's limits, with the namespace's egress policy and share of connections."""
    return replace(
        limits,
        values={**limits.values, "http_connections": connections},
        egress_allow=",".join(filter(None, (limits.egress_allow, *claim.egress))),
    )


def assignment_of(claim: runs.Claim, limits: RunnerLimits, lost: killed.KilledRecord) -> Assignment:
    """Return the data of an execution for its runner."""
    return Assignment(
        execution_id=claim.execution_id,
        namespace=claim.namespace,
        name=claim.name,
        attempt=claim.attempt,
        root_id=claim.root_id,
        parent_id=claim.parent_id,
        depth=claim.depth,
        started_before=claim.started_before,
        paused=claim.paused,
        pause_node=claim.pause_node,
        pause_logged=claim.pause_logged,
        breakpoints=claim.breakpoints,
        held_nodes=claim.held_nodes,
        steps_owed=claim.steps_owed,
        ran_ms=claim.ran_ms,
        control_seq=claim.control_seq,
        applied_seq=claim.applied_seq,
        killed=[asdict(each) for each in lost.killed],
        limits=asdict(limits),
        subflow=claim.subflow,
        called=claim.called,
        flow_spec=claim.flow_spec,
        inputs=claim.inputs,
        events=claim.events,
        integration=claim.integration,
        options=claim.options,
        journal=claim.journal,
        signals=claim.signals,
    )
