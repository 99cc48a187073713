"""Validation of random flows: right ones have no errors, and every error that is put in is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import (
    validate,
)
from fixtures import soak
from fixtures.flows.runs import BUILT_IN

CATALOGUE = BUILT_IN.catalogue

ROWS = {"type": "array", "items": {"type": "object", "properties": {"k": "string"}}}
PRODUCTS: dict[str, tuple[str, str, dict[str, str], dict[str, Any]]] = {
    # type of node: (output, its type, inputs by type, static inputs)
    "Text": ("value", "string", {"value": "string"}, {}),
    "Number": ("value", "number", {"value": "number"}, {}),
    "Math": ("result", "number", {"a": "number", "b": "number"}, {}),
    "Not": ("result", "boolean", {"value": "boolean"}, {}),
    "And": ("result", "boolean", {"a": "boolean", "b": "boolean"}, {}),
    "ToText": ("text", "string", {"value": "any"}, {}),
    "ToNumber": ("value", "number", {"text": "string"}, {}),
    "JSONRead": ("value", "rows", {"text": "string"}, {"schema": ROWS}),
    "Sort": ("result", "rows", {"items": "rows"}, {"field": "k"}),
    "Length": ("result", "number", {"value": "rows"}, {}),
    "Branch": ("result", "boolean", {"left": "any", "right": "any"}, {}),
    "Template": ("result", "string", {"template": "string"}, {}),
}  # fmt: skip
VALUES: dict[str, Any] = {"string": "1", "number": 1, "boolean": True, "rows": [{"k": "a"}], "any": [1]}


@st.composite
def valid_flows(draw: st.DrawFn) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, str]] = []
    there: dict[str, list[str]] = {"string": ["inputs.s"], "number": [], "boolean": [], "rows": [], "any": ["inputs.a"]}
    for index in range(draw(st.integers(1, 8))):
        type_ = draw(st.sampled_from(sorted(PRODUCTS)))
        output, product, wanted, static = PRODUCTS[type_]
        inputs: dict[str, Any] = dict(static)
        for port, kind in wanted.items():
            sources = there[kind] if kind != "any" else sorted({each for all_ in there.values() for each in all_})
            if draw(st.booleans()) and sources:
                edges.append({"from": draw(st.sampled_from(sources)), "to": f"n{index}.{port}"})
            else:
                inputs[port] = VALUES[kind]
        if draw(st.booleans()) and there["boolean"]:
            edges.append({"from": draw(st.sampled_from(there["boolean"])), "to": f"n{index}.__execute"})
        nodes.append({"id": f"n{index}", "type": type_, "inputs": inputs})
        there[product].append(f"n{index}.{output}")
        if product == "rows":
            there["string"].append(f"n{index}.{output}[0].k")
    declared = [{"name": "s", "type": "string", "default": "x"}, {"name": "a"}]
    return {"inputs": declared, "nodes": draw(st.permutations(nodes)), "edges": draw(st.permutations(edges))}


Mutation = Callable[[dict[str, Any]], tuple[str, str]]


def _added(spec: dict[str, Any], *nodes: dict[str, Any]) -> int:
    spec["nodes"] += nodes
    return len(spec["nodes"]) - len(nodes)


def _wired(spec: dict[str, Any], source: str, target: str) -> int:
    spec["edges"].append({"from": source, "to": target})
    return len(spec["edges"]) - 1


def unknown_type(spec: dict[str, Any]) -> tuple[str, str]:
    return "UnknownNodeType", f"spec.nodes[{_added(spec, {'id': 'mType', 'type': 'Nope'})}].type"


def unknown_source_port(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mPort", "type": "Text"})
    return "UnknownPort", f"spec.edges[{_wired(spec, spec['nodes'][0]['id'] + '.nope', 'mPort.value')}].from"


def unknown_target_port(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mTarget", "type": "Text"})
    return "UnknownPort", f"spec.edges[{_wired(spec, 'inputs.s', 'mTarget.nope')}].to"


def mismatch(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mText", "type": "Text"}, {"id": "mNumber", "type": "Number"})
    return "TypeMismatch", f"spec.edges[{_wired(spec, 'mText.value', 'mNumber.value')}].to"


def bare_any(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mAny", "type": "Text"})
    return "TypeMismatch", f"spec.edges[{_wired(spec, 'inputs.a', 'mAny.value')}].to"


def cycle(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mOne", "type": "Not"}, {"id": "mTwo", "type": "Not"})
    _wired(spec, "mOne.result", "mTwo.value")
    return "Cycle", f"spec.edges[{_wired(spec, 'mTwo.result', 'mOne.value')}]"


def two_edges(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mTaken", "type": "Text"})
    _wired(spec, "inputs.s", "mTaken.value")
    return "PortTaken", f"spec.edges[{_wired(spec, 'inputs.s', 'mTaken.value')}].to"


def missing(spec: dict[str, Any]) -> tuple[str, str]:
    return "MissingInput", f"spec.nodes[{_added(spec, {'id': 'mMath', 'type': 'Math', 'inputs': {'b': 1}})}].inputs.a"


def wrong_value(spec: dict[str, Any]) -> tuple[str, str]:
    node = {"id": "mValue", "type": "Sleep", "inputs": {"milliseconds": -1}}
    return "InvalidValue", f"spec.nodes[{_added(spec, node)}].inputs.milliseconds"


def unknown_node(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mNode", "type": "Text"})
    return "UnknownNode", f"spec.edges[{_wired(spec, 'nobody.value', 'mNode.value')}].from"


def unknown_input(spec: dict[str, Any]) -> tuple[str, str]:
    _added(spec, {"id": "mInput", "type": "Text"})
    return "UnknownInput", f"spec.edges[{_wired(spec, 'inputs.zzz', 'mInput.value')}].from"


def duplicate(spec: dict[str, Any]) -> tuple[str, str]:
    return "DuplicateNodeId", f"spec.nodes[{_added(spec, {'id': spec['nodes'][0]['id'], 'type': 'Text'})}].id"


MUTATIONS: list[Mutation] = [
    unknown_type, unknown_source_port, unknown_target_port, mismatch, bare_any, cycle, two_edges, missing,
    wrong_value, unknown_node, unknown_input, duplicate,
]  # fmt: skip


@pytest.mark.soak
@settings(max_examples=soak.examples(150), deadline=None)
@given(valid_flows())
def test_valid_flow_has_no_errors(spec: dict[str, Any]) -> None:
    assert validate(FlowSpec.model_validate(spec), CATALOGUE) == []


@pytest.mark.soak
@settings(max_examples=soak.examples(200), deadline=None)
@given(valid_flows(), st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=7, unique=True))
def test_validation_finds_exactly_the_injected_errors(spec: dict[str, Any], mutations: list[Mutation]) -> None:
    wrong = copy.deepcopy(spec)
    wanted = [mutation(wrong) for mutation in mutations]
    found = [(str(each.code), each.path) for each in validate(FlowSpec.model_validate(wrong), CATALOGUE)]
    assert sorted(found) == sorted(wanted)


@pytest.mark.soak
@settings(max_examples=soak.examples(100), deadline=None)
@given(valid_flows(), st.data())
def test_misspelt_type_of_valid_flow_is_one_error(spec: dict[str, Any], data: st.DataObject) -> None:
    wrong = copy.deepcopy(spec)
    index = data.draw(st.integers(0, len(wrong["nodes"]) - 1))
    wrong["nodes"][index]["type"] += "x"
    found = validate(FlowSpec.model_validate(wrong), CATALOGUE)
    assert [each.path for each in found] == [f"spec.nodes[{index}].type"]


@pytest.mark.soak
@settings(max_examples=soak.examples(100), deadline=None)
@given(valid_flows())
def test_error_order_is_stable(spec: dict[str, Any]) -> None:
    wrong = copy.deepcopy(spec)
    for mutation in MUTATIONS:
        mutation(wrong)
    first, second = (validate(FlowSpec.model_validate(copy.deepcopy(wrong)), CATALOGUE) for _ in range(2))
    assert first == second
    positions = [["spec.in", "spec.no", "spec.ed", "spec.ou"].index(each.path[:7]) for each in first]
    assert positions == sorted(positions)
