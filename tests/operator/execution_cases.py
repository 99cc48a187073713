"""Executions in every state, for the tests of the pure parts: by hand, and as hypothesis draws them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.faults import Fault, FaultCode
from chaingraph_flow.revision import revision
from chaingraph_operator.flow_judgement import Judged, Unjudged, Unreadable
from chaingraph_operator.plan import FlowView, Meta, Missing
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import WorkflowId, execution_id

UID = str(uuid.UUID(int=7))
ID = execution_id(UID)
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
FLOW = FlowSpec.model_validate(
    {"inputs": [{"name": "city", "type": "string", "required": True}], "nodes": [{"id": "a", "type": "Text"}]}
)
INPUTS = {"city": "Ulm"}
RIGHT = Judged(FLOW, revision(FLOW), ())
WRONG = Judged(FLOW, revision(FLOW), (Fault("spec.nodes[0].id", FaultCode.DUPLICATE_NODE_ID, "twice"),))
LACKING = Judged(FLOW, revision(FLOW), (Fault("spec.nodes[0].type", FaultCode.UNKNOWN_NODE_TYPE, "none"),))
TERMINAL = ("Completed", "Failed", "Stopped")
META = Meta(UID, "team", "nightly", generation=1)
UNSEEN = ExecutionStatus()


def spec_of(**fields: Any) -> ExecutionSpec:
    return ExecutionSpec.model_validate({"flowRef": {"name": "report"}, "inputs": INPUTS} | fields)


def row_of(phase: str, **fields: Any) -> ExecutionRow:
    ended = phase in TERMINAL
    row = ExecutionRow(
        id=ID,
        uid=UID,
        namespace="team",
        name="nightly",
        flow_name="report",
        flow_revision=RIGHT.revision,
        queue="chaingraph-executions",
        parent_id=None,
        root_id=ID,
        depth=0,
        phase=phase,
        attempt=1,
        workflow_id=WorkflowId(ID),
        recoveries=0,
        worker="" if phase in ("Pending", "Created") else "worker-1",
        lost_worker="",
        nodes_total=3,
        nodes_completed=1,
        nodes_failed=0,
        nodes_skipped=0,
        nodes_running=0 if ended else 1,
        current_nodes=[] if ended else ["a"],
        outputs={"x": 1} if phase == "Completed" else None,
        error_node="",
        error_reason="NodeFailed" if phase == "Failed" else "",
        error_message="broken" if phase in ("Failed", "Stopped") else "",
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW if ended else None,
        change_seq=5,
    )
    return replace(row, **fields)


specs = st.builds(
    spec_of,
    paused=st.booleans(),
    stop=st.booleans(),
    inputs=st.sampled_from([INPUTS, {}, {"city": 3}, {"city": "Ulm", "town": "Ulm"}]),
    retry=st.sampled_from([{"token": "1"}, {"token": "2", "from": "Start"}]),
    step=st.sampled_from(["1", "2"]),
)
metas = st.builds(replace, st.just(META), deleting=st.booleans())
flows: st.SearchStrategy[FlowView] = st.sampled_from(
    [RIGHT, WRONG, LACKING, Missing("report"), Unjudged(FLOW, RIGHT.revision), Unreadable(("spec: odd",))]
)
rows = st.none() | st.sampled_from([*ExecutionPhase]).map(row_of)
statuses = st.builds(
    lambda phase, known: ExecutionStatus(phase=phase, execution_id=ID if known else None),
    st.none() | st.sampled_from([*ExecutionPhase]),
    st.booleans(),
)
