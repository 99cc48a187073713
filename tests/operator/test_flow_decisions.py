"""Decisions about Flows, catalogues of several versions, and expiry: the pure parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaingraph_crds.flow import FlowSpec, FlowStatus
from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_flow.registry import Registry
from chaingraph_operator.decide import status_events
from chaingraph_operator.decide.flow_status import (
    FlowValidation,
    NotValidated,
    Unparseable,
    Validated,
    error_lines,
    flow_status,
    validate_flow,
)
from chaingraph_operator.reconcile.ttl import expiry
from chaingraph_operator.reconcile.worker_registry import merged
from fixtures.cluster.execution_cases import FLOW, LACKING, MISSPELLED, NOW, RIGHT, WRONG


def show(validation: FlowValidation, previous: dict[str, Any] | None = None) -> dict[str, Any]:
    return flow_status(validation, generation=3, previous=FlowStatus.of(previous), now=NOW)


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        (RIGHT, {"Ready": ("True", "Valid")}),
        (WRONG, {"Ready": ("False", "Invalid"), "Stalled": ("True", "Invalid")}),
        (LACKING, {"Ready": ("False", "UnknownNodeType"), "Reconciling": ("True", "UnknownNodeType")}),
        (MISSPELLED, {"Ready": ("False", "UnknownNodeType"), "Stalled": ("True", "UnknownNodeType")}),
        (
            NotValidated(FLOW, "r"),
            {"Ready": ("Unknown", "WaitingForWorkers"), "Reconciling": ("True", "WaitingForWorkers")},
        ),
        (Unparseable(("spec: odd",)), {"Ready": ("False", "Unreadable"), "Stalled": ("True", "Unreadable")}),
    ],
)
def test_each_judgement_has_its_conditions(validation: FlowValidation, expected: dict[str, tuple[str, str]]) -> None:
    status = show(validation)
    assert {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]} == expected
    assert status["observedGeneration"] == 3
    assert show(validation, status) == status


def test_error_list_is_cut_to_fit_and_counts_the_rest() -> None:
    errors = tuple(
        FieldError(f"spec.edges[{number}].to", ErrorCode.UNKNOWN_PORT, "there is no such port")
        for number in range(2000)
    )
    message = show(Validated(FLOW, "r", errors))["conditions"][0]["message"]
    lines = message.splitlines()
    assert lines[0] == "2000 errors: spec.edges[0].to: there is no such port"
    assert lines[-1] == f"... and {2000 - (len(lines) - 1)} more"
    assert len(message) < 9000


def test_one_endless_error_is_cut() -> None:
    assert len(error_lines(["x" * 100_000], longest=50)) == 50


def test_flow_is_announced_when_it_breaks_and_when_it_is_fixed() -> None:
    def said(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
        return [(each.type, each.reason) for each in status_events.of_flow(before, after)]

    right, wrong = show(RIGHT), show(WRONG)
    assert said({}, right) == []
    assert said({}, wrong) == [("Warning", "Invalid")]
    assert said(wrong, wrong) == []
    assert said(wrong, right) == [("Normal", "Valid")]
    assert said(show(NotValidated(FLOW, "r")), right) == []


def test_flow_with_a_warning_is_valid_and_shows_the_warning() -> None:
    spec = FlowSpec.model_validate({"nodes": [{"id": "a", "type": "EventEmitter", "inputs": {"eventName": "order"}}]})
    validated = validate_flow(spec, Registry.discover().catalogue)
    assert isinstance(validated, Validated)
    assert validated.valid
    status = show(validated)
    [ready] = status["conditions"]
    assert (ready["status"], ready["reason"]) == ("True", "ValidWithWarnings")
    where = "spec.nodes[0].inputs.eventName: no node of this flow listens to 'order'"
    assert ready["message"].startswith(f"1 node, revision {validated.revision}, 1 warning: {where}")
    for before in ({}, show(RIGHT), show(WRONG)):
        [told] = status_events.of_flow(before, status)
        assert (told.type, told.reason, told.message) == ("Warning", "ValidWithWarnings", ready["message"])
    assert status_events.of_flow(status, status) == []
    [mended] = status_events.of_flow(status, show(RIGHT))
    assert (mended.type, mended.reason) == ("Normal", "Valid")


def test_catalogues_of_several_workers_are_one() -> None:
    text = {"Text": Registry.discover().catalogue["Text"].model_dump(mode="json", by_alias=True)}
    number = {"Number": Registry.discover().catalogue["Number"].model_dump(mode="json", by_alias=True)}
    catalogue, errors = merged([text, number, text])
    assert catalogue is not None
    assert (sorted(catalogue), errors) == (["Number", "Text"], [])


def test_conflicting_node_types_are_reported_and_the_first_wins() -> None:
    text = Registry.discover().catalogue["Text"].model_dump(mode="json", by_alias=True)
    catalogue, errors = merged([{"Text": text}, {"Text": {**text, "description": "other"}}])
    assert catalogue is not None
    assert catalogue["Text"].description == text["description"]
    assert errors == ["workers of two versions have different node types named 'Text'"]


def test_newer_workers_catalogue_is_skipped_and_reported() -> None:
    catalogue, errors = merged([{"Text": {"type": "Text", "novelty": 1}}])
    assert (len(catalogue or ()), len(errors)) == (0, 1)
    assert merged([]) == (None, [])


def test_expiry_counts_from_the_end() -> None:
    end = datetime(2026, 5, 4, 12, 0, 0, 500_000, tzinfo=UTC)
    status = {"completionTime": "2026-05-04T12:00:00.500Z"}
    assert expiry({"ttlSecondsAfterFinished": 60}, status) == end + timedelta(seconds=60)
    assert expiry({"ttlSecondsAfterFinished": 0}, status) == end
    assert expiry({}, status) is None
    assert expiry({"ttlSecondsAfterFinished": 60}, {}) is None
