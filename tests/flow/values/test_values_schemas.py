"""Types as schemas: what fits them is what fits the same JSON Schema, by another implementation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chaingraph_crds.flow import FlowInput
from chaingraph_flow import bind_inputs
from chaingraph_flow.ports.json_values import render
from chaingraph_flow.ports.types import MOST_ERRORS, AnyPortType, Array, Enum, Number, Object, String, parse_type
from chaingraph_flow.validation.inputs import schema_faults

NAMES = ["a", "b", "full name", "items"]
TEXTS = st.text("abA-1é", max_size=5)
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.5, 2**60])
PATTERNS = st.sampled_from(["^a", "b$", "^[a-b]*$", "^.{2,3}$", "A|1", "(ab)+"])
NULLABLE = {"nullable": st.booleans()}


def _bounds(low: str, high: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    both = st.tuples(values, values).map(lambda each: {low: min(each), high: max(each)})
    return st.just({}) | values.map(lambda each: {low: each}) | values.map(lambda each: {high: each}) | both


def _described(type_: str, *parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    nullable = st.fixed_dictionaries({}, optional=NULLABLE)
    return st.tuples(nullable, *parts).map(
        lambda found: {"type": type_} | {k: v for each in found for k, v in each.items()}
    )


COUNTS = st.integers(0, 3)
PLAIN = st.one_of(
    _described(
        "string", _bounds("minLength", "maxLength", COUNTS), st.fixed_dictionaries({}, optional={"pattern": PATTERNS})
    ),
    _described("number", _bounds("minimum", "maximum", st.integers(-3, 3))),
    _described("number", st.just({"integer": True}), _bounds("minimum", "maximum", st.integers(-3, 3))),
    _described("boolean"),
    _described("any"),
    _described("enum", st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(lambda found: {"options": found})),
    st.sampled_from(["string", "number or null", "boolean", "any"]),
)
SCHEMAS = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        _described(
            "array", _bounds("minItems", "maxItems", COUNTS), st.fixed_dictionaries({}, optional={"items": inner})
        ),
        _described(
            "object",
            st.fixed_dictionaries(
                {}, optional={"properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)}
            ),
        ),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)


def json_schema(type_: AnyPortType, *, inside: bool = False) -> dict[str, Any]:
    """Translate a type to JSON Schema. `nullable` counts inside arrays and objects."""
    null = inside and type_.nullable
    found: dict[str, Any] = {}
    match type_:
        case String():
            found = {"minLength": type_.min_length, "maxLength": type_.max_length, "pattern": type_.pattern}
        case Number():
            found = {"minimum": type_.minimum, "maximum": type_.maximum}
        case Array():
            items = None if type_.items is None else json_schema(type_.items, inside=True)
            found = {"minItems": type_.min_items, "maxItems": type_.max_items, "items": items}
        case Object():
            properties = {name: json_schema(each, inside=True) for name, each in (type_.properties or {}).items()}
            needed = [name for name, each in properties.items() if not Draft202012Validator(each).is_valid(None)]
            found = {"properties": properties, "required": needed}
        case Enum():
            return {"enum": [*type_.options, *([None] if null else [])]}
    schema = {name: value for name, value in found.items() if value is not None}
    if type_.type != "any":
        word = "integer" if isinstance(type_, Number) and type_.integer else type_.type
        schema["type"] = [word, "null"] if null else word
    return schema


def paths_by_json_schema(schema: dict[str, Any], value: Any) -> set[str]:
    """Return the paths of all errors that the library `jsonschema` finds."""
    paths = set()
    for error in Draft202012Validator(schema).iter_errors(value):
        steps = list(error.absolute_path)
        if error.validator == "required":
            absent = [name for name in error.validator_value if name not in error.instance]
            paths |= {render("spec.inputs.x", [*steps, name]) for name in absent}
        else:
            paths.add(render("spec.inputs.x", steps))
    return paths


def _declared(schema: Any) -> FlowInput | None:
    declared = FlowInput.model_validate({"name": "x", "schema": schema})
    return None if schema_faults(declared, "schema") else declared


@given(SCHEMAS, VALUES.filter(lambda value: value is not None))
def test_input_errors_are_those_of_json_schema(schema: Any, value: Any) -> None:
    declared = _declared(schema)
    if declared is None:  # no whole number in the range
        return
    described = parse_type(schema, "schema")
    assert not isinstance(described, list)
    _, errors = bind_inputs([declared], {"x": value})
    if len(errors) < MOST_ERRORS:
        assert {each.path for each in errors} == paths_by_json_schema(json_schema(described), value)


@given(SCHEMAS)
def test_schema_survives_its_own_form(schema: Any) -> None:
    described = parse_type(schema, "schema")
    if not isinstance(described, list):
        assert parse_type(described.to_json(), "schema") == described


@pytest.mark.parametrize(
    ("schema", "value", "paths"),
    [
        ("string", 1, {"spec.inputs.x"}),
        (
            {"type": "array", "items": {"type": "object", "properties": {"a": "string", "b": "number or null"}}},
            [{}, {"a": "1", "b": ""}],
            {"spec.inputs.x[0].a", "spec.inputs.x[1].b"},
        ),
    ],
)
def test_reference_finds_the_errors(schema: Any, value: Any, paths: set[str]) -> None:
    described = parse_type(schema, "schema")
    assert not isinstance(described, list)
    assert paths_by_json_schema(json_schema(described), value) == paths
