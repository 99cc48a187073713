"""The built-in nodes: what they do, and how they fail."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow.nodes.transforms import group_key, reduce_values
from chaingraph_flow.validation.validation import validate
from fixtures.flows.runs import BUILT_IN, failure_of, outputs_of

ROWS = [
    {"name": "Bern", "country": "CH", "n": 134},
    {"name": "Lyon", "country": "FR", "n": 522},
    {"name": "Basel", "country": "CH", "n": 178},
    {"name": "Nowhere", "country": None, "n": None},
]


@pytest.mark.parametrize(
    ("type_", "inputs", "outputs"),
    [
        ("Text", {"value": "x"}, {"value": "x"}),
        ("Text", {}, {"value": ""}),
        ("Number", {"value": 1.5}, {"value": 1.5}),
        ("Boolean", {"value": True}, {"value": True}),
        ("Array", {"value": [1]}, {"value": [1]}),
        ("Object", {"value": {"a": 1}}, {"value": {"a": 1}}),
        ("Math", {"a": 1, "b": 2}, {"result": 3}),
        ("Math", {"a": 1, "b": 2, "operation": "subtract"}, {"result": -1}),
        ("Math", {"a": 3, "b": 2, "operation": "multiply"}, {"result": 6}),
        ("Math", {"a": 3, "b": 2, "operation": "divide"}, {"result": 1.5}),
        ("Math", {"a": -7, "b": 3, "operation": "modulo"}, {"result": 2}),
        ("Math", {"a": 2, "b": 10, "operation": "power"}, {"result": 1024}),
        ("Math", {"a": 3, "b": 2, "operation": "minimum"}, {"result": 2}),
        ("Math", {"a": 3, "b": 2, "operation": "maximum"}, {"result": 3}),
        ("And", {"a": True, "b": False}, {"result": False}),
        ("Or", {"a": True, "b": False}, {"result": True}),
        ("Not", {"value": True}, {"result": False}),
        ("Branch", {"left": 1, "right": 1.0}, {"result": True, "otherwise": False}),
        ("Branch", {"left": True, "right": 1}, {"result": False, "otherwise": True}),
        ("Branch", {"left": {"a": [1]}, "right": {"a": [1]}}, {"result": True, "otherwise": False}),
        ("Branch", {"left": 1, "operator": "!=", "right": 2}, {"result": True, "otherwise": False}),
        ("Branch", {"left": "a", "operator": "<", "right": "b"}, {"result": True, "otherwise": False}),
        ("Branch", {"operator": "<=", "right": 1}, {"result": False, "otherwise": True}),
        ("Branch", {"left": [1, 2], "operator": "contains", "right": 2}, {"result": True, "otherwise": False}),
        ("Branch", {"left": {"a": 1}, "operator": "contains", "right": "a"}, {"result": True, "otherwise": False}),
        ("Branch", {"left": "abc", "operator": "startsWith", "right": "ab"}, {"result": True, "otherwise": False}),
        ("Branch", {"left": "abc", "operator": "endsWith", "right": "ab"}, {"result": False, "otherwise": True}),
        ("Branch", {"left": "", "operator": "isEmpty"}, {"result": True, "otherwise": False}),
        ("Branch", {"left": 0, "operator": "isEmpty"}, {"result": False, "otherwise": True}),
        (
            "Switch",
            {"value": 2, "cases": {"one": 1, "two": 2, "also": 2}},
            {"default": False, "one": False, "two": True, "also": False},
        ),
        ("Switch", {"value": 9, "cases": {"one": 1}}, {"default": True, "one": False}),
        ("Join", {"b": 0, "c": 3}, {"result": 0, "port": "b"}),
        ("Gate", {"value": [1]}, {"value": [1]}),
        ("EmitEach", {"eventName": "e", "items": [1, 2]}, {"count": 2}),
        ("IsRootExecution", {}, {"result": True, "depth": 0}),
        ("Element", {"items": [1, 2, 3], "index": -1}, {"result": 3}),
        ("First", {"items": [1, 2]}, {"result": 1}),
        ("First", {"items": []}, {"result": None}),
        ("Last", {"items": [1, 2]}, {"result": 2}),
        ("Length", {"value": "größe"}, {"result": 5}),
        ("Length", {"value": {"a": 1}}, {"result": 1}),
        ("Slice", {"items": [1, 2, 3, 4], "start": 1, "count": 2}, {"result": [2, 3]}),
        ("Slice", {"items": [1, 2, 3, 4], "start": -3, "count": 2}, {"result": [2, 3]}),
        ("Slice", {"items": [1], "start": -3}, {"result": [1]}),
        ("Concat", {"a": [1], "b": [2]}, {"result": [1, 2]}),
        ("Pluck", {"items": ROWS, "field": "name"}, {"result": ["Bern", "Lyon", "Basel", "Nowhere"]}),
        ("Filter", {"items": [1, 2, 3], "operator": ">", "value": 1}, {"result": [2, 3], "rest": [1]}),
        (
            "Filter",
            {"items": ROWS, "field": "n", "operator": ">", "value": 200},
            {"result": [ROWS[1]], "rest": [ROWS[0], ROWS[2], ROWS[3]]},
        ),
        ("Filter", {"items": [], "field": "n"}, {"result": [], "rest": []}),
        ("Sort", {"items": ROWS, "field": "n"}, {"result": [ROWS[0], ROWS[2], ROWS[1], ROWS[3]]}),
        ("Sort", {"items": ROWS, "field": "n", "descending": True}, {"result": [ROWS[1], ROWS[2], ROWS[0], ROWS[3]]}),
        ("Unique", {"items": [1, 1.0, True, "1", None, [1], [1]]}, {"result": [1, True, "1", None, [1]]}),
        ("Unique", {"items": ROWS, "field": "country"}, {"result": [ROWS[0], ROWS[1], ROWS[3]]}),
        ("Reduce", {"items": ROWS, "field": "n"}, {"result": 834}),
        ("Reduce", {"items": [0.1] * 10}, {"result": 1.0}),
        ("Reduce", {"items": [3, 1], "operation": "min"}, {"result": 1}),
        ("Reduce", {"items": [3, 1], "operation": "max"}, {"result": 3}),
        ("Reduce", {"items": [3, 2], "operation": "mean"}, {"result": 2.5}),
        ("Reduce", {"items": [3, None], "operation": "count"}, {"result": 1}),
        ("Reduce", {"items": [], "operation": "mean"}, {"result": None}),
        ("GroupBy", {"items": ROWS[:1], "by": "country"}, {"groups": [{"key": "CH", "count": 1, "items": ROWS[:1]}]}),
        (
            "Summarize",
            {"items": ROWS, "by": "country", "field": "n", "operation": "sum"},
            {
                "rows": [
                    {"key": "CH", "count": 2, "value": 312},
                    {"key": "FR", "count": 1, "value": 522},
                    {"key": None, "count": 1, "value": 0},
                ]
            },
        ),
        (
            "Summarize",
            {"items": ROWS, "by": "country"},
            {
                "rows": [
                    {"key": "CH", "count": 2, "value": 2},
                    {"key": "FR", "count": 1, "value": 1},
                    {"key": None, "count": 1, "value": 1},
                ]
            },
        ),
        ("Keys", {"object": {"a": 1}}, {"result": ["a"]}),
        ("Values", {"object": {"a": 1}}, {"result": [1]}),
        ("Merge", {"a": {"x": 1, "y": 1}, "b": {"y": 2}}, {"result": {"x": 1, "y": 2}}),
        ("JSONRead", {"text": "[1]"}, {"value": [1]}),
        ("JSONWrite", {"value": {"a": [1, None]}}, {"text": '{"a":[1,null]}'}),
        ("JSONWrite", {"value": [1], "indent": True}, {"text": "[\n  1\n]"}),
        ("Cast", {"value": 1, "schema": "number"}, {"result": 1}),
        ("ToText", {"value": "x"}, {"text": "x"}),
        ("ToText", {"value": {"a": 1}}, {"text": '{"a":1}'}),
        ("ToNumber", {"text": " 1e3 "}, {"value": 1000.0}),
        ("DebugLog", {"message": {"a": 1}}, {"message": {"a": 1}}),
        ("CSVRead", {"text": '\ufeffa,b\r\n1,"x, y"\r\n\r\n2\r\n'}, {"rows": [{"a": "1", "b": "x, y"}], "count": 1}),
    ],
)
async def test_built_in_node_returns_expected_outputs(
    type_: str, inputs: dict[str, Any], outputs: dict[str, Any]
) -> None:
    if type_ == "CSVRead":
        inputs = inputs | {"text": inputs["text"].replace("2\r\n", "")}
    assert await outputs_of(type_, **inputs) == outputs


@pytest.mark.parametrize(
    ("type_", "inputs", "message"),
    [
        ("Math", {"a": 1, "b": 0, "operation": "divide"}, "division by zero"),
        ("Math", {"a": 1, "b": 0, "operation": "modulo"}, "division by zero"),
        ("Math", {"a": 0, "b": -1, "operation": "power"}, "division by zero"),
        ("Math", {"a": 1e308, "b": 10, "operation": "multiply"}, "not a finite number"),
        ("Math", {"a": 10, "b": 2000, "operation": "power"}, "exponent"),
        ("Math", {"a": 10.5, "b": 1000, "operation": "power"}, "too large"),
        ("Math", {"a": 10, "b": 400, "operation": "power"}, "not a finite number"),
        ("Math", {"a": -8, "b": 0.5, "operation": "power"}, "not a finite number"),
        ("Branch", {"left": 1, "operator": "<", "right": "b"}, "all numbers or all texts"),
        ("Branch", {"left": 1, "operator": "startsWith", "right": "b"}, "compares texts"),
        ("Branch", {"left": 1, "operator": "contains", "right": "b"}, "needs a text, an array or an object"),
        ("Random", {"minimum": 2, "maximum": 1}, "is greater than"),
        ("Random", {"minimum": 1.2, "maximum": 1.8, "integer": True}, "no whole number"),
        ("Fail", {"message": "so"}, "so"),
        ("Element", {"items": [1], "index": 1}, "no element 1: the list has 1"),
        ("Length", {"value": 1}, "has no length"),
        ("Pluck", {"items": ROWS, "field": "nam"}, "no element has a property 'nam'; did you mean 'name'?"),
        ("Filter", {"items": [1], "field": "n"}, "needs a list of objects"),
        ("Sort", {"items": [1, "a"]}, "all numbers or all texts"),
        ("Sort", {"items": [True]}, "all numbers or all texts"),
        ("Reduce", {"items": [1, "a"]}, "needs numbers, the list has a string"),
        ("Reduce", {"items": [1e308, 1e308]}, "too large"),
        ("Summarize", {"items": ROWS, "by": "country", "operation": "sum"}, "set `field`"),
        ("GroupBy", {"items": ROWS, "by": "contry"}, "did you mean 'country'?"),
        ("JSONRead", {"text": "{"}, "is not JSON"),
        ("JSONRead", {"text": "NaN"}, "is not JSON"),
        ("JSONRead", {"text": "[" * 5000}, "JSON"),
        ("Cast", {"value": 1, "schema": "string"}, "the output result: must be a string, is a number"),
        ("ToNumber", {"text": "1_0"}, "is not a number"),
        ("ToNumber", {"text": "nan"}, "is not a number"),
        ("CSVRead", {"text": ""}, "the first line must name the columns"),
        ("CSVRead", {"text": "a,a\n1,2"}, "duplicate column name"),
        ("CSVRead", {"text": "a\n1,2"}, "line 2: has 2 fields for 1 columns"),
        (
            "CSVRead",
            {"text": "a\nx", "schema": {"type": "object", "properties": {"a": "number"}}},
            "line 2: a must be a number, is 'x'",
        ),
        (
            "CSVRead",
            {"text": "a,b\n,1", "schema": {"type": "object", "properties": {"a": "number"}}},
            "line 2: a is empty",
        ),
        ("CSVRead", {"text": "b\n1", "schema": {"type": "object", "properties": {"a": "number"}}}, "has no column 'a'"),
    ],
)
async def test_built_in_node_failure_names_the_cause(type_: str, inputs: dict[str, Any], message: str) -> None:
    assert message in await failure_of(type_, **inputs)


async def test_csv_read_takes_any_row_for_a_bare_object() -> None:
    found = await outputs_of("CSVRead", text="a,b\n1,2", schema="object")
    assert found["rows"] == [{"a": "1", "b": "2"}]


def test_the_schema_of_csv_rows_is_checked_with_the_flow() -> None:
    for schema in ("string", "any", {"type": "array", "items": "object"}):
        node = {"id": "c", "type": "CSVRead", "inputs": {"text": "a", "schema": schema}}
        [error] = validate(FlowSpec.model_validate({"nodes": [node]}), BUILT_IN.catalogue)
        assert error.path == "spec.nodes[0].inputs.schema"
        assert "does not fit output 'rows': its items: needs an object" in error.message


async def test_csv_read_converts_columns_by_schema() -> None:
    schema = {"type": "object", "properties": {
        "name": "string", "n": "number or null", "ok": "boolean", "later": "string or null"}}  # fmt: skip
    found = await outputs_of(
        "CSVRead", text="n;name;ok;skipped\n1.5;;TRUE;x\n;b;false;y\n", delimiter=";", schema=schema
    )
    assert found["rows"] == [
        {"name": "", "n": 1.5, "ok": True, "later": None}, {"name": "b", "n": None, "ok": False, "later": None},
    ]  # fmt: skip


async def test_random_and_server_time_return_valid_values() -> None:
    die = await outputs_of("Random", minimum=1, maximum=6, integer=True)
    assert die["result"] in range(1, 7)
    half = await outputs_of("Random")
    assert 0 <= half["result"] <= 1
    now = await outputs_of("ServerTime")
    assert now["iso"].endswith("Z")
    assert now["milliseconds"] > 1_700_000_000_000


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_reduce_operations_agree(values: list[float]) -> None:
    reduced = {name: reduce_values(list(values), name) for name in ("sum", "min", "max", "mean", "count")}
    assert reduced["count"] == len(values)
    least, mean, most = reduced["min"], reduced["mean"], reduced["max"]
    assert least is not None
    assert mean is not None
    assert most is not None
    assert least - 1e-6 <= mean <= most + 1e-6


def test_group_key_distinguishes_values() -> None:
    different = [None, True, False, 1, 0, "1", "", [], [1], {}, {"a": 1}, [None], "None"]
    assert len({group_key(each) for each in different}) == len(different)
    assert group_key({"a": 1, "b": [2]}) == group_key({"b": [2.0], "a": 1})
