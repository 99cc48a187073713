"""Reading JSON and CSV: what a small text would be as a value is known before it is one."""

from __future__ import annotations

import csv
import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import EngineOptions, FailureReason, FlowOutcome, Limits, RunContext
from chaingraph_flow.context import NodeContext, RunResources
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.nodes import CSVRead, JSONRead
from chaingraph_flow.ports.json_values import size_of
from fixtures.flows.runs import error_of, failure_of, outputs_of, run_flow

FIELDS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


def context(**limits: int) -> NodeContext:
    resources = RunResources(Limits(**limits))
    return NodeContext(
        RunContext("EX1"), "n", node_attempt=1, given=frozenset(), event=None, log=print, resources=resources
    )


async def limit_of(type_: str, setting: str, limits: dict[str, int] | None = None, **inputs: Any) -> str:
    error = await error_of(type_, options=EngineOptions(limits=Limits(**limits or {})), **inputs)
    assert error.reason == FailureReason.LIMIT_EXCEEDED, error
    assert f"({setting})" in error.message
    return error.message


async def test_csv_of_many_null_columns_stops_early() -> None:
    columns = {f"c{index}": "string or null" for index in range(1000)}
    text = ",".join(columns) + "\n" + "1\n" * 20_000
    assert len(text) < 50_000
    schema = {"type": "object", "properties": columns}
    said = await limit_of("CSVRead", "CHAINGRAPH_MAX_VALUE_BYTES", text=text, schema=schema)
    assert said.startswith("line 10"), "of 20,000: what is a list of 1,000 rows is known to be too large"


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 50_000 + "1]",
        "[" + "{}," * 50_000 + "1]",
        "[" * 60_000,
        "[" + "0," * 200_000 + "0]",
        '["' + "x" * 200_000 + '"]',
    ],
)
async def test_json_is_refused_by_what_it_would_be(text: str) -> None:
    await limit_of("JSONRead", "CHAINGRAPH_MAX_VALUE_BYTES", {"value_bytes": 100_000}, text=text)


def test_json_that_is_refused_costs_no_more_than_its_text() -> None:
    node = JSONRead()
    node.text = "[" + "[]," * 1_000_000 + "1]"
    node.schema, node.numbers = None, "exact"
    tracemalloc.start()
    try:
        with pytest.raises(NodeFailed, match="CHAINGRAPH_MAX_VALUE_BYTES"):
            node.run(context()).send(None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(node.text)


async def test_brackets_within_strings_are_no_lists() -> None:
    text = '["' + "[{," * 20_000 + '"]'
    options = EngineOptions(limits=Limits(value_bytes=100_000))
    assert (await outputs_of("JSONRead", text=text, options=options))["value"] == ["[{," * 20_000]


@pytest.mark.parametrize("type_", ["JSONRead", "CSVRead"])
async def test_text_beyond_the_read_limit_is_refused(type_: str) -> None:
    await limit_of(type_, "CHAINGRAPH_MAX_READ_BYTES", {"read_bytes": 1024}, text="1" * 1025)


async def test_nested_json_is_refused_beyond_a_hundred_levels() -> None:
    assert "deeper than 100 levels" in await failure_of("JSONRead", text="[" * 200 + "]" * 200)


async def test_indented_json_counts_its_blanks() -> None:
    value: Any = list(range(1000))
    for _ in range(90):
        value = [value]
    await limit_of("JSONWrite", "CHAINGRAPH_MAX_VALUE_BYTES", {"value_bytes": 50_000}, value=value, indent=True)


async def test_csv_takes_a_field_longer_than_python_would() -> None:
    found = await outputs_of("CSVRead", text=f"a,b\n{'x' * 200_000},1\n")
    assert found["rows"] == [{"a": "x" * 200_000, "b": "1"}]


async def test_csv_counts_lines_within_quotes_and_blank_ones() -> None:
    text = 'a,n\n"x\ny",1\n\n\nz,none\n'
    schema = {"type": "object", "properties": {"a": "string", "n": "number"}}
    assert (await failure_of("CSVRead", text=text, schema=schema)).startswith("line 6: n must be a number")


@given(st.lists(st.lists(FIELDS, min_size=2, max_size=2), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=60, deadline=None)
def test_csv_reads_what_was_written(rows: list[list[str]], end: str) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b"], *rows])
    node = CSVRead()
    node.text, node.delimiter, node.schema = written.getvalue(), ",", None
    node.run(context())
    assert node.rows == [{"a": a, "b": b} for a, b in rows]


@given(st.integers(1, 40), st.integers(1, 400), st.integers(500, 20_000))
@settings(max_examples=30, deadline=None)
def test_csv_rows_stay_within_the_limit(columns: int, rows: int, limit: int) -> None:
    names = [f"column{index}" for index in range(columns)]
    node = CSVRead()
    node.text, node.delimiter = ",".join(names) + "\n" + "1\n" * rows, ","
    node.schema = {"type": "object", "properties": dict.fromkeys(names, "string or null")}
    whole = [dict.fromkeys(names) | {names[0]: "1"} for _ in range(rows)]
    if size_of(whole, 2**40) > 1.1 * limit + 100:
        with pytest.raises(NodeFailed, match="CHAINGRAPH_MAX_VALUE_BYTES"):
            node.run(context(value_bytes=limit))
    elif 1.1 * size_of(whole, 2**40) + 100 < limit:
        node.run(context(value_bytes=limit))
        assert node.rows == whole


@pytest.mark.parametrize(
    ("type_", "inputs"),
    [
        ("ToNumber", {"text": "hunter2-and-more-of-a-token"}),
        (
            "CSVRead",
            {"text": "n\nhunter2-and-more-of-a-token\n", "schema": {"type": "object", "properties": {"n": "number"}}},
        ),
        (
            "CSVRead",
            {"text": "n\nhunter2-and-more-of-a-token\n", "schema": {"type": "object", "properties": {"n": "boolean"}}},
        ),
        ("JSONRead", {"text": "hunter2-and-more-of-a-token"}),
    ],
)
async def test_long_values_are_not_quoted(type_: str, inputs: dict[str, Any]) -> None:
    said = await failure_of(type_, **inputs)
    assert "hunter2" not in said


async def test_misspelt_property_of_many_is_told_at_once() -> None:
    item = {f"property-{index:05}": 1 for index in range(5000)}
    spec = FlowSpec.model_validate(
        {"nodes": [{"id": "p", "type": "Sort", "inputs": {"items": [item], "field": "x" * 100_000}}]}
    )
    run = await run_flow(spec)
    assert run.result.outcome is FlowOutcome.FAILED
    assert len(run.result.error.message if run.result.error else "") < 200
