"""Validation errors in the words and paths of Kubernetes."""

from typing import Any

import pytest
from pydantic import ValidationError

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.messages.field_errors import errors_of
from fixtures.cluster.crd_specs import BAD_EXECUTIONS, BAD_FLOWS, CHILD, SPAWNED_BY, Bad


def errors(model: type[FlowSpec] | type[ExecutionSpec], spec: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(spec)
    return errors_of(caught.value)


@pytest.mark.parametrize("bad", BAD_FLOWS, ids=str)
def test_bad_flow_has_one_error_at_its_path(bad: Bad) -> None:
    [error] = errors(FlowSpec, bad.spec)
    assert error.startswith(f"{bad.path}: ")


@pytest.mark.parametrize("bad", BAD_EXECUTIONS, ids=str)
def test_bad_execution_has_one_error_at_its_path(bad: Bad) -> None:
    [error] = errors(ExecutionSpec, bad.spec)
    assert error.startswith(f"{bad.path}: ")


def test_errors_are_reported_together() -> None:
    spec: dict[str, Any] = {
        "nodes": [
            {"id": "a b", "type": "T", "timeoutSeconds": 0, "retry": {"maxAttempts": 99}},
            {"id": True, "unknown": 1},
            3,
        ],
        "edges": [{"from": "a", "to": "b.c"}],
        "inputs": {},
    }
    assert errors(FlowSpec, spec) == [
        "spec.inputs: must be a list, is an object",
        "spec.nodes[0].id: \"a b\" is not a letter or '_', then letters, digits, '_' and '-'",
        "spec.nodes[0].timeoutSeconds: 0 is below 1",
        "spec.nodes[0].retry.maxAttempts: 99 is above 20",
        "spec.nodes[1].id: must be text, is the boolean true",
        "spec.nodes[1].type: is required",
        "spec.nodes[1].unknown: unknown field",
        "spec.nodes[2]: must be an object, is the number 3",
        "spec.edges[0].from: has 1 character, fewer than 3",
    ]


@pytest.mark.parametrize(
    ("model", "spec", "expected"),
    [
        (ExecutionSpec, {}, "spec: exactly one of flowRef and flow must be set, neither is"),
        (
            ExecutionSpec,
            {"flowRef": {"name": "a"}, "flow": {"nodes": [{"id": "a", "type": "T"}]}},
            "spec: exactly one of flowRef and flow must be set, both are",
        ),
        (
            ExecutionSpec,
            CHILD | {"flowRef": {"name": "a"}, "flow": {"nodes": [{"id": "a", "type": "T"}]}},
            "spec: flowRef and flow cannot both be set; a child without them runs the graph of its parent",
        ),
        (
            ExecutionSpec,
            {"spawnedBy": SPAWNED_BY | {"executionID": "me"}},
            "spec.spawnedBy.executionID: \"me\" is not an execution id: 'EX', then 24 capital letters and digits "
            "from 2 to 7",
        ),
        (
            ExecutionSpec,
            {"flowRef": {"name": "a"}, "retry": {"token": "1", "from": None}},
            "spec.retry.from: must be 'Failed' or 'Start', is null",
        ),
        (FlowSpec, {"nodes": []}, "spec.nodes: has 0 items, fewer than 1"),
        (FlowSpec, ["nodes"], "spec: must be an object, is a list"),
        (FlowSpec, None, "spec: must be an object, is null"),
    ],
)
def test_error_has_expected_wording(model: type[FlowSpec] | type[ExecutionSpec], spec: object, expected: str) -> None:
    assert errors(model, spec) == [expected]


def test_error_shortens_long_value() -> None:
    [error] = errors(FlowSpec, {"nodes": [{"id": "a", "type": "T", "timeoutSeconds": "9" * 5000}]})
    assert len(error) < 200


def test_errors_accept_another_root_path() -> None:
    with pytest.raises(ValidationError) as caught:
        FlowSpec.model_validate({"nodes": []})
    assert errors_of(caught.value, root="spec.flow") == ["spec.flow.nodes: has 0 items, fewer than 1"]
