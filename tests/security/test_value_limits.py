"""Values that grow faster than the flow that makes them: they fail with a named error before the memory is spent."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import Any as AnyType
from chaingraph_flow import (
    EngineOptions,
    FailureReason,
    FlowOutcome,
    LimitExceeded,
    Limits,
    Node,
    NodeContext,
    NodeRecord,
    Outcome,
    Output,
    Registry,
)
from chaingraph_flow.errors import UnreadableText
from chaingraph_flow.ports.json_values import indented_size, size_of
from chaingraph_flow.reading import parsed
from fixtures.flows.runs import MemoryRecorder, Run, run_flow

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)
SMALL = EngineOptions(limits=Limits(value_bytes=20_000, node_bytes=40_000, journal_bytes=60_000))


def doubling(times: int, into: int = 0) -> FlowSpec:
    """A list that Concat doubles again and again, then handed to `into` places of one array."""
    nodes: list[dict[str, Any]] = [{"id": "n0", "type": "Array", "inputs": {"value": ["x" * 10]}}]
    edges: list[dict[str, Any]] = []
    for each in range(1, times + 1):
        nodes.append({"id": f"n{each}", "type": "Concat"})
        edges += [
            {"from": f"n{each - 1}.{'value' if each == 1 else 'result'}", "to": f"n{each}.{port}"} for port in "ab"
        ]
    if into:
        nodes.append({"id": "all", "type": "Array"})
        edges += [{"from": f"n{times}.result", "to": f"all.value[{index}]"} for index in range(into)]
    return FlowSpec.model_validate({"nodes": nodes, "edges": edges})


def limit_of(run: Run, setting: str) -> str:
    """The node that met the limit of this setting, which it names."""
    assert run.result.outcome is FlowOutcome.FAILED
    assert run.result.error is not None
    assert run.result.error.reason == FailureReason.LIMIT_EXCEEDED, run.result.error
    assert f"({setting})" in run.result.error.message
    return run.result.error.node


@given(JSON_VALUES)
def test_size_is_near_that_of_the_json(value: Any) -> None:
    size = size_of(value, 2**40)
    assert size >= len(orjson.dumps(value)) / 3
    containers = json.dumps(value).count("[") + json.dumps(value).count("{")
    assert size <= 10 * len(orjson.dumps(value)) + 40 * containers + 16


@given(st.integers(0, 60), st.integers(10, 5000), st.booleans())
def test_size_of_shared_parts_costs_no_more_than_the_limit(times: int, limit: int, as_object: bool) -> None:
    value: Any = "x"
    whole = 3
    for _ in range(times):
        value = {"a": value, "b": value} if as_object else [value, value]
        whole = 2 * whole + (48 if as_object else 36)
    size = size_of(value, limit)
    assert size == whole if whole <= limit else limit < size <= limit + 48


def test_size_of_a_value_that_holds_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert size_of(value, 1000) > 1000


async def test_concat_that_doubles_fails_at_the_value_limit() -> None:
    node = limit_of(await run_flow(doubling(30), options=SMALL), "CHAINGRAPH_MAX_VALUE_BYTES")
    assert node.startswith("n")


async def test_copies_into_an_array_fail_before_they_are_made() -> None:
    run = await run_flow(doubling(8, into=20), options=SMALL)
    assert limit_of(run, "CHAINGRAPH_MAX_VALUE_BYTES") == "all"
    assert run.recorder.of("all").attempts == 1


async def test_inputs_of_a_node_are_limited_together() -> None:
    spec = doubling(10)
    nodes = [*spec.nodes, *FlowSpec.model_validate({"nodes": [{"id": "it", "type": "Join"}]}).nodes]
    edges = [{"from": "n10.result", "to": f"it.{port}"} for port in "abcd"]
    joined = FlowSpec.model_validate(
        {
            "nodes": [each.model_dump(by_alias=True, exclude_none=True) for each in nodes],
            "edges": [*[each.model_dump(by_alias=True, exclude_none=True) for each in spec.edges], *edges],
        }
    )
    assert limit_of(await run_flow(joined, options=SMALL), "CHAINGRAPH_MAX_NODE_BYTES") == "it"


async def test_padding_of_a_list_counts() -> None:
    run = await run_flow(
        """
        nodes:
        - {id: n, type: Number, inputs: {value: 1}}
        - {id: a, type: Array}
        edges: [{from: n.value, to: "a.value[9999]"}]
        """,
        options=SMALL,
    )
    assert limit_of(run, "CHAINGRAPH_MAX_VALUE_BYTES") == "a"


async def test_journal_of_an_execution_is_limited() -> None:
    nodes = [{"id": f"n{each}", "type": "Text", "inputs": {"value": "x" * 15_000}} for each in range(6)]
    run = await run_flow(FlowSpec.model_validate({"nodes": nodes}), options=SMALL)
    limit_of(run, "CHAINGRAPH_MAX_JOURNAL_BYTES")
    assert sum(each.outcome is Outcome.COMPLETED for each in run.recorder.records) == 3


async def test_journal_limit_counts_a_restored_journal() -> None:
    nodes = [{"id": f"n{each}", "type": "Text", "inputs": {"value": "x" * 15_000}} for each in range(4)]
    spec = FlowSpec.model_validate({"nodes": nodes})
    journal = [
        NodeRecord.from_json(
            {
                "nodeId": f"n{each}",
                "outcome": "completed",
                "startedAt": 1,
                "finishedAt": 2,
                "outputs": {"value": "x" * 19_000},
            }
        )
        for each in range(3)
    ]
    assert limit_of(await run_flow(spec, options=SMALL, journal=journal), "CHAINGRAPH_MAX_JOURNAL_BYTES") == "n3"


async def test_flow_outputs_are_limited_together() -> None:
    outputs = [{"name": f"o{each}", "from": "n.value"} for each in range(10)]
    nodes = [{"id": "n", "type": "Text", "inputs": {"value": "x" * 15_000}}]
    run = await run_flow(FlowSpec.model_validate({"nodes": nodes, "outputs": outputs}), options=SMALL)
    assert limit_of(run, "CHAINGRAPH_MAX_NODE_BYTES") == ""
    assert run.result.outputs == {}


async def test_limit_is_not_retried_and_an_error_port_takes_it() -> None:
    run = await run_flow(
        """
        nodes:
        - {id: big, type: Template, retry: {maxAttempts: 5, backoffSeconds: 0.01},
           inputs: {template: "{% for i in range(99) %}{{ t }}{% endfor %}", values: {t: xxxxxxxxxx}}}
        - {id: told, type: Text}
        edges: [{from: big.__errorMessage, to: told.value}]
        """,
        options=EngineOptions(limits=Limits(value_bytes=500)),
    )
    assert run.result.outcome is FlowOutcome.COMPLETED
    assert (run.recorder.of("big").attempts, run.recorder.of("big").reason) == (1, "LimitExceeded")


async def test_emitted_payloads_are_limited() -> None:
    items = ["x" * 5000] * 20
    spec = FlowSpec.model_validate(
        {"nodes": [{"id": "each", "type": "EmitEach", "inputs": {"eventName": "e", "items": items}}]}
    )
    options = EngineOptions(limits=Limits(value_bytes=200_000, node_bytes=60_000))
    assert limit_of(await run_flow(spec, options=options), "CHAINGRAPH_MAX_NODE_BYTES") == "each"


class Talker(Node):
    """Logs without end."""

    said = Output(AnyType())

    def run(self, context: NodeContext) -> None:
        """Talk from a thread."""
        for _ in range(1000):
            context.log("x" * 100)
        self.said = True


async def test_logs_beyond_the_limit_are_dropped_with_one_notice() -> None:
    spec = FlowSpec.model_validate({"nodes": [{"id": "t", "type": "Talker"}, {"id": "u", "type": "Talker"}]})
    recorder = MemoryRecorder()
    options = EngineOptions(limits=Limits(log_bytes=5000))
    run = await run_flow(spec, registry=Registry([Talker]), recorder=recorder, options=options)
    assert run.result.outcome is FlowOutcome.COMPLETED
    logs = [each["log"] for each in recorder.named("node:debug-log-string")]
    assert len(logs) < 30
    assert sum("CHAINGRAPH_MAX_LOG_BYTES" in each for each in logs) == 1


class Sharing(Node):
    """Puts out what shares its parts."""

    made = Output(AnyType())

    async def run(self, context: NodeContext) -> None:
        """Double."""
        value: Any = [1]
        for _ in range(60):
            value = [value, value]
        self.made = value


async def test_output_that_shares_its_parts_fails_at_once() -> None:
    spec = FlowSpec.model_validate({"nodes": [{"id": "s", "type": "Sharing"}]})
    assert limit_of(await run_flow(spec, registry=Registry([Sharing])), "CHAINGRAPH_MAX_VALUE_BYTES") == "s"


@given(JSON_VALUES)
@settings(max_examples=50)
def test_parsed_json_is_what_was_written(value: Any) -> None:
    written = orjson.dumps(value)
    assert parsed(written, Limits(), "the text") == orjson.loads(written)


@given(JSON_VALUES, st.integers(1, 400))
@settings(max_examples=50)
def test_parsed_json_within_the_limit_is_not_far_beyond_it(value: Any, limit: int) -> None:
    try:
        found = parsed(orjson.dumps(value), Limits(value_bytes=limit), "the text")
    except LimitExceeded:
        assert 3 * size_of(value, 2**40) + 64 > limit
    else:
        assert size_of(found, 2**40) <= 3 * limit + 64


@given(st.text(alphabet='"\\[{,x', max_size=200))
def test_json_of_odd_quotes_is_counted_without_error(text: str) -> None:
    with suppress(LimitExceeded, UnreadableText):
        parsed(text, Limits(value_bytes=10), "the text")


@given(JSON_VALUES)
def test_indented_size_is_near_that_of_the_text(value: Any) -> None:
    written = len(orjson.dumps(value, option=orjson.OPT_INDENT_2))
    assert indented_size(value, 2**40) >= written / 3
    assert (indented_size(value, 10) > 10) == (indented_size(value, 2**40) > 10)


@pytest.mark.parametrize("field", ["value_bytes", "http_connections"])
def test_limit_below_one_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Limits(**{field: 0})
