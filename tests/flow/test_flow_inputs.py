"""Binding a flow's inputs, and the revision of its content."""

from __future__ import annotations

from typing import Any

import pytest

from chaingraph_flow import bind_inputs, revision
from fixtures.flows.runs import flow

DECLARED = flow("""
    inputs:
    - {name: city, type: string, required: true}
    - {name: least, type: number, default: 5}
    - {name: tags, type: array, default: [a]}
    - {name: note, type: any}
    nodes: [{id: a, type: Text}]
""").inputs


def test_bind_inputs_fills_in_defaults_and_nulls() -> None:
    bound, errors = bind_inputs(DECLARED, {"city": "Bern"})
    assert (bound, errors) == ({"city": "Bern", "least": 5, "tags": ["a"], "note": None}, [])
    bound["tags"].append("changed")
    assert bind_inputs(DECLARED, {"city": "Bern"})[0]["tags"] == ["a"]


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({}, [("MissingInput", "spec.inputs.city")]),
        ({"city": None}, [("MissingInput", "spec.inputs.city")]),
        ({"city": 1}, [("InvalidValue", "spec.inputs.city")]),
        ({"city": "a", "least": float("nan")}, [("InvalidValue", "spec.inputs.least")]),
        (
            {"citi": "Bern", "tags": {}, "least": "x"},
            [
                ("UnknownInput", "spec.inputs.citi"), ("MissingInput", "spec.inputs.city"),
                ("InvalidValue", "spec.inputs.least"), ("InvalidValue", "spec.inputs.tags"),
            ],
        ),
    ],
)  # fmt: skip
def test_bind_inputs_reports_every_error(given: dict[str, Any], errors: list[tuple[str, str]]) -> None:
    _, found = bind_inputs(DECLARED, given)
    assert [(str(each.code), each.path) for each in found] == errors


def test_bind_inputs_suggests_name_for_unknown_input() -> None:
    _, (error, _) = bind_inputs(DECLARED, {"citi": "Bern"})
    assert "did you mean 'city'?" in error.message


def test_revision_depends_only_on_content() -> None:
    one = flow("nodes: [{id: a, type: Text, inputs: {value: x, other: 1}}]")
    same = flow('{"edges": [], "nodes": [{"inputs": {"other": 1, "value": "x"}, "type": "Text", "id": "a"}]}')
    other = flow("nodes: [{id: a, type: Text, inputs: {value: y, other: 1}}]")
    assert revision(one) == revision(same) != revision(other)
    assert len(revision(one)) == 64
    int(revision(one), 16)
