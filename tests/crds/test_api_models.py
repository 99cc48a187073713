"""The models of specs and statuses: spelling, strictness, defaults, and what goes back into a manifest."""

import datetime

import pytest
from pydantic import BaseModel, ValidationError

from chaingraph_crds.conditions import CONDITION_MEANINGS, Condition, ConditionType
from chaingraph_crds.execution import ExecutionPhase, ExecutionSpec, ExecutionStatus
from chaingraph_crds.execution_status import PHASE_MEANINGS, ChildCounts
from chaingraph_crds.flow import EdgeSpec, FlowSpec, FlowStatus, NodeSpec
from chaingraph_crds.model import api_name
from fixtures.cluster.crd_specs import BY_REFERENCE, CHILD, EVERY_EXECUTION_FIELD, EVERY_FLOW_FIELD, FLOW, INLINE


@pytest.mark.parametrize(
    ("python", "kubernetes"),
    [
        ("execution_id", "executionID"),
        ("root_execution_id", "rootExecutionID"),
        ("id", "id"),
        ("child_refs", "childRefs"),
        ("ttl_seconds_after_finished", "ttlSecondsAfterFinished"),
        ("paused", "paused"),
    ],
)
def test_api_name_follows_kubernetes_spelling(python: str, kubernetes: str) -> None:
    assert api_name(python) == kubernetes


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        (FlowSpec, FLOW),
        (FlowSpec, EVERY_FLOW_FIELD),
        (ExecutionSpec, BY_REFERENCE),
        (ExecutionSpec, INLINE),
        (ExecutionSpec, CHILD),
        (ExecutionSpec, CHILD | BY_REFERENCE),
        (ExecutionSpec, EVERY_EXECUTION_FIELD),
    ],
)
def test_spec_manifest_round_trips(model: type[FlowSpec] | type[ExecutionSpec], spec: dict[str, object]) -> None:
    assert model.model_validate(spec).manifest() == spec


@pytest.mark.parametrize(("model", "spec"), [(FlowSpec, EVERY_FLOW_FIELD), (ExecutionSpec, EVERY_EXECUTION_FIELD)])
def test_example_specs_use_every_field(model: type[BaseModel], spec: dict[str, object]) -> None:
    names = {field.alias for field in model.model_fields.values()}
    assert set(spec) == names - {"flowRef"}


def test_manifest_keeps_nulls_in_free_values() -> None:
    node = NodeSpec.model_validate({"id": "a", "type": "T", "inputs": {"x": None, "y": [{"z": None}]}})
    assert node.manifest()["inputs"] == {"x": None, "y": [{"z": None}]}


def test_execution_spec_fills_in_defaults() -> None:
    assert ExecutionSpec.model_validate(BY_REFERENCE).complete() == {
        "flowRef": {"name": "greeting"},
        "inputs": {},
        "events": [],
        "integration": {},
        "paused": False,
        "signals": [],
        "stop": False,
        "options": {
            "maxConcurrency": 50,
            "nodeTimeoutSeconds": 600,
            "flowTimeoutSeconds": 10800,
            "debug": False,
            "breakpoints": [],
        },
        "startTimeoutSeconds": 300,
        "queue": "chaingraph-executions",
        "priority": 0,
        "children": {"resources": "Create", "onStop": "Stop"},
    }


def test_models_accept_python_names_and_are_frozen() -> None:
    edge = EdgeSpec(from_="a.value", to="b.value")
    assert edge.manifest() == {"from": "a.value", "to": "b.value"}
    with pytest.raises(ValidationError, match="frozen"):
        setattr(edge, "to", "c.value")  # noqa: B010 - as an assignment, mypy refuses it before pydantic can


def test_spec_rejects_and_status_ignores_unknown_fields() -> None:
    with pytest.raises(ValidationError, match="newer"):
        ExecutionSpec.model_validate(BY_REFERENCE | {"newer": 1})
    assert ExecutionStatus.of({"newer": 1}) == ExecutionStatus()


def test_missing_status_reads_as_unobserved() -> None:
    assert ExecutionStatus.of(None).observed_generation == -1
    assert FlowStatus.of(None).observed_generation == -1


def test_status_patch_is_plain_json() -> None:
    moment = datetime.datetime(2026, 11, 23, 4, 5, 6, 789_999, datetime.timezone(datetime.timedelta(hours=1)))
    status = ExecutionStatus(
        observed_generation=2,
        execution_id="EX0123456789",
        phase=ExecutionPhase.RUNNING,
        start_time=moment,
        children=ChildCounts(total=3, running=3),
        conditions=[
            Condition(
                type=ConditionType.SUCCEEDED,
                status="Unknown",
                reason="Running",
                message="",
                last_transition_time=moment,
                observed_generation=2,
            )
        ],
    )
    patch = status.manifest()
    assert patch["executionID"] == "EX0123456789"
    assert patch["phase"] == "Running"
    assert patch["startTime"] == "2026-11-23T03:05:06.789Z"
    assert patch["children"]["running"] == 3
    assert patch["conditions"] == [
        {
            "type": "Succeeded",
            "status": "Unknown",
            "reason": "Running",
            "message": "",
            "lastTransitionTime": "2026-11-23T03:05:06Z",
            "observedGeneration": 2,
        }
    ]
    assert "completionTime" not in patch
    assert ExecutionStatus.of(patch).manifest() == patch


def test_status_rejects_time_without_zone() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        ExecutionStatus.of({"startTime": "2026-11-23T03:05:06"})


def test_execution_has_three_final_phases() -> None:
    assert {phase for phase in ExecutionPhase if phase.finished} == {"Completed", "Failed", "Stopped"}


def test_phases_and_conditions_have_meanings() -> None:
    assert set(PHASE_MEANINGS) == set(ExecutionPhase)
    assert set(CONDITION_MEANINGS) == set(ConditionType)
