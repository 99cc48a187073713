"""Port types: which may be connected, which values fit, their JSON form."""

from __future__ import annotations

import json
from typing import Any as Value

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_flow.ports.inference import infer, union
from chaingraph_flow.ports.json_values import article, kind
from chaingraph_flow.ports.types import (
    Any,
    AnyPortType,
    Array,
    Boolean,
    Enum,
    Number,
    Object,
    String,
    accepts,
    check_value,
    child,
    parse_type,
)
from fixtures.flows.json_values import JSON

TYPES = st.recursive(
    st.sampled_from(
        [String(), Number(), Number(integer=True), Boolean(), Any(), Enum(options=("a", "b")), Array(), Object()]
    ),
    lambda inner: (
        st.builds(Array, items=inner, nullable=st.booleans())
        | st.builds(Object, properties=st.dictionaries(st.sampled_from("xyz"), inner, max_size=3))
    ),
    max_leaves=6,
)


def parsed(value: object) -> AnyPortType:
    found = parse_type(value, "schema")
    assert not isinstance(found, list), found
    return found


@pytest.mark.parametrize(
    ("target", "source", "reason"),
    [
        (String(), String(), None),
        (String(), Number(), "needs a string, gets a number"),
        (Number(), Boolean(), "needs a number, gets a boolean"),
        (Any(), String(), None),
        (Any(underlying=String()), Number(), "needs a string, gets a number"),
        (Number(), Any(underlying=Number()), None),
        (Number(), Any(), "is unknown"),
        (Array(), Array(items=String()), None),
        (Array(items=String()), Array(items=String()), None),
        (Array(items=String()), Array(items=Number()), "its items: needs a string"),
        (Array(items=String()), Array(), "is unknown"),
        (Array(items=String()), Array(items=String(nullable=True)), "may be null"),
        (Object(properties={"a": Number()}), Object(properties={"a": Number(), "b": String()}), None),
        (Object(properties={"a": Number()}), Object(properties={"b": String()}), "needs the property 'a'"),
        (Object(properties={"a": Number(nullable=True)}), Object(properties={}), None),
        (Object(properties={"a": Number()}), Object(), "is unknown"),
        (Object(), Object(properties={"a": Number()}), None),
        (Enum(options=("a", "b")), Enum(options=("a",)), None),
        (Enum(options=("a",)), Enum(options=("a", "c")), "does not allow 'c'"),
        (String(), Enum(options=("a",)), None),
        (Enum(options=("a",)), String(), "needs an enum, gets a string"),
    ],
)
def test_accepts_follows_connection_rules(target: AnyPortType, source: AnyPortType, reason: str | None) -> None:
    found = accepts(target, source)
    assert (found is None) == (reason is None), found
    assert reason is None or reason in (found or "")


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        (String(), 1, "must be a string, is a number"),
        (String(max_length=2), "abc", "at most 2 characters, has 3"),
        (String(min_length=1), "", "at least 1"),
        (String(pattern="^a+$"), "b", "must match '^a+$'"),
        (Number(), True, "must be a number, is a boolean"),
        (Number(), float("nan"), "finite"),
        (Number(), float("inf"), "finite"),
        (Number(integer=True), 1.5, "whole number"),
        (Number(minimum=1), 0, "at least 1"),
        (Number(maximum=1), 2, "at most 1"),
        (Boolean(), 1, "must be true or false"),
        (Enum(options=("a", "b")), "c", "must be one of a, b"),
        (Enum(options=("a", "b")), ["a"], "must be one of a, b"),
        (Array(), {}, "must be an array"),
        (Object(), [], "must be an object"),
        (Object(properties={"a": Number()}), {}, "must be a number, is missing or null"),
    ],
)
def test_check_value_rejects_unfit_values(type_: AnyPortType, value: Value, message: str) -> None:
    (error,) = check_value(type_, value, "port")
    assert message in error.message
    assert error.path.startswith("port")


def test_value_error_names_the_nested_path() -> None:
    type_ = parsed(
        {"type": "array", "items": {"type": "object", "properties": {"name": "string", "full name": "number or null"}}}
    )
    errors = check_value(type_, [{"name": "a"}, {"name": 3, "full name": "x"}], "rows")
    assert [error.path for error in errors] == ["rows[1].name", 'rows[1]["full name"]']


def test_check_value_reports_only_first_errors() -> None:
    assert len(check_value(Array(items=String()), list(range(1000)), "rows")) == 20


def test_string_pattern_does_not_backtrack() -> None:
    type_ = String(pattern="^(a+)+$")
    assert check_value(type_, "a" * 5000 + "b", "text")


@pytest.mark.parametrize(
    ("schema", "path", "message"),
    [
        ("strin", "schema", "unknown port type 'strin'; did you mean 'string'?"),
        ("integer", "schema", "write {type: number, integer: true}"),
        (12, "schema", "must be a port type"),
        ({"type": "string", "pattern": "é("}, "schema.pattern", "not a regular expression: column 2: unclosed group"),
        ({"type": "string", "pattern": "a\nb["}, "schema.pattern", "line 2, column 2: unclosed character class"),
        ({"type": "array", "items": "nope"}, "schema.items", "unknown port type 'nope'; available: 'any', 'array'"),
        (
            {"type": "object", "properties": {"string": {"type": "x"}}},
            "schema.properties.string",
            "unknown port type 'x'",
        ),
        ({"type": "object", "propertys": {}}, "schema.propertys", "type object; did you mean 'properties'?"),
        ({"type": "enum", "options": ["a", "a"]}, "schema", "options must differ"),
    ],
)
def test_parse_type_rejects_wrong_schema_with_path(schema: Value, path: str, message: str) -> None:
    errors = parse_type(schema, "schema")
    assert isinstance(errors, list)
    assert (errors[0].path, message in errors[0].message) == (path, True), errors


def test_parse_type_accepts_short_names() -> None:
    assert parsed("number or null") == Number(nullable=True)
    assert parsed({"type": "array", "items": "string"}) == Array(items=String())


def test_child_returns_nested_type() -> None:
    rows = Array(items=Object(properties={"name": String()}))
    item = child(rows, 0)
    assert item is not None
    assert child(item, "name") == String()
    assert child(item, "nope") is None
    assert child(rows, "name") is None
    assert child(String(), 0) is None
    assert child(Any(), "x") == Any()
    assert child(Object(), "x") == Any()


@given(TYPES)
def test_type_json_form_round_trips(type_: AnyPortType) -> None:
    assert parsed(json.loads(json.dumps(type_.to_json()))) == type_


@given(JSON)
def test_inferred_type_fits_its_value(value: Value) -> None:
    assert check_value(infer(value), value, "value") == []


@given(st.lists(JSON, min_size=1, max_size=4))
def test_union_type_fits_every_value(values: list[Value]) -> None:
    joined = union([infer(value) for value in values])
    assert all(value is None or check_value(joined, value, "value") == [] for value in values)


@given(TYPES)
def test_port_type_is_accepted_by_itself_and_any(type_: AnyPortType) -> None:
    assert accepts(Any(), type_) is None
    holds_bare_any = '"any"' in json.dumps(type_.to_json())
    assert accepts(type_, type_) is None or holds_bare_any


@given(TYPES, JSON)
def test_accepted_type_fits_at_run_time(target: AnyPortType, value: Value) -> None:
    """The types without constraints promise this: an accepted edge never fails on its value's type."""
    unconstrained = "integer" not in json.dumps(target.to_json())
    if value is not None and unconstrained and accepts(target, infer(value)) is None:
        assert check_value(target, value, "value") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("object", "an object"),
        ("string", "a string"),
        ("EventListener", "an EventListener"),
        ("Math", "a Math"),
        ("HTTP", "an HTTP"),
        ("UUID", "a UUID"),
    ],
)
def test_article_follows_pronunciation(name: str, words: str) -> None:
    assert article(name) == words
    assert kind(object()) == "an object, which is not a JSON value"
