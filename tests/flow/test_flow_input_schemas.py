"""Schemas of a flow's inputs: checked with the flow, and with the values of each execution."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chaingraph_crds.flow import FlowInput, FlowSpec
from chaingraph_flow import bind_inputs, validate
from chaingraph_flow.ports.json_values import DEEPEST
from chaingraph_flow.validation.flow_limits import LARGEST_INPUT_SCHEMAS
from fixtures.flows.runs import BUILT_IN, flow


def _declared(**fields: Any) -> FlowInput:
    return FlowInput.model_validate({"name": "x", **fields})


def _errors_of_flow(**fields: Any) -> list[str]:
    spec = flow("nodes: [{id: a, type: Text}]").model_copy(update={"inputs": [_declared(**fields)]})
    return [str(each) for each in validate(spec, BUILT_IN.catalogue)]


def _errors_of(declared: FlowInput, value: Any) -> list[str]:
    return [str(each) for each in bind_inputs([declared], {"x": value})[1]]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"type": "number", "schema": {"pattern": "a"}},
            "schema.pattern: unknown property of type number: 'pattern' is",
        ),
        ({"type": "string", "schema": {"patern": "a"}}, "schema.patern: unknown property of type string; did you mean"),
        (
            {"type": "string", "schema": {"enum": ["a"]}},
            "schema.enum: unknown property of type string: write {type: enum",
        ),
        ({"schema": {"minimum": 1}}, "schema.minimum: unknown property of type any: 'minimum' is for a number"),
        ({"schema": "strin"}, "schema: unknown port type 'strin'; did you mean 'string'?"),
        ({"schema": {"type": "integer"}}, "schema: unknown port type 'integer': write {type: number, integer: true}"),
        ({"schema": {"type": ["string", "null"]}}, "write `string or null`"),
        ({"schema": 7}, "schema: must be a port type"),
        (
            {"type": "number", "schema": {"minimum": 5, "maximum": 3}},
            "schema.maximum: is 3, less than minimum, which is 5",
        ),
        ({"type": "number", "schema": {"minimum": "5"}}, "schema.minimum: must be a number, is a string"),
        (
            {"type": "number", "schema": {"integer": True, "minimum": 1.2, "maximum": 1.8}},
            "schema.integer: no whole number is between 1.2 and 1.8",
        ),
        ({"type": "string", "schema": {"minLength": 4, "maxLength": 3}}, "schema.maxLength: is 3, less than minLength"),
        ({"type": "string", "schema": {"minLength": -1}}, "schema.minLength: must be at least 0, is -1"),
        ({"type": "array", "schema": {"minItems": 4, "maxItems": 3}}, "schema.maxItems: is 3, less than minItems"),
        ({"type": "array", "schema": {"items": {"type": "enum", "options": []}}}, "schema.items.options: must have at"),
        ({"type": "string", "schema": {"pattern": "a("}}, "schema.pattern: is not a regular expression"),
        ({"type": "string", "schema": {"pattern": "(a)\\1"}}, "schema.pattern: is not a regular expression"),
        ({"type": "string", "schema": {"pattern": "\\w{900}"}}, "schema.pattern: "),
        (
            {"type": "object", "schema": {"properties": {"a": {"type": "array", "items": "nope"}}}},
            "schema.properties.a.items: unknown port type 'nope'",
        ),
        (
            {"type": "object", "schema": {"properties": {}, "required": ["a"]}},
            "required unless its type says `or null`",
        ),
        (
            {"type": "number", "schema": {"type": "string"}},
            "schema.type: is 'string', but the input's `type` is 'number'",
        ),
        ({"type": "number", "schema": "string"}, "schema: is 'string', but the input's `type` is 'number'"),
        ({"type": "number", "schema": {"minimum": 5}, "default": 3}, "default: must be at least 5, is 3"),
        ({"schema": {"type": "enum", "options": ["eu", "us"]}, "default": "asia"}, "default: must be one of eu, us"),
    ],
)
def test_flow_rejects_wrong_input_schema_with_path(fields: dict[str, Any], error: str) -> None:
    (found,) = _errors_of_flow(**fields)
    assert found.startswith("spec.inputs[0].")
    assert error in found


def test_flow_rejects_oversized_input_schemas() -> None:
    deep: Any = "string"
    for _ in range(DEEPEST + 1):
        deep = {"type": "array", "items": deep}
    (error,) = _errors_of_flow(schema=deep)
    assert error.startswith("spec.inputs[0].schema: is nested deeper than")
    names = {f"property number {n}": "string" for n in range(LARGEST_INPUT_SCHEMAS // 20)}
    (error,) = _errors_of_flow(schema={"type": "object", "properties": names})
    assert error.startswith("spec.inputs[0].schema: the schemas of the flow's inputs have more than")


@pytest.mark.parametrize(
    ("fields", "value", "errors"),
    [
        ({"type": "string", "schema": {"minLength": 3, "pattern": "^a"}}, "b", ["at least 3", "match '^a'"]),
        (
            {"type": "number", "schema": {"integer": True, "maximum": 2}},
            2.5,
            ["a whole number, is 2.5", "at most 2, is"],
        ),
        ({"type": "number", "schema": {"minimum": 1234567}}, 1, ["must be at least 1234567, is 1"]),
        ({"schema": {"type": "enum", "options": ["eu", "us"]}}, "asia", ["must be one of eu, us; is 'asia'"]),
        (
            {"type": "array", "schema": {"minItems": 3, "items": "number"}},
            ["a", 1],
            ["spec.inputs.x: must have at least 3 items, has 2", "spec.inputs.x[0]: must be a number, is a string"],
        ),
        ({"type": "array", "schema": {"maxItems": 1}}, [1, 2], ["must have at most 1 items, has 2"]),
        (
            {
                "schema": {
                    "type": "object",
                    "properties": {"a": "string", "b": "number or null", "c": {"type": "boolean"}},
                }
            },
            {"b": "1", "extra": 1},
            [
                "spec.inputs.x.a: must be a string, is missing or null",
                "spec.inputs.x.b: must be a number, is a string",
                "spec.inputs.x.c: must be a boolean, is missing or null",
            ],
        ),
    ],
)
def test_execution_inputs_report_every_error(fields: dict[str, Any], value: Any, errors: list[str]) -> None:
    found = _errors_of(_declared(**fields), value)
    assert len(found) == len(errors), found
    for each, expected in zip(found, errors, strict=True):
        assert each.startswith("spec.inputs.x")
        assert expected in each


def test_missing_input_names_the_type_of_its_schema() -> None:
    _, (error,) = bind_inputs([_declared(required=True, schema={"type": "array", "items": "number"})], {})
    assert error.message == "the flow requires input 'x' of type array of number"


def test_schema_without_type_describes_the_type_of_the_input() -> None:
    declared = _declared(type="string", schema={"maxLength": 2, "title": "Code", "description": "As on the label."})
    assert _errors_of(declared, "ab") == []
    assert _errors_of(declared, "abc") == ["spec.inputs.x: must have at most 2 characters, has 3"]


def test_input_schema_types_the_edges() -> None:
    text = """
    inputs: [{name: order, schema: {type: object, properties: {id: number, tier: {type: enum, options: [gold]}}}}]
    nodes: [{id: a, type: Text}]
    edges: [{from: inputs.order.%s, to: a.value}]
    """
    assert validate(flow(text % "tier"), BUILT_IN.catalogue) == []
    (error,) = validate(flow(text % "id"), BUILT_IN.catalogue)
    assert (error.path, "needs a string, gets a number" in error.message) == ("spec.edges[0].to", True)
    (error,) = validate(flow(text % "idd"), BUILT_IN.catalogue)
    assert (error.path, "did you mean 'id'?" in error.message) == ("spec.edges[0].from", True)


def test_titles_do_not_change_what_fits() -> None:
    text = """
    inputs: [{name: tags, schema: {type: array, items: {type: string, title: Tag}}}]
    nodes: [{id: a, type: Array, inputs: {schema: {type: array, items: string}}}]
    edges: [{from: inputs.tags, to: a.value}]
    """
    assert validate(flow(text), BUILT_IN.catalogue) == []


def test_validation_parses_each_input_schema_once() -> None:
    names = {f"p{n}": "string" for n in range(2000)}
    spec = FlowSpec.model_validate(
        {
            "inputs": [{"name": "x", "schema": {"type": "object", "properties": names}}],
            "nodes": [{"id": f"n{n}", "type": "Text"} for n in range(400)],
            "edges": [{"from": f"inputs.x.p{n}", "to": f"n{n}.value"} for n in range(400)],
        }
    )
    started = time.process_time()
    assert validate(spec, BUILT_IN.catalogue) == []
    assert time.process_time() - started < 1
